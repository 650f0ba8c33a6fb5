//! How long to wait before the next try.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(10);

/// Doubling waits, up to 10 s, each shortened at random by up to a half: what failed for all at once does not come
/// back all at once.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Failures since the last success.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// All is well again.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Counts a failure. `random` is from 0 to 1; the API server may have asked for a longer wait.
    pub(super) fn next(&mut self, random: f64, asked: Option<Duration>) -> Duration {
        let doubled = FIRST.saturating_mul(1 << self.failures.min(8)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        let wait = doubled.mul_f64(1.0 - random.clamp(0.0, 1.0) / 2.0);
        // A minute at most: nobody would wait for more without a word.
        wait.max(asked.unwrap_or_default().min(Duration::from_secs(60)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_begin_anew() {
        let mut backoff = Backoff::default();
        let waits: Vec<u128> = (0..8).map(|_| backoff.next(0.0, None).as_millis()).collect();
        assert_eq!(waits, [250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
        assert_eq!(backoff.next(1.0, None), Duration::from_secs(5));
        assert_eq!(backoff.next(1.0, Some(Duration::from_secs(30))), Duration::from_secs(30));
        backoff.reset();
        assert_eq!(backoff.next(0.0, None), FIRST);
    }
}
