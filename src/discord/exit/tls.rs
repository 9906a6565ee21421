//! Who is taken for Discord: the trust roots, read once, and the sessions that may be resumed.
//!
//! A session ticket holds nothing of a bot: it says that the daemon spoke with this server before.

use std::{
    collections::VecDeque,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Context;
use rustls::{
    ClientConfig, NamedGroup, RootCertStore, SupportedCipherSuite,
    client::{ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue},
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};

use crate::config;

/// Most TLS 1.3 tickets kept. Each is used once, so this is how many calls can begin at once
/// without a full handshake; rustls keeps 8.
const TICKETS: usize = 64;

/// What is asked for before all others. A call's connection hashes more for its keys than it encrypts,
/// and processors hash faster for this one; no TLS 1.3 may be without it.
/// See <https://www.rfc-editor.org/rfc/rfc8446#section-9.1>.
const CHEAPEST: SupportedCipherSuite = aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;

/// Says how TLS to Discord is done.
pub(super) fn client_config(settings: &config::Discord) -> anyhow::Result<ClientConfig> {
    let roots = roots(settings.ca_file.as_deref()).context("discord.ca_file")?;
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|it| *it != CHEAPEST);
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = if settings.tls_resumption {
        Resumption::store(Arc::new(Sessions::default()))
    } else {
        Resumption::disabled()
    };
    Ok(config)
}

/// The certificate authorities that are built in, and those of a PEM file.
///
/// # Errors
///
/// When the file cannot be read, or has none that can be used.
pub fn roots(file: Option<&Path>) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    if let Some(file) = file {
        add_roots(&mut roots, file).with_context(|| format!("read {}", file.display()))?;
    }
    Ok(roots)
}

fn add_roots(roots: &mut RootCertStore, file: &Path) -> anyhow::Result<()> {
    let certificates = CertificateDer::pem_file_iter(file)?;
    let certificates: Vec<_> = certificates.collect::<Result<_, _>>()?;
    // A system's bundle may hold an odd one, which is no reason not to start.
    let (added, _) = roots.add_parsable_certificates(certificates);
    anyhow::ensure!(added > 0, "there is no usable certificate in it");
    Ok(())
}

/// The sessions of the one server that the daemon speaks to.
#[derive(Debug, Default)]
struct Sessions(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    group: Option<NamedGroup>,
    tls12: Option<Tls12ClientSessionValue>,
    tickets: VecDeque<Tls13ClientSessionValue>,
}

impl Sessions {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientSessionStore for Sessions {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.kept().group = Some(group);
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.kept().group
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.kept().tls12 = Some(value);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.kept().tls12.clone()
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.kept().tls12 = None;
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        let mut kept = self.kept();
        if kept.tickets.len() == TICKETS {
            kept.tickets.pop_front();
        }
        kept.tickets.push_back(value);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.kept().tickets.pop_back()
    }
}
