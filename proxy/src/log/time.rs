//! Times as people read them, without allocation.

use std::time::{SystemTime, UNIX_EPOCH};

/// `2026-11-24T19:15:00.123Z`, in ASCII (RFC 3339, milliseconds, UTC).
pub(super) struct Rfc3339(pub(super) [u8; 24]);

impl From<SystemTime> for Rfc3339 {
    /// Times before 1970 are 1970, those after 9999 its last day.
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = since.as_secs().min(253_402_300_799);
        let (year, month, day) = date(seconds / 86_400);
        let second = seconds % 86_400;
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let second = second as u32;
        let mut two = |at: usize, number: u32| {
            text[at] = b'0' + (number / 10) as u8;
            text[at + 1] = b'0' + (number % 10) as u8;
        };
        two(0, year as u32 / 100);
        two(2, year as u32 % 100);
        two(5, month as u32);
        two(8, day as u32);
        two(11, second / 3600);
        two(14, second / 60 % 60);
        two(17, second % 60);
        two(20, since.subsec_millis() / 10);
        text[22] = b'0' + (since.subsec_millis() % 10) as u8;
        Self(text)
    }
}

/// Year, month and day of the Gregorian calendar, from days since 1970. Years are taken to begin in
/// March, so that the leap day is their last.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}
