//! The trace that a caller says its call belongs to.
//! See <https://www.w3.org/TR/trace-context/#traceparent-header>.

use std::fmt;

use axum::http::HeaderMap;

/// What the header, and the member of MCP's `_meta`, is called.
pub(super) const NAME: &str = "traceparent";
/// How long it is, in bytes. Versions to come may have more behind it.
const BYTES: usize = 55;

/// A `traceparent` of the form that the standard wants.
#[derive(Clone, Copy)]
pub struct Traceparent([u8; BYTES]);

impl Traceparent {
    /// Takes a text for one; anything else is none.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (head, rest) = text.split_first_chunk::<BYTES>()?;
        let mut parts = head.split(|byte| *byte == b'-');
        let lengths = [2, 32, 16, 2];
        let well_formed = lengths.iter().all(|length| {
            let part = parts.next().unwrap_or_default();
            part.len() == *length
                && part
                    .iter()
                    .all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'))
        });
        let zero = |part: &[u8]| part.iter().all(|byte| *byte == b'0');
        let known = match &head[..2] {
            b"00" => rest.is_empty(),
            b"ff" => false,
            _ => rest.is_empty() || rest[0] == b'-',
        };
        let valid = well_formed && known && !zero(&head[3..35]) && !zero(&head[36..52]);
        valid.then_some(Self(*head))
    }

    /// Takes it from the headers of a request, if it stands there once.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut given = headers.get_all(NAME).iter();
        match (given.next(), given.next()) {
            (Some(only), None) => Self::parse(only.as_bytes()),
            (Some(_) | None, _) => None,
        }
    }
}

impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(&self.0).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_standard_allows_is_taken() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let taken = |text: &str| Traceparent::parse(text.as_bytes()).map(|it| it.to_string());
        assert_eq!(taken(good).as_deref(), Some(good));
        let later = good.replacen("00", "01", 1);
        assert_eq!(taken(&later), Some(later.clone()));
        assert_eq!(taken(&format!("{later}-more")), Some(later.clone()));
        for wrong in [
            "",
            "00",
            &good[1..],
            &format!("{good}-more"),
            &format!("{later}more"),
            &good.replacen("00", "ff", 1),
            &good.replace('b', "B"),
            &good.replace('b', "g"),
            &good.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &good.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &good.replace("-00f0", "0-0f0"),
            "MTE4NDAyOTMwMTI4NDkyMTM0NA.Gabcde.abcdefghijklmnopqrstuvwxyz0123456789AB",
        ] {
            assert_eq!(taken(wrong), None, "{wrong}");
        }
    }
}
