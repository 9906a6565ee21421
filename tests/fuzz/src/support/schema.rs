//! Params made up from an operation's own JSON Schema, as bytes say: such as it takes, or with one
//! value that it does not.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Number, Value, json};

use discordd::operation::Entry;

/// What stands in a value that is not of the type wanted: no error may repeat it.
pub(crate) const MARKER: &str = "c2VjcmV0.c2VjcmV0, expected c2VjcmV0";
/// The same as a number.
pub(crate) const MARKED: u64 = 987_654_321_987_654_321;

/// Deepest value that is made up where the schema takes any.
const MAX_DEPTH: usize = 6;
/// Most members or values that are made up beside those that are needed.
const MAX_EXTRA: u8 = 3;

/// Makes values up.
pub(crate) struct Maker<'a> {
    bytes: &'a [u8],
    /// How many values more to the one that will be wrong.
    until_wrong: Option<usize>,
    /// Where the one is that is wrong.
    wrong: Option<String>,
}

/// The schema of an operation's params, with nothing referred to.
pub(crate) fn of(entry: &Entry) -> Value {
    let settings = SchemaSettings::draft07().with(|it| it.inline_subschemas = true);
    (entry.params)(&mut settings.into_generator()).to_value()
}

impl<'a> Maker<'a> {
    /// Makes one that does as `bytes` say; with `until_wrong`, that value will be wrong.
    pub(crate) fn new(bytes: &'a [u8], until_wrong: Option<usize>) -> Self {
        Self {
            bytes,
            until_wrong,
            wrong: None,
        }
    }

    /// Makes a value of a schema at a path, and gives it with the path of what is wrong in it.
    pub(crate) fn make(mut self, schema: &Value) -> (Value, Option<String>) {
        let value = self.object(schema, "");
        (value, self.wrong)
    }

    fn next(&mut self) -> u8 {
        let (first, rest) = self.bytes.split_first().unwrap_or((&0, &[]));
        self.bytes = rest;
        *first
    }

    fn number(&mut self) -> u64 {
        (0..8).fold(0, |number, _| number << 8 | u64::from(self.next()))
    }

    fn value(&mut self, schema: &Value, path: &str) -> Value {
        match &mut self.until_wrong {
            Some(0) => {
                self.until_wrong = None;
                let unwanted = self.unwanted(schema);
                if let Some(value) = unwanted {
                    self.wrong = Some(path.to_owned());
                    return value;
                }
            }
            Some(more) => *more -= 1,
            None => {}
        }
        self.wanted(schema, path)
    }

    /// A value that the schema takes, but for what may be wrong inside it.
    fn wanted(&mut self, schema: &Value, path: &str) -> Value {
        if let Some(any) = schema["anyOf"].as_array() {
            let chosen = usize::from(self.next()) % any.len();
            return self.wanted(&any[chosen], path);
        }
        if let Some(names) = schema["enum"].as_array() {
            return names[usize::from(self.next()) % names.len()].clone();
        }
        let types = types(schema);
        if types.is_empty() {
            return self.anything(0);
        }
        let chosen = usize::from(self.next()) % types.len();
        match types[chosen] {
            "array" => self.array(schema, path),
            "boolean" => self.next().is_multiple_of(2).into(),
            "integer" => self.integer(schema),
            "null" => Value::Null,
            "object" => self.object(schema, path),
            "string" => self.string(schema).into(),
            other => panic!("no schema has the type {other}"),
        }
    }

    fn object(&mut self, schema: &Value, path: &str) -> Value {
        let mut members = Map::new();
        let required = schema["required"].as_array();
        let is_required = |name: &String| required.is_some_and(|it| it.contains(&json!(name)));
        for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
            if is_required(name) || self.next().is_multiple_of(4) {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                let value = self.value(schema, &path);
                members.insert(name.clone(), value);
            }
        }
        if schema["additionalProperties"] != false {
            for _ in 0..self.next() % MAX_EXTRA {
                let value = self.anything(0);
                members.insert(self.text(40), value);
            }
        }
        members.into()
    }

    fn array(&mut self, schema: &Value, path: &str) -> Value {
        let count = self.next() % (MAX_EXTRA + 1);
        let values = (0..count).map(|at| self.value(&schema["items"], &format!("{path}[{at}]")));
        values.collect()
    }

    fn integer(&mut self, schema: &Value) -> Value {
        let number = self.number();
        if schema["pattern"].is_string() {
            return number.max(1).into();
        }
        let bits = match schema["format"].as_str() {
            Some("uint8") => 8,
            Some("uint16") => 16,
            Some("int32") => 31,
            Some("uint32") => 32,
            Some("int64") => 63,
            Some("uint64") => 64,
            other => panic!("no number has the format {other:?}"),
        };
        (number >> (64 - bits)).into()
    }

    fn string(&mut self, schema: &Value) -> String {
        if schema["pattern"].is_string() {
            return self.number().max(1).to_string();
        }
        let max = schema["maxLength"].as_u64().unwrap_or(12);
        let min = schema["minLength"].as_u64().unwrap_or(0);
        let text = self.text(usize::try_from(max).unwrap_or(12));
        if text.chars().count() < usize::try_from(min).unwrap_or(0) {
            "x".to_owned()
        } else {
            text
        }
    }

    /// A text of at most so many characters.
    fn text(&mut self, max: usize) -> String {
        let length = usize::from(self.next()) % (max + 1).min(64);
        let chars = (0..length).map(|_| match self.next() {
            byte @ 0..=0x7f => char::from(byte),
            byte => char::from_u32(0x1f300 + u32::from(byte)).unwrap_or('é'),
        });
        chars.collect()
    }

    fn anything(&mut self, depth: usize) -> Value {
        match self.next() % 7 {
            0 => Value::Null,
            1 => true.into(),
            2 => self.number().into(),
            3 => Number::from_f64(f64::from_bits(self.number())).map_or(Value::Null, Into::into),
            4 if depth < MAX_DEPTH => {
                let count = self.next() % MAX_EXTRA;
                (0..count).map(|_| self.anything(depth + 1)).collect()
            }
            5 if depth < MAX_DEPTH => {
                let count = self.next() % MAX_EXTRA;
                let members = (0..count).map(|_| (self.text(40), self.anything(depth + 1)));
                Value::Object(members.collect())
            }
            _ => self.text(40).into(),
        }
    }

    /// A value of a type that the schema does not take; none if it takes all.
    fn unwanted(&mut self, schema: &Value) -> Option<Value> {
        let wanted = types(schema);
        let all = [
            ("array", json!([MARKER])),
            ("boolean", json!(false)),
            ("integer", json!(MARKED)),
            ("object", json!({MARKER: MARKER})),
            ("string", json!(MARKER)),
        ];
        let fit = |name: &str| !wanted.is_empty() && !wanted.contains(&name);
        let mut unwanted: Vec<Value> = all
            .into_iter()
            .filter_map(|(name, value)| fit(name).then_some(value))
            .collect();
        if unwanted.is_empty() {
            return None;
        }
        let chosen = usize::from(self.next()) % unwanted.len();
        Some(unwanted.swap_remove(chosen))
    }
}

/// The types that a schema takes, and those that it is made of.
fn types(schema: &Value) -> Vec<&str> {
    let own = match &schema["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        Value::String(name) => vec![name.as_str()],
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::Object(_) => Vec::new(),
    };
    let any = schema["anyOf"].as_array().into_iter().flatten();
    own.into_iter().chain(any.flat_map(types)).collect()
}
