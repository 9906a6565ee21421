//! The settings in force as a file of settings, with where each comes from beside it.

use std::path::Path;

use anyhow::Context as _;
use figment::{Figment, Source, value};
use toml_edit::{DocumentMut, Item, Table, Value};

use super::{Environment, FLAGS, Settings, environment::ENVIRONMENT, layers};

/// Writes the settings in force, each with where it comes from, and without passwords.
///
/// # Errors
///
/// When they cannot be used.
pub fn show(
    file: Option<&Path>,
    environment: &Environment,
    flags: &[(&str, &str)],
) -> anyhow::Result<String> {
    let settings = Settings::load(file, environment, flags)?.settings;
    let (figment, _) = layers(file, environment, flags)?;
    let mut document: DocumentMut =
        toml_edit::ser::to_document(&settings).context("write the settings as TOML")?;
    let origin = |key: &str| origin(key, &figment, environment);
    annotate(document.as_table_mut(), "", &origin);
    let mut unset = Vec::new();
    unset_keys(
        &figment.extract().unwrap_or_default(),
        &document,
        "",
        &mut unset,
    );
    let mut text = document.to_string();
    if !unset.is_empty() {
        text.push_str("\n# Not set: ");
        text.push_str(&unset.join(", "));
        text.push_str(".\n");
    }
    Ok(text)
}

/// Puts tables under headings of their own, and behind each value where it comes from.
fn annotate(table: &mut Table, prefix: &str, origin: &dyn Fn(&str) -> String) {
    for (key, item) in table.iter_mut() {
        let key = format!("{prefix}{}", key.get());
        *item = match std::mem::take(item).into_table() {
            Ok(table) => Item::Table(table),
            Err(item) => list_of_tables(item),
        };
        match item {
            Item::Table(table) => annotate(table, &format!("{key}."), origin),
            Item::ArrayOfTables(tables) => {
                for table in tables.iter_mut() {
                    annotate(table, "", &|_| origin(&key));
                }
            }
            Item::Value(value) => {
                redact(&key, value);
                value.decor_mut().set_suffix(format!(" # {}", origin(&key)));
            }
            Item::None => {}
        }
    }
}

/// Gives a list of tables their own headings; an empty list stays a value.
fn list_of_tables(item: Item) -> Item {
    if item.as_array().is_none_or(toml_edit::Array::is_empty) {
        return item;
    }
    let tables = item.into_array_of_tables();
    tables.map_or_else(|item| item, Item::ArrayOfTables)
}

/// Says which layer gave a setting.
fn origin(key: &str, figment: &Figment, environment: &Environment) -> String {
    let of_variable = || environment.source_of(key).map(str::to_owned);
    let metadata = figment.find_metadata(key);
    let name = metadata.map_or("", |metadata| &metadata.name);
    match metadata.and_then(|metadata| metadata.source.as_ref()) {
        Some(Source::File(path)) => path.display().to_string(),
        _ if name == FLAGS => "a flag".to_owned(),
        _ if name == ENVIRONMENT => of_variable().unwrap_or_else(|| name.to_owned()),
        // What has no default and is there nevertheless is another program's variable.
        _ if is_unset(figment, key) => of_variable().unwrap_or_else(|| "default".to_owned()),
        _ => "default".to_owned(),
    }
}

fn is_unset(figment: &Figment, key: &str) -> bool {
    matches!(figment.find_value(key), Ok(value::Value::Empty(..)))
}

/// Collects the keys that have no value, neither given nor by default.
fn unset_keys(dict: &value::Dict, shown: &Table, prefix: &str, unset: &mut Vec<String>) {
    for (key, value) in dict {
        let shown = shown.get(key);
        if let (value::Value::Dict(_, dict), Some(Item::Table(shown))) = (value, shown) {
            unset_keys(dict, shown, &format!("{prefix}{key}."), unset);
        } else if shown.is_none() {
            unset.push(format!("{prefix}{key}"));
        }
    }
}

/// Leaves out what stands before the host of a URL: it may be a password.
fn redact(key: &str, value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(|value| redact(key, value)),
        Value::String(text) => {
            let text = text.value();
            let scheme = text.find("://").map(|at| at + 3);
            let (scheme, rest) = text.split_at(scheme.unwrap_or_default());
            let is_url = !scheme.is_empty() || key.ends_with("proxy");
            if let Some((_, host)) = rest.rsplit_once('@').filter(|_| is_url) {
                *value = format!("{scheme}***@{host}").into();
            }
        }
        Value::Boolean(_)
        | Value::Datetime(_)
        | Value::Float(_)
        | Value::InlineTable(_)
        | Value::Integer(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_before_a_host_is_left_out() {
        for (key, given, shown) in [
            (
                "a.proxy",
                "http://user:p@ss/w@proxy:1",
                "http://***@proxy:1",
            ),
            ("a.proxy", "user:pass@proxy:1", "***@proxy:1"),
            ("a.proxy", "http://proxy:1", "http://proxy:1"),
            ("a.url", "https://user@host", "https://***@host"),
            ("a.path", "/run/user@1000/s.sock", "/run/user@1000/s.sock"),
        ] {
            let mut value = Value::from(given);
            redact(key, &mut value);
            assert_eq!(value.as_str(), Some(shown));
        }
    }
}
