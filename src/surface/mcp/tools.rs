//! The table as a list of tools.

use std::sync::{Arc, LazyLock};

use rmcp::model::{Tool, ToolAnnotations};
use serde_json::Value;

use super::schema;
use crate::{
    operation::{Effect, Entry, TABLE},
    surface::openrpc::{TIMEOUT, timeout_schema},
};

/// A tool, and the operation that it stands for.
pub(super) struct Listed {
    pub(super) entry: &'static Entry,
    pub(super) tool: Tool,
    /// Its name for people.
    pub(super) title: &'static str,
}

/// Which tools are offered.
#[derive(Clone, Default)]
pub struct Offer {
    only: Option<Vec<String>>,
    read_only: bool,
}

/// A name that no tool has.
#[derive(Debug, thiserror::Error)]
#[error("there is no tool {name:?}, but {names}", names = names().join(", "))]
pub struct UnknownTool {
    name: String,
}

impl Offer {
    /// Offers every tool, or `only` those, and of these none that changes something if `read_only`.
    ///
    /// # Errors
    ///
    /// When there is no tool of a name.
    pub fn new(only: Option<Vec<String>>, read_only: bool) -> Result<Self, UnknownTool> {
        let mut wanted = only.iter().flatten();
        if let Some(name) = wanted.find(|name| !names().contains(&name.as_str())) {
            let name = name.clone();
            return Err(UnknownTool { name });
        }
        Ok(Self { only, read_only })
    }

    /// Whether an operation is offered.
    pub(super) fn has(&self, entry: &Entry) -> bool {
        let Some(tool) = entry.tool else {
            return false;
        };
        let wanted = self.only.as_ref();
        wanted.is_none_or(|only| only.iter().any(|name| name == tool.name))
            && (!self.read_only || entry.effect != Effect::Posts)
    }
}

impl Listed {
    /// Whether a guild may be named.
    pub(super) fn takes_guild(&self) -> bool {
        self.tool.input_schema["properties"]["guild_id"].is_object()
    }
}

/// Every tool there is, in the table's order.
pub(super) fn listed() -> &'static [Listed] {
    static LISTED: LazyLock<Vec<Listed>> =
        LazyLock::new(|| TABLE.iter().filter_map(list).collect());
    &LISTED
}

fn names() -> Vec<&'static str> {
    let tools = TABLE.iter().filter_map(|entry| entry.tool);
    tools.map(|tool| tool.name).collect()
}

fn list(entry: &'static Entry) -> Option<Listed> {
    let title = entry.tool?.title;
    let mut input = schema::input(entry);
    let description = match input.remove("description") {
        Some(Value::String(text)) => unwrapped(&text),
        Some(_) | None => String::new(),
    };
    if let Some(Value::Object(properties)) = input.get_mut("properties") {
        properties.insert(TIMEOUT.to_owned(), timeout_schema());
    }
    let tool = Tool::new(entry.tool?.name, description, Arc::new(input))
        .with_title(title)
        .with_raw_output_schema(Arc::new(schema::output(entry)))
        .with_annotations(annotations(entry, title));
    Some(Listed { entry, tool, title })
}

fn annotations(entry: &Entry, title: &str) -> ToolAnnotations {
    let changes = entry.effect == Effect::Posts;
    ToolAnnotations::with_title(title)
        .read_only(!changes)
        // Nothing of the past is changed by a message, and a second one is another message.
        .destructive(false)
        .idempotent(!changes)
        .open_world(entry.takes_token())
}

/// A text whose paragraphs are one line each.
fn unwrapped(text: &str) -> String {
    let paragraphs = text.split("\n\n").map(|it| it.replace('\n', " "));
    paragraphs.collect::<Vec<_>>().join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_are_what_every_client_takes() {
        let plain = |c: char| c.is_ascii_lowercase() || c == '_';
        for Listed { entry, tool, .. } in listed() {
            assert!(tool.name.len() <= 64 && tool.name.chars().all(plain));
            assert!(entry.takes_token(), "{}", tool.name);
            let output = tool.output_schema.as_ref().unwrap();
            for schema in [&tool.input_schema, output] {
                assert_eq!(schema["type"], "object", "{}", tool.name);
                let text = Value::Object(schema.as_ref().clone()).to_string();
                for strange in [
                    "int64",
                    "int32",
                    "$ref",
                    "discord_token",
                    "\"null\"",
                    "\"type\":[",
                ] {
                    assert!(!text.contains(strange), "{}: {strange}: {text}", tool.name);
                }
            }
        }
        for entry in TABLE {
            let reply = schema::reply(entry);
            for of_error in ["code", "message", "data"] {
                assert!(
                    reply["properties"].get(of_error).is_none(),
                    "{}",
                    entry.name
                );
            }
        }
        let names: Vec<_> = listed().iter().map(|it| it.tool.name.as_ref()).collect();
        let distinct: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len());
    }

    #[test]
    fn the_first_tool_does_no_harm() {
        let first = &listed()[0];
        assert_eq!(first.entry.effect, Effect::Reads);
        assert!(!first.tool.input_schema.contains_key("required"));
    }

    #[test]
    fn an_offer_names_tools_that_there_are() {
        let wrong = Offer::new(Some(vec!["sendMessage".to_owned()]), false);
        let wrong = wrong.err().unwrap();
        assert!(wrong.to_string().contains("send_message"), "{wrong}");
        let offer = Offer::new(Some(vec!["send_message".to_owned()]), true).unwrap();
        assert!(!TABLE.iter().any(|entry| offer.has(entry)));
    }
}
