//! The attacks, as data: where each goes, and what is said on its connections.

use std::{iter, net::SocketAddr, sync::Arc};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, crypto::aws_lc_rs, pki_types::ServerName,
};

use super::call::UPGRADE;

/// Largest JSON text that the daemon takes, in bytes.
const REQUEST_BYTES: usize = 1 << 20;
/// Room left to it by a text that never ends, in bytes.
const NEARLY: usize = 100;
/// A text that is much too large, in bytes.
const HUGE: usize = 100 << 20;
/// About how much is written at once, in bytes.
const PIECE: usize = 64 << 10;
/// Calls that are sent without waiting for an answer.
const PIPELINED: usize = 10_000;
/// The call whose answer is the largest that nobody at Discord is asked for.
const DISCOVER: &str = r#"{"jsonrpc":"2.0","id":1,"method":"rpc.discover"}"#;
/// The call whose answer is the smallest.
const HEALTH: &str = r#"{"jsonrpc":"2.0","id":1,"method":"health"}"#;
/// The same of MCP's.
const TOOLS: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;

/// One way to be a burden.
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    /// What it goes at.
    pub(crate) at: Place,
    shape: fn(SocketAddr) -> Shape,
}

/// Where an attack goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The daemon's TCP port.
    Door,
    /// Its own port on loopback, where only its own clients have any business.
    Exit,
}

/// How an attack behaves.
pub(crate) enum Shape {
    /// Connections that are made as fast as they can be: `held` of them are open, and the oldest is
    /// closed for a new one.
    Churn { held: usize, says: Vec<u8> },
    /// Connections that send as much as they can; one that comes no further is replaced.
    Flood(Flood),
}

/// What is sent on connections that send much.
pub(crate) struct Flood {
    pub(crate) connections: usize,
    pub(crate) reads: Reads,
    /// What connections begin with, in turn.
    pub(crate) first: Vec<Vec<u8>>,
    /// What is said after that, over and over.
    pub(crate) again: Vec<u8>,
    /// Most that is sent on a connection, in bytes.
    pub(crate) most: usize,
}

/// How much of the answers is read.
#[derive(Clone, Copy)]
pub(crate) enum Reads {
    All,
    /// Sixteen bytes at a time.
    Bites,
    Nothing,
}

/// All of them.
pub(crate) const ATTACKS: [Attack; 17] = [
    door("lines", |_| unread(b"", lines(DISCOVER))),
    door("http", |at| unread(b"", post(at, DISCOVER))),
    door("websocket", |_| {
        unread(UPGRADE.as_bytes(), message(DISCOVER))
    }),
    door("mcp", |at| unread(b"", mcp(at, TOOLS))),
    door("bites", |_| flood(40, Reads::Bites, b"", &lines(DISCOVER))),
    door("pipeline", |_| {
        let calls = lines(HEALTH).repeat(PIPELINED);
        flood(1, Reads::All, b"", &calls)
    }),
    door("heads", |_| {
        churn(2000, b"POST / HTTP/1.1\r\nhost: x\r\nx: ")
    }),
    door("bodies", |at| {
        flood(
            200,
            Reads::Nothing,
            &begun(&post_head(at, REQUEST_BYTES)),
            b"",
        )
    }),
    door("texts", |_| flood(200, Reads::Nothing, &begun(""), b"")),
    door("messages", |_| {
        let length = u64::try_from(REQUEST_BYTES).unwrap().to_be_bytes();
        let head = [UPGRADE.as_bytes(), &[0x81, 0xff], &length, &[0; 4]].concat();
        flood(200, Reads::Nothing, &[head, begun("")].concat(), b"")
    }),
    door("handshakes", |_| churn(1000, &hello())),
    door("hellos", |_| {
        let hello = hello();
        churn(2000, &hello[..hello.len() / 2])
    }),
    door("brackets", |_| {
        flood(16, Reads::Nothing, b"", &[b'['; PIECE])
    }),
    door("huge", |at| {
        let head = post_head(at, HUGE);
        let first = [br#"{"id":""#.to_vec(), head.into_bytes()];
        Shape::Flood(Flood {
            connections: 2,
            reads: Reads::All,
            first: first.into(),
            again: vec![b'x'; PIECE],
            most: HUGE,
        })
    }),
    exit("exit_held", |_| churn(2000, b"")),
    exit("exit_heads", |_| {
        churn(2000, b"POST / HTTP/1.1\r\nauthorization: Bot 00")
    }),
    exit("exit_closed", |_| churn(0, b"")),
];

const fn door(name: &'static str, shape: fn(SocketAddr) -> Shape) -> Attack {
    let at = Place::Door;
    Attack { name, at, shape }
}

const fn exit(name: &'static str, shape: fn(SocketAddr) -> Shape) -> Attack {
    let at = Place::Exit;
    Attack { name, at, shape }
}

impl Attack {
    /// Finds one by its name.
    pub(crate) fn named(name: &str) -> &'static Self {
        ATTACKS.iter().find(|it| it.name == name).unwrap()
    }

    /// How it behaves against this address.
    pub(crate) fn shape(&self, target: SocketAddr) -> Shape {
        (self.shape)(target)
    }
}

fn churn(held: usize, says: &[u8]) -> Shape {
    let says = says.to_vec();
    Shape::Churn { held, says }
}

fn flood(connections: usize, reads: Reads, first: &[u8], again: &[u8]) -> Shape {
    Shape::Flood(Flood {
        connections,
        reads,
        first: vec![first.to_vec()],
        again: again.to_vec(),
        most: usize::MAX,
    })
}

/// Calls whose answers nobody reads.
fn unread(first: &[u8], call: Vec<u8>) -> Shape {
    let calls = iter::repeat_n(call, 100).flatten();
    flood(40, Reads::Nothing, first, &calls.collect::<Vec<u8>>())
}

fn lines(call: &str) -> Vec<u8> {
    format!("{call}\n").into_bytes()
}

fn message(call: &str) -> Vec<u8> {
    // Masked with zeros, which leaves it as it is.
    let length = u64::try_from(call.len()).unwrap().to_be_bytes();
    [&[0x81, 0xff], &length[..], &[0; 4], call.as_bytes()].concat()
}

fn post_head(at: SocketAddr, length: usize) -> String {
    format!(
        "POST / HTTP/1.1\r\nhost: {at}\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n"
    )
}

fn post(at: SocketAddr, body: &str) -> Vec<u8> {
    (post_head(at, body.len()) + body).into_bytes()
}

fn mcp(at: SocketAddr, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST /mcp HTTP/1.1\r\nhost: {at}\r\ncontent-type: application/json\r\n\
         accept: application/json, text/event-stream\r\nmcp-protocol-version: 2025-11-25\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Nearly as large a text as may be, without its end, behind `head`.
fn begun(head: &str) -> Vec<u8> {
    let text = vec![b'x'; REQUEST_BYTES - NEARLY];
    [head.as_bytes(), br#"[""#, &text].concat()
}

/// How a client begins to speak TLS.
fn hello() -> Vec<u8> {
    let config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let mut session = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut hello = Vec::new();
    session.write_tls(&mut hello).unwrap();
    hello
}
