//! Connections to Discord: one for each call, never shared between calls.

use std::{error::Error as StdError, io, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Uri,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
    http::uri::Scheme,
};
use hyper_util::{
    client::{
        legacy::connect::{HttpConnector, proxy::Tunnel},
        proxy::matcher::Matcher,
    },
    rt::TokioIo,
};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::{
    either::Either,
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};
use tower_service::Service;

use super::{names::Names, tls};
use crate::{
    config::{self, BaseUrl},
    discord::error::Cause,
};

/// How long a connection may take to say goodbye after its call ended.
const GOODBYE: Duration = Duration::from_secs(1);

/// Discord, or what stands in its place, and how to get there.
pub(super) struct Origin {
    base: BaseUrl,
    way: Way,
    names: Names,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    tracker: TaskTracker,
}

/// One connection to Discord. Dropping it closes it.
pub(super) struct Upstream {
    pub(super) sender: SendRequest<Full<Bytes>>,
    _open: DropGuard,
}

#[derive(Clone)]
enum Way {
    Direct(HttpConnector<Names>),
    Proxy(Tunnel<HttpConnector<Names>>),
}

impl Origin {
    pub(super) fn new(settings: &config::Discord, tracker: TaskTracker) -> anyhow::Result<Self> {
        let base = settings.base_url.clone();
        let tls = if base.scheme() == &Scheme::HTTPS {
            let name = ServerName::try_from(base.host().to_owned())?;
            let config = tls::client_config(settings)?;
            Some((TlsConnector::from(Arc::new(config)), name))
        } else {
            None
        };
        let names = Names::default();
        Ok(Self {
            way: Way::new(&base, settings, names.clone()),
            names,
            base,
            tls,
            tracker,
        })
    }

    /// What stands in the `Host` header.
    pub(super) fn authority(&self) -> &str {
        self.base.authority()
    }

    /// Opens a connection that belongs to one call.
    pub(super) async fn connect(&self) -> Result<Upstream, Cause> {
        let opened = self.way.clone().open(self.base.uri().clone()).await;
        if opened.is_err() {
            self.names.forget().await;
        }
        let stream = opened?;
        let stream = match &self.tls {
            None => Either::Left(stream),
            Some((tls, name)) => {
                let handshake = tls.connect(name.clone(), stream);
                Either::Right(handshake.await.map_err(|err| untrusted(&err))?)
            }
        };
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|err| Cause::Lost(innermost(&err)))?;
        let ended = CancellationToken::new();
        let open = ended.clone().drop_guard();
        self.tracker.spawn(async move {
            let mut connection = std::pin::pin!(connection);
            tokio::select! {
                _ = &mut connection => {}
                () = ended.cancelled() => {
                    let _ = tokio::time::timeout(GOODBYE, connection).await;
                }
            }
        });
        Ok(Upstream {
            sender,
            _open: open,
        })
    }
}

impl Upstream {
    /// Waits until the connection can take the next request; false if it never will.
    pub(super) async fn ready(&mut self) -> bool {
        self.sender.ready().await.is_ok()
    }
}

/// The body of an answer.
pub(super) type AnswerBody = Incoming;

impl Way {
    fn new(base: &BaseUrl, settings: &config::Discord, names: Names) -> Self {
        let mut connector = HttpConnector::new_with_resolver(names);
        connector.enforce_http(false);
        connector.set_nodelay(true);
        let proxy = Matcher::builder()
            .https(settings.https_proxy.clone().unwrap_or_default())
            .no(settings.no_proxy.clone())
            .build();
        match proxy.intercept(base.uri()) {
            None => Self::Direct(connector),
            Some(proxy) => {
                let tunnel = Tunnel::new(proxy.uri().clone(), connector);
                Self::Proxy(match proxy.basic_auth() {
                    None => tunnel,
                    Some(auth) => tunnel.with_auth(auth.clone()),
                })
            }
        }
    }

    async fn open(self, to: Uri) -> Result<TcpStream, Cause> {
        let opened = match self {
            Self::Direct(mut connector) => connector
                .call(to)
                .await
                .map_err(|err| Cause::Connect(innermost(&err))),
            Self::Proxy(mut tunnel) => tunnel
                .call(to)
                .await
                .map_err(|err| Cause::Proxy(innermost(&err))),
        };
        opened.map(TokioIo::into_inner)
    }
}

/// Tells a peer that is not who it should be, or speaks no TLS, from a connection that broke.
fn untrusted(err: &io::Error) -> Cause {
    let why = innermost(err);
    if err.kind() == io::ErrorKind::InvalidData {
        Cause::Tls(why)
    } else {
        Cause::Lost(why)
    }
}

/// The text of the first cause: those around it say the same less exactly.
pub(in crate::discord) fn innermost(err: &(dyn StdError + 'static)) -> String {
    let mut innermost = err;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
