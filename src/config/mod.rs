//! Every setting, its default and its unit; the only place that reads the environment.
//!
//! Defaults < the file < `DISCORDD_*` < flags. It must not open, connect or write anything.

mod changes;
mod check;
mod doors;
mod environment;
mod files;
mod lists;
mod live;
mod show;
mod units;

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use figment::{
    Figment, Metadata, Profile, Provider, Source,
    providers::{Format, Serialized, Toml},
    util::nest,
    value::{Dict, Map, Value},
};
use serde::{Deserialize, Serialize};

use self::environment::ENVIRONMENT;
pub use self::{
    doors::{AUTO, DoorSettings, DoorTls, Place},
    environment::{Environment, socket_candidates},
    files::KeyFile,
    lists::Several,
    live::Live,
    show::show,
    units::{BaseUrl, Mode, Size},
};

/// The file that is read when none is named, if it is there.
const DEFAULT_FILE: &str = "/etc/discordd/config.toml";
/// Where systemd's journal takes entries.
const JOURNALD_SOCKET: &str = "/run/systemd/journal/socket";
/// What figment calls the layer of the flags.
const FLAGS: &str = "flags";

/// Every setting.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where the daemon listens.
    pub listen: Listen,
    /// Doors beside those of `listen`.
    pub door: Vec<DoorSettings>,
    /// What callers with TLS are shown, and what they must show.
    pub tls: Tls,
    /// What one caller may use.
    pub limits: Limits,
    /// The way to Discord.
    pub discord: Discord,
    /// What is logged.
    pub log: Log,
    /// Names of the sockets that were passed in, in the order of their descriptors.
    #[serde(skip)]
    pub passed_sockets: Vec<String>,
}

/// Where the daemon listens.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// Paths of Unix sockets; `auto` takes the first of the usual places, an empty text none.
    pub unix: Several,
    /// Several of TCP ports, `HOST:PORT`; an empty text for none.
    pub tcp: Several,
    /// Mode of the Unix sockets.
    pub unix_mode: Mode,
    /// Group of the Unix sockets, by name or number; by default the process's own.
    pub unix_group: Option<String>,
    /// Whether callers at the TCP ports speak TLS.
    pub tls: DoorTls,
    /// Whether an address that is not loopback may be listened on without TLS.
    pub allow_insecure_tcp: bool,
    /// Hosts that requests over HTTP may name, beside those of loopback at a port on it.
    pub allowed_hosts: Several,
    /// Origins of web pages that may call.
    pub allowed_origins: Several,
}

/// TLS at the TCP ports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// PEM file with the certificate, and those between it and its authority behind it.
    pub certificate: Option<KeyFile>,
    /// PEM file with the certificate's key.
    pub key: Option<KeyFile>,
    /// PEM file with the authorities whose certificates callers must have.
    pub client_ca: Option<KeyFile>,
}

/// What one caller may use.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections at once, over all doors; further ones are told so and closed.
    pub connections: usize,
    /// Connections at once of one peer.
    pub connections_per_peer: usize,
    /// Calls to Discord at once, over all connections; further ones are refused with 503.
    pub calls: usize,
    /// Calls to Discord at once of one peer; further ones are refused with 503.
    pub calls_per_peer: usize,
    /// Calls under way at once on one connection; the daemon reads no further until one is done.
    pub calls_per_connection: usize,
    /// Largest JSON text or HTTP body taken.
    pub request_bytes: Size,
    /// Answers that may wait to be read on one connection before the daemon stops reading there.
    pub response_bytes: Size,
    /// Unfinished input, unread answers and long calls under way of all connections together.
    pub memory: Size,
    /// Calls in one batch.
    pub batch: usize,
    /// Deepest nesting of a JSON text.
    pub depth: usize,
    /// Time to the first byte of a connection.
    #[serde(with = "units::duration")]
    pub first_byte_timeout: Duration,
    /// Time for the head of an HTTP request.
    #[serde(with = "units::duration")]
    pub header_timeout: Duration,
    /// Time for the body of an HTTP request, and for a JSON text once begun.
    #[serde(with = "units::duration")]
    pub body_timeout: Duration,
    /// Time without the peer reading anything of an answer that waits for it.
    #[serde(with = "units::duration")]
    pub write_timeout: Duration,
    /// Time a connection may be open with nothing under way.
    #[serde(with = "units::duration")]
    pub idle_timeout: Duration,
    /// Time for one call, and the most that `timeout_ms` may ask for.
    #[serde(with = "units::duration")]
    pub call_timeout: Duration,
    /// Time that calls under way are given when the daemon is stopped.
    #[serde(with = "units::duration")]
    pub drain_timeout: Duration,
}

/// The way to Discord.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Discord {
    /// Origin under which `/api/v10/` is asked for.
    pub base_url: BaseUrl,
    /// PEM file with certificate authorities that are trusted beside the built-in ones.
    pub ca_file: Option<PathBuf>,
    /// Proxy for HTTPS, `http://[USER:PASSWORD@]HOST:PORT`, asked with CONNECT.
    pub https_proxy: Option<String>,
    /// How often a request is sent at most, the first time included.
    pub attempts: usize,
    /// Whether refusals are counted, so that no caller gets this machine's address kept out.
    pub guard: bool,
    /// One peer's share of the refusals that Discord allows an address, in percent.
    pub guard_share: usize,
    /// Whether TLS sessions with Discord may be resumed by later calls.
    pub tls_resumption: bool,
    /// Hosts for which no proxy is asked, from the environment's `NO_PROXY`.
    #[serde(skip)]
    pub no_proxy: String,
}

/// What is logged.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// What is shown, in the language of `RUST_LOG`.
    pub filter: String,
    /// How a line looks.
    pub format: LogFormat,
    /// The socket where systemd's journal takes entries.
    pub journald_socket: PathBuf,
    /// What standard error is, where it is the journal, from the environment's `JOURNAL_STREAM`.
    #[serde(skip)]
    pub journal_stream: Option<String>,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// The journal's own where standard error is the journal, text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// The journal's own.
    Journald,
    /// One JSON object a line.
    Json,
    /// Text.
    Text,
}

/// The settings are the reason why the daemon does not start.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the settings cannot be used")]
pub struct Unusable;

/// Settings from flags.
struct Flags(Dict);

/// Settings and what was noticed while they were read.
#[derive(Debug)]
pub struct Loaded {
    /// The settings in force.
    pub settings: Settings,
    /// Variables that start like settings and are none.
    pub unknown_variables: Vec<String>,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            unix: "auto".into(),
            tcp: "127.0.0.1:9091".into(),
            unix_mode: Mode::default(),
            unix_group: None,
            tls: DoorTls::default(),
            allow_insecure_tcp: false,
            allowed_hosts: Several::default(),
            allowed_origins: Several::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16_384,
            connections_per_peer: 12_288,
            calls: 512,
            calls_per_peer: 384,
            calls_per_connection: 64,
            request_bytes: Size::mebibytes(1),
            response_bytes: Size::mebibytes(1),
            memory: Size::mebibytes(3),
            batch: 100,
            depth: 128,
            first_byte_timeout: Duration::from_secs(60),
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(600),
            call_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(35),
        }
    }
}

impl Default for Discord {
    fn default() -> Self {
        Self {
            base_url: BaseUrl::default(),
            ca_file: None,
            https_proxy: None,
            attempts: 3,
            guard: true,
            guard_share: 20,
            tls_resumption: true,
            no_proxy: String::new(),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            filter: "info".to_owned(),
            format: LogFormat::default(),
            journald_socket: JOURNALD_SOCKET.into(),
            journal_stream: None,
        }
    }
}

impl Settings {
    /// Reads the settings: the file, the environment, and `flags` over both.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, a key is unknown, or a value is none that the key takes.
    pub fn load(
        file: Option<&Path>,
        environment: &Environment,
        flags: &[(&str, &str)],
    ) -> anyhow::Result<Loaded> {
        let (figment, unknown_variables) = layers(file, environment, flags)?;
        let mut settings: Self = figment
            .extract()
            .map_err(|err| anyhow::anyhow!("{}", sentence(&err)))?;
        environment.fill_in(&mut settings);
        settings.check()?;
        Ok(Loaded {
            settings,
            unknown_variables,
        })
    }

    /// Refuses what cannot work together, or is not safe unless said so.
    fn check(&self) -> anyhow::Result<()> {
        self.listen.check()?;
        self.tls.check()?;
        self.doors()?;
        self.discord.check()?;
        self.limits.check()
    }
}

/// Lays the sources of the settings over each other; gives the unknown variables with them.
fn layers(
    file: Option<&Path>,
    environment: &Environment,
    flags: &[(&str, &str)],
) -> anyhow::Result<(Figment, Vec<String>)> {
    let mut figment = Figment::from(Serialized::defaults(environment.defaults()));
    if let Some(file) = file {
        anyhow::ensure!(file.is_file(), "{}: there is no such file", file.display());
        figment = figment.merge(Toml::file_exact(file));
    } else {
        match fs::metadata(DEFAULT_FILE) {
            Ok(_) => figment = figment.merge(Toml::file_exact(DEFAULT_FILE)),
            Err(err) if err.kind() == io::ErrorKind::NotFound => {}
            Err(err) => return Err(err).context(DEFAULT_FILE),
        }
    }
    let (variables, unknown_variables) = environment.settings();
    let mut given = Dict::new();
    for (key, text) in flags {
        put(&mut given, key, Value::from(*text));
    }
    let figment = figment.merge(variables).merge(Flags(given));
    Ok((figment, unknown_variables))
}

/// Puts a value under a dotted key.
fn put(dict: &mut Dict, key: &str, value: Value) {
    let Some((group, rest)) = key.split_once('.') else {
        dict.insert(key.to_owned(), value);
        return;
    };
    if let Some(Value::Dict(_, inner)) = dict.get_mut(group) {
        put(inner, rest, value);
    } else {
        dict.insert(group.to_owned(), nest(rest, value));
    }
}

impl Provider for Flags {
    fn metadata(&self) -> Metadata {
        Metadata::named(FLAGS)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.0.clone()))
    }
}

/// Names the key and where it was set, for each thing wrong.
fn sentence(err: &figment::Error) -> String {
    let all = err.clone().into_iter().map(|one| {
        let mut text = one.kind.to_string();
        let keys: Vec<&str> = one.path.iter().map(String::as_str).collect();
        let metadata = one.metadata.as_ref();
        let variable = metadata.filter(|it| it.name == ENVIRONMENT);
        let key = variable.map(|it| it.interpolate(&Profile::Default, &keys));
        if !keys.is_empty() {
            text.push_str(" for key ");
            text.push_str(&key.unwrap_or_else(|| keys.join(".")));
        }
        // The file as it was named: figment itself tells the way to it from the working directory.
        if let Some(Source::File(path)) = metadata.and_then(|it| it.source.as_ref()) {
            text.push_str(" in ");
            text.push_str(&path.display().to_string());
        }
        text
    });
    all.collect::<Vec<_>>().join("; ")
}
