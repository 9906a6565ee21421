//! A caller of the running daemon: one call on one connection, as raw JSON over a Unix socket or as
//! HTTP over TCP, with TLS or without.
//!
//! It must not call twice: what is known of the first call is told instead.

mod connection;
mod secret;
mod trust;

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use hyper::http::uri::Scheme;
use rustls::ClientConfig;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout_at};

use self::connection::Connection;
pub(super) use self::{
    secret::Secret,
    trust::{Trust, pinned},
};
use crate::config::BaseUrl;

/// Longest wait for an answer.
pub(super) const MAX_TIMEOUT: Duration = Duration::from_secs(7 * 86_400);

/// Where a daemon may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// An origin that is asked over HTTP.
    Http(BaseUrl),
    /// A socket that is asked in raw JSON.
    Unix(PathBuf),
}

/// A daemon that may be there, and how it is met.
#[derive(Clone)]
pub(super) struct Daemon {
    pub(super) address: Address,
    /// What it is shown, if it asks for something.
    pub(super) secret: Option<Secret>,
    /// Who is taken for it; a socket and plain HTTP have no use for this.
    pub(super) tls: Option<Arc<ClientConfig>>,
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

/// Calls a method of the first of the `daemons` that can be connected to, and waits for the answer for at most `timeout`, connecting included.
///
/// # Errors
///
/// When the process cannot have a runtime.
pub(super) fn call(
    daemons: &[Daemon],
    method: &str,
    params: Option<&RawValue>,
    timeout: Duration,
) -> anyhow::Result<Result<Answer, Trouble>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    let answer = runtime.block_on(ask(daemons, method, params, timeout));
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
    daemons: &[Daemon],
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
    let (daemon, connection) = connect(daemons, deadline).await?;
    let address = daemon.address.clone();
    let answer = match timeout_at(deadline, connection.exchange(text)).await {
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
    daemons: &[Daemon],
    deadline: Instant,
) -> Result<(&Daemon, Connection<'_>), Trouble> {
    let mut tried = Vec::new();
    for daemon in daemons {
        let why = match timeout_at(deadline, Connection::open(daemon)).await {
            Ok(Ok(connection)) => return Ok((daemon, connection)),
            Ok(Err(why)) => why,
            Err(_) => "no connection in time".to_owned(),
        };
        tried.push((daemon.address.clone(), why));
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

impl Address {
    /// Whether it is spoken to over TLS.
    pub(super) fn is_https(&self) -> bool {
        matches!(self, Self::Http(url) if url.scheme() == &Scheme::HTTPS)
    }
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
