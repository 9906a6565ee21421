//! Any JSON value, read as it was sent.
//!
//! `serde_json`'s own reading of a `Value` takes an object with one reserved name for the JSON that
//! stands in its text, and counts the depth of that from nothing: a text in a text in a text may be
//! so deep that it ends the process.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

/// The reserved name; a test holds that it is this one.
const RESERVED: &str = "$serde_json::private::RawValue";

/// Any value.
pub(crate) struct Json(pub(crate) Value);

/// An object of any members.
#[derive(Serialize)]
#[serde(transparent)]
pub(crate) struct JsonObject(Map<String, Value>);

/// Whether the reserved name is in a value: whoever reads the value again would not find it there.
pub(crate) fn has_reserved_name(value: &Value) -> bool {
    match value {
        Value::Array(values) => values.iter().any(has_reserved_name),
        Value::Object(members) => members
            .iter()
            .any(|(name, value)| name == RESERVED || has_reserved_name(value)),
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => false,
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Anything).map(Self)
    }
}

impl<'de> Deserialize<'de> for JsonObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members).map(Self)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Map::new();
        while let Some((name, Json(value))) = map.next_entry()? {
            members.insert(name, value);
        }
        Ok(members)
    }
}

struct Anything;

impl<'de> Visitor<'de> for Anything {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Json(value)) = seq.next_element()? {
            values.push(value);
        }
        Ok(values.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value, A::Error> {
        Members.visit_map(map).map(Value::Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Value {
        serde_json::from_str::<Json>(text).unwrap().0
    }

    #[test]
    fn every_kind_is_read_as_serde_json_reads_it() {
        let text = r#"{"a":[null,true,-1,18446744073709551615,1.5,"\u00e9\n"],"b":{},"a b":[]}"#;
        let expected: Value = serde_json::from_str(text).unwrap();
        assert_eq!(read(text), expected);
        assert!(!has_reserved_name(&expected));
    }

    #[test]
    fn the_reserved_name_is_a_name_like_any_other() {
        let text = r#"{"$serde_json\u003a:private::RawValue":"[1]"}"#;
        let by_serde_json: Value = serde_json::from_str(text).unwrap();
        assert_eq!(by_serde_json, serde_json::json!([1]));
        let value = read(text);
        assert_eq!(value[RESERVED], "[1]");
        assert!(has_reserved_name(&serde_json::json!([{"a": value}])));
    }

    #[test]
    fn what_is_deep_is_refused() {
        let deep = format!("{}{}", "[".repeat(128), "]".repeat(128));
        assert!(serde_json::from_str::<Json>(&deep).is_err());
    }
}
