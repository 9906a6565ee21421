//! Rich content of a message.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use twilight_validate::embed::{
    AUTHOR_NAME_LENGTH, DESCRIPTION_LENGTH, EMBED_TOTAL_LENGTH, FIELD_COUNT, FIELD_NAME_LENGTH,
    FIELD_VALUE_LENGTH, FOOTER_TEXT_LENGTH, TITLE_LENGTH,
};

use super::{Error, Object, check_chars, check_count};

/// Rich content. At most 6000 characters over all embeds of a message.
/// See <https://discord.com/developers/docs/resources/message#embed-object>.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::operation) struct Embed {
    /// Title, at most 256 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    /// Always rich for a bot's embeds.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    /// Text, at most 4096 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// Where the title links to.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// A time, in RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<String>,
    /// Color of the bar, 0 to 16777215.
    #[serde(skip_serializing_if = "Option::is_none")]
    color: Option<u32>,
    /// Small text at the bottom.
    #[serde(skip_serializing_if = "Option::is_none")]
    footer: Option<Object<Footer>>,
    /// Large image.
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<Object<Media>>,
    /// Small image.
    #[serde(skip_serializing_if = "Option::is_none")]
    thumbnail: Option<Object<Media>>,
    /// Video.
    #[serde(skip_serializing_if = "Option::is_none")]
    video: Option<Object<Media>>,
    /// Provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<Object<Provider>>,
    /// Author line.
    #[serde(skip_serializing_if = "Option::is_none")]
    author: Option<Object<Author>>,
    /// At most 25 named values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    fields: Vec<Object<Field>>,
}

/// Small text at the bottom of an embed.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Footer {
    /// Text, at most 2048 characters.
    text: String,
    /// Address of a small image.
    #[serde(skip_serializing_if = "Option::is_none")]
    icon_url: Option<String>,
}

/// An image or a video.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Media {
    /// Its address.
    url: String,
    /// Height in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u32>,
    /// Width in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<u32>,
}

/// The provider of an embed.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Provider {
    /// Name.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Where the name links to.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

/// The author line of an embed.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Author {
    /// Name, at most 256 characters.
    name: String,
    /// Where the name links to.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// Address of a small image.
    #[serde(skip_serializing_if = "Option::is_none")]
    icon_url: Option<String>,
}

/// A named value.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Field {
    /// Name, at most 256 characters.
    name: String,
    /// Value, at most 1024 characters.
    value: String,
    /// Whether it stands beside its neighbors.
    #[serde(default)]
    inline: bool,
}

/// Refuses embeds beyond Discord's limits.
/// See <https://discord.com/developers/docs/resources/message#embed-object-embed-limits>.
pub(in crate::operation) fn check_embeds(embeds: &[Object<Embed>]) -> Result<(), Error> {
    let mut total = 0;
    for (at, embed) in embeds.iter().enumerate() {
        total += embed.0.check(&format!("embeds[{at}]"))?;
    }
    if total <= EMBED_TOTAL_LENGTH {
        return Ok(());
    }
    Err(Error::Param {
        path: "embeds".to_owned(),
        wanted: format!("at most {EMBED_TOTAL_LENGTH} characters in all, not {total}"),
    })
}

impl Embed {
    /// Counts the characters, each text within its own limit.
    fn check(&self, path: &str) -> Result<usize, Error> {
        let chars = |name: &str, text: Option<&str>, max| {
            let path = format!("{path}.{name}");
            check_chars(&path, text, max)
        };
        let author = self.author.as_ref().map(|author| author.0.name.as_str());
        let footer = self.footer.as_ref().map(|footer| footer.0.text.as_str());
        let mut total = chars("title", self.title.as_deref(), TITLE_LENGTH)?
            + chars(
                "description",
                self.description.as_deref(),
                DESCRIPTION_LENGTH,
            )?
            + chars("author.name", author, AUTHOR_NAME_LENGTH)?
            + chars("footer.text", footer, FOOTER_TEXT_LENGTH)?;
        check_count(&format!("{path}.fields"), self.fields.len(), FIELD_COUNT)?;
        for (at, Object(field)) in self.fields.iter().enumerate() {
            let (name, value) = (format!("fields[{at}].name"), format!("fields[{at}].value"));
            total += chars(&name, Some(&field.name), FIELD_NAME_LENGTH)?;
            total += chars(&value, Some(&field.value), FIELD_VALUE_LENGTH)?;
        }
        Ok(total)
    }
}
