//! A certificate authority of the sandbox's own, made at each start, and its server certificate.
//!
//! Its key is never written anywhere and is gone with the start that made it.

use std::sync::Arc;

use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// The names the server certificate is for.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// What a TLS door serves with, and what its clients have to trust.
pub(super) struct Identity {
    /// The server's side of TLS; it offers HTTP/2 and HTTP/1.1.
    pub(super) server: Arc<ServerConfig>,
    /// The authority's certificate, in PEM.
    pub(super) certificate_authority: String,
}

impl Identity {
    /// Makes the authority and a certificate signed by it.
    ///
    /// # Errors
    ///
    /// When keys cannot be made or the certificate cannot be used.
    pub(super) fn generate() -> anyhow::Result<Self> {
        let key = KeyPair::generate().context("make the authority's key")?;
        let authority = CertifiedIssuer::self_signed(authority(), key)
            .context("make the authority's certificate")?;
        let key = KeyPair::generate().context("make the server's key")?;
        let leaf = server()?
            .signed_by(&key, &authority)
            .context("sign the server's certificate")?;

        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut server = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()
            .context("choose the versions of TLS")?
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .context("use the server's certificate")?;
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self {
            server: Arc::new(server),
            certificate_authority: authority.pem(),
        })
    }
}

fn authority() -> CertificateParams {
    let mut params = params("discordd sandbox: not for anything but tests");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn server() -> anyhow::Result<CertificateParams> {
    let mut params = params("discordd sandbox");
    params.subject_alt_names = CertificateParams::new(NAMES.map(str::to_owned))
        .context("name the server")?
        .subject_alt_names;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2050, 1, 1);
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, name);
    params
}
