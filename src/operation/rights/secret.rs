//! The secrets of a door, of which only hashes are kept.

use std::{fs, path::Path, sync::LazyLock};

use anyhow::Context;
use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    hmac::{HMAC_SHA256, Key, sign},
    rand::SystemRandom,
};
use secrecy::{ExposeSecret, SecretString};

/// Shortest secret taken, in characters: what is shorter can be guessed.
const MIN_CHARS: usize = 16;
/// Longest secret taken, in characters.
pub(super) const MAX_CHARS: usize = 512;
/// Length of a hash, in bytes.
const HASH_BYTES: usize = 32;

/// A secret that was shown, or that is wanted, as its hash under a key of the process.
#[derive(Clone, Copy)]
pub struct Secret([u8; HASH_BYTES]);

impl Secret {
    /// Hashes a text.
    #[must_use]
    pub fn of(text: &[u8]) -> Self {
        static KEY: LazyLock<Key> = LazyLock::new(|| {
            let random = SystemRandom::new();
            Key::generate(HMAC_SHA256, &random).expect("the kernel gives random bytes")
        });
        let mut hash = [0; HASH_BYTES];
        hash.copy_from_slice(sign(&KEY, text).as_ref());
        Self(hash)
    }

    /// Whether both are the same, told in a time that does not depend on it.
    pub(super) fn is(&self, other: &Self) -> bool {
        verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

/// Reads the secrets in a file, one a line.
pub(super) fn read(file: &Path) -> anyhow::Result<Vec<Secret>> {
    let text = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    let text = SecretString::from(text);
    let lines = text.expose_secret().lines().map(str::trim);
    let mut secrets = Vec::new();
    for line in lines.filter(|line| !line.is_empty()) {
        let is_plain = line.bytes().all(|byte| byte.is_ascii_graphic());
        anyhow::ensure!(
            is_plain && (MIN_CHARS..=MAX_CHARS).contains(&line.len()),
            "{}: a secret has {MIN_CHARS} to {MAX_CHARS} visible ASCII characters on a line",
            file.display()
        );
        secrets.push(Secret::of(line.as_bytes()));
    }
    anyhow::ensure!(
        !secrets.is_empty(),
        "{}: there is no secret in it",
        file.display()
    );
    Ok(secrets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_itself_and_no_other() {
        let secret = Secret::of(b"correct horse battery staple");
        assert!(secret.is(&Secret::of(b"correct horse battery staple")));
        for other in [
            &b"correct horse battery stapl"[..],
            b"correct horse battery staple ",
            b"",
        ] {
            assert!(!secret.is(&Secret::of(other)));
        }
    }
}
