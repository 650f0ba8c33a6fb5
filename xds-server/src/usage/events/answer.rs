//! What a receiver's answer means for the events that were sent, and how long to wait before the next try.

use std::time::Duration;

/// The receiver's answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It has the events.
    Taken,
    /// Nothing is wrong with the events, or nobody knows: they are sent again, not before this has passed.
    Again(Option<Duration>),
    /// At least one of the events is wrong, and all the same it will not take them.
    Refused,
}

/// How long is waited after failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// After the first; it doubles with each failure,
    pub first: Duration,
    /// up to this.
    pub longest: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        Self { first: Duration::from_secs(1), longest: Duration::from_secs(300) }
    }
}

/// The longest wait that a receiver can ask for.
const MAX_ASKED: Duration = Duration::from_secs(3600);

/// Reads the status of an answer and its `retry-after`.
///
/// Statuses that are about whoever sends or about the place (401, 403, 404, 405, 415, redirections ...) say
/// nothing about events: they are sent again until somebody has mended the settings. 409 is of an event that
/// is there already.
pub fn judge(status: u16, retry_after: Option<&str>, now_ms: i64) -> Answer {
    match status {
        200..=299 => Answer::Taken,
        400 | 406 | 409..=411 | 413 | 414 | 416..=418 | 421 | 422 | 424 | 431 | 451 => Answer::Refused,
        _ => Answer::Again(retry_after.and_then(|text| asked(text, now_ms))),
    }
}

/// `retry-after`: seconds, or a date.
fn asked(text: &str, now_ms: i64) -> Option<Duration> {
    let wait = match text.trim().parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text.trim()).ok()?;
            Duration::from_millis(date.as_millisecond().saturating_sub(now_ms).try_into().unwrap_or(0))
        }
    };
    Some(wait.min(MAX_ASKED))
}

impl Waits {
    /// How long to wait after so many failures in a row (from 1). `chance`, from 0 to 1, is drawn anew each
    /// time, so that servers that failed together do not come back together.
    pub fn after(&self, failures: u32, asked: Option<Duration>, chance: f64) -> Duration {
        let doubled = self.first.saturating_mul(2u32.saturating_pow(failures.saturating_sub(1).min(16)));
        let base = doubled.min(self.longest);
        base.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0).max(asked.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_about_the_events_is_taken_as_one() {
        for (status, answer) in [
            (200, Answer::Taken),
            (204, Answer::Taken),
            (400, Answer::Refused),
            (413, Answer::Refused),
            (422, Answer::Refused),
            // A token that has expired, or a wrong URL, must not throw events away.
            (401, Answer::Again(None)),
            (403, Answer::Again(None)),
            (404, Answer::Again(None)),
            (301, Answer::Again(None)),
            (408, Answer::Again(None)),
            (425, Answer::Again(None)),
            (429, Answer::Again(None)),
            (500, Answer::Again(None)),
            (503, Answer::Again(None)),
        ] {
            assert_eq!(judge(status, None, 0), answer, "{status}");
        }
    }

    #[test]
    fn a_receiver_may_ask_for_time() {
        let wait = |text| judge(429, Some(text), 784_111_770_000);
        assert_eq!(wait("17"), Answer::Again(Some(Duration::from_secs(17))));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:37 GMT"), Answer::Again(Some(Duration::from_secs(7))));
        assert_eq!(wait("Sun, 06 Nov 1993 08:49:37 GMT"), Answer::Again(None));
        assert_eq!(wait("999999999999"), Answer::Again(Some(MAX_ASKED)));
        assert_eq!(wait("soon"), Answer::Again(None));
    }

    #[test]
    fn waits_grow_to_a_bound_and_are_no_shorter_than_asked() {
        let wait = |failures, asked, chance| Waits::default().after(failures, asked, chance);
        let waits: Vec<_> = (1..=12).map(|n| wait(n, None, 1.0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        assert_eq!(wait(3, None, 0.0), Duration::from_secs(2));
        assert_eq!(wait(1, Some(Duration::from_secs(60)), 0.0), Duration::from_secs(60));
        assert_eq!(wait(u32::MAX, None, 1.0), Duration::from_secs(300));
    }
}
