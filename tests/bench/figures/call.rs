//! What is asked, how it is spelled on each way in, and what a right answer is.
//!
//! It must be cheap: it shares the cores with the daemon. So answers are compared, not parsed.

use std::{fmt, net::SocketAddr, path::PathBuf};

use anyhow::Context;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// User id of the first made-up bot.
const FIRST_USER: u64 = 1_300_000_000_000_000_000;
/// What stands in a made-up token behind the user id, as long as in Discord's own.
const REST_OF_TOKEN: &str = "bench1.made-up-for-the-benchmark-and-no-secret";
/// How every answer begins, before its id.
const HEAD: &str = r#"{"jsonrpc":"2.0","id":"#;
/// What asks for a web socket.
pub(crate) const UPGRADE: &str = "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\n\
    upgrade: websocket\r\nsec-websocket-version: 13\r\n\
    sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A call, but for its number.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    /// `health`, of a server that sends back what it gets.
    Echo,
    /// `health`.
    Health,
    /// `discord.listChannels`, of one guild.
    ListChannels(Sender),
    /// `health`, of a server that answers everything the same.
    Route,
    /// `discord.sendMessage`.
    SendMessage(Sender),
}

/// The bots that ask, and the place that they ask about.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    /// How many bots there are; they take turns.
    pub(crate) bots: usize,
    /// The channel or the guild.
    pub(crate) id: String,
}

/// A way into the daemon, or into what it is held against.
#[derive(Clone, Debug)]
pub(crate) enum Way {
    /// HTTP/1.1 with keep-alive on a TCP port.
    Http(SocketAddr),
    /// Raw lines on a Unix socket.
    Lines(PathBuf),
    /// MCP over HTTP/1.1 with keep-alive on a TCP port.
    Mcp(SocketAddr),
    /// WebSocket on a TCP port.
    WebSocket(SocketAddr),
}

impl Sender {
    /// Each call is made by another bot.
    pub(crate) fn many(id: impl Into<String>) -> Self {
        Self::of(usize::MAX, id)
    }

    /// Calls are made by so many bots.
    pub(crate) fn of(bots: usize, id: impl Into<String>) -> Self {
        Self {
            bots,
            id: id.into(),
        }
    }

    fn bot(&self, call: usize) -> usize {
        call % self.bots
    }
}

impl Call {
    /// Writes call number `id`, without a line's end.
    fn write(&self, id: usize, to: &mut Vec<u8>) {
        let params = |sender: &Sender, rest: String| {
            let token = token(sender.bot(id));
            format!(r#"{{"discord_token":"{token}",{rest}}}"#)
        };
        let method = match self {
            Self::Echo | Self::Health | Self::Route => r#""health""#.to_owned(),
            Self::ListChannels(sender) => {
                let params = params(sender, guild(sender));
                format!(r#""discord.listChannels","params":{params}"#)
            }
            Self::SendMessage(sender) => {
                let params = params(sender, message(sender, id));
                format!(r#""discord.sendMessage","params":{params}"#)
            }
        };
        to.extend_from_slice(format!(r#"{HEAD}{id},"method":{method}}}"#).as_bytes());
    }

    /// Writes call number `id` as a tool's, whose token comes in a header, and gives that token.
    fn write_as_tool(&self, id: usize, to: &mut Vec<u8>) -> String {
        let (tool, arguments, bot) = match self {
            Self::Echo | Self::Health | Self::Route => ("health", String::new(), id),
            Self::ListChannels(sender) => ("list_channels", guild(sender), sender.bot(id)),
            Self::SendMessage(sender) => ("send_message", message(sender, id), sender.bot(id)),
        };
        let call = format!(
            r#"{HEAD}{id},"method":"tools/call","params":{{"name":"{tool}","arguments":{{{arguments}}}}}}}"#
        );
        to.extend_from_slice(call.as_bytes());
        token(bot)
    }

    /// Checks an answer and gives the number of the call that it is for; none if that is not told.
    ///
    /// # Errors
    ///
    /// When it is an error, or says what another call's answer should.
    pub(crate) fn check(&self, answer: &[u8]) -> anyhow::Result<Option<usize>> {
        if matches!(self, Self::Route) {
            return Ok(None);
        }
        let answer = str::from_utf8(answer)?;
        let id = self.id_of(answer);
        id.map(Some)
            .with_context(|| format!("a wrong answer: {answer}"))
    }

    fn id_of(&self, answer: &str) -> Option<usize> {
        let rest = answer.strip_prefix(HEAD)?;
        let (id, _) = rest.split_once(',')?;
        let rest = &rest[id.len()..];
        let id = id.parse().ok()?;
        let names = |sender: &Sender| {
            let bot = format!(r#""bot_id":"{}""#, user(sender.bot(id)));
            rest.contains(&bot) && !rest.contains(r#""isError":true"#)
        };
        let is_result = rest.starts_with(r#","result":{"#);
        let right = match self {
            Self::Echo => rest.starts_with(r#","method":"health""#),
            Self::Health => rest.starts_with(r#","result":{"status":"healthy""#),
            Self::ListChannels(sender) => is_result && names(sender) && rest.contains("channel-19"),
            Self::Route => true,
            Self::SendMessage(sender) => is_result && names(sender) && rest.contains("message_id"),
        };
        right.then_some(id)
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Echo => "(sent back)",
            Self::Health => "`health`",
            Self::ListChannels(_) => "`listChannels`",
            Self::Route => "(always the same)",
            Self::SendMessage(_) => "`sendMessage`",
        })
    }
}

fn guild(sender: &Sender) -> String {
    format!(r#""guild_id":"{}""#, sender.id)
}

fn message(sender: &Sender, id: usize) -> String {
    format!(
        r#""channel_id":"{}","content":"Message {id} of the benchmark""#,
        sender.id
    )
}

impl Way {
    /// Writes call number `id` as this way in wants it.
    pub(crate) fn write(&self, call: &Call, id: usize, to: &mut Vec<u8>) {
        let mut body = Vec::new();
        match self {
            Self::Http(address) => {
                call.write(id, &mut body);
                let length = body.len();
                let head = format!(
                    "POST / HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
                     content-length: {length}\r\n\r\n"
                );
                to.extend_from_slice(head.as_bytes());
            }
            Self::Lines(_) => {
                call.write(id, &mut body);
                body.push(b'\n');
            }
            Self::Mcp(address) => {
                let token = call.write_as_tool(id, &mut body);
                let length = body.len();
                let head = format!(
                    "POST /mcp HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
                     accept: application/json, text/event-stream\r\nauthorization: Bot {token}\r\n\
                     mcp-protocol-version: 2025-11-25\r\ncontent-length: {length}\r\n\r\n"
                );
                to.extend_from_slice(head.as_bytes());
            }
            Self::WebSocket(_) => {
                call.write(id, &mut body);
                // One whole text, masked with zeros, which leaves it as it is.
                let length = u16::try_from(body.len()).unwrap_or(u16::MAX);
                to.extend_from_slice(&[0x81, 0xfe]);
                to.extend_from_slice(&length.to_be_bytes());
                to.extend_from_slice(&[0; 4]);
            }
        }
        to.append(&mut body);
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
            Self::WebSocket(_) => Ok(find_message(received)),
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http(_) => "HTTP",
            Self::Lines(_) => "lines",
            Self::Mcp(_) => "MCP",
            Self::WebSocket(_) => "WebSocket",
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

/// Finds a message of one frame; the daemon sends no others.
fn find_message(received: &[u8]) -> Option<[usize; 3]> {
    let (start, length) = match *received.get(1)? {
        126 => (
            4,
            u16::from_be_bytes(*received.get(2..)?.first_chunk()?).into(),
        ),
        127 => {
            let length = u64::from_be_bytes(*received.get(2..)?.first_chunk()?);
            (10, usize::try_from(length).ok()?)
        }
        length => (2, length.into()),
    };
    let end = start + length;
    (end <= received.len()).then_some([start, end, end])
}

/// The token of a made-up bot.
pub(crate) fn token(bot: usize) -> String {
    let user = URL_SAFE_NO_PAD.encode(user(bot));
    format!("{user}.{REST_OF_TOKEN}")
}

/// The id of a made-up bot, in decimal.
fn user(bot: usize) -> String {
    (FIRST_USER + bot as u64).to_string()
}
