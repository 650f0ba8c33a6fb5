//! Waiting on conditions, never on time. Deadlines are generous: a slow machine is not a failure.

use std::time::{Duration, Instant};

/// After this a condition is given up.
pub const PATIENCE: Duration = Duration::from_secs(40);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Looks again and again until `look` says something.
///
/// # Panics
/// When [`PATIENCE`] is over.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(PAUSE);
    }
}

/// The same, of a look that says why it is not satisfied yet.
pub fn until_ok<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        match look() {
            Ok(found) => return found,
            Err(why) => assert!(Instant::now() < end, "waited {PATIENCE:?} for {what}; at last: {why}"),
        }
        std::thread::sleep(PAUSE);
    }
}
