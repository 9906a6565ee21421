//! The flags that say where the running daemon is, and where it is if they do not.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use anyhow::Context as _;
use hyper::http::uri::Scheme;

use super::client::Address;
use crate::config::{BaseUrl, Environment, Place, Settings, Unusable, socket_candidates};

/// Where the running daemon is. Without any of these, where its settings put it.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Where the daemon is")]
pub(super) struct Whereabouts {
    /// Its Unix socket.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["url", "config"])]
    socket: Option<PathBuf>,
    /// Its TCP port, as http://HOST:PORT.
    #[arg(long, value_name = "URL", value_parser = parse_url, conflicts_with = "config")]
    url: Option<BaseUrl>,
    /// The file with its settings, instead of /etc/discordd/config.toml.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Whereabouts {
    /// Every place where the daemon may be, best first.
    ///
    /// # Errors
    ///
    /// When the settings are asked for and cannot be used.
    pub(super) fn addresses(&self, environment: &Environment) -> anyhow::Result<Vec<Address>> {
        if let Some(path) = &self.socket {
            return Ok(vec![Address::Unix(path.clone())]);
        }
        if let Some(url) = &self.url {
            return Ok(vec![Address::Http(url.clone())]);
        }
        let loaded = Settings::load(self.config.as_deref(), environment, &[]).context(Unusable)?;
        of_settings(&loaded.settings, environment).context(Unusable)
    }
}

/// The doors that a daemon with these settings would open.
fn of_settings(settings: &Settings, environment: &Environment) -> anyhow::Result<Vec<Address>> {
    let mut addresses = Vec::new();
    for door in settings.doors()? {
        match door.address {
            Place::Tcp(address) => addresses.push(Address::Http(origin(address)?)),
            Place::Unix(path) if path == "auto" => {
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
    let url: BaseUrl = text.parse().map_err(|_| wanted)?;
    if url.scheme() == &Scheme::HTTP {
        Ok(url)
    } else {
        Err("only http is spoken here".to_owned())
    }
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
    fn only_a_plain_http_origin_is_a_url() {
        for right in [
            "http://localhost:9091",
            "http://127.0.0.1:9091/",
            "http://[::1]:1",
        ] {
            assert!(parse_url(right).is_ok(), "{right}");
        }
        for wrong in [
            "https://localhost",
            "localhost:9091",
            "http://a/b",
            "http://u@a",
            "",
        ] {
            assert!(parse_url(wrong).is_err(), "{wrong}");
        }
    }
}
