//! What of changed settings only a restart puts in force.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{DoorSettings, Settings};

/// Groups and settings that a reload puts in force.
const RELOADED: [&str; 4] = ["log.filter", "tls.certificate", "tls.client_ca", "tls.key"];
/// Settings of a door that it does.
const RELOADED_OF_DOOR: [&str; 8] = [
    "channels",
    "client_certificate",
    "gids",
    "guilds",
    "methods",
    "read_only",
    "secret_file",
    "uids",
];

impl Settings {
    /// Names what is other in `new` and stays as it is here until a restart.
    #[must_use]
    pub fn needs_restart(&self, new: &Self) -> Vec<String> {
        let mut named: Vec<String> = differing(&flat(self), &flat(new))
            .filter(|key| !RELOADED.contains(key) && !key.starts_with("door"))
            .map(str::to_owned)
            .collect();
        for door in &self.door {
            match find(door, &new.door) {
                Some(now) => named.extend(of_door(door, now)),
                None => named.push(format!("door {door}, which is gone")),
            }
        }
        let added = new.door.iter().filter(|it| find(it, &self.door).is_none());
        named.extend(added.map(|door| format!("door {door}, which is new")));
        named
    }
}

fn find<'a>(door: &DoorSettings, among: &'a [DoorSettings]) -> Option<&'a DoorSettings> {
    among.iter().find(|it| it.address == door.address)
}

fn of_door(before: &DoorSettings, now: &DoorSettings) -> Vec<String> {
    let (all_before, all_now) = (flat(before), flat(now));
    let keys = differing(&all_before, &all_now);
    let keys = keys.filter(|key| {
        let name = key.split('.').next().unwrap_or(key);
        !RELOADED_OF_DOOR.contains(&name)
    });
    keys.map(|key| format!("{key} of door {before}")).collect()
}

/// The keys whose values are not the same.
fn differing<'a>(
    one: &'a BTreeMap<String, Value>,
    other: &'a BTreeMap<String, Value>,
) -> impl Iterator<Item = &'a str> {
    let missing = other.keys().filter(|key| !one.contains_key(*key));
    let other_value = |(key, value): &(&String, &Value)| other.get(*key) != Some(*value);
    let changed = one.iter().filter(other_value).map(|(key, _)| key);
    changed.chain(missing).map(String::as_str)
}

/// Every dotted key with its value; lists are values.
fn flat(settings: &impl serde::Serialize) -> BTreeMap<String, Value> {
    fn collect(value: Value, path: &str, all: &mut BTreeMap<String, Value>) {
        if let Value::Object(members) = value {
            for (key, value) in members {
                let dot = if path.is_empty() { "" } else { "." };
                collect(value, &format!("{path}{dot}{key}"), all);
            }
        } else {
            all.insert(path.to_owned(), value);
        }
    }
    let mut all = BTreeMap::new();
    let value = serde_json::to_value(settings).expect("settings are texts, numbers and lists");
    collect(value, "", &mut all);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{DoorTls, KeyFile, Place};

    #[test]
    fn what_stays_until_a_restart_is_named() {
        let door = |path: &str| DoorSettings::at(Place::Unix(path.to_owned()));
        let before = Settings {
            door: vec![door("a"), door("b")],
            ..Settings::default()
        };
        assert_eq!(before.needs_restart(&before), [""; 0]);
        let mut now = before.clone();
        now.log.filter = "debug".to_owned();
        now.tls.key = Some(KeyFile::Credential("key".to_owned()));
        now.door[0].read_only = true;
        now.door[0].uids = Some("1".into());
        assert_eq!(before.needs_restart(&now), [""; 0]);
        now.limits.calls = 7;
        now.listen.unix_group = Some("root".to_owned());
        now.door[0].tls = DoorTls::Required;
        now.door[1] = door("c");
        let expected = [
            "limits.calls",
            "listen.unix_group",
            "tls of door unix:a",
            "door unix:b, which is gone",
            "door unix:c, which is new",
        ];
        assert_eq!(before.needs_restart(&now), expected);
    }
}
