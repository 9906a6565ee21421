//! Settings that are one value or a list of them.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// One name or several: a text, in which commas stand between them, a number, or a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Several(pub(super) Vec<String>);

impl Several {
    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl From<&str> for Several {
    fn from(text: &str) -> Self {
        let all = text.split(',').map(str::trim);
        Self(all.filter(|it| !it.is_empty()).map(str::to_owned).collect())
    }
}

impl<'de> Deserialize<'de> for Several {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;

        impl<'de> de::Visitor<'de> for OneOrMany {
            type Value = Several;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a number or a list of them")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Several, E> {
                Ok(Several::from(text))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Several, E> {
                Ok(Several(vec![number.to_string()]))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Several, E> {
                Ok(Several(vec![number.to_string()]))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Several, A::Error> {
                let mut all = Vec::new();
                while let Some(Word(word)) = seq.next_element()? {
                    all.push(word);
                }
                Ok(Several(all))
            }
        }

        deserializer.deserialize_any(OneOrMany)
    }
}

/// One member of a list.
struct Word(String);

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct One;

        impl de::Visitor<'_> for One {
            type Value = Word;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a number")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Word, E> {
                Ok(Word(text.to_owned()))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Word, E> {
                Ok(Word(number.to_string()))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Word, E> {
                Ok(Word(number.to_string()))
            }
        }

        deserializer.deserialize_any(One)
    }
}

impl Serialize for Several {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0[..] {
            [] => "".serialize(serializer),
            [one] => one.serialize(serializer),
            many => many.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_or_several_of_texts_or_numbers() {
        for (json, expected) in [
            (r#""a, b""#, &["a", "b"][..]),
            ("7", &["7"]),
            (r#"["a",7]"#, &["a", "7"]),
            ("[]", &[]),
            (r#""""#, &[]),
        ] {
            let several: Several = serde_json::from_str(json).unwrap();
            assert!(several.iter().eq(expected.iter().copied()), "{json}");
        }
        assert!(serde_json::from_str::<Several>("[true]").is_err());
    }
}
