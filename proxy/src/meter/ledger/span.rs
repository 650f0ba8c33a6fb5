//! The spans that windows are labelled with.
//!
//! The monotonic clock says how long a window was; the wall clock only says where it lies. So a step of the
//! wall clock moves a label, and never makes a span negative or a window long.

use std::time::Duration;

/// Both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since 1970 UTC.
    pub wall_ms: i64,
    /// Since some moment; it never goes back.
    pub monotonic: Duration,
}

/// From when to when, in milliseconds since 1970 UTC; the end is not part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its begin, a multiple of the window's length.
    pub started_ms: i64,
    /// Its end, a later one.
    pub ended_ms: i64,
}

/// The open window.
#[derive(Clone, Debug)]
pub struct Spans {
    length: i64,
    started_ms: i64,
    seen: Now,
    steps: u64,
}

impl Spans {
    /// Windows of a length (at least a millisecond); the first begins at the multiple of it before `now`.
    pub fn new(length: Duration, now: Now) -> Self {
        let length = i64::try_from(length.as_millis()).unwrap_or(i64::MAX / 4).clamp(1, i64::MAX / 4);
        Self { length, started_ms: floor(now.wall_ms, length), seen: now, steps: 0 }
    }

    /// How long it is until the next multiple of the length.
    pub fn wait(&self, now: Now) -> Duration {
        Duration::from_millis((self.length - now.wall_ms.rem_euclid(self.length)).unsigned_abs())
    }

    /// Looks at the clocks. If the wall clock was set by more than half a window since they were looked
    /// at before, the open window moves with it; the step in milliseconds is returned.
    pub fn observe(&mut self, now: Now) -> Option<i64> {
        let passed = i64::try_from(now.monotonic.saturating_sub(self.seen.monotonic).as_millis()).unwrap_or(i64::MAX);
        let step = now.wall_ms.saturating_sub(self.seen.wall_ms.saturating_add(passed));
        self.seen = now;
        if step.saturating_abs() > self.length / 2 {
            self.started_ms = nearest(self.started_ms.saturating_add(step), self.length);
            self.steps += 1;
            return Some(step);
        }
        // Steps that are too small to be seen may add up.
        self.started_ms = self.started_ms.min(floor(now.wall_ms, self.length).saturating_add(self.length));
        None
    }

    /// The open window, were it closed at `now`; `last` where this is not at a multiple of the length.
    pub fn span(&self, now: Now, last: bool) -> Span {
        let near = nearest(now.wall_ms, self.length);
        let end = if last { ceil(now.wall_ms, self.length) } else { near };
        Span { started_ms: self.started_ms, ended_ms: end.max(self.started_ms.saturating_add(self.length)) }
    }

    /// The window is logged: the next one begins where it ended.
    pub fn commit(&mut self, span: Span) {
        self.started_ms = span.ended_ms;
    }

    /// Begin of the open window.
    pub fn started_ms(&self) -> i64 {
        self.started_ms
    }

    /// Steps of the wall clock so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }
}

/// The multiple of `length` at or before `at`.
pub(super) fn floor(at: i64, length: i64) -> i64 {
    at.saturating_sub(at.rem_euclid(length))
}

/// The multiple of `length` at or after `at`.
fn ceil(at: i64, length: i64) -> i64 {
    floor(at.saturating_add(length - 1), length)
}

fn nearest(at: i64, length: i64) -> i64 {
    floor(at.saturating_add(length / 2), length)
}
