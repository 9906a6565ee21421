//! Embeds of a message: checks them against Discord's limits and writes them as it answers them.
//!
//! See <https://discord.com/developers/docs/resources/message#embed-object-embed-limits>.

use serde_json::{Map, Value};

use super::super::error::FormErrors;
use super::super::form::Field;
use super::super::snowflake::normal_time;

/// Most embeds in a message.
const MAX_EMBEDS: usize = 10;
/// Most fields in an embed.
const MAX_FIELDS: usize = 25;
/// Most characters in all embeds of a message together.
const MAX_TOTAL: usize = 6000;
/// Longest title, author's name and field's name, in characters.
const MAX_NAME: usize = 256;
/// Longest description, in characters.
const MAX_DESCRIPTION: usize = 4096;
/// Longest footer, in characters.
const MAX_FOOTER: usize = 2048;
/// Longest value of a field, in characters.
const MAX_VALUE: usize = 1024;
/// The highest color.
const MAX_COLOR: i64 = 0xFF_FFFF;

const LINKS: [&str; 2] = ["http", "https"];
const IMAGES: [&str; 3] = ["http", "https", "attachment"];

/// Reads the field `embeds`.
pub(super) fn read(field: &Field<'_>, errors: &mut FormErrors) -> Vec<Value> {
    let mut reader = Reader {
        characters: 0,
        errors,
    };
    let items = field.items(MAX_EMBEDS, reader.errors);
    let embeds = items.iter().map(|item| reader.embed(item)).collect();
    if reader.characters > MAX_TOTAL {
        let message = format!("Embed size exceeds maximum size of {MAX_TOTAL}");
        field.refuse("MAX_EMBED_SIZE_EXCEEDED", &message, errors);
    }
    embeds
}

/// Reads embeds and counts the characters that count.
struct Reader<'a> {
    characters: usize,
    errors: &'a mut FormErrors,
}

impl Reader<'_> {
    fn embed(&mut self, field: &Field<'_>) -> Value {
        let mut embed = Map::new();
        if !field.is_object(self.errors) {
            return Value::Object(embed);
        }
        put(
            &mut embed,
            "title",
            self.text(&field.key("title"), MAX_NAME),
        );
        let description = self.text(&field.key("description"), MAX_DESCRIPTION);
        put(&mut embed, "description", description);
        put(&mut embed, "author", self.author(&field.key("author")));
        put(&mut embed, "footer", self.footer(&field.key("footer")));
        put(&mut embed, "image", self.image(&field.key("image")));
        put(&mut embed, "thumbnail", self.image(&field.key("thumbnail")));
        let fields = field.key("fields").items(MAX_FIELDS, self.errors);
        let fields: Vec<Value> = fields.iter().map(|field| self.field(field)).collect();
        if !fields.is_empty() {
            embed.insert("fields".to_owned(), Value::Array(fields));
        }
        let has_parts = ["description", "fields", "image", "thumbnail", "title"]
            .iter()
            .chain(&["author", "footer"])
            .any(|name| !field.key(name).is_blank());
        if !has_parts {
            field.key("description").require(self.errors);
        }
        put(&mut embed, "url", self.url(&field.key("url"), &LINKS));
        let color = field.key("color").integer(0..=MAX_COLOR, self.errors);
        put(&mut embed, "color", color);
        put(&mut embed, "timestamp", self.time(&field.key("timestamp")));
        put(&mut embed, "type", Some("rich"));
        Value::Object(embed)
    }

    fn author(&mut self, field: &Field<'_>) -> Option<Value> {
        let mut author = Map::new();
        if !field.is_object(self.errors) {
            return None;
        }
        field.key("name").require(self.errors);
        put(&mut author, "name", self.text(&field.key("name"), MAX_NAME));
        put(&mut author, "url", self.url(&field.key("url"), &LINKS));
        let icon = self.url(&field.key("icon_url"), &IMAGES);
        put(&mut author, "icon_url", icon);
        Some(Value::Object(author))
    }

    fn footer(&mut self, field: &Field<'_>) -> Option<Value> {
        let mut footer = Map::new();
        if !field.is_object(self.errors) {
            return None;
        }
        field.key("text").require(self.errors);
        put(
            &mut footer,
            "text",
            self.text(&field.key("text"), MAX_FOOTER),
        );
        let icon = self.url(&field.key("icon_url"), &IMAGES);
        put(&mut footer, "icon_url", icon);
        Some(Value::Object(footer))
    }

    fn image(&mut self, field: &Field<'_>) -> Option<Value> {
        let mut image = Map::new();
        if !field.is_object(self.errors) {
            return None;
        }
        field.key("url").require(self.errors);
        put(&mut image, "url", self.url(&field.key("url"), &IMAGES));
        Some(Value::Object(image))
    }

    fn field(&mut self, field: &Field<'_>) -> Value {
        let mut answer = Map::new();
        if !field.is_object(self.errors) {
            return Value::Object(answer);
        }
        for (name, max) in [("name", MAX_NAME), ("value", MAX_VALUE)] {
            field.key(name).require(self.errors);
            put(&mut answer, name, self.text(&field.key(name), max));
        }
        let inline = field.key("inline").boolean(self.errors);
        put(&mut answer, "inline", Some(inline.unwrap_or(false)));
        Value::Object(answer)
    }

    fn text(&mut self, field: &Field<'_>, max: usize) -> Option<String> {
        let text = field.text(max, self.errors)?;
        self.characters += text.chars().count();
        Some(text.trim().to_owned())
    }

    fn url(&mut self, field: &Field<'_>, schemes: &[&str]) -> Option<String> {
        let url = field.url(schemes, self.errors)?;
        Some(url.into_owned())
    }

    fn time(&mut self, field: &Field<'_>) -> Option<String> {
        let text = field.text(usize::MAX, self.errors)?;
        let time = normal_time(&text);
        if time.is_none() {
            let message = format!("Could not parse {text}. Should be ISO8601.");
            field.refuse("DATE_TIME_TYPE_PARSE", &message, self.errors);
        }
        time
    }
}

fn put<T: Into<Value>>(object: &mut Map<String, Value>, name: &str, value: Option<T>) {
    if let Some(value) = value {
        object.insert(name.to_owned(), value.into());
    }
}
