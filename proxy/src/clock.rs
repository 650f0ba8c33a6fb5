//! The one clock of decisions: monotonic, in nanoseconds from the process's start. What clients bring back later, or
//! to another proxy, is timed by the wall clock.

use std::sync::LazyLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The same of a time that was read before.
pub fn at(time: Instant) -> u64 {
    u64::try_from(time.saturating_duration_since(*START).as_nanos()).unwrap_or(u64::MAX)
}

/// Nanoseconds since this was first asked. Every bucket and every worker must use the same origin.
pub fn now() -> u64 {
    at(Instant::now())
}

/// Now by the wall clock, in seconds since 1970.
pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
