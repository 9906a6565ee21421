//! A call as it is seen from outside: counted, timed, and told of in the log.
//!
//! No token, no message and no name that a caller made up is told of; where the log does not show
//! calls, nothing is made for it.

use std::{net::IpAddr, sync::Arc, time::Instant};

use jsonrpsee::types::error::METHOD_NOT_FOUND_CODE;
use tracing::{Level, Span, field};

use super::{
    Caller,
    rpc::{Shared, code},
};
use crate::{
    discord::{Delivered, Peer, Token},
    metrics::{Framing, Outcome},
    operation::{Effect, Error, TABLE},
};

/// What calls are logged under, so that a filter can name them.
const TARGET: &str = "discordd::call";

/// A call that has begun. Dropping it says that nobody waits for it any more.
pub(super) struct Seen {
    shared: Arc<Shared>,
    /// Which of the methods that are counted it is.
    method: usize,
    framing: Framing,
    effect: Effect,
    begun: Instant,
    span: Span,
    is_over: bool,
}

/// Tells that a call is over; the level must be known where it is written.
macro_rules! event {
    ($level:expr, $($field:ident),*) => {
        tracing::event!(target: TARGET, $level, $($field),*, "call")
    };
}

impl Seen {
    /// Begins to look at a call of a method, by `caller`.
    pub(super) fn begin(shared: &Arc<Shared>, method: &str, caller: Option<&Caller>) -> Self {
        let framing = caller.map_or(Framing::None, |caller| caller.framing);
        let method = shared.number_of(method);
        let effect = TABLE
            .get(method)
            .map_or(Effect::Local, |entry| entry.effect);
        let name = shared.figures[method].name();
        Self {
            shared: Arc::clone(shared),
            method,
            framing,
            effect,
            begun: Instant::now(),
            span: span(effect, name, framing, caller),
            is_over: false,
        }
    }

    /// What is told while the call is under way is told in this.
    pub(super) fn span(&self) -> &Span {
        &self.span
    }

    /// Takes note of what came of it.
    pub(super) fn end<T>(mut self, outcome: Result<T, Error>) -> Result<T, Error> {
        self.is_over = true;
        match &outcome {
            Ok(_) => self.tell(Outcome::Ok, None, None, self.usual_level()),
            Err(error) => {
                if let Some(why) = error.refusal() {
                    self.shared.hall.metrics.refuse(why);
                }
                self.tell_error(error);
            }
        }
        outcome
    }

    /// Takes note that there is no such method.
    pub(super) fn end_unknown(mut self) {
        self.is_over = true;
        let code = Some(METHOD_NOT_FOUND_CODE);
        self.tell(Outcome::MethodNotFound, code, None, self.usual_level());
    }

    fn tell_error(&self, error: &Error) {
        let level = if error.is_ours() {
            Level::WARN
        } else {
            self.usual_level()
        };
        let (code, delivered) = (Some(code(error)), Some(error.delivered()));
        self.tell(error.outcome(), code, delivered, level);
    }

    /// Calls that ask nothing of Discord are made all the time, by whoever watches the daemon.
    fn usual_level(&self) -> Level {
        match self.effect {
            Effect::Local => Level::DEBUG,
            Effect::Posts | Effect::Reads => Level::INFO,
        }
    }

    fn tell(
        &self,
        outcome: Outcome,
        code: Option<i32>,
        delivered: Option<Delivered>,
        level: Level,
    ) {
        let took = self.begun.elapsed();
        let figures = &self.shared.figures[self.method];
        figures.count(outcome, took);
        let duration_ms = (took.as_secs_f64() * 1e6).round() / 1e3;
        let outcome = field::display(outcome);
        let delivered = delivered.map(field::display);
        // A filter may show the end of a call and not the call.
        let unsaid = self.span.is_disabled();
        let method = unsaid.then(|| figures.name());
        let framing = unsaid.then_some(field::display(self.framing));
        self.span.in_scope(|| match level {
            Level::WARN => event!(
                Level::WARN,
                method,
                framing,
                outcome,
                code,
                delivered,
                duration_ms
            ),
            Level::INFO => event!(
                Level::INFO,
                method,
                framing,
                outcome,
                code,
                delivered,
                duration_ms
            ),
            _ => event!(
                Level::DEBUG,
                method,
                framing,
                outcome,
                code,
                delivered,
                duration_ms
            ),
        });
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let gone = Error::Abandoned;
        let delivered = match self.effect {
            Effect::Local | Effect::Reads => Delivered::No,
            // The process ends before it does.
            Effect::Posts => Delivered::Unknown,
        };
        let (code, delivered) = (Some(code(&gone)), Some(delivered));
        self.tell(gone.outcome(), code, delivered, self.usual_level());
    }
}

/// Tells which bot a call is made by.
pub(super) fn tell_bot(token: &Token) {
    let span = Span::current();
    if span.is_disabled() {
        return;
    }
    if let Some(id) = token.user_id() {
        span.record("bot_id", field::display(id));
    }
}

/// Makes a span; its level must be known where it is written.
macro_rules! span {
    ($level:expr, $name:expr, $framing:expr, $caller:expr) => {
        tracing::span!(
            target: TARGET,
            $level,
            "call",
            method = $name,
            framing = field::display($framing),
            door = $caller.and_then(door),
            peer = $caller.map(peer),
            uid = $caller.and_then(uid),
            address = $caller.and_then(address).map(field::display),
            traceparent = $caller.and_then(|it| it.traceparent).map(field::display),
            bot_id = field::Empty,
            attempts = field::Empty,
        )
    };
}

fn span(effect: Effect, name: &str, framing: Framing, caller: Option<&Caller>) -> Span {
    match effect {
        Effect::Local => span!(Level::DEBUG, name, framing, caller),
        Effect::Posts | Effect::Reads => span!(Level::INFO, name, framing, caller),
    }
}

fn door(caller: &Caller) -> Option<&str> {
    let connection = caller.visitor.connection.as_ref()?;
    Some(connection.door().name())
}

fn peer(caller: &Caller) -> &'static str {
    match caller.visitor.peer {
        Peer::Own => "own",
        Peer::Tcp(_) => "tcp",
        Peer::Unix { .. } => "unix",
    }
}

fn uid(caller: &Caller) -> Option<u32> {
    match caller.visitor.peer {
        Peer::Own | Peer::Tcp(_) => None,
        Peer::Unix { uid, .. } => Some(uid),
    }
}

/// Where a call comes from, which only who looks closely is told.
fn address(caller: &Caller) -> Option<IpAddr> {
    match caller.visitor.peer {
        Peer::Tcp(address) if tracing::enabled!(target: TARGET, Level::DEBUG) => Some(address),
        Peer::Own | Peer::Tcp(_) | Peer::Unix { .. } => None,
    }
}
