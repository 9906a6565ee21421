//! What a setting may be, beyond its type.

use std::{fmt::Display, ops::RangeInclusive, time::Duration};

use hyper::{
    Uri,
    http::uri::{Authority, Scheme},
};
use hyper_util::client::proxy::matcher::Matcher;

use super::{Discord, Limits, Listen, Tls};

/// How many of anything there may be.
const COUNTS: RangeInclusive<usize> = 1..=1_000_000;
/// How deep a text may be nested: the reader of JSON takes no more.
const DEPTHS: RangeInclusive<usize> = 1..=128;
/// How large a text or a buffer may be, in bytes.
const SIZES: RangeInclusive<usize> = 1 << 10..=1 << 30;
/// How long anything may take.
const TIMES: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(7 * 86_400);
/// How often one request may be sent.
const ATTEMPTS: RangeInclusive<usize> = 1..=10;
/// What a share may be, in percent.
const SHARES: RangeInclusive<usize> = 1..=100;

impl Listen {
    /// Refuses a host that no request names, and an origin that no page has: they let nobody in.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        for host in self.allowed_hosts.iter() {
            anyhow::ensure!(
                is_host(host),
                "listen.allowed_hosts: {host:?} is not what a Host header names; a host such as \
                 discord-api or discord-api:9091 is wanted"
            );
        }
        for origin in self.allowed_origins.iter() {
            anyhow::ensure!(
                is_origin(origin),
                "listen.allowed_origins: {origin:?} is not what a browser sends; an origin such as \
                 https://panel.example or http://localhost:8080 is wanted, without a path, and without \
                 the port that its scheme has anyway"
            );
        }
        Ok(())
    }
}

impl Limits {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        for (name, value) in [
            ("batch", self.batch),
            ("calls", self.calls),
            ("calls_per_connection", self.calls_per_connection),
            ("calls_per_peer", self.calls_per_peer),
            ("connections", self.connections),
            ("connections_per_peer", self.connections_per_peer),
        ] {
            within(
                &format!("limits.{name}"),
                &value,
                &COUNTS,
                ToString::to_string,
            )?;
        }
        let plain = ToString::to_string;
        within("limits.depth", &self.depth, &DEPTHS, plain)?;
        for (name, value) in [
            ("memory", self.memory.bytes()),
            ("request_bytes", self.request_bytes.bytes()),
            ("response_bytes", self.response_bytes.bytes()),
        ] {
            within(&format!("limits.{name}"), &value, &SIZES, |bytes| {
                format!("{bytes}B")
            })?;
        }
        // Calls under way have half of it.
        let one = 2 * self.request_bytes.bytes().max(self.response_bytes.bytes());
        anyhow::ensure!(
            self.memory.bytes() >= one,
            "limits.memory: {}B is less than {one}B, twice what one call may have by \
             limits.request_bytes and limits.response_bytes",
            self.memory.bytes()
        );
        for (name, value) in [
            ("body_timeout", self.body_timeout),
            ("call_timeout", self.call_timeout),
            ("drain_timeout", self.drain_timeout),
            ("first_byte_timeout", self.first_byte_timeout),
            ("header_timeout", self.header_timeout),
            ("idle_timeout", self.idle_timeout),
            ("write_timeout", self.write_timeout),
        ] {
            within(&format!("limits.{name}"), &value, &TIMES, |time| {
                humantime::format_duration(*time)
            })?;
        }
        Ok(())
    }
}

impl Tls {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.certificate.is_some() == self.key.is_some(),
            "tls: a certificate and its key go together"
        );
        anyhow::ensure!(
            self.client_ca.is_none() || self.certificate.is_some(),
            "tls.client_ca: it needs tls.certificate and tls.key"
        );
        Ok(())
    }
}

impl Discord {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let plain = ToString::to_string;
        within("discord.attempts", &self.attempts, &ATTEMPTS, plain)?;
        within("discord.guard_share", &self.guard_share, &SHARES, plain)?;
        self.check_proxy()
    }

    /// Refuses a proxy that could not be asked: going past it would be worse than not starting.
    fn check_proxy(&self) -> anyhow::Result<()> {
        let Some(proxy) = &self.https_proxy else {
            return Ok(());
        };
        let matcher = Matcher::builder().https(proxy.clone()).build();
        let somewhere = Uri::from_static("https://discord.com");
        let known = matcher.intercept(&somewhere);
        let usable = known.is_some_and(|it| it.uri().scheme() == Some(&Scheme::HTTP));
        anyhow::ensure!(
            usable,
            "discord.https_proxy (or HTTPS_PROXY): a proxy of the form \
             http://[USER:PASSWORD@]HOST:PORT is wanted"
        );
        Ok(())
    }
}

/// Whether a `Host` header may name this, but for capitals.
fn is_host(text: &str) -> bool {
    let named: Option<Authority> = text.parse().ok();
    named.is_some_and(|it| !it.host().is_empty() && !text.contains(['@', '*']))
}

/// Whether a browser spells an origin so, but for capitals.
/// See <https://html.spec.whatwg.org/multipage/browsers.html#ascii-serialisation-of-an-origin>.
fn is_origin(text: &str) -> bool {
    let Ok(uri) = text.parse::<Uri>() else {
        return false;
    };
    let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) else {
        return false;
    };
    let usual = match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    };
    let port = uri.port_u16().filter(|port| Some(*port) != usual);
    let port = port.map_or_else(String::new, |port| format!(":{port}"));
    let is_one = !host.is_empty() && !host.contains('*');
    is_one && text.eq_ignore_ascii_case(&format!("{scheme}://{host}{port}"))
}

fn within<T: PartialOrd, D: Display>(
    name: &str,
    value: &T,
    range: &RangeInclusive<T>,
    show: impl Fn(&T) -> D,
) -> anyhow::Result<()> {
    anyhow::ensure!(
        range.contains(value),
        "{name}: {} is not between {} and {}",
        show(value),
        show(range.start()),
        show(range.end())
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_what_a_request_names() {
        for host in ["discord-api", "Discord-Api:9091", "192.0.2.1", "[::1]:9091"] {
            assert!(is_host(host), "{host}");
        }
        for other in [
            "",
            "*",
            "*.example",
            ":9091",
            "http://a",
            "a/",
            "u@a",
            "a b",
            "[::1",
        ] {
            assert!(!is_host(other), "{other}");
        }
    }

    #[test]
    fn an_origin_is_what_a_browser_sends() {
        for origin in [
            "https://panel.example",
            "HTTPS://Panel.Example:8443",
            "http://localhost:8080",
            "http://[::1]:8080",
            "http://192.0.2.1",
            "https://xn--bcher-kva.example",
            "chrome-extension://gighmmpiobklfepjocnamgkkbiglidom",
        ] {
            assert!(is_origin(origin), "{origin}");
        }
        for other in [
            "",
            "*",
            "null",
            "panel.example",
            "panel.example:443",
            "https://",
            "https://:8443",
            "https://panel.example/",
            "https://panel.example/panel",
            "https://panel.example?a",
            "https://panel.example:",
            "https://panel.example:443",
            "https://panel.example:08443",
            "http://panel.example:80",
            "https://*.example",
            "https://user@panel.example",
            "https://b\u{fc}cher.example",
            "https://a b",
        ] {
            assert!(!is_origin(other), "{other}");
        }
    }
}
