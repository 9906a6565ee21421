//! The dashboard and the rules that are shipped: they ask for nothing that there is not.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use serde_json::Value;

use crate::support::{daemon::Daemon, page::read_page};

/// Where nobody is.
const NOWHERE: &str = "http://127.0.0.1:9";
/// Labels that Prometheus puts to every sample.
const OF_PROMETHEUS: [&str; 2] = ["instance", "job"];

/// The name of every sample there is, with its labels and their values.
type Known = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn known() -> Known {
    let daemon = Daemon::start(NOWHERE, &[]);
    let accept = [("accept", "application/openmetrics-text")];
    let page = daemon.http().send("GET", "/metrics", &accept, b"");
    let mut known = Known::new();
    for (name, family) in read_page(&String::from_utf8(page.body).unwrap()) {
        for (end, labels) in family.samples {
            let of_sample = known.entry(format!("{name}{end}")).or_default();
            for label in labels.split("\",").filter(|it| !it.is_empty()) {
                let (key, value) = label.split_once("=\"").unwrap();
                let values = of_sample.entry(key.to_owned()).or_default();
                values.insert(value.trim_end_matches('"').to_owned());
            }
        }
    }
    known
}

/// Holds that a question in Prometheus' language asks for what there is; gives what it asks for.
fn check(question: &str, known: &Known) -> BTreeSet<String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut asked = BTreeSet::new();
    let (mut labels, mut rest) = (BTreeSet::new(), question);
    while let Some(start) = rest.find(word) {
        let end = rest[start..].find(|c| !word(c));
        let end = end.map_or(rest.len(), |it| start + it);
        let name = &rest[start..end];
        rest = &rest[end..];
        if !name.starts_with("discordd_") && !name.starts_with("process_") {
            continue;
        }
        let of_sample = known.get(name);
        let of_sample = of_sample.unwrap_or_else(|| panic!("no {name}: {question}"));
        asked.insert(name.to_owned());
        labels.extend(of_sample.keys().map(String::as_str));
        if let Some(inside) = rest.strip_prefix('{') {
            let (matchers, behind) = inside.split_once('}').unwrap();
            rest = behind;
            for matcher in matchers.split("\",") {
                check_matcher(matcher.trim().trim_end_matches('"'), of_sample, question);
            }
        }
    }
    for grouped in question.split("by (").skip(1) {
        for label in grouped.split(')').next().unwrap().split(',') {
            let there_is = labels.contains(label.trim()) || OF_PROMETHEUS.contains(&label.trim());
            assert!(there_is, "no label {label}: {question}");
        }
    }
    asked
}

/// Holds that a label is one of the sample's, and every value that is named one of the label's.
fn check_matcher(matcher: &str, of_sample: &BTreeMap<String, BTreeSet<String>>, question: &str) {
    let (key, value) = matcher
        .split_once("=\"")
        .or_else(|| matcher.split_once("=~\""))
        .unwrap();
    if OF_PROMETHEUS.contains(&key) {
        return;
    }
    let known = of_sample.get(key);
    let known = known.unwrap_or_else(|| panic!("no label {key}: {question}"));
    for value in value.split('|') {
        let there_is = match value.strip_suffix("[.].*") {
            Some(start) => known.iter().any(|it| it.starts_with(start)),
            None => known.contains(value),
        };
        assert!(there_is, "no {key} {value}: {question}");
    }
}

/// Every question that stands somewhere in a dashboard.
fn questions<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Array(list) => list.iter().for_each(|it| questions(it, found)),
        Value::Object(members) => {
            found.extend(members.get("expr").and_then(Value::as_str));
            members.values().for_each(|it| questions(it, found));
        }
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn the_dashboard_asks_for_what_there_is_and_leaves_nothing_of_ours_out() {
    let known = known();
    let dashboard: Value = serde_json::from_str(&read("config/grafana/discordd.json")).unwrap();
    let mut found = Vec::new();
    questions(&dashboard, &mut found);
    let asked: BTreeSet<String> = found.iter().flat_map(|it| check(it, &known)).collect();
    for name in known.keys().filter(|name| name.starts_with("discordd_")) {
        let part = name.ends_with("_sum") || name.ends_with("_count");
        assert!(part || asked.contains(name), "no panel shows {name}");
    }
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<u64> = panels.iter().map(|it| it["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        assert!(
            panel["description"].as_str().unwrap().ends_with('.'),
            "{panel}"
        );
        assert_eq!(panel["datasource"]["uid"], "${datasource}");
        assert!(
            panel["fieldConfig"]["defaults"]["unit"].is_string(),
            "{panel}"
        );
    }
}

#[test]
fn the_rules_ask_for_what_there_is() {
    let (known, rules) = (known(), read("config/prometheus/alerts.yml"));
    let mut count = 0;
    for rule in rules.split("- alert: ").skip(1) {
        let (_, rule) = rule.split_once("expr:").unwrap();
        let (question, rest) = rule.split_once("labels:").unwrap();
        assert!(!check(question, &known).is_empty(), "{question}");
        assert!(
            rest.contains("summary:") && rest.contains("description:"),
            "{rest}"
        );
        count += 1;
    }
    assert_eq!(count, rules.matches("expr:").count());
    assert!(count > 4, "only {count}");
}

#[test]
fn a_question_for_what_there_is_not_is_found() {
    let values = BTreeSet::from(["1".to_owned()]);
    let labels = BTreeMap::from([("b".to_owned(), values)]);
    let known = Known::from([("discordd_a".to_owned(), labels)]);
    let wrong = |question: &str| std::panic::catch_unwind(|| check(question, &known)).is_err();
    for right in [
        r#"sum by (b, job) (rate(discordd_a{b="1", job=~"$job"}[5m]))"#,
        r#"1 - discordd_a{b=~"1|1"}"#,
        "vector(1)",
    ] {
        assert!(!wrong(right), "{right}");
    }
    for question in [
        "discordd_c",
        "process_c / discordd_a",
        r#"discordd_a{c="1"}"#,
        r#"discordd_a{b="2"}"#,
        r#"discordd_a{b=~"1|2"}"#,
        "sum by (c) (discordd_a)",
    ] {
        assert!(wrong(question), "{question}");
    }
}
