//! How long to wait before the next attempt to connect.

use std::time::Duration;

/// Longest wait after the first failure.
const FIRST: Duration = Duration::from_millis(200);
/// Longest wait after any number of failures.
const LONGEST: Duration = Duration::from_secs(10);

/// The wait before the attempt after `failures` failures in a row: exponential, with full jitter
/// (`jitter` is uniform in 0..1), so that a fleet does not come back in step.
pub fn delay(failures: u32, jitter: f64) -> Duration {
    let ceiling = FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST);
    ceiling.mul_f64(jitter.clamp(0.0, 1.0))
}

/// A stream that lived for so long has done some work.
const LIVED: Duration = Duration::from_secs(1);

/// Whether to connect again at once: the server ended a stream that lived for `lived` because what the proxy proved
/// itself by has ended (`unauthenticated`), and its successor lies on disk. A server that ends each stream so is not
/// asked again and again.
pub fn at_once(unauthenticated: bool, lived: Option<Duration>) -> bool {
    unauthenticated && lived.is_some_and(|lived| lived >= LIVED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lived_for_a_while_is_replaced_at_once() {
        assert!(at_once(true, Some(LIVED)));
        assert!(!at_once(false, Some(LIVED)), "another end waits");
        assert!(!at_once(true, Some(LIVED / 2)), "no loop");
        assert!(!at_once(true, None), "a refusal at the door waits");
    }

    #[test]
    fn waits_double_up_to_a_bound_and_are_spread_down_to_zero() {
        let longest: Vec<_> = (1..=8).map(|failures| delay(failures, 1.0).as_millis()).collect();
        assert_eq!(longest, [200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        assert_eq!(delay(u32::MAX, 1.0), LONGEST);
        assert_eq!(delay(3, 0.0), Duration::ZERO);
        assert_eq!(delay(3, 0.5).as_millis(), 400);
    }
}
