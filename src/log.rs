//! Subscribers, and the targets that may never be turned up.
//!
//! A filter says what is shown of this crate. Of every other crate nothing below a warning is ever
//! shown, whatever the filter says: jsonrpsee, rmcp, hyper, h2 and twilight print bodies, headers
//! and paths at lower levels, and with them tokens and messages. rmcp warns of every mistake of a
//! client's, in the client's words: of it only errors are shown.

use std::io::{self, IsTerminal};

use anyhow::Context;
use tracing::{Level, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    EnvFilter, Layer, filter::Targets, fmt, layer::SubscriberExt, registry::LookupSpan,
    util::SubscriberInitExt,
};

use crate::config::{self, LogFormat};

/// The one target whose lower levels may be shown.
const OURS: &str = env!("CARGO_PKG_NAME");

/// Starts logging to stderr.
///
/// # Errors
///
/// When the filter cannot be read.
pub fn start(settings: &config::Log) -> anyhow::Result<()> {
    let filter = EnvFilter::builder()
        .parse(&settings.filter)
        .with_context(|| format!("log.filter: {:?} is no filter", settings.filter))?;
    let shown = shown_of_others().with_target(OURS, LevelFilter::TRACE);
    tracing_subscriber::registry()
        .with(filter)
        .with(lines(settings.format).with_filter(shown))
        .try_init()
        .context("start logging")
}

fn shown_of_others() -> Targets {
    let shown = Targets::new().with_default(Level::WARN);
    shown.with_target("rmcp", Level::ERROR)
}

fn lines<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let text = match format {
        LogFormat::Auto => io::stderr().is_terminal(),
        LogFormat::Json => false,
        LogFormat::Text => true,
    };
    let lines = fmt::layer().with_writer(io::stderr);
    if text {
        lines.with_ansi(io::stderr().is_terminal()).boxed()
    } else {
        lines.json().flatten_event(true).boxed()
    }
}
