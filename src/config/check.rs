//! What a setting may be, beyond its type.

use std::{fmt::Display, ops::RangeInclusive, time::Duration};

use hyper::{Uri, http::uri::Scheme};
use hyper_util::client::proxy::matcher::Matcher;

use super::{Discord, Limits, Tls};

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
