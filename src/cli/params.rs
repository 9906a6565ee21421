//! The params of a call as they are typed: words of the form `key=value`, or JSON.
//!
//! What it says of a wrong one never repeats it: it may be a token.

use std::collections::BTreeMap;

use schemars::SchemaGenerator;
use serde_json::{
    Number, Value,
    value::{RawValue, to_raw_value},
};

use crate::operation::{Entry, TABLE};

/// The param that carries the token.
const TOKEN: &str = "discord_token";

/// The params of a call.
pub(super) enum Params {
    /// In the order of the method's own.
    ByPosition(Box<RawValue>),
    /// By name, each as it was typed.
    Named(BTreeMap<String, Box<RawValue>>),
}

/// Finds what this program knows of a method; a newer daemon may know more.
pub(super) fn entry(method: &str) -> Option<&'static Entry> {
    TABLE.iter().find(|entry| entry.name == method)
}

impl Params {
    /// Reads JSON, if there is any, and then words, which stand over it.
    ///
    /// # Errors
    ///
    /// When the JSON is none that params can be, or a word is not `key=value`.
    pub(super) fn read(method: &str, json: Option<&str>, words: &[String]) -> anyhow::Result<Self> {
        let mut named = match json.map(parse).transpose()? {
            Some(Self::ByPosition(_)) if !words.is_empty() => {
                anyhow::bail!("--params: key=value needs an object, not an array, to stand over")
            }
            Some(by_position @ Self::ByPosition(_)) => return Ok(by_position),
            Some(Self::Named(named)) => named,
            None => BTreeMap::new(),
        };
        let schema =
            entry(method).map(|entry| (entry.params)(&mut SchemaGenerator::default()).to_value());
        let mut typed = BTreeMap::new();
        for (index, word) in words.iter().enumerate() {
            let Some((key, text)) = word.split_once('=').filter(|(key, _)| !key.is_empty()) else {
                anyhow::bail!("word {} behind the method is not key=value", index + 1)
            };
            let is_text = key == TOKEN || schema.as_ref().is_some_and(|it| takes_text(it, key));
            let value = if is_text { quoted(text) } else { value(text) };
            let before = typed.insert(key.to_owned(), value);
            anyhow::ensure!(before.is_none(), "word {}: given twice", index + 1);
        }
        named.extend(typed);
        Ok(Self::Named(named))
    }

    /// Puts in a text under a name, unless there is a value, which null is none, or the params are by
    /// position.
    pub(super) fn put_if_missing(&mut self, name: &str, text: impl FnOnce() -> Option<String>) {
        if let Self::Named(named) = self
            && named.get(name).is_none_or(|value| value.get() == "null")
            && let Some(text) = text()
        {
            named.insert(name.to_owned(), quoted(&text));
        }
    }

    /// Puts in the bot's token, unless there is one.
    pub(super) fn put_token(&mut self, token: Option<&str>) {
        self.put_if_missing(TOKEN, || token.map(str::to_owned));
    }

    /// The nonce that the call goes out with, as it would be typed.
    pub(super) fn nonce(&self) -> Option<String> {
        let Self::Named(named) = self else {
            return None;
        };
        let nonce = named.get("nonce")?.get();
        let text = serde_json::from_str(nonce);
        Some(text.unwrap_or_else(|_| nonce.to_owned())).filter(|nonce| nonce != "null")
    }

    /// The params in JSON.
    pub(super) fn json(&self) -> Box<RawValue> {
        match self {
            Self::ByPosition(json) => json.clone(),
            Self::Named(named) => to_raw_value(named).expect("texts and JSON are JSON"),
        }
    }
}

/// Makes a nonce, for a method that takes one.
pub(super) fn new_nonce(method: &str) -> Option<String> {
    let schema = (entry(method)?.params)(&mut SchemaGenerator::default()).to_value();
    schema["properties"]["nonce"].is_object().then_some(())?;
    let number = getrandom::u64().expect("the kernel has randomness once the system is up");
    Some(format!("{number:016x}"))
}

fn parse(json: &str) -> anyhow::Result<Params> {
    let wrong = |err: serde_json::Error| {
        let (line, column) = (err.line(), err.column());
        anyhow::anyhow!("--params: no JSON object or array (line {line}, column {column})")
    };
    if json.trim_start().starts_with('[') {
        return serde_json::from_str(json)
            .map(Params::ByPosition)
            .map_err(wrong);
    }
    serde_json::from_str(json).map(Params::Named).map_err(wrong)
}

/// Whether a param is a text and nothing else, so that `404` and `true` are texts there.
fn takes_text(schema: &Value, key: &str) -> bool {
    let kinds = &schema["properties"][key]["type"];
    let kinds = kinds
        .as_array()
        .map_or(std::slice::from_ref(kinds), Vec::as_slice);
    kinds.iter().any(|kind| kind == "string")
        && kinds.iter().all(|kind| kind == "string" || kind == "null")
}

/// What a typed value stands for: JSON where it is some, else a text.
fn value(text: &str) -> Box<RawValue> {
    match serde_json::from_str::<Box<RawValue>>(text) {
        Ok(json) if !is_inexact(json.get()) => json,
        Ok(_) | Err(_) => quoted(text),
    }
}

/// Whether JSON is a bare number that most readers would not take as it stands.
fn is_inexact(json: &str) -> bool {
    if !json.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
        return false;
    }
    let fraction = json.contains(['.', 'e', 'E']);
    serde_json::from_str::<Number>(json).map_or(true, |number| number.is_f64() && !fraction)
}

fn quoted(text: &str) -> Box<RawValue> {
    to_raw_value(text).expect("a text is JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(method: &str, json: Option<&str>, words: &[&str]) -> String {
        let words: Vec<String> = words.iter().copied().map(str::to_owned).collect();
        match Params::read(method, json, &words) {
            Ok(params) => params.json().get().to_owned(),
            Err(err) => err.to_string(),
        }
    }

    #[test]
    fn a_value_is_json_if_it_is_some_and_else_a_text() {
        for (typed, expected) in [
            ("a=1184031022407147523", r#"{"a":1184031022407147523}"#),
            ("a=99999999999999999999", r#"{"a":"99999999999999999999"}"#),
            ("a=1e999", r#"{"a":"1e999"}"#),
            ("a=0012", r#"{"a":"0012"}"#),
            ("a=1.50", r#"{"a":1.50}"#),
            ("a=-1", r#"{"a":-1}"#),
            ("a=true", r#"{"a":true}"#),
            (
                r#"a={"b":[12345678901234567890]}"#,
                r#"{"a":{"b":[12345678901234567890]}}"#,
            ),
            ("a=b=c", r#"{"a":"b=c"}"#),
            ("a=", r#"{"a":""}"#),
            ("a=say \"hi\"", r#"{"a":"say \"hi\""}"#),
        ] {
            assert_eq!(read("later.method", None, &[typed]), expected, "{typed}");
        }
    }

    #[test]
    fn a_param_that_is_a_text_is_taken_as_it_stands() {
        for text in ["404", "true", "null", "[x]", "{}"] {
            let typed = format!("content={text}");
            let expected = format!(r#"{{"content":"{text}"}}"#);
            assert_eq!(read("discord.sendMessage", None, &[&typed]), expected);
        }
        let typed = ["flags=4", "embeds=[]", "nonce=7", "discord_token=1"];
        let expected = r#"{"discord_token":"1","embeds":[],"flags":4,"nonce":7}"#;
        assert_eq!(read("discord.sendMessage", None, &typed), expected);
    }

    #[test]
    fn words_stand_over_json_and_what_is_wrong_is_not_repeated() {
        let json = Some(r#"{"a": 1, "b": 2}"#);
        assert_eq!(read("m", json, &["b=3"]), r#"{"a":1,"b":3}"#);
        assert_eq!(read("m", Some("[1, 2]"), &[]), "[1, 2]");
        for (json, words, wrong) in [
            (None, vec!["a=1", "secret"], "word 2"),
            (None, vec!["=secret"], "word 1"),
            (None, vec!["a=secret", "a=secret"], "word 2"),
            (Some("[1]"), vec!["a=secret"], "an object"),
            (Some("\"secret\""), vec![], "column"),
            (Some("{\"a\":secret}"), vec![], "column 6"),
        ] {
            let said = read("m", json, &words);
            assert!(said.contains(wrong) && !said.contains("secret"), "{said}");
        }
    }
}
