//! The flags that are settings: one for each that is often given by hand.

use std::path::{Path, PathBuf};

/// Flags over the settings of the file and the environment.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Flags {
    /// File to read the settings from, instead of /etc/discordd/config.toml.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Path of the Unix socket; an empty text for none.
    #[arg(long, value_name = "PATH")]
    unix: Option<String>,
    /// Address of the TCP port; an empty text for none.
    #[arg(long, value_name = "HOST:PORT")]
    tcp: Option<String>,
    /// What is logged, in the language of `RUST_LOG`.
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
}

impl Flags {
    /// The file that was named.
    pub(super) fn file(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    /// The settings that were given.
    pub(super) fn given(&self) -> Vec<(&'static str, &str)> {
        let flags = [
            ("listen.unix", &self.unix),
            ("listen.tcp", &self.tcp),
            ("log.filter", &self.log),
        ];
        let given = flags.into_iter();
        given
            .filter_map(|(key, value)| Some((key, value.as_deref()?)))
            .collect()
    }
}
