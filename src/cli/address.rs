//! The flags that say where the running daemon is and how it is met, and what holds without them.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use anyhow::Context as _;

use super::{
    Failure,
    client::{Address, Daemon, Secret, Trust},
};
use crate::config::{AUTO, BaseUrl, Environment, Place, Settings, Unusable, socket_candidates};

/// Where the running daemon is. Without any of these, where its settings put it.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Where the daemon is")]
pub(super) struct Whereabouts {
    /// Its Unix socket.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["url", "config"])]
    socket: Option<PathBuf>,
    /// Its TCP port, as http://HOST:PORT or https://HOST:PORT.
    #[arg(long, value_name = "URL", value_parser = parse_url, conflicts_with = "config")]
    url: Option<BaseUrl>,
    /// The file with its settings, instead of /etc/discordd/config.toml.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    access: Access,
}

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

impl Whereabouts {
    /// Every place where the daemon may be, best first.
    ///
    /// # Errors
    ///
    /// When the settings are asked for and cannot be used, or a file that is named cannot be read.
    pub(super) fn daemons(&self, environment: &Environment) -> anyhow::Result<Vec<Daemon>> {
        let addresses = if let Some(path) = &self.socket {
            vec![Address::Unix(path.clone())]
        } else if let Some(url) = &self.url {
            vec![Address::Http(url.clone())]
        } else {
            let file = self.config.as_deref();
            let loaded = Settings::load(file, environment, &[]).context(Unusable)?;
            of_settings(&loaded.settings, environment).context(Unusable)?
        };
        let addresses = addresses.into_iter();
        addresses
            .map(|address| self.access.daemon(address, environment))
            .collect()
    }
}

impl Access {
    /// The daemon at this address.
    ///
    /// # Errors
    ///
    /// When a file that is named cannot be used.
    pub(super) fn daemon(
        &self,
        address: Address,
        environment: &Environment,
    ) -> anyhow::Result<Daemon> {
        let secret = self.secret_file.as_deref().map(Secret::read).transpose();
        let secret = secret.context("--secret-file").context(Failure::Usage)?;
        let tls = if address.is_https() {
            let ca_file = self.ca_file.clone();
            let trust = Trust {
                ca_file: ca_file.or_else(|| environment.get("SSL_CERT_FILE").map(PathBuf::from)),
                certificate: self.client_cert.clone(),
                key: self.client_key.clone(),
            };
            Some(trust.client_config().context(Failure::Usage)?)
        } else {
            None
        };
        Ok(Daemon {
            address,
            secret,
            tls,
        })
    }
}

/// The doors that a daemon with these settings would open.
fn of_settings(settings: &Settings, environment: &Environment) -> anyhow::Result<Vec<Address>> {
    let mut addresses = Vec::new();
    for door in settings.doors()? {
        match door.address {
            // Where it is, its unit knows.
            Place::Systemd(_) => {}
            Place::Tcp(address) => addresses.push(Address::Http(origin(address)?)),
            Place::Unix(path) if path == AUTO => {
                let sockets = socket_candidates(environment).into_iter();
                addresses.extend(sockets.map(Address::Unix));
            }
            Place::Unix(path) => addresses.push(Address::Unix(path.into())),
        }
    }
    Ok(addresses)
}

/// How an address that is listened on is connected to.
fn origin(mut address: SocketAddr) -> anyhow::Result<BaseUrl> {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("http://{address}")
        .parse()
        .map_err(anyhow::Error::msg)
}

pub(super) fn parse_url(text: &str) -> Result<BaseUrl, String> {
    let wanted = "an address such as http://127.0.0.1:9091 is wanted, without a path or a user";
    text.parse().map_err(|_| wanted.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_are_those_that_a_daemon_would_open() {
        let mut settings = Settings::default();
        settings.listen.allow_insecure_tcp = true;
        settings.listen.unix = "/a/b.sock".into();
        settings.listen.tcp = "0.0.0.0:9".into();
        let shown = |settings: &Settings| -> Vec<String> {
            let addresses = of_settings(settings, &Environment::default()).unwrap();
            addresses.iter().map(Address::to_string).collect()
        };
        assert_eq!(shown(&settings), ["unix:/a/b.sock", "http://127.0.0.1:9"]);
        settings.listen.unix = "".into();
        settings.listen.tcp = "[::]:9".into();
        assert_eq!(shown(&settings), ["http://[::1]:9"]);
        let usual = ["unix:/run/discordd/discordd.sock", "http://127.0.0.1:9091"];
        assert_eq!(shown(&Settings::default()), usual);
    }

    #[test]
    fn only_an_origin_is_a_url() {
        for right in [
            "http://localhost:9091",
            "http://127.0.0.1:9091/",
            "http://[::1]:1",
            "https://discord-api.example",
        ] {
            assert!(parse_url(right).is_ok(), "{right}");
        }
        for wrong in [
            "ftp://localhost",
            "localhost:9091",
            "http://a/b",
            "http://u@a",
            "",
        ] {
            assert!(parse_url(wrong).is_err(), "{wrong}");
        }
    }
}
