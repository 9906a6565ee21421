//! Reads a JSON body field by field, and notes each bad field under Discord's error code.
//!
//! It knows kinds and limits of values; what a field means is the resource's business.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use serde_json::Value;
use twilight_model::id::Id;

use super::error::FormErrors;

/// One value of a form and the path it stands at. A null is an absent value.
pub(super) struct Field<'a> {
    value: Option<&'a Value>,
    path: String,
}

impl<'a> Field<'a> {
    /// Takes the whole form.
    pub(super) fn root(value: &'a Value) -> Self {
        Self {
            value: Some(value),
            path: String::new(),
        }
    }

    /// Gives the field of this name within this one; absent if this one is no object.
    pub(super) fn key(&self, name: &str) -> Self {
        Self {
            value: self
                .value
                .and_then(|value| value.get(name))
                .filter(|value| !value.is_null()),
            path: self.child(name),
        }
    }

    /// Gives the value as it was sent.
    pub(super) fn value(&self) -> Option<&'a Value> {
        self.value
    }

    /// Tells whether there is a value.
    pub(super) fn is_present(&self) -> bool {
        self.value.is_some()
    }

    /// Tells whether there is nothing in it: no value, a blank text, an empty list.
    pub(super) fn is_blank(&self) -> bool {
        match self.value {
            None | Some(Value::Null) => true,
            Some(Value::Array(items)) => items.is_empty(),
            Some(Value::String(text)) => text.trim().is_empty(),
            Some(Value::Bool(_) | Value::Number(_) | Value::Object(_)) => false,
        }
    }

    /// Notes an error of this field.
    pub(super) fn refuse(&self, code: &str, message: &str, errors: &mut FormErrors) {
        errors.add(&self.path, code, message);
    }

    /// Notes that this field is missing, if it is; a blank one is.
    pub(super) fn require(&self, errors: &mut FormErrors) {
        if self.is_blank() {
            self.refuse("BASE_TYPE_REQUIRED", "This field is required", errors);
        }
    }

    /// Tells whether there is an object here; anything else that is here is an error.
    pub(super) fn is_object(&self, errors: &mut FormErrors) -> bool {
        match self.value {
            None => false,
            Some(Value::Object(_)) => true,
            Some(_) => {
                let message = "Only dictionaries may be used in a ModelType";
                self.refuse("MODEL_TYPE_CONVERT", message, errors);
                false
            }
        }
    }

    /// Reads a list of at most `max` items; an absent one is empty.
    pub(super) fn items(&self, max: usize, errors: &mut FormErrors) -> Vec<Self> {
        let items = match self.value {
            None => return Vec::new(),
            Some(Value::Array(items)) => items,
            Some(_) => {
                let message = "Only iterables may be used in a ListType";
                self.refuse("LIST_TYPE_CONVERT", message, errors);
                return Vec::new();
            }
        };
        if items.len() > max {
            self.too_long(max, errors);
        }
        let at = |(index, value): (usize, &'a Value)| Self {
            value: Some(value),
            path: self.child(&index.to_string()),
        };
        items.iter().take(max).enumerate().map(at).collect()
    }

    /// Reads a text of at most `max` characters. An integer or a boolean is taken as its text,
    /// as Discord's forms do.
    pub(super) fn text(&self, max: usize, errors: &mut FormErrors) -> Option<Cow<'a, str>> {
        let text = match self.value? {
            Value::Bool(true) => Cow::Borrowed("True"),
            Value::Bool(false) => Cow::Borrowed("False"),
            Value::Number(number) if !number.is_f64() => Cow::Owned(number.to_string()),
            Value::String(text) => Cow::Borrowed(text.as_str()),
            value @ (Value::Array(_) | Value::Null | Value::Number(_) | Value::Object(_)) => {
                let message = format!("Could not interpret \"{value}\" as string.");
                self.refuse("STRING_TYPE_CONVERT", &message, errors);
                return None;
            }
        };
        if text.chars().count() > max {
            self.too_long(max, errors);
            return None;
        }
        Some(text)
    }

    /// Reads an address of at most 2048 characters with one of the schemes.
    pub(super) fn url(&self, schemes: &[&str], errors: &mut FormErrors) -> Option<Cow<'a, str>> {
        let url = self.text(2048, errors)?;
        match url.split_once("://") {
            Some((scheme, rest)) if schemes.contains(&scheme) && !rest.is_empty() => Some(url),
            Some((scheme, _)) if !schemes.contains(&scheme) => {
                let message = format!(
                    "Scheme \"{scheme}\" is not supported. Scheme must be one of ('{}').",
                    schemes.join("', '")
                );
                self.refuse("URL_TYPE_INVALID_SCHEME", &message, errors);
                None
            }
            Some(_) | None => {
                self.refuse("URL_TYPE_INVALID_URL", "Not a well formed URL.", errors);
                None
            }
        }
    }

    /// Reads an integer; a text of digits is taken as one.
    pub(super) fn integer(
        &self,
        range: RangeInclusive<i64>,
        errors: &mut FormErrors,
    ) -> Option<i64> {
        let value = self.value?;
        let number = match value {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.parse().ok(),
            Value::Array(_) | Value::Bool(_) | Value::Null | Value::Object(_) => None,
        };
        let Some(number) = number else {
            self.not_a("int", value, errors);
            return None;
        };
        if number < *range.start() {
            let message = format!(
                "int value should be greater than or equal to {}.",
                range.start()
            );
            self.refuse("NUMBER_TYPE_MIN", &message, errors);
            return None;
        }
        if number > *range.end() {
            let message = format!("int value should be less than or equal to {}.", range.end());
            self.refuse("NUMBER_TYPE_MAX", &message, errors);
            return None;
        }
        Some(number)
    }

    /// Reads a boolean; an absent one is `None`.
    pub(super) fn boolean(&self, errors: &mut FormErrors) -> Option<bool> {
        let value = self.value?;
        let boolean = value.as_bool();
        if boolean.is_none() {
            self.refuse(
                "BOOLEAN_TYPE_CONVERT",
                "Must be either true or false.",
                errors,
            );
        }
        boolean
    }

    /// Reads an id, a text or a number.
    pub(super) fn snowflake<T>(&self, errors: &mut FormErrors) -> Option<Id<T>> {
        let value = self.value?;
        let number = match value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.parse().ok(),
            Value::Array(_) | Value::Bool(_) | Value::Null | Value::Object(_) => None,
        };
        let id = number.and_then(Id::new_checked);
        if id.is_none() {
            self.not_a("snowflake", value, errors);
        }
        id
    }

    fn child(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    fn too_long(&self, max: usize, errors: &mut FormErrors) {
        let message = format!("Must be {max} or fewer in length.");
        self.refuse("BASE_TYPE_MAX_LENGTH", &message, errors);
    }

    fn not_a(&self, kind: &str, value: &Value, errors: &mut FormErrors) {
        let shown = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        let message = format!("Value \"{shown}\" is not {kind}.");
        self.refuse("NUMBER_TYPE_COERCE", &message, errors);
    }
}
