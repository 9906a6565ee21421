//! TLS at the ports: what callers are shown and must show, and how a connection gets there.

use std::{io, sync::Arc, time::Duration};

use anyhow::Context;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use tokio::time::{error::Elapsed, timeout};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{line::Line, sniff::Sniffed};
use crate::{
    config::{DoorSettings, DoorTls, Environment, KeyFile, Live, Tls},
    metrics::Refusal,
};

/// The one protocol offered. Who offers none speaks it too, or raw texts.
const PROTOCOL: &[u8] = b"http/1.1";

/// TLS as a door has it.
#[derive(Clone)]
pub struct Terms {
    /// Whether callers must speak it.
    pub(super) required: bool,
    config: Live<ServerConfig>,
}

/// Why a connection did not come to speak TLS.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The caller showed no certificate that is taken.
    #[error("it showed no certificate that is taken")]
    Certificate(#[source] io::Error),
    /// Anything else that went wrong.
    #[error("the handshake failed")]
    Handshake(#[source] io::Error),
    /// It did not come to its end in time.
    #[error("the handshake did not end in time")]
    Late(#[from] Elapsed),
}

impl Terms {
    /// What a door has; none where callers speak no TLS.
    #[must_use]
    pub fn of(door: &DoorSettings, config: Option<ServerConfig>) -> Option<Self> {
        Some(Self {
            required: door.tls == DoorTls::Required,
            config: Live::new(config?),
        })
    }

    /// Does with later connections as `config` says. Those that are open stay as they are.
    pub fn replace(&self, config: ServerConfig) {
        self.config.replace(config);
    }

    /// Comes to speak TLS on a connection, or gives it back.
    pub(super) async fn accept(
        &self,
        stream: Sniffed<Line>,
        limit: Duration,
    ) -> Result<TlsStream<Sniffed<Line>>, (Failure, Option<Sniffed<Line>>)> {
        let acceptor = TlsAcceptor::from(self.config.now());
        let accepted = timeout(limit, acceptor.accept(stream).into_fallible()).await;
        match accepted {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err((err, stream))) => Err((Failure::of(err), Some(stream))),
            Err(elapsed) => Err((elapsed.into(), None)),
        }
    }
}

impl Failure {
    fn of(err: io::Error) -> Self {
        let inner = err.get_ref().and_then(|it| it.downcast_ref());
        match inner {
            Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
                Self::Certificate(err)
            }
            Some(_) | None => Self::Handshake(err),
        }
    }

    /// Tells the log, and as what it is counted.
    pub(super) fn tell(&self) -> Refusal {
        let cause = std::error::Error::source(self);
        tracing::debug!(failure = %self, cause, "a caller does not come to speak TLS");
        match self {
            Self::Certificate(_) => Refusal::Certificate,
            Self::Handshake(_) => Refusal::Handshake,
            Self::Late(_) => Refusal::Late,
        }
    }
}

/// Reads what a door's callers are shown and must show; none where they speak no TLS.
///
/// # Errors
///
/// When a file cannot be read or used.
pub(super) fn read(
    tls: &Tls,
    door: &DoorSettings,
    environment: &Environment,
) -> anyhow::Result<Option<ServerConfig>> {
    let (Some(certificate), Some(key)) = (&tls.certificate, &tls.key) else {
        return Ok(None);
    };
    if door.tls == DoorTls::Off {
        return Ok(None);
    }
    let chain = certificates(certificate, environment).context("tls.certificate")?;
    let key = key.path(environment).and_then(|path| {
        let key = PrivateKeyDer::from_pem_file(&path);
        key.with_context(|| format!("read {}", path.display()))
    });
    let key = key.context("tls.key")?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let wanted = tls.client_ca.as_ref();
    let wanted = wanted.filter(|_| door.client_certificate != Some(false));
    let verifier = match wanted {
        Some(file) => authorities(file, &provider, environment).context("tls.client_ca")?,
        None => WebPkiClientVerifier::no_client_auth(),
    };
    // Sessions that may be resumed are kept in it and are gone with it: who must show another
    // certificate after a reload does.
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .context("tls.certificate, tls.key: they cannot be used together")?;
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(Some(config))
}

fn authorities(
    file: &KeyFile,
    provider: &Arc<CryptoProvider>,
    environment: &Environment,
) -> anyhow::Result<Arc<dyn ClientCertVerifier>> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file, environment)? {
        roots.add(certificate)?;
    }
    let provider = Arc::clone(provider);
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    Ok(verifier.build()?)
}

fn certificates(
    file: &KeyFile,
    environment: &Environment,
) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let path = file.path(environment)?;
    let read = || -> anyhow::Result<Vec<_>> {
        let all = CertificateDer::pem_file_iter(&path)?;
        let all: Vec<_> = all.collect::<Result<_, _>>()?;
        anyhow::ensure!(!all.is_empty(), "there is no certificate in it");
        Ok(all)
    };
    read().with_context(|| format!("read {}", path.display()))
}
