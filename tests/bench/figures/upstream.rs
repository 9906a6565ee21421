//! Discord's place, as lean as it can be: it answers what the daemon asks, late if it is told to, and
//! keeps nothing.
//!
//! It is a process of its own with one thread, over HTTP and over TLS, where it offers HTTP/2 and
//! HTTP/1.1 and hands out tickets, as Discord's edge does. It must not be what a caller waits for.

use std::{fs, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    HeaderMap, Method, Request, Response,
    body::Incoming,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use serde::Deserialize;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket, TcpStream},
    time::sleep,
};
use tokio_rustls::TlsAcceptor;

use super::role;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;
/// Headers that every answer of Discord's has.
/// See <https://discord.com/developers/docs/topics/rate-limits>.
const HEADERS: [(&str, &str); 5] = [
    ("x-ratelimit-bucket", "0123456789abcdef0123456789abcdef"),
    ("x-ratelimit-limit", "5"),
    ("x-ratelimit-remaining", "4"),
    ("x-ratelimit-reset", "1795723200.123"),
    ("x-ratelimit-reset-after", "1.000"),
];

/// What is read of a message.
#[derive(Deserialize)]
struct Draft {
    content: String,
    nonce: String,
}

/// Answers until the bench ends.
///
/// # Errors
///
/// When no port can be had.
pub(crate) fn run(ca_file: &Path, delay: Duration) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (plain, tls) = (listen()?, listen()?);
        let acceptor = TlsAcceptor::from(Arc::new(identity(ca_file)?));
        role::say(&[plain.local_addr()?, tls.local_addr()?])?;
        tokio::spawn(accept(plain, None, delay));
        tokio::spawn(accept(tls, Some(acceptor), delay));
        role::until_the_bench_ends().await
    })
}

fn listen() -> anyhow::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    Ok(socket.listen(BACKLOG)?)
}

/// Makes an authority, which is written to a file, and a certificate of it for `localhost`.
fn identity(ca_file: &Path) -> anyhow::Result<ServerConfig> {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    fs::write(ca_file, authority.pem())?;
    let key = KeyPair::generate()?;
    let server = CertificateParams::new(["localhost".to_owned()])?.signed_by(&key, &authority)?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![server.der().clone()], key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    Ok(config)
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, delay: Duration) {
    // It ends only if descriptors run out, and then the calls say so.
    while let Ok((stream, _)) = listener.accept().await {
        let tls = tls.clone();
        tokio::spawn(async move {
            // Whoever breaks a connection off is told of by its own calls.
            let _ = greet(stream, tls, delay).await;
        });
    }
}

async fn greet(stream: TcpStream, tls: Option<TlsAcceptor>, delay: Duration) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    match tls {
        None => serve(stream, delay).await,
        Some(tls) => serve(tls.accept(stream).await?, delay).await,
    }
}

async fn serve<S>(stream: S, delay: Duration) -> anyhow::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request| answer(request, delay));
    auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await
        .map_err(anyhow::Error::from_boxed)
}

async fn answer(
    request: Request<Incoming>,
    delay: Duration,
) -> anyhow::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let user = user(&head.headers).context("a request without a bot's token")?;
    let path = head.uri.path();
    let path = path.strip_prefix("/api/v10/").unwrap_or(path);
    let parts: Vec<&str> = path.split('/').collect();
    let answer = match (&head.method, parts.as_slice()) {
        (&Method::POST, ["channels", channel, "messages"]) => {
            let draft = serde_json::from_slice(&body.collect().await?.to_bytes())?;
            message(&user, channel, &draft)
        }
        (&Method::GET, ["users", "@me"]) => format!(r#"{{"id":"{user}","username":"bench"}}"#),
        (&Method::GET, ["guilds", id, "channels"]) => channels(id),
        (&Method::GET, ["guilds", id]) => {
            format!(r#"{{"id":"{id}","name":"bench","owner_id":"1","roles":[]}}"#)
        }
        _ => anyhow::bail!("{} {path} is not asked for here", head.method),
    };
    if !delay.is_zero() {
        sleep(delay).await;
    }
    let mut response = Response::new(Full::from(answer));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in HEADERS {
        let name = HeaderName::from_static(name);
        headers.insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

/// The id of the bot, in decimal: the first part of its token.
fn user(headers: &HeaderMap) -> Option<String> {
    let token = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (user, _) = token.strip_prefix("Bot ")?.split_once('.')?;
    String::from_utf8(URL_SAFE_NO_PAD.decode(user).ok()?).ok()
}

/// A message with every field that Discord's have.
fn message(user: &str, channel: &str, draft: &Draft) -> String {
    let Draft { content, nonce } = draft;
    format!(
        r#"{{"type":0,"content":"{content}","mentions":[],"mention_roles":[],"attachments":[],"embeds":[],"timestamp":"2026-11-26T12:00:00.123000+00:00","edited_timestamp":null,"flags":0,"components":[],"id":"1310000000000000000","channel_id":"{channel}","author":{{"id":"{user}","username":"bench","avatar":null,"discriminator":"0000","public_flags":0,"flags":0,"bot":true,"banner":null,"accent_color":null,"global_name":null,"avatar_decoration_data":null,"collectibles":null,"banner_color":null,"clan":null,"primary_guild":null}},"pinned":false,"mention_everyone":false,"tts":false,"nonce":"{nonce}"}}"#
    )
}

/// The twenty channels of every guild.
fn channels(guild: &str) -> String {
    let channel = |number: u32| {
        format!(
            r#"{{"id":"{}","type":0,"last_message_id":null,"flags":0,"guild_id":"{guild}","name":"channel-{number}","parent_id":null,"rate_limit_per_user":0,"topic":null,"position":{number},"permission_overwrites":[],"nsfw":false}}"#,
            1_320_000_000_000_000_000 + u64::from(number),
        )
    };
    let channels: Vec<String> = (0..20).map(channel).collect();
    format!("[{}]", channels.join(","))
}
