//! Points in time and spans, as people write them and as they are shown.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// Milliseconds of an hour.
pub const HOUR_MS: i64 = 3_600_000;
/// Milliseconds of a day (UTC).
pub const DAY_MS: i64 = 24 * HOUR_MS;

/// A length of time that amounts are summed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// An hour.
    Hour,
    /// A day (UTC).
    Day,
}

impl Unit {
    /// Its milliseconds.
    pub const fn ms(self) -> i64 {
        match self {
            Unit::Hour => HOUR_MS,
            Unit::Day => DAY_MS,
        }
    }
}

/// A span of time in milliseconds since 1970 UTC; the end is not part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Begin; [`i64::MIN`]: all that came before.
    pub since_ms: i64,
    /// End; [`i64::MAX`]: all that comes after.
    pub until_ms: i64,
}

impl Span {
    /// All of time.
    pub const ALL: Span = Span { since_ms: i64::MIN, until_ms: i64::MAX };

    /// From the texts of `since` and `until` (see [`parse`]); absent: without that end.
    ///
    /// # Errors
    /// Which of the two cannot be read, or that the span ends before it begins.
    pub fn read(since: Option<&str>, until: Option<&str>, now_ms: i64) -> Result<Span, String> {
        let one = |name: &str, text: Option<&str>, open: i64| {
            text.map_or(Ok(open), |text| parse(text, now_ms).map_err(|error| format!("{name}: {error}")))
        };
        let span = Span { since_ms: one("since", since, i64::MIN)?, until_ms: one("until", until, i64::MAX)? };
        if span.until_ms < span.since_ms {
            let (since, until) = (show(span.since_ms), show(span.until_ms));
            return Err(format!("until: the span would end ({until}) before it begins ({since})"));
        }
        Ok(span)
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.since_ms >= self.until_ms
    }

    /// Whether it holds this point in time.
    pub fn holds(&self, ms: i64) -> bool {
        (self.since_ms..self.until_ms).contains(&ms)
    }
}

/// Reads a point in time: `now`; a length of time, which lies that far back (`90s`, `30m`, `24h`, `7d`,
/// `1h30m`); a date (its midnight, UTC); or RFC 3339, where a time without a zone is UTC.
///
/// # Errors
/// What the forms are.
pub fn parse(text: &str, now_ms: i64) -> Result<i64, String> {
    if text == "now" {
        return Ok(now_ms);
    }
    if let Some(back) = length(text) {
        return Ok(now_ms.saturating_sub(back));
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time.as_millisecond());
    }
    let civil = text.parse::<DateTime>().or_else(|_| text.parse::<Date>().map(|date| date.at(0, 0, 0, 0)));
    civil.and_then(|civil| civil.to_zoned(TimeZone::UTC)).map(|zoned| zoned.timestamp().as_millisecond()).map_err(|_| {
        format!(
            "`{text}` is no point in time; write RFC 3339, such as 2026-11-24T22:00:00Z, a date, `now`, or how long \
             ago, such as 90s, 30m, 24h or 7d"
        )
    })
}

/// A length of time in milliseconds: numbers with units.
fn length(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut sum: i64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let count: i64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let unit = match &rest[..letters] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => HOUR_MS,
            "d" => DAY_MS,
            "w" => 7 * DAY_MS,
            _ => return None,
        };
        sum = sum.checked_add(count.checked_mul(unit)?)?;
        rest = &rest[letters..];
    }
    (!text.is_empty()).then_some(sum)
}

/// RFC 3339 in UTC, with milliseconds only where there are any; what lies beyond the calendar is its
/// nearest end.
pub fn show(ms: i64) -> String {
    let time = Timestamp::from_millisecond(ms);
    time.unwrap_or(if ms < 0 { Timestamp::MIN } else { Timestamp::MAX }).to_string()
}

/// The last multiple of `unit` that is not after `ms`. An open end of a [`Span`] stays one.
pub fn floor(ms: i64, unit: i64) -> i64 {
    if ms == i64::MAX { ms } else { ms.checked_sub(ms.rem_euclid(unit)).unwrap_or(i64::MIN) }
}

/// The first multiple of `unit` that is not before `ms`. An open end of a [`Span`] stays one.
pub fn ceil(ms: i64, unit: i64) -> i64 {
    match ms.rem_euclid(unit) {
        0 => ms,
        _ if ms == i64::MIN => ms,
        over => ms.checked_add(unit - over).unwrap_or(i64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_000_000_123;

    #[test]
    fn points_in_time_are_read_as_people_write_them() {
        for (text, ms) in [
            ("now", NOW),
            ("24h", NOW - DAY_MS),
            ("7d", NOW - 7 * DAY_MS),
            ("1h30m", NOW - HOUR_MS - 30 * 60_000),
            ("90s", NOW - 90_000),
            ("1970-01-02T00:00:00Z", DAY_MS),
            ("1970-01-02T01:00:00+01:00", DAY_MS),
            ("1970-01-02T00:00:00", DAY_MS),
            ("1970-01-02T00:00:00.25Z", DAY_MS + 250),
            ("1970-01-02", DAY_MS),
        ] {
            assert_eq!(parse(text, NOW), Ok(ms), "{text}");
        }
        for text in ["", "yesterday", "h", "5", "5 h", "2026-13-01", "99999999999999999999h", "24h ago"] {
            assert!(parse(text, NOW).unwrap_err().contains("RFC 3339"), "{text}");
        }
    }

    #[test]
    fn a_span_says_which_end_is_wrong() {
        assert_eq!(Span::read(None, None, NOW), Ok(Span::ALL));
        assert_eq!(Span::read(Some("2h"), Some("1h"), NOW).map(|s| s.until_ms - s.since_ms), Ok(HOUR_MS));
        assert!(Span::read(Some("soon"), None, NOW).unwrap_err().starts_with("since: `soon`"));
        assert!(Span::read(None, Some("x"), NOW).unwrap_err().starts_with("until: `x`"));
        assert!(Span::read(Some("1h"), Some("2h"), NOW).unwrap_err().contains("before it begins"));
    }

    #[test]
    fn times_are_shown_in_utc_and_rounded_to_either_side() {
        assert_eq!(show(DAY_MS + 250), "1970-01-02T00:00:00.25Z");
        assert_eq!(show(0), "1970-01-01T00:00:00Z");
        assert_eq!((floor(-1, 10), ceil(-1, 10)), (-10, 0));
        assert_eq!((floor(20, 10), ceil(20, 10), ceil(21, 10)), (20, 20, 30));
        for end in [i64::MIN, i64::MAX] {
            assert_eq!((floor(end, HOUR_MS), ceil(end, DAY_MS)), (end, end));
        }
    }
}
