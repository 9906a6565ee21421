//! The flags that say where the running daemon is and how it is met, and what holds without them.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use anyhow::Context as _;

use super::{
    access::{Access, Found},
    client::{Address, Daemon},
};
use crate::config::{
    AUTO, BaseUrl, DoorTls, Environment, KeyFile, Place, Settings, Unusable, socket_candidates,
};

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

impl Whereabouts {
    /// Every place where the daemon may be, best first.
    ///
    /// # Errors
    ///
    /// When the settings are asked for and cannot be used, or a file that is named cannot be read.
    pub(super) fn daemons(&self, environment: &Environment) -> anyhow::Result<Vec<Daemon>> {
        let places = if let Some(path) = &self.socket {
            vec![Address::Unix(path.clone()).into()]
        } else if let Some(url) = &self.url {
            vec![Address::Http(url.clone()).into()]
        } else {
            let file = self.config.as_deref();
            let loaded = Settings::load(file, environment, &[]).context(Unusable)?;
            of_settings(&loaded.settings, environment).context(Unusable)?
        };
        let places = places.into_iter();
        places
            .map(|place| self.access.daemon(place, environment))
            .collect()
    }
}

/// The doors that a daemon with these settings would open.
fn of_settings(settings: &Settings, environment: &Environment) -> anyhow::Result<Vec<Found>> {
    let path = |file: &KeyFile| file.path(environment).ok();
    let certificate = settings.tls.certificate.as_ref().and_then(path);
    let mut found = Vec::new();
    for door in settings.doors()? {
        let with_tls = door.tls == DoorTls::Required;
        let addresses = match door.address {
            // Where it is, its unit knows.
            Place::Systemd(_) => vec![],
            Place::Tcp(address) => vec![Address::Http(origin(address, with_tls)?)],
            Place::Unix(path) if path == AUTO => {
                let sockets = socket_candidates(environment).into_iter();
                sockets.map(Address::Unix).collect()
            }
            Place::Unix(path) => vec![Address::Unix(path.into())],
        };
        let secret_file = door.secret_file.as_ref().and_then(path);
        found.extend(addresses.into_iter().map(|address| Found {
            address,
            certificate: certificate.clone(),
            secret_file: secret_file.clone(),
        }));
    }
    Ok(found)
}

/// How an address that is listened on is connected to.
fn origin(mut address: SocketAddr, with_tls: bool) -> anyhow::Result<BaseUrl> {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    let scheme = if with_tls { "https" } else { "http" };
    format!("{scheme}://{address}")
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
            let found = of_settings(settings, &Environment::default()).unwrap();
            found.iter().map(|it| it.address.to_string()).collect()
        };
        assert_eq!(shown(&settings), ["unix:/a/b.sock", "http://127.0.0.1:9"]);
        settings.listen.unix = "".into();
        settings.listen.tcp = "[::]:9".into();
        assert_eq!(shown(&settings), ["http://[::1]:9"]);
        settings.tls.certificate = Some("/a/b.pem".parse().unwrap());
        assert_eq!(shown(&settings), ["https://[::1]:9"]);
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
