//! `discordd config`, and that `config/discordd.toml` is what the code says.

use std::{collections::BTreeSet, fs, path::Path};

use discordd::config::{Environment, Settings};
use figment::{Figment, providers::Serialized, value::Value};
use toml_edit::{DocumentMut, Item, Table};

use crate::support::daemon::{Folder, run};

const FILE: &str = include_str!("../../config/discordd.toml");

/// Runs `discordd config`; gives the exit code with what was printed on both.
fn config(args: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
    let output = run(&[&["config"], args].concat(), variables);
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), stdout, stderr)
}

/// The file with the keys that have no default: those behind a `#` without a space.
fn with_examples() -> String {
    let is_key = |rest: &str| rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '[');
    let lines = FILE.lines().map(|line| match line.strip_prefix('#') {
        Some(rest) if is_key(rest) => rest,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Every dotted key of a file.
fn keys_of_file(text: &str) -> BTreeSet<String> {
    fn collect(table: &Table, prefix: &str, keys: &mut BTreeSet<String>) {
        for (key, item) in table {
            match item {
                Item::Table(table) => collect(table, &format!("{prefix}{key}."), keys),
                Item::ArrayOfTables(_) | Item::None | Item::Value(_) => {
                    keys.insert(format!("{prefix}{key}"));
                }
            }
        }
    }
    let document: DocumentMut = text.parse().unwrap();
    let mut keys = BTreeSet::new();
    collect(document.as_table(), "", &mut keys);
    keys
}

/// Every dotted key of the code, and whether it has a default.
fn keys_of_code() -> Vec<(String, bool)> {
    fn collect(value: &Value, path: &str, keys: &mut Vec<(String, bool)>) {
        if let Value::Dict(_, dict) = value {
            for (key, value) in dict {
                let dot = if path.is_empty() { "" } else { "." };
                collect(value, &format!("{path}{dot}{key}"), keys);
            }
            return;
        }
        let empty_list = value.as_array().is_some_and(<[Value]>::is_empty);
        let unset = matches!(value, Value::Empty(..));
        keys.push((path.to_owned(), !unset && !empty_list));
    }
    let defaults = Figment::from(Serialized::defaults(Settings::default()));
    let mut keys = Vec::new();
    collect(&defaults.extract().unwrap(), "", &mut keys);
    keys
}

/// The settings that a file gives, as JSON.
fn loaded(file: &Path) -> serde_json::Value {
    let loaded = Settings::load(Some(file), &Environment::default(), &[]).unwrap();
    serde_json::to_value(loaded.settings).unwrap()
}

#[test]
fn the_file_in_the_repository_lists_every_setting_with_its_default() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/discordd.toml");
    let defaults = serde_json::to_value(Settings::default()).unwrap();
    assert_eq!(loaded(&path), defaults, "a value is not the default");
    let (set, listed) = (keys_of_file(FILE), keys_of_file(&with_examples()));
    for (key, has_default) in keys_of_code() {
        assert!(
            listed.contains(&key),
            "{key} is not in config/discordd.toml"
        );
        assert!(
            set.contains(&key) || !has_default,
            "{key} has a default: take away its #"
        );
    }
    // A key that the code does not know is refused, and so is an example that cannot be used.
    let folder = Folder::new();
    let examples = folder.join("examples.toml");
    fs::write(&examples, with_examples()).unwrap();
    assert_ne!(loaded(&examples), defaults);
}

#[test]
fn every_key_in_the_file_is_commented() {
    let mut above = "";
    for line in with_examples().lines() {
        let is_key = !line.starts_with('#') && !line.is_empty();
        assert!(
            !is_key || above.starts_with("# ") || above.starts_with('['),
            "{line}"
        );
        above = line;
    }
}

#[test]
fn default_prints_the_file() {
    assert_eq!(
        config(&["default"], &[]),
        (0, FILE.to_owned(), String::new())
    );
}

#[test]
fn show_tells_where_each_setting_comes_from() {
    let folder = Folder::new();
    let file = folder.join("config.toml");
    let path = file.to_str().unwrap();
    fs::write(&file, "[limits]\ncalls = 3\nbatch = 4\n").unwrap();
    let variables = [
        ("DISCORDD_LIMITS__BATCH", "5"),
        (
            "DISCORDD_DISCORD__HTTPS_PROXY",
            "http://user:secret@proxy:3128",
        ),
        ("SSL_CERT_FILE", "/some/ca.pem"),
        ("RUST_LOG", "warn"),
    ];
    let args = ["show", "--config", path, "--tcp", "127.0.0.1:7"];
    let (code, stdout, stderr) = config(&args, &variables);
    assert_eq!((code, stderr.as_str()), (0, ""));
    for line in [
        "tcp = \"127.0.0.1:7\" # a flag",
        "unix = \"auto\" # default",
        &format!("calls = 3 # {path}"),
        "batch = 5 # DISCORDD_LIMITS__BATCH",
        "https_proxy = \"http://***@proxy:3128\" # DISCORDD_DISCORD__HTTPS_PROXY",
        "ca_file = \"/some/ca.pem\" # SSL_CERT_FILE",
        "filter = \"warn\" # RUST_LOG",
    ] {
        assert!(stdout.lines().any(|it| it == line), "no {line} in {stdout}");
    }
    assert!(!stdout.contains("secret"), "{stdout}");
    let (_, stdout, _) = config(&["show"], &[("HTTPS_PROXY", "http://u:secret@h:1")]);
    let line = "https_proxy = \"http://***@h:1\" # HTTPS_PROXY";
    assert!(
        stdout.contains(line) && !stdout.contains("secret"),
        "{stdout}"
    );
    assert!(stdout.contains("\n# Not set: discord.ca_file"), "{stdout}");
}

#[test]
fn what_show_prints_is_a_file_that_gives_the_same_settings() {
    let folder = Folder::new();
    let file = folder.join("shown.toml");
    let (code, stdout, _) = config(&["show"], &[("DISCORDD_LIMITS__CALLS", "9")]);
    assert_eq!(code, 0);
    fs::write(&file, stdout).unwrap();
    let mut expected = serde_json::to_value(Settings::default()).unwrap();
    expected["limits"]["calls"] = 9.into();
    assert_eq!(loaded(&file), expected);
}

#[test]
fn check_says_ok_or_why_not() {
    let folder = Folder::new();
    let file = folder.join("config.toml");
    let path = file.to_str().unwrap();
    fs::write(&file, FILE).unwrap();
    let ok = config(&["check", "--config", path], &[("DISCORDD_NONSENSE", "1")]);
    assert_eq!((ok.0, ok.1.as_str()), (0, "ok: the settings can be used\n"));
    assert!(ok.2.contains("DISCORDD_NONSENSE"), "{}", ok.2);
    for (text, variables, reason) in [
        ("[limits]\ncal_timeout = \"8s\"\n", vec![], "cal_timeout"),
        ("[limits]\ncalls = 0\n", vec![], "limits.calls"),
        ("[listen\n", vec![], path),
        (
            "[listen]\nallowed_origins = [\"https://a.example\", \"https://b.example/\"]\n",
            vec![],
            "listen.allowed_origins: \"https://b.example/\"",
        ),
        (
            "[listen]\nallowed_hosts = \"http://a.example\"\n",
            vec![],
            "listen.allowed_hosts: \"http://a.example\"",
        ),
        (
            "",
            vec![("DISCORDD_LISTEN__ALLOWED_ORIGINS", "*")],
            "listen.allowed_origins: \"*\"",
        ),
        ("[log]\nfilter = \"a=b=c\"\n", vec![], "log.filter"),
        (
            "[discord]\nca_file = \"/nowhere.pem\"\n",
            vec![],
            "/nowhere.pem",
        ),
        (
            "",
            vec![("DISCORDD_LISTEN__TCP", "0.0.0.0:1")],
            "allow_insecure_tcp",
        ),
    ] {
        fs::write(&file, text).unwrap();
        let (code, stdout, stderr) = config(&["check", "--config", path], &variables);
        assert_eq!((code, stdout.as_str()), (78, ""), "{text}: {stderr}");
        assert!(stderr.contains(reason), "{text}: {stderr}");
    }
    assert_eq!(config(&["check", "--config", "/nowhere.toml"], &[]).0, 78);
    assert_eq!(config(&["check", "--no-such-flag"], &[]).0, 64);
    assert_eq!(config(&["show", "--config", "/nowhere.toml"], &[]).0, 78);
}
