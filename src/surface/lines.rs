//! Raw connections: JSON texts one after another, behind the secret where the door has one.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::{Caller, Rpc, admit, stream};
use crate::frame::JsonTexts;

/// Serves one connection until the peer is done, misbehaves, or `stop` is cancelled.
pub async fn serve<S>(mut stream: S, rpc: Arc<Rpc>, mut caller: Caller, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut texts = JsonTexts::new(rpc.shared.bounds());
    let asked = admit::ask(&mut stream, &mut texts, &rpc, &mut caller, &stop).await;
    if let Err(why) = asked {
        let why = why + "\n";
        let (mut reader, mut writer) = tokio::io::split(stream);
        // A peer that is gone misses nothing.
        let said = stream::say_goodbye(&mut reader, &mut writer, why.as_bytes());
        let _ = said.await;
        return;
    }
    stream::serve(stream, |_| texts, rpc, caller, stop).await;
}
