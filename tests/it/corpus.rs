//! What the fuzz targets have kept: what they hold of any input holds of these.

use std::{fs, panic, path::Path};

use checks::CHECKS;

#[allow(
    unreachable_pub,
    reason = "it is a library too, for the targets themselves"
)]
#[path = "../fuzz/src/lib.rs"]
pub(crate) mod checks;

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz"))
}

/// Runs the check of this name on everything in its corpus.
fn go_through(name: &str) {
    let (_, check) = CHECKS.iter().find(|(it, _)| *it == name).unwrap();
    let mut inputs = 0;
    for entry in fs::read_dir(folder().join("corpus").join(name)).unwrap() {
        let path = entry.unwrap().path();
        let input = fs::read(&path).unwrap();
        let held = panic::catch_unwind(|| check(&input));
        assert!(held.is_ok(), "see above: {}", path.display());
        inputs += 1;
    }
    assert!(inputs > 10, "only {inputs}");
}

#[test]
fn answers() {
    go_through("answers");
}

#[test]
fn connections() {
    go_through("connection");
}

#[test]
fn documents() {
    go_through("document");
}

#[test]
fn messages() {
    go_through("messages");
}

#[test]
fn pages() {
    go_through("pages");
}

#[test]
fn params() {
    go_through("params");
}

#[test]
fn sayings() {
    go_through("said");
}

#[test]
fn texts() {
    go_through("texts");
}

#[test]
fn every_target_has_its_check_and_its_corpus() {
    let manifest = fs::read_to_string(folder().join("Cargo.toml")).unwrap();
    for (name, _) in CHECKS {
        assert!(
            manifest.contains(&format!("path = \"targets/{name}.rs\"")),
            "{name}"
        );
        let target = fs::read_to_string(folder().join(format!("targets/{name}.rs"))).unwrap();
        assert!(
            target.contains(&format!("discordd_fuzz::{name}::check(bytes)")),
            "{name}"
        );
    }
    assert_eq!(manifest.matches("[[bin]]").count(), CHECKS.len());
    let kept = fs::read_dir(folder().join("corpus")).unwrap();
    assert_eq!(kept.count(), CHECKS.len());
}
