//! The rules of the source that no lint keeps: layers, the table, sizes, and what the root holds.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use discordd::operation::{Effect, TABLE};
use schemars::SchemaGenerator;
use serde_json::Value;

/// The rooms, top to bottom: a module names only those below it.
const ROOMS: [&str; 15] = [
    "cli",
    "daemon",
    "listener",
    "surface",
    "frame",
    "operation",
    "discord",
    "sandbox",
    "metrics",
    "log",
    "notify",
    "threads",
    "config",
    "json",
    "memory",
];
/// Longest file under `src`, in lines.
const MAX_LINES: usize = 400;
/// Files in `src/operation` that are no operation.
const NO_OPERATION: [&str; 4] = ["error", "limit", "mod", "params"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file under `folder`, with its text.
fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|it| it == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    assert!(!found.is_empty(), "{}", folder.display());
    found
}

/// The modules of the crate that a file names, in paths and in grouped imports.
fn named_rooms(text: &str) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for rest in text.split("crate::").skip(1) {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let word = &rest[..end.unwrap_or(rest.len())];
        if !word.is_empty() {
            named.insert(word.to_owned());
        } else if let Some(group) = rest.strip_prefix('{') {
            named.extend(first_words(group));
        }
    }
    named
}

/// The first word of each member of a group, up to its closing bracket.
fn first_words(group: &str) -> Vec<String> {
    let (mut depth, mut word, mut words) = (0, String::new(), Vec::new());
    let mut at_start = true;
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                words.push(std::mem::take(&mut word));
                at_start = true;
            }
            c if depth == 0 && at_start && (c.is_ascii_alphanumeric() || c == '_') => word.push(c),
            c if depth == 0 && !c.is_whitespace() => at_start = false,
            _ => {}
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn grouped_imports_are_seen() {
    let text = "use crate::{\n    config::{A, b::C},\n    log,\n};\nlet x = crate::frame::Y;";
    let expected = ["config", "frame", "log"].map(str::to_owned);
    assert_eq!(named_rooms(text), BTreeSet::from(expected));
}

#[test]
fn a_module_names_only_modules_below_it() {
    let src = root().join("src");
    for (path, text) in sources(&src) {
        let inside = path.strip_prefix(&src).unwrap();
        let first = inside.iter().next().unwrap().to_str().unwrap();
        let room = first.trim_end_matches(".rs");
        if matches!(room, "lib" | "main") {
            continue;
        }
        let place = |name: &str| ROOMS.iter().position(|it| *it == name);
        let own = place(room).unwrap_or_else(|| panic!("{room} is no room"));
        for named in named_rooms(&text) {
            let below = place(&named).unwrap_or_else(|| panic!("{named} in {}", path.display()));
            assert!(
                below >= own,
                "{} names {named}, which is above it",
                path.display()
            );
        }
    }
}

#[test]
fn the_map_lists_the_rooms_in_their_order() {
    let map = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let listed = map
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    assert!(listed.eq(ROOMS));
}

#[test]
fn files_are_short_and_begin_with_their_job() {
    for (path, text) in sources(&root().join("src")) {
        let lines = text.lines().count();
        assert!(lines <= MAX_LINES, "{} has {lines} lines", path.display());
        assert!(text.starts_with("//! "), "{} says no job", path.display());
    }
}

#[test]
fn every_operation_file_has_its_row() {
    let folder = root().join("src/operation");
    let table = fs::read_to_string(folder.join("mod.rs")).unwrap();
    let mut files = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        if path.is_dir() || NO_OPERATION.contains(&name) {
            continue;
        }
        files += 1;
        let row = format!("Entry::of::<{name}::");
        assert!(table.contains(&row), "{name} has no row");
    }
    assert_eq!(files, TABLE.len());
}

#[test]
fn names_are_unique_and_say_whether_discord_is_asked() {
    let names: BTreeSet<&str> = TABLE.iter().map(|entry| entry.name).collect();
    assert_eq!(names.len(), TABLE.len());
    for entry in TABLE {
        let asks = entry.name.starts_with("discord.");
        assert_eq!(asks, entry.effect != Effect::Local, "{}", entry.name);
    }
}

#[test]
fn every_operation_param_and_reply_is_described() {
    let mut generator = SchemaGenerator::default();
    for entry in TABLE {
        let params = (entry.params)(&mut generator).to_value();
        let reply = (entry.reply)(&mut generator).to_value();
        assert_described(&params, entry.name);
        assert_described(&reply, &format!("the reply of {}", entry.name));
        for name in entry.positions {
            assert!(
                params["properties"][name].is_object(),
                "{}: {name}",
                entry.name
            );
        }
        assert_eq!(
            params["additionalProperties"], false,
            "{} takes anything",
            entry.name
        );
    }
    for (name, schema) in generator.take_definitions(true) {
        assert_described(&schema, &name);
    }
}

/// Holds that a schema and its properties have a description.
fn assert_described(schema: &Value, about: &str) {
    let listed = schema["oneOf"].is_array() || schema["anyOf"].is_array();
    assert!(schema["description"].is_string() || listed, "{about}");
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        assert!(property["description"].is_string(), "{about}.{name}");
    }
}

/// Where tokens and messages pass.
const OF_SECRETS: [&str; 7] = [
    "cli/call.rs",
    "cli/params.rs",
    "config/environment.rs",
    "frame",
    "json.rs",
    "operation",
    "surface",
];

#[test]
fn where_secrets_pass_nothing_that_can_hold_a_text_derives_debug() {
    let src = root().join("src");
    let mut looked_at = 0;
    for (path, text) in sources(&src) {
        let inside = path.strip_prefix(&src).unwrap();
        if !OF_SECRETS.iter().any(|it| inside.starts_with(it)) {
            continue;
        }
        let shipped = text.split("#[cfg(test)]").next().unwrap();
        for derive in shipped.split("#[derive(").skip(1) {
            looked_at += 1;
            let traits = derive.split(')').next().unwrap();
            let has = |name: &str| traits.split(", ").any(|it| it == name);
            // What is Copy holds no text, and an error's text is what it tells.
            let harmless = has("Copy") || has("thiserror::Error");
            assert!(
                !has("Debug") || harmless,
                "{}: #[derive({traits})]",
                path.display()
            );
        }
    }
    assert!(looked_at > 40, "only {looked_at}");
}

/// Every file under `folder`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

#[test]
fn every_shipped_file_is_read_by_a_test() {
    let mut tests = files(&root().join("tests"));
    tests.push(root().join(".ci/run"));
    // What is no text names nothing.
    let tests = tests
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok());
    let tests: Vec<String> = tests.collect();
    let shipped = ["config", "systemd"].map(|folder| files(&root().join(folder)));
    for path in shipped.concat() {
        let named = path.strip_prefix(root()).unwrap();
        // A test that goes through a whole folder names that.
        let folder = format!("\"{}\"", named.parent().unwrap().display());
        let named = named.to_str().unwrap();
        let is_read = |text: &String| text.contains(named) || text.contains(&folder);
        assert!(tests.iter().any(is_read), "no test reads {named}");
    }
}

#[test]
fn the_root_holds_what_it_should() {
    let allowed = [
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE",
        "README.md",
        "config",
        "src",
        "systemd",
        "target",
        "tests",
    ];
    for entry in fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            name.starts_with('.') || allowed.contains(&name.as_str()),
            "{name}"
        );
    }
}
