//! The end of a connection on which nothing more is taken.

use std::{io, time::Duration};

use bytes::Buf;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

/// How long what the peer still sends is read after the last answer, so that no reset destroys it.
const GOODBYE: Duration = Duration::from_secs(1);

/// Closes a connection with these words, which a peer that is gone misses.
pub async fn close(stream: impl AsyncRead + AsyncWrite, last_words: &str) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut last_words = last_words.as_bytes();
    let said = say_goodbye(&mut reader, &mut writer, &mut last_words).await;
    if let Err(err) = said {
        tracing::debug!(%err, "a peer was gone before the last word");
    }
}

/// Writes the last words and ends writing, then reads what still comes: closing on unread input
/// would reset the connection, and the answers with it.
///
/// # Errors
///
/// When the connection is lost meanwhile.
pub(super) async fn say_goodbye(
    reader: &mut (impl AsyncRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
    last_words: &mut impl Buf,
) -> io::Result<()> {
    let goodbye = async {
        writer.write_all_buf(last_words).await?;
        writer.shutdown().await?;
        let mut rest = [0; 512];
        while reader.read(&mut rest).await? > 0 {}
        Ok(())
    };
    timeout(GOODBYE, goodbye).await.unwrap_or(Ok(()))
}
