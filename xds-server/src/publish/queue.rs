//! Which statuses to look at, and when. Pure: time is passed in.
//!
//! An object stands in it once, however often it changes, so the queue is never longer than there are objects. What
//! changes often is written once in a while: [`PACE`]. Whoever else writes the same object over and over is answered
//! ever more slowly.
//!
//! There are two lines: what has changed, and all that a new leader looks at, which may be a whole fleet. The second
//! has one place of [`SHARE`] while the first has something that is due, so that an edit's status never waits for a
//! fleet's, nor a fleet's for ever for edits. An API server that is slow or says that it is busy is asked more slowly.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

use weir_config::kinds::ObjectKey;

use crate::seen::Digest;

/// Between a change and the first look: what changes together is written together.
pub(super) const SETTLE: Duration = Duration::from_millis(100);
/// Between two writes of one object.
pub(super) const PACE: Duration = Duration::from_secs(1);
/// Objects a second that are looked at in the cluster, all together, and how many may come at once.
const RATE: f64 = 200.0;
const BURST: f64 = 50.0;
/// The rate under which an API server that is busy brings it no more.
const SLOWEST: f64 = 5.0;
/// From the slowest rate back to the full one.
const RECOVERY: Duration = Duration::from_secs(30);
/// A busy API server halves the rate once in this time: what is under way was asked before it was heard of.
const BREATH: Duration = Duration::from_secs(1);
/// Of so many objects one is of the second line.
const SHARE: u32 = 8;
/// How often writes of long ago are forgotten.
const SWEEP: Duration = Duration::from_secs(60);
/// The longest wait after failures, and for an object that another keeps changing.
const LONGEST: Duration = Duration::from_secs(300);
/// The longest that an object rests which somebody else writes too.
const CROWDED: Duration = Duration::from_secs(4);
/// A write that is so long ago says nothing of a fight.
const FORGET: Duration = Duration::from_secs(600);

/// What became of a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nothing was to be written.
    Fine,
    /// It was written, as this.
    Wrote(Digest),
    /// It is to be tried again, not before this.
    Again(Duration),
    /// Somebody else wrote in between: it is to be tried again, soon enough that the last word is Weir's.
    Conflict,
}

#[derive(Debug)]
struct Written {
    at: Instant,
    what: Digest,
    /// How often the same was written again.
    repeats: u32,
}

/// One of the two lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// What has changed.
    Changed,
    /// What a new leader looks at.
    Fill,
}

/// The queue.
#[derive(Debug)]
pub(super) struct Queue {
    changed: BTreeSet<(Instant, ObjectKey)>,
    fill: BTreeSet<(Instant, ObjectKey)>,
    when: HashMap<ObjectKey, (Line, Instant)>,
    busy: HashMap<ObjectKey, Line>,
    /// Those that changed while they were being looked at.
    again: HashSet<ObjectKey>,
    failures: HashMap<ObjectKey, u32>,
    written: BTreeMap<ObjectKey, Written>,
    swept: Instant,
    /// Objects that may be looked at now, and how many more each second.
    tokens: f64,
    rate: f64,
    filled: Instant,
    pressed: Option<Instant>,
    /// How often both lines had something that was due.
    turn: u32,
}

impl Queue {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            changed: BTreeSet::new(),
            fill: BTreeSet::new(),
            when: HashMap::new(),
            busy: HashMap::new(),
            again: HashSet::new(),
            failures: HashMap::new(),
            written: BTreeMap::new(),
            swept: now,
            tokens: BURST,
            rate: RATE,
            filled: now,
            pressed: None,
            turn: 0,
        }
    }

    /// An object has changed: it is to be looked at.
    pub(super) fn add(&mut self, key: ObjectKey, now: Instant) {
        if self.busy.contains_key(&key) {
            self.again.insert(key);
            return;
        }
        let rested = self.written.get(&key).map_or(now, |written| written.at + pause(written.repeats));
        self.put(key, Line::Changed, (now + SETTLE).max(rested));
    }

    /// An object is to be looked at once there is nothing newer.
    pub(super) fn add_to_fill(&mut self, key: ObjectKey, now: Instant) {
        self.put(key, Line::Fill, now + SETTLE);
    }

    /// The next object that is due.
    pub(super) fn next(&mut self, now: Instant) -> Option<ObjectKey> {
        self.refill(now);
        if self.tokens < 1.0 {
            return None;
        }
        let due = |line: &BTreeSet<(Instant, ObjectKey)>| line.first().is_some_and(|(at, _)| *at <= now);
        let line = match (due(&self.changed), due(&self.fill)) {
            (false, false) => return None,
            (true, false) => Line::Changed,
            (false, true) => Line::Fill,
            (true, true) => {
                self.turn = self.turn.wrapping_add(1);
                if self.turn.is_multiple_of(SHARE) { Line::Fill } else { Line::Changed }
            }
        };
        let (_, key) = self.line(line).pop_first()?;
        self.when.remove(&key);
        self.busy.insert(key.clone(), line);
        Some(key)
    }

    /// When to ask again though nothing happens.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        let at = self.changed.first().into_iter().chain(self.fill.first()).map(|(at, _)| *at).min()?;
        let missing = (1.0 - self.tokens).max(0.0) / self.rate;
        Some(at.max(now + Duration::from_secs_f64(missing)))
    }

    /// The API server is slow, or says that it is busy: it is asked half as often from now on, and more again by and
    /// by.
    pub(super) fn press(&mut self, now: Instant) {
        self.refill(now);
        if self.pressed.is_some_and(|at| now < at + BREATH) {
            return;
        }
        self.pressed = Some(now);
        self.rate = (self.rate / 2.0).max(SLOWEST);
        self.tokens = self.tokens.min(0.0);
    }

    /// A request is made for an object: it counts against the rate.
    pub(super) fn spend(&mut self) {
        self.tokens -= 1.0;
    }

    /// What became of an object; answers whether somebody else seems to change it over and over.
    pub(super) fn done(&mut self, key: ObjectKey, outcome: Outcome, now: Instant) -> bool {
        let line = self.busy.remove(&key).unwrap_or(Line::Changed);
        let again = self.again.remove(&key);
        let line = if again { Line::Changed } else { line };
        let mut fight = false;
        match outcome {
            Outcome::Fine => {
                self.failures.remove(&key);
            }
            Outcome::Wrote(what) => {
                self.failures.remove(&key);
                let before = self.written.get(&key).filter(|old| old.what == what && now < old.at + FORGET);
                let repeats = before.map_or(0, |old| old.repeats.saturating_add(1));
                fight = repeats == 3;
                self.written.insert(key.clone(), Written { at: now, what, repeats });
            }
            Outcome::Again(wait) => {
                let wait = wait.max(self.failed(&key)).min(LONGEST);
                self.put(key, line, now + wait);
                return false;
            }
            Outcome::Conflict => {
                let wait = self.failed(&key).min(CROWDED);
                self.put(key, line, now + wait);
                return false;
            }
        }
        if again {
            self.add(key, now);
        }
        // Seldom: it looks at all of them, and a fleet's are many.
        if now >= self.swept + SWEEP {
            self.swept = now;
            self.written.retain(|_, written| now < written.at + FORGET);
        }
        fight
    }

    /// Notes a failure, and says how long the object rests after so many.
    fn failed(&mut self, key: &ObjectKey) -> Duration {
        let failures = self.failures.entry(key.clone()).or_default();
        *failures = failures.saturating_add(1);
        PACE * 2u32.saturating_pow((*failures - 1).min(9))
    }

    /// Objects that wait or are being looked at.
    pub(super) fn len(&self) -> usize {
        self.when.len() + self.busy.len()
    }

    /// Puts an object into a line, where it does not stand already in one that is no worse, or sooner.
    fn put(&mut self, key: ObjectKey, line: Line, at: Instant) {
        let (mut line, mut at) = (line, at);
        if let Some((old_line, old_at)) = self.when.get(&key).copied() {
            if old_line == Line::Changed {
                line = Line::Changed;
            }
            at = at.min(old_at);
            if (line, at) == (old_line, old_at) {
                return;
            }
            self.line(old_line).remove(&(old_at, key.clone()));
        }
        self.when.insert(key.clone(), (line, at));
        self.line(line).insert((at, key));
    }

    fn line(&mut self, line: Line) -> &mut BTreeSet<(Instant, ObjectKey)> {
        match line {
            Line::Changed => &mut self.changed,
            Line::Fill => &mut self.fill,
        }
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.rate = (self.rate + passed * RATE / RECOVERY.as_secs_f64()).min(RATE);
        self.tokens = (self.tokens + passed * self.rate).min(BURST);
        self.filled = now;
    }
}

/// How long an object rests after it was written.
fn pause(repeats: u32) -> Duration {
    (PACE * 2u32.saturating_pow(repeats.min(9))).min(LONGEST)
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
