//! Identities of a test, and connections over TLS that trust and show them.

use std::{
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};

use super::{
    authority::{Authority, Issued},
    daemon::Folder,
};

/// How long a read may wait: a test that hangs fails instead.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// A connection over TLS.
pub(crate) type Secured = StreamOwned<ClientConnection, TcpStream>;

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// How a client speaks TLS.
#[derive(Clone, Default)]
pub(crate) struct Speaker {
    /// The authorities it trusts, in PEM.
    pub(crate) trusts: Vec<String>,
    pub(crate) shows: Option<Identity>,
    pub(crate) protocols: &'static [&'static str],
    pub(crate) only_version: Option<&'static rustls::SupportedProtocolVersion>,
}

impl Identity {
    /// One that this authority signed, for this name.
    pub(crate) fn issue(authority: &Authority, name: &str) -> Self {
        let Issued { certificate, key } = authority.issue(name);
        Self {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    /// Writes it where a daemon reads it.
    pub(crate) fn write(&self, folder: &Folder) -> (String, String) {
        let certificate = folder.put("cert.pem", &self.certificate);
        (certificate, folder.put("key.pem", &self.key))
    }

    /// The certificate itself.
    pub(crate) fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()
    }
}

impl Speaker {
    /// One that trusts this authority.
    pub(crate) fn trusting(authority: &Authority) -> Self {
        Self {
            trusts: vec![authority.certificate.pem()],
            ..Self::default()
        }
    }

    /// Connects to `localhost` at this address, and comes to speak TLS.
    pub(crate) fn connect(&self, address: SocketAddr) -> std::io::Result<Secured> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(READ_TIMEOUT))?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(Arc::new(self.config()), name).unwrap();
        let mut secured = StreamOwned::new(session, stream);
        while secured.conn.is_handshaking() {
            secured.conn.complete_io(&mut secured.sock)?;
        }
        Ok(secured)
    }

    fn config(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        for pem in &self.trusts {
            let authority = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
            roots.add(authority).unwrap();
        }
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let builder = ClientConfig::builder_with_provider(provider.into());
        let builder = match self.only_version {
            Some(version) => builder.with_protocol_versions(&[version]),
            None => builder.with_safe_default_protocol_versions(),
        };
        let builder = builder.unwrap().with_root_certificates(roots);
        let mut config = match &self.shows {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
                builder
                    .with_client_auth_cert(vec![identity.der()], key)
                    .unwrap()
            }
        };
        let protocols = self.protocols.iter().map(|name| name.as_bytes().to_vec());
        config.alpn_protocols = protocols.collect();
        config
    }
}
