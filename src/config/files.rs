//! Files that hold what is not for everybody: certificates, keys and secrets.

use std::{fmt, path::PathBuf, str::FromStr};

use anyhow::Context;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::Environment;

/// How the name of a file begins that systemd passes in.
const CREDENTIAL: &str = "credential:";

/// A file: its path, or `credential:NAME` for one that systemd passes to the service.
/// See <https://systemd.io/CREDENTIALS>.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyFile {
    /// One of the service's credentials.
    Credential(String),
    /// Any other.
    Path(PathBuf),
}

impl KeyFile {
    /// Where the file is.
    ///
    /// # Errors
    ///
    /// When it is a credential, and the process was given none.
    pub fn path(&self, environment: &Environment) -> anyhow::Result<PathBuf> {
        match self {
            Self::Path(path) => Ok(path.clone()),
            Self::Credential(name) => {
                let folder = environment.get("CREDENTIALS_DIRECTORY");
                let folder = folder.with_context(|| {
                    format!(
                        "{self}: systemd passed no credentials: $CREDENTIALS_DIRECTORY is not set"
                    )
                })?;
                Ok(PathBuf::from(folder).join(name))
            }
        }
    }
}

impl fmt::Display for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Credential(name) => write!(f, "{CREDENTIAL}{name}"),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}

impl FromStr for KeyFile {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix(CREDENTIAL) {
            None if text.is_empty() => Err("a path, or credential:NAME, is wanted"),
            None => Ok(Self::Path(PathBuf::from(text))),
            // The names that systemd takes: see systemd.exec(5).
            Some(name) if name.is_empty() || name.contains('/') || name.starts_with('.') => {
                Err("the name of a credential has no slash and does not begin with a dot")
            }
            Some(name) => Ok(Self::Credential(name.to_owned())),
        }
    }
}

impl<'de> Deserialize<'de> for KeyFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl Serialize for KeyFile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
