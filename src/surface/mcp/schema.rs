//! The schemas of tools: those of the operations, as the clients of models take them.

use schemars::{
    Schema, SchemaGenerator,
    generate::{Contract, SchemaSettings},
    transform::{RecursiveTransform, Transform},
};
use serde_json::{Map, Value, json};

use crate::operation::Entry;

/// The schema of what a tool is called with.
pub(super) fn input(entry: &Entry) -> Map<String, Value> {
    schema(entry.params, Contract::Deserialize)
}

/// The schema of an operation's reply.
pub(super) fn reply(entry: &Entry) -> Map<String, Value> {
    schema(entry.reply, Contract::Serialize)
}

/// The schema of what a tool comes back with: the reply, or the error object. There are clients that
/// hold the one against the schema as well as the other.
pub(super) fn output(entry: &Entry) -> Map<String, Value> {
    let mut output = reply(entry);
    let error = json!({
        "code": {"type": "integer",
            "description": "Of an error: an HTTP status, or what JSON-RPC has for a mistake."},
        "message": {"type": "string", "description": "Of an error: what happened."},
        "data": {"type": "object",
            "description": "Of an error: kind, retryable, delivered, and where known hint, nonce, \
                            retry_after_ms and what Discord said."},
    });
    let names: Vec<_> = error.as_object().into_iter().flat_map(Map::keys).collect();
    let required = output.remove("required").unwrap_or_else(|| json!([]));
    output.insert(
        "anyOf".to_owned(),
        json!([{"required": required}, {"required": names}]),
    );
    if let (Some(Value::Object(properties)), Value::Object(error)) =
        (output.get_mut("properties"), error)
    {
        properties.extend(error);
    }
    output
}

/// The schema of a type, whole in itself: not every client follows references.
fn schema(of: fn(&mut SchemaGenerator) -> Schema, contract: Contract) -> Map<String, Value> {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.contract = contract;
        settings.meta_schema = None;
        settings.inline_subschemas = true;
    });
    let mut generator = settings.into_generator();
    let mut schema = of(&mut generator);
    RecursiveTransform(simplify).transform(&mut schema);
    let mut members = Map::new();
    if let Value::Object(of_type) = schema.to_value() {
        members = of_type;
    }
    members.insert("type".to_owned(), Value::from("object"));
    let definitions = generator.take_definitions(true);
    if !definitions.is_empty() {
        members.insert("$defs".to_owned(), Value::Object(definitions));
    }
    members
}

/// Leaves out what stricter clients refuse, and no call needs: the names of Rust's numbers, null for
/// what may be missing, and numbers for ids, whose last digits are lost in `JavaScript`.
fn simplify(schema: &mut Schema) {
    schema.remove("writeOnly");
    let format = schema.get("format").and_then(Value::as_str);
    if format.is_some_and(|it| it.starts_with("int") || it.starts_with("uint")) {
        schema.remove("format");
    }
    let required = schema.get("required").cloned().unwrap_or_default();
    let required = required.as_array().map_or(&[][..], Vec::as_slice);
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        for (name, property) in properties {
            if let Value::Object(property) = property
                && !required.iter().any(|it| it == name)
            {
                leave_out_null(property);
            }
        }
    }
    if let Some(Value::Array(kinds)) = schema.get("type")
        && kinds.iter().any(|kind| kind == "string")
        && !kinds.iter().any(|kind| kind == "null")
    {
        schema.insert("type".to_owned(), Value::from("string"));
    }
}

fn leave_out_null(property: &mut Map<String, Value>) {
    if let Some(Value::Array(kinds)) = property.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [kind] = kinds.as_slice() {
            let kind = kind.clone();
            property.insert("type".to_owned(), kind);
        }
    }
    if let Some(Value::Array(branches)) = property.get_mut("anyOf") {
        branches.retain(|branch| branch["type"] != "null");
        if let [Value::Object(only)] = branches.as_slice() {
            let only = only.clone();
            property.remove("anyOf");
            for (name, value) in only {
                property.entry(name).or_insert(value);
            }
        }
    }
}
