//! Which statuses to look at, and when. Pure: time is passed in.
//!
//! An object stands in it once, however often it changes, so the queue is never longer than there are objects. What
//! changes often is written once in a while: [`PACE`]. Whoever else writes the same object over and over is answered
//! ever more slowly.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

use weir_config::kinds::ObjectKey;

use crate::seen::Digest;

/// Between a change and the first look: what changes together is written together.
pub(super) const SETTLE: Duration = Duration::from_millis(100);
/// Between two writes of one object.
pub(super) const PACE: Duration = Duration::from_secs(1);
/// Writes a second, all objects together, and how many may come at once.
const RATE: f64 = 50.0;
const BURST: f64 = 50.0;
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

/// The queue.
#[derive(Debug)]
pub(super) struct Queue {
    due: BTreeSet<(Instant, ObjectKey)>,
    when: HashMap<ObjectKey, Instant>,
    busy: HashSet<ObjectKey>,
    /// Those that changed while they were being looked at.
    again: HashSet<ObjectKey>,
    failures: HashMap<ObjectKey, u32>,
    written: BTreeMap<ObjectKey, Written>,
    tokens: f64,
    filled: Instant,
}

impl Queue {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            due: BTreeSet::new(),
            when: HashMap::new(),
            busy: HashSet::new(),
            again: HashSet::new(),
            failures: HashMap::new(),
            written: BTreeMap::new(),
            tokens: BURST,
            filled: now,
        }
    }

    /// An object is to be looked at.
    pub(super) fn add(&mut self, key: ObjectKey, now: Instant) {
        if self.busy.contains(&key) {
            self.again.insert(key);
            return;
        }
        let rested = self.written.get(&key).map_or(now, |written| written.at + pause(written.repeats));
        self.put(key, (now + SETTLE).max(rested));
    }

    /// The next object that is due.
    pub(super) fn next(&mut self, now: Instant) -> Option<ObjectKey> {
        self.fill(now);
        if self.tokens < 1.0 {
            return None;
        }
        let (at, _) = self.due.first()?;
        if *at > now {
            return None;
        }
        let (_, key) = self.due.pop_first()?;
        self.when.remove(&key);
        self.busy.insert(key.clone());
        Some(key)
    }

    /// When to ask again though nothing happens.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        let (at, _) = self.due.first()?;
        let missing = (1.0 - self.tokens).max(0.0) / RATE;
        Some((*at).max(now + Duration::from_secs_f64(missing)))
    }

    /// A request is made for an object: it counts against the rate.
    pub(super) fn spend(&mut self) {
        self.tokens -= 1.0;
    }

    /// What became of an object; answers whether somebody else seems to change it over and over.
    pub(super) fn done(&mut self, key: ObjectKey, outcome: Outcome, now: Instant) -> bool {
        self.busy.remove(&key);
        let again = self.again.remove(&key);
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
                self.put(key, now + wait);
                return false;
            }
            Outcome::Conflict => {
                let wait = self.failed(&key).min(CROWDED);
                self.put(key, now + wait);
                return false;
            }
        }
        if again {
            self.add(key, now);
        }
        self.written.retain(|_, written| now < written.at + FORGET);
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

    fn put(&mut self, key: ObjectKey, at: Instant) {
        if let Some(old) = self.when.get(&key) {
            if *old <= at {
                return;
            }
            self.due.remove(&(*old, key.clone()));
        }
        self.when.insert(key.clone(), at);
        self.due.insert((at, key));
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + passed * RATE).min(BURST);
        self.filled = now;
    }
}

/// How long an object rests after it was written.
fn pause(repeats: u32) -> Duration {
    (PACE * 2u32.saturating_pow(repeats.min(9))).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use weir_config::kinds::Kind;

    use super::*;
    use crate::seen::digest_of;

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new(Kind::Plan, "", name)
    }

    fn digest(tenants: u64) -> Digest {
        digest_of(Kind::Plan, &json!({ "tenants": tenants }))
    }

    #[test]
    fn an_object_is_due_once_and_no_sooner_than_it_has_settled() {
        let now = Instant::now();
        let mut queue = Queue::new(now);
        queue.add(key("a"), now);
        queue.add(key("a"), now + SETTLE / 2);
        assert_eq!((queue.next(now), queue.deadline(now)), (None, Some(now + SETTLE)));
        assert_eq!(queue.next(now + SETTLE), Some(key("a")));
        assert_eq!((queue.next(now + SETTLE), queue.len()), (None, 1));
        queue.add(key("a"), now + SETTLE);
        assert_eq!(queue.next(now + 2 * SETTLE), None, "it is being looked at");
        queue.done(key("a"), Outcome::Fine, now + 2 * SETTLE);
        assert_eq!(queue.next(now + 3 * SETTLE), Some(key("a")), "it changed meanwhile");
    }

    #[test]
    fn what_changes_all_the_time_is_written_at_a_pace() {
        let start = Instant::now();
        let mut queue = Queue::new(start);
        let mut writes = 0;
        for tick in 0..1000u32 {
            let now = start + Duration::from_millis(10) * tick;
            queue.add(key("a"), now);
            if let Some(next) = queue.next(now) {
                writes += 1;
                queue.done(next, Outcome::Wrote(digest(u64::from(tick))), now);
            }
        }
        assert!((9..=11).contains(&writes), "{writes} in ten seconds");
    }

    #[test]
    fn who_writes_the_same_over_and_over_slows_down_and_is_told() {
        let mut now = Instant::now();
        let mut queue = Queue::new(now);
        let (mut writes, mut told) = (0, 0);
        let end = now + Duration::from_secs(600);
        while now < end {
            queue.add(key("a"), now);
            if let Some(next) = queue.next(now) {
                writes += 1;
                told += u32::from(queue.done(next, Outcome::Wrote(digest(1)), now));
            }
            now += Duration::from_millis(100);
        }
        assert!(writes < 12, "{writes} in ten minutes");
        assert_eq!(told, 1);
    }

    #[test]
    fn one_that_somebody_else_writes_too_never_rests_for_long() {
        let mut now = Instant::now();
        let mut queue = Queue::new(now);
        queue.add(key("a"), now);
        let mut waits = Vec::new();
        for _ in 0..8 {
            let due = queue.deadline(now).unwrap();
            waits.push((due - now).as_secs());
            now = due;
            let next = queue.next(now).unwrap();
            queue.done(next, Outcome::Conflict, now);
        }
        assert_eq!(waits, [0, 1, 2, 4, 4, 4, 4, 4]);
    }

    #[test]
    fn failures_wait_ever_longer_and_as_long_as_the_api_server_asks() {
        let mut now = Instant::now();
        let mut queue = Queue::new(now);
        queue.add(key("a"), now);
        let mut waits = Vec::new();
        for _ in 0..12 {
            let due = queue.deadline(now).unwrap();
            waits.push((due - now).as_secs());
            now = due;
            let next = queue.next(now).unwrap();
            queue.done(next, Outcome::Again(Duration::from_secs(3)), now);
        }
        assert_eq!(waits[..8], [0, 3, 3, 4, 8, 16, 32, 64]);
        assert_eq!(waits[11], 300);
    }

    #[test]
    fn a_fleet_is_written_at_a_rate() {
        let start = Instant::now();
        let mut queue = Queue::new(start);
        (0..1000).for_each(|n| queue.add(key(&n.to_string()), start));
        let mut now = start + SETTLE;
        let mut done = 0;
        while let Some(due) = queue.deadline(now) {
            now = due.max(now);
            while let Some(next) = queue.next(now) {
                queue.spend();
                queue.done(next, Outcome::Wrote(digest(0)), now);
                done += 1;
            }
        }
        assert_eq!(done, 1000);
        let took = (now - start).as_secs_f64();
        assert!((18.5..20.0).contains(&took), "{took}");
    }
}
