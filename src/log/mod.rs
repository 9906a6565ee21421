//! Subscribers, the targets that may never be turned up, and what is told of a panic.
//!
//! A filter says what is shown of this crate. Of every other crate nothing below a warning is ever
//! shown, whatever the filter says: jsonrpsee, rmcp, hyper, h2 and twilight print bodies, headers
//! and paths at lower levels, and with them tokens and messages. rmcp warns of every mistake of a
//! client's, in the client's words: of it only errors are shown. Of a panic no text is told that was
//! made while the program ran: such a text may hold what was worked on.

mod entry;
mod journald;
mod json;

use std::{
    any::Any,
    io::{self, IsTerminal, Write},
    panic::{self, PanicHookInfo},
    sync::OnceLock,
    thread,
};

use anyhow::Context;
use tracing::{Level, Subscriber, dispatcher, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer, Registry, filter::Targets, fmt, layer::SubscriberExt, registry::LookupSpan, reload,
    util::SubscriberInitExt,
};

use self::{entry::Entries, journald::Journald, json::Json};
use crate::config::{self, LogFormat};

/// The one target whose lower levels may be shown.
const OURS: &str = env!("CARGO_PKG_NAME");

/// What changes the filter of the log that was started.
static FILTER: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

/// Starts logging to stderr.
///
/// # Errors
///
/// When the filter cannot be read.
pub fn start(settings: &config::Log) -> anyhow::Result<()> {
    let (filter, handle) = reload::Layer::new(filter(settings)?);
    let shown = shown_of_others().with_target(OURS, LevelFilter::TRACE);
    tracing_subscriber::registry()
        .with(filter)
        .with(writer(settings).with_filter(shown))
        .try_init()
        .context("start logging")?;
    FILTER.get_or_init(|| handle);
    Ok(())
}

/// Puts another filter in force; the format stays what it was when the log was started.
///
/// # Errors
///
/// When the filter cannot be read; then the one before stays.
pub fn reload(settings: &config::Log) -> anyhow::Result<()> {
    let filter = filter(settings)?;
    let handle = FILTER.get().context("no log was started")?;
    handle.reload(filter).context("log.filter")
}

fn filter(settings: &config::Log) -> anyhow::Result<Targets> {
    let filter = settings.filter.parse::<Targets>();
    filter.with_context(|| format!("log.filter: {:?} is no filter", settings.filter))
}

/// Tells of panics in the log, or before there is one on stderr: where, and not with what.
pub fn report_panics() {
    panic::set_hook(Box::new(|info: &PanicHookInfo<'_>| {
        let at = info.location().map(ToString::to_string).unwrap_or_default();
        let thread = thread::current();
        let thread = thread.name().unwrap_or_default();
        let why = reason(info.payload());
        if dispatcher::has_been_set() {
            tracing::error!(at, thread, why, "a panic");
        } else {
            // Nobody may read it, and a hook that panics ends the process.
            let _ = writeln!(io::stderr(), "discordd: a panic at {at}: {why}");
        }
    }));
}

/// What may be told of a panic's reason: words that stand in the source can hold no secret.
fn reason(payload: &(dyn Any + Send)) -> &'static str {
    payload
        .downcast_ref::<&'static str>()
        .copied()
        .unwrap_or("(a text that is not shown)")
}

fn shown_of_others() -> Targets {
    let shown = Targets::new().with_default(Level::WARN);
    shown.with_target("rmcp", Level::ERROR)
}

/// What writes the log. The journal may be wanted and not be there: then it is JSON on stderr, which
/// is the journal too if the service manager says so.
fn writer<S>(settings: &config::Log) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let stderr = io::stderr();
    match settings.format {
        LogFormat::Auto if journald::is_stderr(settings) => {}
        LogFormat::Journald => {}
        LogFormat::Auto if stderr.is_terminal() => return text(true),
        LogFormat::Text => return text(stderr.is_terminal()),
        LogFormat::Auto | LogFormat::Json => return Entries(Json).boxed(),
    }
    match Journald::open(settings) {
        Ok(journald) => Entries(journald).boxed(),
        Err(_) => Entries(Json).boxed(),
    }
}

fn text<S>(in_colours: bool) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let lines = fmt::layer().with_writer(io::stderr);
    lines.with_ansi(in_colours).boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What would be told of the panic in `job`.
    fn told(job: fn()) -> &'static str {
        reason(&*panic::catch_unwind(job).unwrap_err())
    }

    /// The one test that starts a log: a process has only one.
    #[test]
    fn the_filter_can_be_changed_while_the_log_runs() {
        let quiet = config::Log {
            filter: "warn".to_owned(),
            ..config::Log::default()
        };
        let shown = || tracing::enabled!(Level::INFO);
        start(&quiet).unwrap();
        assert!(!shown());
        reload(&config::Log::default()).unwrap();
        assert!(shown());
        let wrong = config::Log {
            filter: "a=b=c".to_owned(),
            ..config::Log::default()
        };
        assert!(reload(&wrong).is_err() && shown());
        reload(&quiet).unwrap();
        assert!(!shown());
    }

    #[test]
    fn of_a_panic_only_words_of_the_source_are_told() {
        let withheld = "(a text that is not shown)";
        assert_eq!(told(|| panic!("made up")), "made up");
        assert_eq!(told(|| panic!("it was {}", std::process::id())), withheld);
        assert_eq!(told(|| assert!("é"[1..].is_empty())), withheld);
        assert_eq!(told(|| panic::panic_any(7)), withheld);
    }
}
