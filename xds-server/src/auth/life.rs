//! How long a credential holds, whatever the clock does. Pure.

use std::time::{Duration, Instant, SystemTime};

/// The two clocks, read together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The wall clock, which people and other machines set.
    pub wall: SystemTime,
    /// The monotonic clock, which nobody sets.
    pub mono: Instant,
}

/// The rest of a credential's life, as it was when it was first seen.
///
/// It ends when the wall clock says so, or when as much time has passed as was left: a wall clock that is set
/// back keeps nothing alive beyond its stated life. One that was wrong and is set right ends what has expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    expires: SystemTime,
    /// None: so far away that no clock reaches it.
    deadline: Option<Instant>,
}

impl Now {
    /// `after` later, by both clocks.
    pub fn plus(self, after: Duration) -> Self {
        Self { wall: self.wall + after, mono: self.mono + after }
    }
}

impl Life {
    /// The life of what expires at `expires`, seen first at `now`.
    pub fn new(expires: SystemTime, now: Now) -> Self {
        let left = expires.duration_since(now.wall).unwrap_or(Duration::ZERO);
        Self { expires, deadline: now.mono.checked_add(left) }
    }

    /// Whether it is over.
    pub fn is_over(&self, now: Now) -> bool {
        self.is_over_by_wall(now) || self.deadline.is_some_and(|deadline| now.mono >= deadline)
    }

    /// Whether the wall clock alone says so: then nothing needs to be remembered of it.
    pub fn is_over_by_wall(&self, now: Now) -> bool {
        now.wall >= self.expires
    }

    /// When it ends by the wall clock.
    pub fn expires(&self) -> SystemTime {
        self.expires
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn start() -> Now {
        Now { wall: SystemTime::UNIX_EPOCH + 500_000 * HOUR, mono: Instant::now() }
    }

    #[test]
    fn it_ends_when_both_clocks_say_so() {
        let now = start();
        let life = Life::new(now.wall + HOUR, now);
        assert!(!life.is_over(now.plus(HOUR - Duration::from_millis(1))));
        assert!(life.is_over(now.plus(HOUR)));
    }

    #[test]
    fn a_wall_clock_set_back_keeps_nothing_alive() {
        let now = start();
        let life = Life::new(now.wall + HOUR, now);
        let back = |after: Duration| Now { wall: now.wall + after - 10 * HOUR, mono: now.mono + after };
        assert!(!life.is_over(back(HOUR / 2)), "half of its life is left");
        assert!(life.is_over(back(HOUR)) && !life.is_over_by_wall(back(HOUR)));
    }

    #[test]
    fn a_wall_clock_set_forward_ends_what_it_says_is_over() {
        let now = start();
        let life = Life::new(now.wall + HOUR, now);
        let later = now.plus(Duration::from_secs(1));
        assert!(life.is_over(Now { wall: later.wall + HOUR, ..later }));
        // Set right again: what was not over by either clock is not.
        assert!(!life.is_over(later));
    }

    #[test]
    fn what_is_over_when_it_is_first_seen_never_lives() {
        let now = start();
        assert!(Life::new(now.wall, now).is_over(now));
        assert!(Life::new(SystemTime::UNIX_EPOCH, now).is_over(Now { wall: SystemTime::UNIX_EPOCH, ..now }));
    }

    #[test]
    fn an_end_beyond_every_clock_is_no_fault() {
        let now = start();
        let far = SystemTime::UNIX_EPOCH + Duration::from_secs(i64::MAX as u64);
        assert!(!Life::new(far, now).is_over(now.plus(1000 * HOUR)));
    }
}
