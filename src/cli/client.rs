//! A caller of the running daemon: one call on one connection, as raw JSON over a Unix socket or as
//! HTTP over TCP.
//!
//! It must not call twice: what is known of the first call is told instead.

use std::{collections::BTreeMap, fmt, io, path::PathBuf, time::Duration};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Request, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpStream, UnixStream},
    time::{Instant, timeout_at},
};

use crate::config::BaseUrl;

/// Longest wait for an answer.
pub(super) const MAX_TIMEOUT: Duration = Duration::from_secs(7 * 86_400);

/// Largest answer that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// Where a daemon may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// An origin that is asked over HTTP.
    Http(BaseUrl),
    /// A socket that is asked in raw JSON.
    Unix(PathBuf),
}

/// What the daemon answered, as it stood in the answer.
#[derive(Debug)]
pub(super) enum Answer {
    /// The call's error object.
    Error(Box<RawValue>),
    /// The call's result.
    Result(Box<RawValue>),
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The call was sent, and then the connection ended.
    Lost { address: Address, why: String },
    /// The call was sent, and the time was over before its answer came.
    TimedOut { address: Address, waited: Duration },
    /// Nothing could be connected to, and nothing was sent.
    Unreachable { tried: Vec<(Address, String)> },
    /// The call was sent, and what came is no answer to it.
    Unreadable { address: Address, why: String },
}

/// A call as it goes over the wire.
#[derive(Serialize)]
struct Call<'a> {
    jsonrpc: &'static str,
    id: u8,
    method: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    params: Option<&'a RawValue>,
}

/// A connection that nothing was sent on yet.
enum Connection {
    Http(TcpStream),
    Unix(UnixStream),
}

/// Calls a method of the first daemon in `addresses` that can be connected to, and waits for the
/// answer for at most `timeout`, connecting included.
///
/// # Errors
///
/// When the process cannot have a runtime.
pub(super) fn call(
    addresses: &[Address],
    method: &str,
    params: Option<&RawValue>,
    timeout: Duration,
) -> anyhow::Result<Result<Answer, Trouble>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    let answer = runtime.block_on(ask(addresses, method, params, timeout));
    // A name that is still being looked up is not waited for.
    runtime.shutdown_background();
    Ok(answer)
}

/// Reads how long to wait for an answer.
pub(super) fn parse_timeout(text: &str) -> Result<Duration, String> {
    let timeout = humantime::parse_duration(text).map_err(|err| err.to_string())?;
    if timeout > MAX_TIMEOUT {
        return Err(format!(
            "at most {}",
            humantime::format_duration(MAX_TIMEOUT)
        ));
    }
    Ok(timeout)
}

/// Calls a method as [`call`] does, in the runtime that there is.
pub(super) async fn ask(
    addresses: &[Address],
    method: &str,
    params: Option<&RawValue>,
    timeout: Duration,
) -> Result<Answer, Trouble> {
    let call = Call {
        jsonrpc: "2.0",
        id: 1,
        method,
        params,
    };
    let text = serde_json::to_string(&call).expect("texts and JSON are JSON");
    let deadline = Instant::now() + timeout;
    let (address, connection) = connect(addresses, deadline).await?;
    let answer = match timeout_at(deadline, connection.exchange(&address, text)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(why)) => return Err(Trouble::Lost { address, why }),
        Err(_) => {
            let waited = timeout;
            return Err(Trouble::TimedOut { address, waited });
        }
    };
    read(&answer).map_err(|why| Trouble::Unreadable { address, why })
}

async fn connect(
    addresses: &[Address],
    deadline: Instant,
) -> Result<(Address, Connection), Trouble> {
    let mut tried = Vec::new();
    for address in addresses {
        let why = match timeout_at(deadline, address.connect()).await {
            Ok(Ok(connection)) => return Ok((address.clone(), connection)),
            Ok(Err(err)) => plain(&err),
            Err(_) => "no connection in time".to_owned(),
        };
        tried.push((address.clone(), why));
    }
    Err(Trouble::Unreachable { tried })
}

/// Takes an answer apart.
fn read(answer: &[u8]) -> Result<Answer, String> {
    let members: Result<BTreeMap<String, Box<RawValue>>, _> = serde_json::from_slice(answer);
    let mut members = members.map_err(|_| "it is not JSON-RPC".to_owned())?;
    if let Some(error) = members.remove("error") {
        return Ok(Answer::Error(error));
    }
    let result = members.remove("result").map(Answer::Result);
    result.ok_or_else(|| "it has neither a result nor an error".to_owned())
}

/// What the system says, without the number that Rust puts behind it.
fn plain(err: &io::Error) -> String {
    let text = err.to_string();
    let end = text.find(" (os error").unwrap_or(text.len());
    text[..end].to_lowercase()
}

impl Address {
    async fn connect(&self) -> io::Result<Connection> {
        match self {
            Self::Http(url) => {
                let port = url.uri().port_u16().unwrap_or(80);
                let stream = TcpStream::connect((url.host(), port)).await?;
                stream.set_nodelay(true)?;
                Ok(Connection::Http(stream))
            }
            Self::Unix(path) => Ok(Connection::Unix(UnixStream::connect(path).await?)),
        }
    }
}

impl Connection {
    async fn exchange(self, address: &Address, text: String) -> Result<Vec<u8>, String> {
        match (self, address) {
            (Self::Http(stream), Address::Http(url)) => over_http(stream, url, text).await,
            (Self::Http(stream), Address::Unix(_)) => over_lines(stream, text).await,
            (Self::Unix(stream), _) => over_lines(stream, text).await,
        }
    }
}

async fn over_lines<S>(mut stream: S, mut text: String) -> Result<Vec<u8>, String>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    text.push('\n');
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

async fn over_http(stream: TcpStream, url: &BaseUrl, text: String) -> Result<Vec<u8>, String> {
    let request = Request::post("/")
        .header(header::HOST, url.authority())
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONNECTION, "close")
        .body(Full::new(Bytes::from(text)))
        .map_err(|err| err.to_string())?;
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

/// An error and its causes.
fn sentence(err: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(err), |err| err.source());
    let causes: Vec<String> = causes.map(ToString::to_string).collect();
    causes.join(": ")
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(url) => url.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost { address, why } => {
                write!(
                    f,
                    "the connection to {address} was lost before the answer: {why}"
                )
            }
            Self::TimedOut { address, waited } => {
                let waited = humantime::format_duration(*waited);
                write!(f, "{address} did not answer within {waited}")
            }
            Self::Unreachable { tried } => {
                f.write_str("the daemon cannot be reached")?;
                if tried.is_empty() {
                    f.write_str(": the settings have no address")?;
                }
                for (index, (address, why)) in tried.iter().enumerate() {
                    let mark = if index == 0 { ':' } else { ';' };
                    write!(f, "{mark} {address}: {why}")?;
                }
                Ok(())
            }
            Self::Unreadable { address, why } => {
                write!(f, "what {address} answered cannot be read: {why}")
            }
        }
    }
}
