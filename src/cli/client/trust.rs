//! Who is taken for the daemon over TLS, and what it is shown for a certificate.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use rustls::{
    ClientConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

use crate::discord::roots;

/// Files that TLS to a daemon needs beyond what is built in.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct Trust {
    /// Certificate authorities trusted beside the built-in ones, PEM.
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
        let roots = roots(self.ca_file.as_deref())?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
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
