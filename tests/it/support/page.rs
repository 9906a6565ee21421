//! A page of figures in the format of `OpenMetrics`.

use std::collections::BTreeMap;

/// What is written about one figure.
#[derive(Default)]
pub(crate) struct Family {
    pub(crate) kind: String,
    pub(crate) unit: Option<String>,
    /// What stands behind the name of each sample, and its labels.
    pub(crate) samples: Vec<(String, String)>,
}

/// Reads a page of figures strictly: each has its help, its type, its unit and its samples together.
pub(crate) fn read_page(text: &str) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "HELP", name, help] => {
                assert!(
                    help.starts_with(char::is_uppercase) && !help.ends_with('.'),
                    "{line}"
                );
                name.clone_into(&mut current);
                let before = families.insert(current.clone(), Family::default());
                assert!(before.is_none(), "{name} twice");
            }
            ["#", "TYPE", name, kind] if name == current => {
                kind.clone_into(&mut families.get_mut(name).unwrap().kind);
            }
            ["#", "UNIT", name, unit] if name == current => {
                families.get_mut(name).unwrap().unit = Some(unit.to_owned());
            }
            ["#", "EOF"] => {}
            _ => {
                let (sample, value) = line.rsplit_once(' ').unwrap();
                value.parse::<f64>().unwrap();
                let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
                let rest = name
                    .strip_prefix(&current)
                    .unwrap_or_else(|| panic!("{line}"));
                let family = families.get_mut(&current).unwrap();
                family
                    .samples
                    .push((rest.to_owned(), labels.trim_end_matches('}').to_owned()));
            }
        }
    }
    families
}
