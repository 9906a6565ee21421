//! The environment: settings named `DISCORDD_*`, and what other programs' variables say.

use std::{collections::BTreeMap, path::PathBuf};

use figment::{
    Figment, Metadata, Profile, Provider,
    providers::Serialized,
    value::{Dict, Map, Value},
};

use super::{Settings, Several, put};

/// How the name of a setting's variable begins.
const PREFIX: &str = "DISCORDD_";
/// What Kubernetes sets for a Service named `discordd`.
const OF_KUBERNETES: [&str; 2] = ["DISCORDD_PORT", "DISCORDD_SERVICE_"];
/// Name of the Unix socket in its folder.
const SOCKET: &str = "discordd.sock";

/// What figment calls the layer of the variables.
pub(super) const ENVIRONMENT: &str = "environment";
/// What a socket is called that was passed in without a name.
const NAMELESS: &str = "unknown";
/// Settings that variables of other programs give, best first.
const OF_OTHERS: [(&str, &[&str]); 3] = [
    ("discord.ca_file", &["SSL_CERT_FILE"]),
    ("discord.https_proxy", &["HTTPS_PROXY", "https_proxy"]),
    ("log.filter", &["RUST_LOG"]),
];

/// The environment of the process, read once.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

/// Settings from variables, with the names that a message about one of them needs.
pub(super) struct Variables(Dict);

impl Environment {
    /// Reads the process's environment. Variables that are no text are left out.
    #[must_use]
    pub fn of_process() -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that may")]
        let variables = std::env::vars_os();
        let texts = variables.filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        Self(texts.collect())
    }

    /// The value of a variable, unless it is missing or empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.get(name).map(String::as_str);
        value.filter(|value| !value.is_empty())
    }

    /// The names of the sockets that were passed in to this process, in the order of their descriptors.
    /// See <https://www.freedesktop.org/software/systemd/man/latest/sd_listen_fds.html>.
    fn passed_sockets(&self) -> Vec<String> {
        let for_us = self.number("LISTEN_PID") == Some(std::process::id());
        let count = self.number("LISTEN_FDS").filter(|_| for_us);
        let names = self.get("LISTEN_FDNAMES").unwrap_or_default();
        let names = names.split(':').chain(std::iter::repeat(""));
        let names = names.take(count.unwrap_or_default() as usize);
        let or_nameless = |name: &str| if name.is_empty() { NAMELESS } else { name }.to_owned();
        names.map(or_nameless).collect()
    }

    fn number(&self, name: &str) -> Option<u32> {
        self.get(name)?.parse().ok()
    }

    /// The settings of a process that is given none.
    pub(super) fn defaults(&self) -> Settings {
        let mut defaults = Settings::default();
        if !self.passed_sockets().is_empty() {
            // Whoever passes sockets in wants those. What `auto` means is told where it is opened.
            defaults.listen.tcp = Several::default();
        }
        defaults
    }

    /// The settings among the variables, and the names that only look like settings.
    pub(super) fn settings(&self) -> (Variables, Vec<String>) {
        let defaults = Figment::from(Serialized::defaults(Settings::default()));
        let mut found = Dict::new();
        let mut unknown = Vec::new();
        if let Some(filter) = self.get("RUST_LOG") {
            put(&mut found, "log.filter", Value::from(filter));
        }
        for (name, text) in &self.0 {
            let Some(key) = name.strip_prefix(PREFIX) else {
                continue;
            };
            if OF_KUBERNETES.iter().any(|start| name.starts_with(start)) {
                continue;
            }
            let key = key.to_lowercase().replace("__", ".");
            match defaults.find_value(&key) {
                Err(_) | Ok(Value::Dict(..)) => unknown.push(name.clone()),
                Ok(default) => put(&mut found, &key, of_the_same_kind(&default, text)),
            }
        }
        (Variables(found), unknown)
    }

    /// The variable that gives a setting, if one does.
    pub(super) fn source_of(&self, key: &str) -> Option<&str> {
        let own = self.0.keys().find(|name| {
            let rest = name.strip_prefix(PREFIX);
            rest.is_some_and(|rest| rest.to_lowercase().replace("__", ".") == key)
        });
        let others = OF_OTHERS.iter().filter(|(of, _)| *of == key);
        let mut others = others.flat_map(|(_, names)| names.iter().copied());
        own.map(String::as_str)
            .or_else(|| others.find(|name| self.get(name).is_some()))
    }

    /// What other programs' variables say of things that no setting says.
    pub(super) fn fill_in(&self, settings: &mut Settings) {
        settings.passed_sockets = self.passed_sockets();
        let first = |names: [&str; 2]| names.iter().find_map(|name| self.get(name));
        let discord = &mut settings.discord;
        if discord.ca_file.is_none() {
            discord.ca_file = self.get("SSL_CERT_FILE").map(PathBuf::from);
        }
        if discord.https_proxy.is_none() {
            discord.https_proxy = first(["HTTPS_PROXY", "https_proxy"]).map(str::to_owned);
        }
        let none = first(["NO_PROXY", "no_proxy"]).unwrap_or_default();
        none.clone_into(&mut discord.no_proxy);
        settings.log.journal_stream = self.get("JOURNAL_STREAM").map(str::to_owned);
    }
}

/// Where the Unix socket may be, best first.
#[must_use]
pub fn socket_candidates(environment: &Environment) -> Vec<PathBuf> {
    if let Some(folders) = environment.get("RUNTIME_DIRECTORY") {
        let first = folders.split(':').next().unwrap_or(folders);
        return vec![PathBuf::from(first).join(SOCKET)];
    }
    let of_user = environment.get("XDG_RUNTIME_DIR").map(PathBuf::from);
    let folders = [Some(PathBuf::from("/run/discordd")), of_user];
    let paths = folders.into_iter().flatten();
    paths.map(|folder| folder.join(SOCKET)).collect()
}

/// A text stays a text where the setting is one; elsewhere it is read as a number or a switch.
fn of_the_same_kind(default: &Value, text: &str) -> Value {
    match default {
        Value::Bool(..) | Value::Num(..) => text.parse().unwrap_or_else(|_| Value::from(text)),
        Value::Array(..)
        | Value::Char(..)
        | Value::Dict(..)
        | Value::Empty(..)
        | Value::String(..) => Value::from(text),
    }
}

impl Provider for Variables {
    fn metadata(&self) -> Metadata {
        Metadata::named(ENVIRONMENT).interpolater(|_, keys| {
            let name = keys.join("__").to_uppercase();
            format!("{PREFIX}{name}")
        })
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.0.clone()))
    }
}
