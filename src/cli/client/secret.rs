//! The callers' secret, as a door that asks for one wants to be shown it.

use std::{fs, path::Path};

use anyhow::Context as _;
use hyper::header::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};

/// The header that carries it over HTTP.
pub(super) const HEADER: &str = "discordd-secret";

/// A callers' secret: visible ASCII, so that it fits in a header. It has no `Debug`.
#[derive(Clone)]
pub(in crate::cli) struct Secret(SecretString);

impl Secret {
    /// Reads the first one in a file, which has one a line.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or what is in it is no secret.
    pub(in crate::cli) fn read(file: &Path) -> anyhow::Result<Self> {
        let named = || file.display().to_string();
        let text = fs::read_to_string(file).map(SecretString::from);
        let text = text.with_context(named)?;
        Self::parse(text.expose_secret()).with_context(named)
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let mut lines = text.lines().map(str::trim);
        let text = lines.find(|line| !line.is_empty()).unwrap_or_default();
        let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        anyhow::ensure!(
            fits,
            "a secret of visible ASCII characters, without spaces, is wanted"
        );
        Ok(Self(text.into()))
    }

    /// What is sent first on a raw connection, its line end included.
    pub(super) fn first_text(&self) -> String {
        let text = serde_json::json!({ "secret": self.0.expose_secret() });
        format!("{text}\n")
    }

    pub(super) fn header_value(&self) -> HeaderValue {
        let value = HeaderValue::from_str(self.0.expose_secret());
        let mut value = value.expect("visible ASCII can stand in a header");
        value.set_sensitive(true);
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_visible_ascii_and_goes_out_quoted() {
        let secret = Secret::parse("\na\"b\\c \nnext").map_err(drop).unwrap();
        assert_eq!(secret.first_text(), "{\"secret\":\"a\\\"b\\\\c\"}\n");
        assert_eq!(secret.header_value(), "a\"b\\c");
        assert!(secret.header_value().is_sensitive());
        for wrong in ["", "\n", "a b", "a b\nc", "\u{e9}"] {
            assert!(Secret::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
