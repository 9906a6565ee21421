//! What is asked, how it is spelled on each way in, and what a right answer is.
//!
//! It must be cheap: it shares the cores with the daemon. So answers are compared, not parsed.

use std::{fmt, net::SocketAddr, path::PathBuf};

use anyhow::Context;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// User id of the first made-up bot; each call is made by the next one.
const FIRST_USER: u64 = 1_300_000_000_000_000_000;
/// What stands in a made-up token behind the user id, as long as in Discord's own.
const REST_OF_TOKEN: &str = "bench1.made-up-for-the-benchmark-and-no-secret";
/// How every answer begins, before its id.
const HEAD: &str = r#"{"jsonrpc":"2.0","id":"#;
/// How a right answer to `health` goes on after its id.
const HEALTHY: &str = r#","result":{"status":"healthy""#;
/// How a right answer to `discord.sendMessage` goes on after its id.
const SENT: &str = r#","result":{"success":true"#;
/// How an answer to the tool `send_message` goes on after its id, and what it has if it is right.
const SENT_BY_TOOL: [&str; 2] = [r#","result":{"content":["#, r#""isError":false"#];

/// A call, but for its number.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    /// `health`.
    Health,
    /// `discord.sendMessage`, each by a bot of its own.
    SendMessage {
        /// Channel to post in.
        channel_id: String,
    },
}

/// A way into the daemon.
#[derive(Clone, Debug)]
pub(crate) enum Way {
    /// HTTP/1.1 with keep-alive on a TCP port.
    Http(SocketAddr),
    /// Raw lines on a Unix socket.
    Lines(PathBuf),
    /// MCP over HTTP/1.1 with keep-alive on a TCP port.
    Mcp(SocketAddr),
}

impl Call {
    /// Writes call number `id`, without a line's end.
    fn write(&self, id: usize, to: &mut Vec<u8>) {
        let method = match self {
            Self::Health => r#""health""#.to_owned(),
            Self::SendMessage { channel_id } => {
                let token = token(id);
                format!(
                    r#""discord.sendMessage","params":{{"discord_token":"{token}","channel_id":"{channel_id}","content":"Message {id} of the benchmark"}}"#
                )
            }
        };
        to.extend_from_slice(format!(r#"{HEAD}{id},"method":{method}}}"#).as_bytes());
    }

    /// Writes call number `id` as a tool's, whose token comes in a header.
    fn write_as_tool(&self, id: usize, to: &mut Vec<u8>) {
        let call = match self {
            Self::Health => r#""ping""#.to_owned(),
            Self::SendMessage { channel_id } => format!(
                r#""tools/call","params":{{"name":"send_message","arguments":{{"channel_id":"{channel_id}","content":"Message {id} of the benchmark"}}}}"#
            ),
        };
        to.extend_from_slice(format!(r#"{HEAD}{id},"method":{call}}}"#).as_bytes());
    }

    /// Checks an answer and gives the number of the call that it is for.
    ///
    /// # Errors
    ///
    /// When it is an error, or says what another call's answer should.
    pub(crate) fn check(&self, answer: &[u8]) -> anyhow::Result<usize> {
        let answer = str::from_utf8(answer)?;
        self.id_of(answer)
            .with_context(|| format!("a wrong answer: {answer}"))
    }

    fn id_of(&self, answer: &str) -> Option<usize> {
        let rest = answer.strip_prefix(HEAD)?;
        let (id, _) = rest.split_once(',')?;
        let rest = &rest[id.len()..];
        let id = id.parse().ok()?;
        let right = match self {
            Self::Health => rest.starts_with(HEALTHY),
            Self::SendMessage { .. } => {
                let bot = format!(r#""bot_id":"{}""#, user(id));
                let [tool, right] = SENT_BY_TOOL;
                let by_tool = rest.starts_with(tool) && rest.contains(right);
                (rest.starts_with(SENT) || by_tool) && rest.contains(&bot)
            }
        };
        right.then_some(id)
    }
}

impl Way {
    /// Writes call number `id` as this way in wants it.
    pub(crate) fn write(&self, call: &Call, id: usize, to: &mut Vec<u8>) {
        match self {
            Self::Http(address) => {
                let mut body = Vec::new();
                call.write(id, &mut body);
                let length = body.len();
                let head = format!(
                    "POST / HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
                     content-length: {length}\r\n\r\n"
                );
                to.extend_from_slice(head.as_bytes());
                to.append(&mut body);
            }
            Self::Lines(_) => {
                call.write(id, to);
                to.push(b'\n');
            }
            Self::Mcp(address) => {
                let mut body = Vec::new();
                call.write_as_tool(id, &mut body);
                let (length, token) = (body.len(), token(id));
                let head = format!(
                    "POST /mcp HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
                     accept: application/json, text/event-stream\r\nauthorization: Bot {token}\r\n\
                     mcp-protocol-version: 2025-11-25\r\ncontent-length: {length}\r\n\r\n"
                );
                to.extend_from_slice(head.as_bytes());
                to.append(&mut body);
            }
        }
    }

    /// Finds the first answer in what was received: where its JSON begins and ends, and where the
    /// next answer begins. `None` if it is not there whole.
    ///
    /// # Errors
    ///
    /// When it is no answer, or says that the call failed.
    pub(crate) fn find_answer(&self, received: &[u8]) -> anyhow::Result<Option<[usize; 3]>> {
        match self {
            Self::Http(_) | Self::Mcp(_) => find_body(received),
            Self::Lines(_) => {
                let end = received.iter().position(|byte| *byte == b'\n');
                Ok(end.map(|end| [0, end, end + 1]))
            }
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http(_) => "HTTP on TCP",
            Self::Lines(_) => "lines on Unix",
            Self::Mcp(_) => "MCP on TCP",
        })
    }
}

fn find_body(received: &[u8]) -> anyhow::Result<Option<[usize; 3]>> {
    let head = received.windows(4).position(|four| four == b"\r\n\r\n");
    let Some(head) = head else { return Ok(None) };
    let start = head + 4;
    let head = str::from_utf8(&received[..head])?;
    anyhow::ensure!(head.starts_with("HTTP/1.1 200 "), "a wrong answer: {head}");
    let mut lines = head.split("\r\n");
    let length = lines.find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.context("an answer without a length")?.parse()?;
    let end = start + length;
    Ok((end <= received.len()).then_some([start, end, end]))
}

/// The token of the made-up bot that makes call number `id`.
fn token(id: usize) -> String {
    let user = URL_SAFE_NO_PAD.encode(user(id));
    format!("{user}.{REST_OF_TOKEN}")
}

/// The id of the made-up bot that makes call number `id`, in decimal.
fn user(id: usize) -> String {
    (FIRST_USER + id as u64).to_string()
}
