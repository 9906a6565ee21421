//! Who is taken for the daemon over TLS, and what it is shown for a certificate.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _},
};

use crate::discord::roots;

/// Files that TLS to a daemon needs beyond what is built in.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct Trust {
    /// The one certificate that is taken, whatever its name and whoever signed it.
    pub(in crate::cli) pinned: Option<CertificateDer<'static>>,
    /// Without that: certificate authorities trusted beside the built-in ones, PEM.
    pub(in crate::cli) ca_file: Option<PathBuf>,
    /// The caller's certificate and what it comes from, PEM.
    pub(in crate::cli) certificate: Option<PathBuf>,
    /// Its key, PEM; where it is missing, it is in the file with the certificate.
    pub(in crate::cli) key: Option<PathBuf>,
}

impl Trust {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// When one of them cannot be read, or its content cannot be used.
    pub(in crate::cli) fn client_config(&self) -> anyhow::Result<Arc<ClientConfig>> {
        let named = |path: &Path| path.display().to_string();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let config = match &self.pinned {
            Some(certificate) => {
                let verifier = Pinned {
                    certificate: certificate.clone(),
                    provider,
                };
                config
                    .dangerous()
                    .with_custom_certificate_verifier(Arc::new(verifier))
            }
            None => config.with_root_certificates(roots(self.ca_file.as_deref())?),
        };
        let mut config = if let Some(file) = &self.certificate {
            let chain = CertificateDer::pem_file_iter(file)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .with_context(|| named(file))?;
            let key_file = self.key.as_ref().unwrap_or(file);
            let key = PrivateKeyDer::from_pem_file(key_file).with_context(|| named(key_file))?;
            let config = config.with_client_auth_cert(chain, key);
            config.with_context(|| named(file))?
        } else {
            config.with_no_client_auth()
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// The certificate in a file; none where it cannot be read.
pub(in crate::cli) fn pinned(file: &Path) -> Option<CertificateDer<'static>> {
    CertificateDer::from_pem_file(file).ok()
}

/// Takes one certificate and no other: that of the daemon whose settings were read.
#[derive(Debug)]
struct Pinned {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *end_entity == self.certificate {
            Ok(ServerCertVerified::assertion())
        } else {
            let why = "it shows another certificate than tls.certificate now is";
            Err(Error::General(why.to_owned()))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
