//! Makes ids that carry the time, as Discord's do, and reads the time back out.
//!
//! See <https://discord.com/developers/docs/reference#snowflakes>.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use twilight_model::id::Id;
use twilight_model::util::Timestamp;

/// First millisecond of 2015, from which snowflakes count.
const DISCORD_EPOCH_MS: u64 = 1_420_070_400_000;

/// A source of ids, each greater than the one before.
#[derive(Default)]
pub(super) struct Snowflakes(AtomicU64);

impl Snowflakes {
    /// Makes the next id. More than 4,194,304 a millisecond would run ahead of the clock.
    pub(super) fn next<T>(&self) -> Id<T> {
        let since_epoch = now_ms().saturating_sub(DISCORD_EPOCH_MS);
        let now = since_epoch << 22;
        let step = |last: u64| Some(now.max(last + 1));
        let last = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, step)
            .unwrap_or_default();
        Id::new(now.max(last + 1))
    }
}

/// Writes the time in an id as Discord writes times: microseconds and `+00:00`.
pub(super) fn timestamp<T>(id: Id<T>) -> String {
    iso_8601((id.get() >> 22) + DISCORD_EPOCH_MS)
}

/// Writes the time that is `ahead` of the one in an id.
pub(super) fn timestamp_after<T>(id: Id<T>, ahead: Duration) -> String {
    let ahead = u64::try_from(ahead.as_millis()).unwrap_or(u64::MAX);
    iso_8601(((id.get() >> 22) + DISCORD_EPOCH_MS).saturating_add(ahead))
}

/// Reads any time of RFC 3339 and writes it as Discord does.
pub(super) fn normal_time(text: &str) -> Option<String> {
    let utc = text
        .strip_suffix(['Z', 'z'])
        .map(|text| format!("{text}+00:00"));
    let time = Timestamp::parse(utc.as_deref().unwrap_or(text)).ok()?;
    Some(time.iso_8601().to_string())
}

fn iso_8601(milliseconds: u64) -> String {
    i64::try_from(milliseconds)
        .ok()
        .and_then(|milliseconds| milliseconds.checked_mul(1000))
        .and_then(|micros| Timestamp::from_micros(micros).ok())
        .map(|time| time.iso_8601().to_string())
        .unwrap_or_default()
}

/// Gives the time in milliseconds of the Unix epoch.
pub(super) fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use twilight_model::id::marker::MessageMarker;

    #[test]
    fn ids_rise_within_one_millisecond() {
        let snowflakes = Snowflakes::default();
        let ids: Vec<Id<MessageMarker>> = (0..1000).map(|_| snowflakes.next()).collect();
        assert!(ids.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn time_has_microseconds_and_an_offset() {
        let id: Id<MessageMarker> = Id::new(175_928_847_299_117_063);
        assert_eq!(timestamp(id), "2016-04-30T11:18:25.796000+00:00");
    }

    #[test]
    fn time_of_an_embed_loses_its_z() {
        let time = normal_time("2026-11-05T12:00:00.5Z");
        assert_eq!(time.unwrap(), "2026-11-05T12:00:00.500000+00:00");
        assert_eq!(normal_time("yesterday"), None);
    }
}
