//! The `OpenRPC` document of every method, made from the types that read the calls.
//! See <https://spec.open-rpc.org>.

use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use crate::operation::{DISCOVER, Entry, TABLE};

/// The version of the specification that the document keeps.
const SPECIFICATION: &str = "1.3.2";
/// What every call to Discord takes beside its own params.
pub(super) const TIMEOUT: &str = "timeout_ms";

/// Writes the document.
#[must_use]
pub fn document() -> Value {
    let settings = SchemaSettings::draft07().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let mut methods: Vec<Value> = TABLE
        .iter()
        .map(|entry| method(entry, &mut generator))
        .collect();
    methods.push(discover());
    json!({
        "openrpc": SPECIFICATION,
        "info": {
            "title": env!("CARGO_PKG_NAME"),
            "version": env!("CARGO_PKG_VERSION"),
            "description": env!("CARGO_PKG_DESCRIPTION"),
            "license": {"name": env!("CARGO_PKG_LICENSE")},
        },
        "methods": methods,
        "components": {"schemas": generator.take_definitions(true)},
    })
}

fn method(entry: &Entry, generator: &mut SchemaGenerator) -> Value {
    let schema = (entry.params)(generator).to_value();
    let (summary, description) = described(&schema);
    let required: Vec<&str> = schema["required"]
        .as_array()
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let mut params = Vec::new();
    if entry.takes_token() {
        params.push(token());
    }
    let properties = schema["properties"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    for name in in_order(entry, &properties) {
        let required = required.contains(&name.as_str());
        params.push(param(&name, required, &properties[&name]));
    }
    if entry.takes_token() {
        params.push(timeout());
    }
    let reply = (entry.reply)(generator).to_value();
    json!({
        "name": entry.name,
        "summary": summary,
        "description": description,
        "paramStructure": "either",
        "params": params,
        "result": {"name": "result", "description": described(&reply).0, "schema": reply},
        "errors": if entry.takes_token() { errors() } else { json!([]) },
    })
}

/// The names of the params: first those that may come by position, in that order.
fn in_order(entry: &Entry, properties: &Map<String, Value>) -> Vec<String> {
    let positions = entry.positions.iter().map(|name| (*name).to_owned());
    let others = properties.keys().cloned();
    let others = others.filter(|name| !entry.positions.contains(&name.as_str()));
    positions.chain(others).collect()
}

fn param(name: &str, required: bool, schema: &Value) -> Value {
    let description = schema["description"].clone();
    json!({"name": name, "required": required, "description": description, "schema": schema})
}

fn token() -> Value {
    let schema = json!({"type": "string", "maxLength": 512,
        "description": "The bot's token; needed unless the header Authorization has it."});
    param("discord_token", false, &schema)
}

fn timeout() -> Value {
    param(TIMEOUT, false, &timeout_schema())
}

/// The schema of the time that a call may take.
pub(super) fn timeout_schema() -> Value {
    json!({"type": "integer", "minimum": 1,
        "description": "Most time the call may take, in milliseconds."})
}

/// What a call to Discord can come back with.
fn errors() -> Value {
    let errors = [
        (400, "rejected: Discord refused the body"),
        (401, "invalid_token: Invalid Discord token"),
        (
            403,
            "forbidden: the bot may not; or denied: the caller may not, at this door",
        ),
        (404, "not_found: unknown channel, guild or message"),
        (409, "nonce_reused: the nonce was used for another message"),
        (413, "too_large: larger than Discord takes"),
        (429, "rate_limited: Discord is limiting"),
        (502, "bad_answer: Discord's answer cannot be read"),
        (
            503,
            "unavailable: no way to Discord, or the daemon is full or stopping",
        ),
        (504, "timed_out: the call's time was over"),
    ];
    let errors = errors.map(|(code, message)| json!({"code": code, "message": message}));
    Value::from_iter(errors)
}

/// The method that gives this document, which stands in no table.
fn discover() -> Value {
    json!({
        "name": DISCOVER,
        "summary": "Returns this document.",
        "description": "",
        "paramStructure": "either",
        "params": [],
        "result": {"name": "result", "description": "An OpenRPC document.",
            "schema": {"type": "object"}},
        "errors": [],
    })
}

/// The first sentence of a schema's description, and all of it.
fn described(schema: &Value) -> (String, String) {
    let description = schema["description"].as_str().unwrap_or_default();
    let summary = description.split("\n\n").next().unwrap_or_default();
    (summary.replace('\n', " "), description.to_owned())
}
