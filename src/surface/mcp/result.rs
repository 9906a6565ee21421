//! What came of a call, as the protocol returns it: structured, and as text for people and for
//! clients that read nothing else.

use rmcp::model::{Annotations, CallToolResult, ContentBlock, Role, TextContent};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::tools::Listed;

/// An error object, as far as people are told of it.
#[derive(Deserialize)]
struct Said {
    code: i64,
    message: String,
    #[serde(default)]
    data: Facts,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Facts {
    delivered: Option<String>,
    hint: Option<String>,
}

/// A call that was carried out.
pub(super) fn done(listed: &Listed, reply: &RawValue) -> CallToolResult {
    let structured: Value = serde_json::from_str(reply.get()).unwrap_or_default();
    let told = format!("{}: {}", listed.title, told(&structured));
    let mut result = CallToolResult::success(texts(&told, reply));
    result.structured_content = Some(structured);
    result
}

/// A call that came back with an error object.
pub(super) fn refused(error: &RawValue) -> CallToolResult {
    let told = match serde_json::from_str::<Said>(error.get()) {
        Ok(said) => said.sentence(),
        Err(_) => "the call came back with an error".to_owned(),
    };
    let mut result = CallToolResult::error(texts(&told, error));
    result.structured_content = serde_json::from_str(error.get()).ok();
    result
}

fn texts(told: &str, json: &RawValue) -> Vec<ContentBlock> {
    let text = |text: &str, audience| {
        let mut annotations = Annotations::default();
        annotations.audience = Some(vec![audience]);
        ContentBlock::Text(TextContent::new(text).with_annotations(annotations))
    };
    vec![text(told, Role::User), text(json.get(), Role::Assistant)]
}

/// Says a reply in words: what it holds at its root, and of lists how long they are.
fn told(reply: &Value) -> String {
    let Some(members) = reply.as_object() else {
        return reply.to_string();
    };
    let words = members.iter().filter_map(|(name, value)| match value {
        Value::Array(list) => Some(format!("{} {name}", list.len())),
        Value::Bool(true) if name == "success" => None,
        Value::Null | Value::Object(_) => None,
        Value::String(text) => Some(format!("{name} {text}")),
        Value::Bool(_) | Value::Number(_) => Some(format!("{name} {value}")),
    });
    words.collect::<Vec<_>>().join(", ")
}

impl Said {
    fn sentence(&self) -> String {
        let Self {
            code,
            message,
            data,
        } = self;
        let facts = [("delivered", &data.delivered), ("hint", &data.hint)];
        let facts = facts
            .into_iter()
            .filter_map(|(name, fact)| Some((name, fact.as_ref()?)));
        facts.fold(format!("{message} ({code})"), |said, (name, fact)| {
            format!("{said}; {name}: {fact}")
        })
    }
}
