//! An entry of the log: a message, and fields of the event and of the spans around it.

use std::{fmt, io};

use serde::Serialize;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer,
    layer::Context,
    registry::{LookupSpan, Scope, SpanRef},
};

/// The field that an event's message is in.
const MESSAGE: &str = "message";
/// How the fields begin that events of the crate `log` have beside their message.
const OF_LOG: &str = "log.";
/// The one of them that tells what the event is about.
const TARGET_OF_LOG: &str = "log.target";

/// Everything that is told at once.
pub(super) struct Entry {
    pub(super) level: Level,
    pub(super) target: String,
    pub(super) message: String,
    pub(super) fields: Fields,
}

/// Names and values, those of spans first. An event's own take the place of a span's.
#[derive(Clone, Default)]
pub(super) struct Fields(Vec<(&'static str, Value)>);

/// What a field may be.
#[derive(Clone, Serialize)]
#[serde(untagged)]
pub(super) enum Value {
    Bool(bool),
    Float(f64),
    Signed(i64),
    Text(String),
    Unsigned(u64),
}

/// Where entries are written.
pub(super) trait Sink: Send + Sync + 'static {
    /// Writes an entry.
    ///
    /// # Errors
    ///
    /// When it cannot be written there.
    fn write(&self, entry: &Entry) -> io::Result<()>;
}

/// Puts entries together, and has them written.
pub(super) struct Entries<W>(pub(super) W);

impl Fields {
    fn put(&mut self, name: &'static str, value: Value) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, before)) => *before = value,
            None => self.0.push((name, value)),
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.0.iter().map(|(name, value)| (*name, value))
    }

    /// Takes out the field of this name, as a text.
    fn take(&mut self, name: &str) -> Option<String> {
        let place = self.0.iter().position(|(known, _)| *known == name)?;
        Some(self.0.remove(place).1.to_string())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Float(value) => value.fmt(f),
            Self::Signed(value) => value.fmt(f),
            Self::Text(value) => f.write_str(value),
            Self::Unsigned(value) => value.fmt(f),
        }
    }
}

impl Visit for Fields {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field.name(), Value::Bool(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field.name(), Value::Text(format!("{value:?}")));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field.name(), Value::Float(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field.name(), Value::Signed(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field.name(), Value::Text(value.to_owned()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field.name(), Value::Unsigned(value));
    }
}

impl Entry {
    fn of<'a, S: for<'s> LookupSpan<'s> + 'a>(
        event: &Event<'_>,
        spans: impl Iterator<Item = SpanRef<'a, S>>,
    ) -> Self {
        let mut fields = Fields::default();
        for span in spans {
            if let Some(known) = span.extensions().get::<Fields>() {
                fields.0.extend_from_slice(&known.0);
            }
        }
        event.record(&mut fields);
        let message = fields.take(MESSAGE).unwrap_or_default();
        let target = fields.take(TARGET_OF_LOG);
        fields.0.retain(|(name, _)| !name.starts_with(OF_LOG));
        Self {
            level: *event.metadata().level(),
            target: target.unwrap_or_else(|| event.metadata().target().to_owned()),
            message,
            fields,
        }
    }
}

impl<S, W> Layer<S> for Entries<W>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    W: Sink,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else {
            return;
        };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let spans = context.event_scope(event).into_iter();
        let spans = spans.flat_map(Scope::from_root);
        // There is nowhere to tell that nothing can be told.
        let _ = self.0.write(&Entry::of(event, spans));
    }
}
