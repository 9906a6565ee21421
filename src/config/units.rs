//! Values that carry a unit or a form of their own.

use std::{fmt, str::FromStr};

use bytesize::ByteSize;
use hyper::{
    Uri,
    http::uri::{Parts, Scheme},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A number of bytes, written `10MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(ByteSize);

/// The permission bits of a socket, written in octal between quotes: `"0660"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode(u32);

/// An origin: scheme, host and port, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    uri: Uri,
    scheme: Scheme,
}

impl Size {
    pub(super) const fn mebibytes(count: u64) -> Self {
        Self(ByteSize::mib(count))
    }

    /// The number of bytes.
    #[must_use]
    pub fn bytes(self) -> usize {
        usize::try_from(self.0.as_u64()).unwrap_or(usize::MAX)
    }
}

impl Mode {
    /// The permission bits.
    #[must_use]
    pub fn bits(self) -> u32 {
        self.0
    }
}

impl Default for Mode {
    fn default() -> Self {
        Self(0o660)
    }
}

impl BaseUrl {
    /// The origin as a URI with an empty path.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// `http` or `https`.
    #[must_use]
    pub fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// The host, an IPv6 address without its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        let host = self.uri.host().unwrap_or_default();
        host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Host and port as they stand in a `Host` header.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.uri.authority().map_or("", |it| it.as_str())
    }

    /// Whether this is Discord itself.
    #[must_use]
    pub fn is_discord(&self) -> bool {
        self == &Self::default()
    }
}

impl Default for BaseUrl {
    fn default() -> Self {
        "https://discord.com"
            .parse()
            .expect("a constant that a test parses")
    }
}

impl FromStr for BaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = "an origin such as https://discord.com or http://127.0.0.1:8080 is wanted";
        let parts: Parts = text.parse::<Uri>().map_err(|_| wanted)?.into_parts();
        let path = parts.path_and_query.as_ref().map_or("", |it| it.as_str());
        let user = parts
            .authority
            .as_ref()
            .is_some_and(|it| it.as_str().contains('@'));
        if !matches!(path, "" | "/") || user {
            return Err(format!("{wanted}, without a path or a user"));
        }
        let scheme = parts.scheme.clone().filter(|scheme| {
            let schemes = [Scheme::HTTP, Scheme::HTTPS];
            schemes.contains(scheme)
        });
        let scheme = scheme.ok_or(wanted)?;
        let uri = Uri::from_parts(parts).map_err(|_| wanted)?;
        Ok(Self { uri, scheme })
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority())
    }
}

impl<'de> Deserialize<'de> for BaseUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl Serialize for BaseUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mode = u32::from_str_radix(&text, 8).ok();
        mode.filter(|bits| *bits <= 0o777)
            .map(Self)
            .ok_or_else(|| de::Error::custom("a mode such as \"0660\", in octal, is wanted"))
    }
}

impl Serialize for Mode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:04o}", self.0))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let size = text.parse().map(Self);
        size.map_err(|_| de::Error::custom("a size with a unit, such as \"10MiB\", is wanted"))
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes = self.0.as_u64();
        for (unit, name) in [(1 << 20, "MiB"), (1 << 10, "KiB")] {
            if bytes > 0 && bytes.is_multiple_of(unit) {
                return serializer.collect_str(&format_args!("{}{name}", bytes / unit));
            }
        }
        serializer.collect_str(&format_args!("{bytes}B"))
    }
}

/// Durations with a unit, written `8s` or `500ms`.
pub(super) mod duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_duration(&text).map_err(|_| {
            de::Error::custom("a time with a unit, such as \"8s\" or \"500ms\", is wanted")
        })
    }

    pub(in crate::config) fn serialize<S: Serializer>(
        duration: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(*duration))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_no_path_and_no_user() {
        let discord = BaseUrl::default();
        assert_eq!(discord.to_string(), "https://discord.com");
        assert_eq!(discord.host(), "discord.com");
        assert!(discord.is_discord());
        let local: BaseUrl = "http://[::1]:8080/".parse().unwrap();
        assert_eq!((local.host(), local.authority()), ("::1", "[::1]:8080"));
        for wrong in [
            "",
            "discord.com",
            "ftp://a",
            "http://a/b",
            "http://u:p@a",
            "/x",
        ] {
            assert!(wrong.parse::<BaseUrl>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn modes_are_octal_and_sizes_have_units() {
        let mode: Mode = serde_json::from_str(r#""0660""#).unwrap();
        assert_eq!(mode.bits(), 0o660);
        assert!(serde_json::from_str::<Mode>(r#""0999""#).is_err());
        assert!(serde_json::from_str::<Mode>(r#""7777""#).is_err());
        let size: Size = serde_json::from_str(r#""10MiB""#).unwrap();
        assert_eq!(size.bytes(), 10 << 20);
        assert_eq!(serde_json::to_string(&size).unwrap(), r#""10MiB""#);
    }
}
