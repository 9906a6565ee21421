//! Kinds of channels, by the words of Discord's documentation.
//! See <https://discord.com/developers/docs/resources/channel#channel-object-channel-types>.

use std::borrow::Cow;

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

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(
                    "a list of text, announcement, forum, media, voice, stage, category, or \"all\"",
                )
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<ChannelKinds, E> {
                if name == "all" {
                    return Ok(ChannelKinds::All);
                }
                let found = NAMES.iter().find(|(known, _)| *known == name);
                let unknown = || E::invalid_value(de::Unexpected::Str(name), &self);
                found
                    .map(|(_, kind)| ChannelKinds::Some(vec![*kind]))
                    .ok_or_else(unknown)
            }

            fn visit_seq<A: de::SeqAccess<'de>>(
                self,
                mut seq: A,
            ) -> Result<ChannelKinds, A::Error> {
                let mut kinds = Vec::new();
                while let Some(kind) = seq.next_element()? {
                    match kind {
                        ChannelKinds::All => return drain(seq),
                        ChannelKinds::Some(some) => kinds.extend(some),
                    }
                }
                Ok(ChannelKinds::Some(kinds))
            }
        }

        fn drain<'de, A: de::SeqAccess<'de>>(mut seq: A) -> Result<ChannelKinds, A::Error> {
            while seq.next_element::<de::IgnoredAny>()?.is_some() {}
            Ok(ChannelKinds::All)
        }

        deserializer.deserialize_any(Names)
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
