//! Instants as people write them: read, and written. Never asks what time it is.

use std::time::Duration;

use time::format_description::well_known::Iso8601;
use time::{OffsetDateTime, PrimitiveDateTime, UtcOffset};

/// What is read.
const FORMS: &str = "2026-11-28T03:00:00+01:00, 2026-11-28T02:00:00Z or +2h30m";

/// An instant in milliseconds since 1970: a span from now, or a date and a time with its zone.
///
/// # Errors
/// What is wrong with it, in a sentence.
pub fn read(text: &str, now_unix_ms: u64) -> Result<u64, String> {
    let text = text.trim();
    if let Some(span) = text.strip_prefix('+') {
        let span = humantime::parse_duration(span)
            .map_err(|why| format!("'{text}' is no span from now such as +2h30m: {why}"))?;
        let span = u64::try_from(span.as_millis()).ok();
        return span.and_then(|span| now_unix_ms.checked_add(span)).ok_or_else(|| far(text));
    }
    match OffsetDateTime::parse(text, &Iso8601::PARSING) {
        Ok(at) => unix_ms(at).ok_or_else(|| far(text)),
        Err(_) if PrimitiveDateTime::parse(text, &Iso8601::PARSING).is_ok() => {
            Err(format!("'{text}' does not say its zone: end it with Z or such as +01:00"))
        }
        Err(_) => Err(format!("'{text}' is no time such as {FORMS}")),
    }
}

/// The same, and without a zone by the clock on the wall here, whose offset at an instant `offset_at` knows.
///
/// # Errors
/// As [`read`]; also a time that the wall clock here shows never, or twice.
pub fn read_here(
    text: &str,
    now_unix_ms: u64,
    offset_at: impl Fn(OffsetDateTime) -> Option<UtcOffset>,
) -> Result<u64, String> {
    let Ok(at) = PrimitiveDateTime::parse(text.trim(), &Iso8601::PARSING) else {
        return read(text, now_unix_ms);
    };
    if OffsetDateTime::parse(text.trim(), &Iso8601::PARSING).is_ok() {
        return read(text, now_unix_ms);
    }
    let day = Duration::from_secs(24 * 60 * 60);
    let around = [at.assume_utc() - day, at.assume_utc() + day].map(&offset_at);
    let [Some(before), Some(after)] = around else {
        let why = "the zone of this machine is not known: end it with Z or such as +01:00";
        return Err(format!("'{text}': {why}"));
    };
    let is_so = |offset: UtcOffset| offset_at(at.assume_offset(offset)) == Some(offset);
    match (is_so(before), is_so(after)) {
        (true, true) if before != after => Err(format!(
            "'{text}' is twice here, the clocks are put back then: end it with {} or {}",
            zone(before),
            zone(after)
        )),
        (true, _) => unix_ms(at.assume_offset(before)).ok_or_else(|| far(text)),
        (false, true) => unix_ms(at.assume_offset(after)).ok_or_else(|| far(text)),
        (false, false) => Err(format!(
            "'{text}' is never here, the clocks are put forward then: say another time"
        )),
    }
}

/// `+01:00`
fn zone(offset: UtcOffset) -> String {
    let (hours, minutes, _) = offset.as_hms();
    let sign = if offset.is_negative() { '-' } else { '+' };
    format!("{sign}{:02}:{:02}", hours.abs(), minutes.abs())
}

fn far(text: &str) -> String {
    format!("'{text}' is too far from now")
}

fn unix_ms(at: OffsetDateTime) -> Option<u64> {
    u64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok()
}

/// `in 2h 3m`, `20m ago`: how far an instant is from now.
#[must_use]
pub fn distance(at_unix_ms: u64, now_unix_ms: u64) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    let seconds = at_unix_ms.abs_diff(now_unix_ms) / 1_000;
    let shown = if seconds < HOUR { seconds } else { seconds / MINUTE * MINUTE };
    let span = humantime::format_duration(Duration::from_secs(shown));
    match (shown, at_unix_ms > now_unix_ms) {
        (0, _) => "now".to_owned(),
        (_, true) => format!("in {span}"),
        (_, false) => format!("{span} ago"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-27T12:00:00Z
    const NOW: u64 = 1_795_780_800_000;
    const HOUR: u64 = 3_600_000;

    /// As in Berlin in 2026: an hour, and from 29 March 01:00 to 25 October 01:00 by UTC another one.
    fn berlin(at: OffsetDateTime) -> Option<UtcOffset> {
        let summer = (1_774_746_000..1_792_890_000).contains(&at.unix_timestamp());
        UtcOffset::from_hms(if summer { 2 } else { 1 }, 0, 0).ok()
    }

    #[test]
    fn an_instant_says_its_zone_or_counts_from_now() {
        for (text, at) in [
            ("2026-11-27T13:00:00Z", NOW + HOUR),
            ("2026-11-27T13:00:00+01:00", NOW),
            ("2026-11-27T13:00+01:00", NOW),
            ("2026-11-27T06:30:00-06:30", NOW + HOUR),
            (" 2026-11-27T12:00:00.250Z ", NOW + 250),
            ("+2h", NOW + 2 * HOUR),
            ("+1h 30m", NOW + HOUR + HOUR / 2),
        ] {
            assert_eq!(read(text, NOW), Ok(at), "{text}");
            assert_eq!(read_here(text, NOW, berlin), Ok(at), "{text}");
        }
        for (text, says) in [
            ("2026-11-27T13:00", "does not say its zone"),
            ("tomorrow", "is no time such as"),
            ("2026-13-01T00:00:00Z", "is no time such as"),
            ("", "is no time such as"),
            ("+2", "is no span from now"),
            ("+", "is no span from now"),
            ("+999999999999y", "is no span from now"),
            ("1969-12-31T00:00:00Z", "too far from now"),
        ] {
            let why = read(text, NOW).expect_err(text);
            assert!(why.contains(says), "{text}: {why}");
        }
    }

    #[test]
    fn a_time_without_a_zone_is_that_of_the_clock_on_the_wall() {
        for (text, at) in [
            ("2026-11-27T13:00", NOW),
            ("2026-11-27T13:00:30", NOW + 30_000),
            ("2026-07-01T14:00", 1_782_907_200_000),
        ] {
            assert_eq!(read_here(text, NOW, berlin), Ok(at), "{text}");
        }
        for (text, says) in [
            ("2026-03-29T02:30", "is never here"),
            (
                "2026-10-25T02:30",
                "is twice here, the clocks are put back then: end it with +02:00 or +01:00",
            ),
            ("tonight", "is no time such as"),
        ] {
            let why = read_here(text, NOW, berlin).expect_err(text);
            assert!(why.contains(says), "{text}: {why}");
        }
        let why = read_here("2026-11-27T13:00", NOW, |_| None).expect_err("nobody knows");
        assert!(why.contains("the zone of this machine is not known"), "{why}");
    }

    #[test]
    fn fuzz_moments() {
        let examples =
            ["2026-11-27T13:00:00.5+01:00", "2026-11-27T13:00", "+1h 30m", "2026-W48-5T13:00Z"];
        crate::fuzz::text(&examples, |text| match read_here(text, NOW, berlin) {
            Ok(at) => assert!(!distance(at, NOW).is_empty()),
            Err(why) => assert!(why.starts_with('\''), "{why}"),
        });
    }

    #[test]
    fn how_far_it_is_is_said_as_people_say_it() {
        assert_eq!(distance(NOW, NOW), "now");
        assert_eq!(distance(NOW + 90_500, NOW), "in 1m 30s");
        assert_eq!(distance(NOW + 2 * HOUR + 185_000, NOW), "in 2h 3m");
        assert_eq!(distance(NOW - 20 * 60_000, NOW), "20m ago");
    }
}
