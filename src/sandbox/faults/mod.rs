//! Faults on demand: rules that say which requests go wrong, how often, and how.
//!
//! It only picks the fault; the gate carries it out. Rules are tried in the order they came in,
//! and the first that matches and is due is the one.

mod act;
mod body;

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Deserialize;

pub(super) use self::act::{Act, Drop, Hang};
pub(super) use self::body::distorted;

/// Most rules at once.
const MAX_RULES: usize = 100;

/// Which requests a rule is about; what is absent matches all.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Match {
    method: Option<String>,
    /// A prefix, with or without `/api/v10`.
    path: Option<String>,
    channel_id: Option<String>,
}

impl Match {
    fn fits(&self, method: &str, path: &str) -> bool {
        let below = path.strip_prefix("/api/v10").unwrap_or(path);
        let is_prefix = |prefix: &String| {
            path.starts_with(prefix.as_str()) || below.starts_with(prefix.as_str())
        };
        let is_channel = |id: &String| {
            let mut segments = below.split('/').skip(1);
            segments.next() == Some("channels") && segments.next() == Some(id)
        };
        self.method.as_ref().is_none_or(|it| it == method)
            && self.path.as_ref().is_none_or(is_prefix)
            && self.channel_id.as_ref().is_none_or(is_channel)
    }
}

/// A rule: which requests, how many of them, and what becomes of each.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    #[serde(default, rename = "match")]
    matching: Match,
    /// Matching requests that are let through first.
    #[serde(default)]
    after: u64,
    /// Faults before the rule is spent; 0 is without end. One, unless `percent` is given.
    times: Option<u64>,
    /// How many of a hundred matching requests go wrong, by chance.
    percent: Option<u64>,
    /// The same seed picks the same requests.
    #[serde(default)]
    seed: u64,
    #[serde(rename = "do")]
    act: Act,
    #[serde(skip)]
    seen: u64,
    #[serde(skip)]
    fired: u64,
}

impl Rule {
    /// Looks for what serde cannot see.
    ///
    /// # Errors
    ///
    /// When a value is out of its range, or two faults exclude each other.
    fn check(&self) -> Result<(), String> {
        if self.percent.is_some_and(|percent| percent > 100) {
            return Err("percent: at most 100".to_owned());
        }
        self.act.check()
    }

    fn is_due(&mut self) -> bool {
        let index = self.seen;
        self.seen += 1;
        let times = self.times.unwrap_or(u64::from(self.percent.is_none()));
        let is_spent = times > 0 && self.fired >= times;
        let is_picked = self
            .percent
            .is_none_or(|percent| scrambled(self.seed, index) % 100 < percent);
        let is_due = index >= self.after && !is_spent && is_picked;
        self.fired += u64::from(is_due);
        is_due
    }
}

/// The rules in force.
#[derive(Default)]
pub(super) struct Faults(Mutex<Vec<Rule>>);

impl Faults {
    /// Adds rules behind those in force, and gives how many there are now.
    ///
    /// # Errors
    ///
    /// When a rule is bad or there are too many; then none is added.
    pub(super) fn add(&self, rules: Vec<Rule>) -> Result<usize, String> {
        for rule in &rules {
            rule.check()?;
        }
        let mut known = self.rules();
        if known.len() + rules.len() > MAX_RULES {
            return Err(format!("at most {MAX_RULES} rules"));
        }
        known.extend(rules);
        Ok(known.len())
    }

    /// Forgets all rules.
    pub(super) fn clear(&self) {
        self.rules().clear();
    }

    /// Gives the fault for a request, if one is due.
    pub(super) fn take(&self, method: &str, path: &str) -> Option<Act> {
        let mut rules = self.rules();
        let mut matching = rules
            .iter_mut()
            .filter(|rule| rule.matching.fits(method, path));
        let due = matching.find_map(|rule| rule.is_due().then_some(rule))?;
        Some(due.act.clone())
    }

    fn rules(&self) -> MutexGuard<'_, Vec<Rule>> {
        // A panic while it was held loses at most one count.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives a number that looks like chance and is always the same: the `SplitMix64` of
/// <https://prng.di.unimi.it/splitmix64.c>.
fn scrambled(seed: u64, index: u64) -> u64 {
    let step = 0x9e37_79b9_7f4a_7c15_u64;
    let mut z = seed.wrapping_add(step.wrapping_mul(index.wrapping_add(1)));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn fired(rule: Value, path: &str) -> Vec<bool> {
        let faults = Faults::default();
        faults
            .add(vec![serde_json::from_value(rule).unwrap()])
            .unwrap();
        let take = |_| faults.take("GET", path).is_some();
        (0..6).map(take).collect()
    }

    #[test]
    fn rule_fires_as_often_as_it_says() {
        let (yes, no) = (true, false);
        for (rule, expected) in [
            (json!({}), [yes, no, no, no, no, no]),
            (
                json!({ "times": 2, "after": 1 }),
                [no, yes, yes, no, no, no],
            ),
            (json!({ "times": 0 }), [yes; 6]),
            (json!({ "percent": 100 }), [yes; 6]),
            (json!({ "percent": 0 }), [no; 6]),
            (json!({ "match": { "method": "POST" } }), [no; 6]),
            (
                json!({ "match": { "path": "/channels/" } }),
                [yes, no, no, no, no, no],
            ),
            (json!({ "match": { "path": "/api/v10/users" } }), [no; 6]),
            (
                json!({ "match": { "channel_id": "12" } }),
                [yes, no, no, no, no, no],
            ),
            (json!({ "match": { "channel_id": "1" } }), [no; 6]),
        ] {
            let mut whole = rule.clone();
            whole["do"] = json!({ "status": 500 });
            assert_eq!(fired(whole, "/api/v10/channels/12"), expected, "{rule}");
        }
    }

    #[test]
    fn chance_is_the_same_for_the_same_seed() {
        let picked = |seed: u64| -> Vec<bool> {
            (0..1000)
                .map(|index| scrambled(seed, index) % 100 < 30)
                .collect()
        };
        assert_eq!(picked(1), picked(1));
        assert_ne!(picked(1), picked(2));
        let count = picked(1).iter().filter(|picked| **picked).count();
        assert!((250..350).contains(&count), "{count}");
    }
}
