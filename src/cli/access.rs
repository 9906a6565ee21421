//! The flags that say how the running daemon is met: what it is shown, and who is taken for it.

use std::path::PathBuf;

use anyhow::Context as _;

use super::{
    Failure,
    client::{Address, Daemon, Secret, Trust, pinned},
};
use crate::config::Environment;

/// What the daemon asks of its callers, and who is taken for it. No secret is ever a flag itself:
/// every user of the machine can read the list of processes.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub(super) struct Access {
    /// File with the secret that the door asks its callers for.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// File with certificate authorities that are trusted beside the built-in ones, PEM; by default
    /// `$SSL_CERT_FILE`.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// File with the certificate that the door asks its callers for, PEM.
    #[arg(long, value_name = "FILE")]
    client_cert: Option<PathBuf>,
    /// File with its key, PEM, if it is not in the same file.
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    client_key: Option<PathBuf>,
}

/// A place where the daemon may be, and what its settings say of the door there.
pub(super) struct Found {
    pub(super) address: Address,
    /// The certificate that the door shows.
    pub(super) certificate: Option<PathBuf>,
    /// The secrets that it takes.
    pub(super) secret_file: Option<PathBuf>,
}

impl From<Address> for Found {
    fn from(address: Address) -> Self {
        Self {
            address,
            certificate: None,
            secret_file: None,
        }
    }
}

impl Access {
    /// The daemon at this place.
    ///
    /// # Errors
    ///
    /// When a file that a flag names cannot be used.
    pub(super) fn daemon(&self, place: Found, environment: &Environment) -> anyhow::Result<Daemon> {
        let secret = match (&self.secret_file, place.secret_file) {
            (Some(file), _) => {
                let secret = Secret::read(file).context("--secret-file");
                Some(secret.context(Failure::Usage)?)
            }
            // Who may not read it has none to show.
            (None, Some(file)) => Secret::read(&file).ok(),
            (None, None) => None,
        };
        let mut tls = None;
        if place.address.is_https() {
            let certificate = place.certificate.filter(|_| self.ca_file.is_none());
            let ca_file = self.ca_file.clone();
            let trust = Trust {
                pinned: certificate.as_deref().and_then(pinned),
                ca_file: ca_file.or_else(|| environment.get("SSL_CERT_FILE").map(PathBuf::from)),
                certificate: self.client_cert.clone(),
                key: self.client_key.clone(),
            };
            tls = Some(trust.client_config().context(Failure::Usage)?);
        }
        Ok(Daemon {
            address: place.address,
            secret,
            tls,
        })
    }
}
