//! Kinds of channels, by the words of Discord's documentation.
//! See <https://discord.com/developers/docs/resources/channel#channel-object-channel-types>.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};
use twilight_model::channel::ChannelType;

/// A kind of channel that a guild lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::operation) enum ChannelKind {
    Announcement,
    Category,
    Forum,
    Media,
    Other,
    Stage,
    Text,
    Voice,
}

/// Names of kinds, as callers write them.
const NAMES: [(&str, ChannelKind); 7] = [
    ("text", ChannelKind::Text),
    ("announcement", ChannelKind::Announcement),
    ("forum", ChannelKind::Forum),
    ("media", ChannelKind::Media),
    ("voice", ChannelKind::Voice),
    ("stage", ChannelKind::Stage),
    ("category", ChannelKind::Category),
];

impl From<ChannelType> for ChannelKind {
    fn from(kind: ChannelType) -> Self {
        match kind {
            ChannelType::GuildAnnouncement => Self::Announcement,
            ChannelType::GuildCategory => Self::Category,
            ChannelType::GuildForum => Self::Forum,
            ChannelType::GuildMedia => Self::Media,
            ChannelType::GuildStageVoice => Self::Stage,
            ChannelType::GuildText => Self::Text,
            ChannelType::GuildVoice => Self::Voice,
            ChannelType::AnnouncementThread
            | ChannelType::Group
            | ChannelType::GuildDirectory
            | ChannelType::Private
            | ChannelType::PrivateThread
            | ChannelType::PublicThread
            | ChannelType::Unknown(_)
            | _ => Self::Other,
        }
    }
}

impl JsonSchema for ChannelKind {
    fn schema_name() -> Cow<'static, str> {
        "ChannelKind".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names = NAMES.map(|(name, _)| name);
        let all: Vec<&str> = names.into_iter().chain(["other"]).collect();
        json_schema!({"type": "string", "enum": all})
    }
}

/// Which kinds are asked for.
pub(in crate::operation) enum ChannelKinds {
    /// Every one.
    All,
    /// These.
    Some(Vec<ChannelKind>),
}

impl ChannelKinds {
    pub(in crate::operation) fn has(&self, kind: ChannelKind) -> bool {
        match self {
            Self::All => true,
            Self::Some(kinds) => kinds.contains(&kind),
        }
    }
}

impl Default for ChannelKinds {
    fn default() -> Self {
        Self::Some(vec![ChannelKind::Text])
    }
}

impl<'de> Deserialize<'de> for ChannelKinds {
    /// Takes a list of names, or one name alone.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;

        impl<'de> de::Visitor<'de> for Names {
            type Value = ChannelKinds;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of ")?;
                Name.expecting(f)
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<ChannelKinds, E> {
                let Named(kind) = Name.visit_str(name)?;
                Ok(kind.map_or(ChannelKinds::All, |kind| ChannelKinds::Some(vec![kind])))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(
                self,
                mut seq: A,
            ) -> Result<ChannelKinds, A::Error> {
                let mut kinds = Some(Vec::new());
                while let Some(Named(kind)) = seq.next_element()? {
                    match (&mut kinds, kind) {
                        (Some(kinds), Some(kind)) => kinds.push(kind),
                        (kinds, _) => *kinds = None,
                    }
                }
                Ok(kinds.map_or(ChannelKinds::All, ChannelKinds::Some))
            }
        }

        deserializer.deserialize_any(Names)
    }
}

/// A kind by its name; none for all of them.
struct Named(Option<ChannelKind>);

/// Reads a name.
struct Name;

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Name)
    }
}

impl de::Visitor<'_> for Name {
    type Value = Named;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, announcement, forum, media, voice, stage, category, or \"all\"")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Named, E> {
        if name == "all" {
            return Ok(Named(None));
        }
        let found = NAMES.iter().find(|(known, _)| *known == name);
        let unknown = || E::invalid_value(de::Unexpected::Str(name), &self);
        found
            .map(|(_, kind)| Named(Some(*kind)))
            .ok_or_else(unknown)
    }
}

impl JsonSchema for ChannelKinds {
    fn schema_name() -> Cow<'static, str> {
        "ChannelKinds".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).chain(["all"]).collect();
        json_schema!({
            "default": ["text"],
            "anyOf": [
                {"type": "array", "items": {"type": "string", "enum": names}},
                {"type": "string", "enum": names},
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<ChannelKinds, String> {
        serde_json::from_str(json).map_err(|err| err.to_string())
    }

    #[test]
    fn one_name_or_a_list_of_them_is_taken() {
        for (json, has_voice) in [
            (r#""voice""#, true),
            (r#"["text","voice"]"#, true),
            (r#"["text"]"#, false),
            ("[]", false),
            (r#"["text","all"]"#, true),
            (r#"["all","text"]"#, true),
        ] {
            let kinds = read(json).unwrap_or_else(|err| panic!("{json}: {err}"));
            assert_eq!(kinds.has(ChannelKind::Voice), has_voice, "{json}");
        }
    }

    #[test]
    fn a_list_in_the_list_is_no_name_and_neither_is_anything_else() {
        for json in [
            r#"[["text"]]"#,
            r#"["all",["text"]]"#,
            r#"["all",1]"#,
            r#"["other"]"#,
            "1",
        ] {
            assert!(read(json).is_err(), "{json}");
        }
    }
}
