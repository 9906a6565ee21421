//! What the daemon's way in is held against: a server that only sends back what it finds, and a
//! route of axum's that only answers.

use std::{net::SocketAddr, path::Path};

use axum::{Router, http::header, routing::post};
use bytes::{Buf as _, Bytes, BytesMut};
use discordd::frame::{Bounds, Found, Framing as _, JsonTexts};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, UnixListener, UnixStream},
    runtime::Runtime,
};

use super::role;

/// What a text may be.
const BOUNDS: Bounds = Bounds {
    max_bytes: 1 << 20,
    max_depth: 128,
};
/// Room for each read, in bytes.
const READ_BYTES: usize = 16 << 10;
/// What the route answers: as long as the daemon's answer to `health`.
const ANSWER: &str = concat!(
    r#"{"jsonrpc":"2.0","id":1,"result":{"status":"healthy","stateless":true,"#,
    r#""timestamp":"2026-11-26T12:00:00.123456Z","version":"0.1.0","uptime_seconds":1,"#,
    r#""in_flight":0,"upstream":"127.0.0.1","guard":{"status":"open","counted":0,"#,
    r#""limit":9000,"peer_counted":0,"peer_limit":2000}}}"#
);

/// Sends back every text that comes through a Unix socket, found by the daemon's own framing.
///
/// # Errors
///
/// When the socket cannot be had.
pub(crate) fn texts(socket: &Path) -> anyhow::Result<()> {
    Runtime::new()?.block_on(async {
        let listener = UnixListener::bind(socket)?;
        role::say(&[])?;
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(send_back(stream));
            }
        });
        role::until_the_bench_ends().await
    })
}

async fn send_back(mut stream: UnixStream) -> std::io::Result<()> {
    let (mut framing, mut unsent) = (JsonTexts::new(BOUNDS), BytesMut::new());
    loop {
        framing.buffer().reserve(READ_BYTES);
        if stream.read_buf(framing.buffer()).await? == 0 {
            return Ok(());
        }
        while let Some(found) = framing.next_found() {
            if let Found::Text(text) = found {
                unsent.extend_from_slice(&text);
                unsent.extend_from_slice(b"\n");
            }
        }
        while unsent.has_remaining() {
            stream.write_buf(&mut unsent).await?;
        }
    }
}

/// Answers every call the same, over HTTP on a TCP port.
///
/// # Errors
///
/// When the port cannot be had.
pub(crate) fn route() -> anyhow::Result<()> {
    Runtime::new()?.block_on(async {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        role::say(&[listener.local_addr()?])?;
        let answer = async |_: Bytes| ([(header::CONTENT_TYPE, "application/json")], ANSWER);
        let router = Router::new().route("/", post(answer));
        tokio::spawn(async move { axum::serve(listener, router).await });
        role::until_the_bench_ends().await
    })
}
