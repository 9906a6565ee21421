//! A call's parameters, by name: kept as they were sent until an operation reads them.
//!
//! What it says of a wrong one names the path and what is wanted, never the value: that may be a
//! token.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, MapAccess, Visitor, value::MapDeserializer},
};
use serde_json::value::RawValue;
use serde_path_to_error::{Path, Segment};

use super::error::Error;

/// Longest name of a param that is repeated in an error, in bytes.
const MAX_NAME_BYTES: usize = 40;

/// What serde calls the kinds of JSON values, and what JSON calls them.
const KINDS: [(&str, &str); 7] = [
    ("boolean", "a boolean"),
    ("floating point", "a fraction"),
    ("integer", "a number"),
    ("map", "an object"),
    ("null", "null"),
    ("sequence", "a list"),
    ("string", "a string"),
];

/// Parameters by name, in the order they came.
#[derive(Default)]
pub struct Params<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Params<'a> {
    /// Reads a JSON object, or an array of the values of `positions`.
    ///
    /// # Errors
    ///
    /// When it is neither, or the array is longer than there are positions.
    pub fn parse(json: &'a str, positions: &[&'static str]) -> Result<Self, Error> {
        if !json.starts_with('[') {
            return serde_json::from_str(json).map_err(|_| Error::Param {
                path: String::new(),
                wanted: "an object or an array".to_owned(),
            });
        }
        let values: Vec<&RawValue> = serde_json::from_str(json).map_err(|_| Error::Param {
            path: String::new(),
            wanted: "an array of values".to_owned(),
        })?;
        if values.len() > positions.len() {
            return Err(Error::Param {
                path: format!("[{}]", positions.len()),
                wanted: format!("at most {} values by position", positions.len()),
            });
        }
        let named = positions
            .iter()
            .map(|name| Cow::Borrowed(*name))
            .zip(values);
        Ok(Self(named.collect()))
    }

    /// Takes out the param `name` and reads it.
    ///
    /// # Errors
    ///
    /// When it is there twice, or is not of the type wanted.
    pub fn take<T: Deserialize<'a>>(&mut self, name: &str) -> Result<Option<T>, Error> {
        let Some(at) = self.0.iter().position(|(given, _)| given == name) else {
            return Ok(None);
        };
        let (_, value) = self.0.remove(at);
        if self.0.iter().any(|(given, _)| given == name) {
            return Err(Error::Param {
                path: name.to_owned(),
                wanted: "one value, not two".to_owned(),
            });
        }
        Option::<T>::deserialize(value).map_err(|err| Error::Param {
            path: name.to_owned(),
            wanted: wanted(&err.to_string()),
        })
    }

    /// Reads all of them as `T`.
    ///
    /// # Errors
    ///
    /// When one is missing, unknown or of another type.
    pub fn read<T: DeserializeOwned>(self) -> Result<T, Error> {
        let fields = self.0.into_iter();
        let map = MapDeserializer::new(fields.map(|(name, value)| (name, Named(value))));
        serde_path_to_error::deserialize(map)
            .map_err(|err| wrong(shown_path(err.path()), err.inner()))
    }
}

impl<'de> Deserialize<'de> for Params<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Params<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut params = Vec::new();
                while let Some(entry) = map.next_entry::<Name<'de>, &RawValue>()? {
                    params.push((entry.0.0, entry.1));
                }
                Ok(Params(params))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

/// A name, borrowed from the text where it has no escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// A value that is still text, given to serde as what it says.
struct Named<'a>(&'a RawValue);

impl<'de> serde::de::IntoDeserializer<'de, serde_json::Error> for Named<'de> {
    type Deserializer = &'de RawValue;

    fn into_deserializer(self) -> &'de RawValue {
        self.0
    }
}

/// Says what is wrong from serde's sentence, which also holds the value.
fn wrong(path: String, err: &serde_json::Error) -> Error {
    let sentence = err.to_string();
    let quoted = || sentence.split('`').nth(1).unwrap_or_default();
    if sentence.starts_with("unknown field") {
        return Error::UnknownParam { path };
    }
    if sentence.starts_with("missing field") {
        return Error::Param {
            path: join(&path, quoted()),
            wanted: "a value, which is required".to_owned(),
        };
    }
    let path = if sentence.starts_with("duplicate field") {
        join(&path, quoted())
    } else {
        path
    };
    Error::Param {
        path,
        wanted: wanted(&sentence),
    }
}

/// Keeps of serde's sentence what is wanted and the kind that was found, and drops the value.
fn wanted(sentence: &str) -> String {
    if sentence.starts_with("duplicate field") {
        return "one value, not two".to_owned();
    }
    let known = [
        "invalid type: ",
        "invalid value: ",
        "invalid length ",
        "unknown variant ",
    ];
    let Some(start) = known.iter().find(|start| sentence.starts_with(**start)) else {
        return "a valid value".to_owned();
    };
    let Some((found, wanted)) = sentence.rsplit_once(", expected ") else {
        return "a valid value".to_owned();
    };
    let wanted = match wanted.split(" at line ").next().unwrap_or(wanted) {
        "a map" => "an object",
        "a sequence" => "a list",
        "a discord snowflake" | "non zero u64" | "non zero u64 string" => {
            "a snowflake, a positive number in decimal"
        }
        "u8" | "u16" | "u32" | "u64" => "a whole number that is not negative and not too large",
        wanted if wanted.starts_with("struct ") => "an object",
        wanted => wanted,
    };
    let found = found.trim_start_matches(start);
    let kind = KINDS.iter().find(|(theirs, _)| found.starts_with(theirs));
    match kind {
        Some((_, kind)) if start.starts_with("invalid type") => format!("{wanted}, not {kind}"),
        _ => wanted.to_owned(),
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

/// A path whose every part is fit to be shown. A part may hold dots: it is not split again.
fn shown_path(path: &Path) -> String {
    path.iter().fold(String::new(), |path, part| match part {
        Segment::Seq { index } => format!("{path}[{index}]"),
        Segment::Map { key } => join(&path, &shown(key)),
        Segment::Enum { variant } => join(&path, &shown(variant)),
        Segment::Unknown => path,
    })
}

/// A name as it may be repeated to the caller; one that could be a secret may not.
fn shown(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '$');
    if name.len() <= MAX_NAME_BYTES && name.chars().all(plain) {
        name.to_owned()
    } else {
        "(a name that is not shown)".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its reading is tested")]
    struct Sample {
        text: String,
        number: Option<u16>,
        kind: Option<Kind>,
        inner: Option<Inner>,
        list: Option<Vec<Inner>>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its reading is tested")]
    struct Inner {
        size: u8,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        First,
        Second,
    }

    fn refused(json: &str) -> String {
        let params = Params::parse(json, &["text", "number"]);
        let read = params.and_then(Params::read::<Sample>);
        read.unwrap_err().sentence()
    }

    #[test]
    fn a_wrong_param_is_named_with_what_is_wanted_and_never_with_its_value() {
        let secret = "c2VjcmV0.c2VjcmV0.c2VjcmV0, expected c2VjcmV0";
        for (json, expected) in [
            (r#"{"text":5}"#, "text: expected a string, not a number"),
            (
                r#"{"text":"","number":"SECRET"}"#,
                "number: expected a whole number that is not negative and not too large, not a string",
            ),
            (
                r#"{"text":"","kind":"SECRET"}"#,
                "kind: expected `first` or `second`",
            ),
            (
                r#"{"text":"","inner":{"size":"SECRET"}}"#,
                "inner.size: expected a whole number that is not negative and not too large, not a string",
            ),
            (
                r#"{"text":"","list":[{"size":1},{"size":-1}]}"#,
                "list[1].size: expected a whole number that is not negative and not too large",
            ),
            (
                r#"{"text":"","list":[{"size":1,"SECRET":1}]}"#,
                "list[0].(a name that is not shown): there is no such param",
            ),
            (
                r#"{"text":"","inner":{}}"#,
                "inner.size: expected a value, which is required",
            ),
            (
                r#"{"number":1}"#,
                "text: expected a value, which is required",
            ),
            (
                r#"{"text":"","text":""}"#,
                "text: expected one value, not two",
            ),
            (r#"{"text":"","txet":1}"#, "txet: there is no such param"),
            (
                r#"["a",1,"SECRET"]"#,
                "[2]: expected at most 2 values by position",
            ),
        ] {
            let sentence = refused(&json.replace("SECRET", secret));
            assert!(!sentence.contains("c2Vj"), "{sentence}");
            assert_eq!(sentence, expected, "{json}");
        }
    }
}
