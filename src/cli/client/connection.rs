//! One connection to a daemon, and the one exchange on it.

use std::io;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Request, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::{
    io::{
        AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _,
        BufReader,
    },
    net::{TcpStream, UnixStream},
};
use tokio_rustls::TlsConnector;

use super::{Address, Daemon, Secret, secret::HEADER};
use crate::config::BaseUrl;

/// Largest answer that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// Bytes in both directions, in the clear or not.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection that nothing of a call was sent on yet.
pub(super) struct Connection<'a> {
    framing: Framing<'a>,
    secret: Option<&'a Secret>,
}

enum Framing<'a> {
    Http(Box<dyn Stream>, &'a BaseUrl),
    Lines(UnixStream),
}

impl<'a> Connection<'a> {
    /// Connects, and over TLS shakes hands; tells in words why it could not.
    pub(super) async fn open(daemon: &'a Daemon) -> Result<Self, String> {
        let framing = match &daemon.address {
            Address::Http(url) => Framing::Http(connect(daemon, url).await?, url),
            Address::Unix(path) => {
                let stream = UnixStream::connect(path).await;
                Framing::Lines(stream.map_err(|err| plain(&err))?)
            }
        };
        Ok(Self {
            framing,
            secret: daemon.secret.as_ref(),
        })
    }

    /// Sends a call and reads the answer, as it stands.
    pub(super) async fn exchange(self, text: String) -> Result<Vec<u8>, String> {
        match self.framing {
            Framing::Http(stream, url) => over_http(stream, url, self.secret, text).await,
            Framing::Lines(stream) => over_lines(stream, self.secret, text).await,
        }
    }
}

async fn connect(daemon: &Daemon, url: &BaseUrl) -> Result<Box<dyn Stream>, String> {
    let port = if daemon.tls.is_some() { 443 } else { 80 };
    let port = url.uri().port_u16().unwrap_or(port);
    let stream = TcpStream::connect((url.host(), port)).await;
    let stream = stream.map_err(|err| plain(&err))?;
    stream.set_nodelay(true).map_err(|err| plain(&err))?;
    let Some(tls) = &daemon.tls else {
        return Ok(Box::new(stream));
    };
    let name = ServerName::try_from(url.host().to_owned()).map_err(|err| err.to_string())?;
    let shaken = TlsConnector::from(tls.clone()).connect(name, stream).await;
    Ok(Box::new(shaken.map_err(|err| format!("TLS: {err}"))?))
}

async fn over_lines(
    mut stream: UnixStream,
    secret: Option<&Secret>,
    mut text: String,
) -> Result<Vec<u8>, String> {
    text.push('\n');
    if let Some(secret) = secret {
        text.insert_str(0, &secret.first_text());
    }
    // A daemon that refuses the call may close before it has read all of it: its answer counts.
    let sent = stream.write_all(text.as_bytes()).await;
    let mut line = Vec::new();
    let most = u64::try_from(MAX_ANSWER_BYTES).unwrap_or(u64::MAX);
    let mut reader = BufReader::new(stream.take(most));
    let received = reader.read_until(b'\n', &mut line).await;
    match received.and(sent) {
        _ if line.ends_with(b"\n") => Ok(line),
        Ok(()) => Err("it was closed".to_owned()),
        Err(err) => Err(plain(&err)),
    }
}

async fn over_http(
    stream: Box<dyn Stream>,
    url: &BaseUrl,
    secret: Option<&Secret>,
    text: String,
) -> Result<Vec<u8>, String> {
    let mut request = Request::post("/")
        .header(header::HOST, url.authority())
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONNECTION, "close");
    if let Some(secret) = secret {
        request = request.header(HEADER, secret.header_value());
    }
    let request = request.body(Full::new(Bytes::from(text)));
    let request = request.map_err(|err| err.to_string())?;
    let io = TokioIo::new(stream);
    let (mut sender, connection) = http1::handshake(io).await.map_err(|err| sentence(&err))?;
    let answered = async {
        let response = sender.send_request(request).await;
        let body = response.map_err(|err| sentence(&err))?.into_body();
        let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
        let body = body.map_err(|err| sentence(&*err))?;
        Ok(body.to_bytes().to_vec())
    };
    // What becomes of the connection shows in the answer.
    let (answered, _) = tokio::join!(answered, connection);
    answered
}

/// What the system says, without the number that Rust puts behind it.
fn plain(err: &io::Error) -> String {
    let text = err.to_string();
    let end = text.find(" (os error").unwrap_or(text.len());
    text[..end].to_lowercase()
}

/// An error and its causes.
fn sentence(err: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(err), |err| err.source());
    let causes: Vec<String> = causes.map(ToString::to_string).collect();
    causes.join(": ")
}
