//! Who leads, as a state machine: a Lease that is read and written, by this machine's own monotonic clock. Pure.
//!
//! As in Kubernetes' own components, times of different machines are never compared. Who does not lead notes, by
//! its own clock, when it last saw the Lease change, and takes it once that is [`Timing::lease`] ago. Who leads
//! stops [`Timing::renew`] after it began the last write that succeeded: sooner, so that nobody leads beside it.
//! Writes carry the version that they change, so that of two at the same time one fails.

use std::time::{Duration, Instant};

/// Times of an election.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How long a Lease that does not change still holds.
    pub lease: Duration,
    /// How long a leader leads without a successful write. Less than `lease`: the rest is for clocks of different
    /// speed and for what is under way.
    pub renew: Duration,
    /// Between two tries.
    pub retry: Duration,
}

/// As Kubernetes' components have them.
pub const TIMING: Timing =
    Timing { lease: Duration::from_secs(15), renew: Duration::from_secs(10), retry: Duration::from_secs(2) };

/// The Lease, as far as it matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Who holds it; empty: nobody.
    pub holder: String,
    /// How often it changed hands.
    pub transitions: i32,
    /// `metadata.resourceVersion`: another after every write.
    pub version: String,
}

/// A write that would make this replica the leader, or keep it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The version that it replaces; none: the Lease is made.
    pub version: Option<String>,
    /// What is written for [`Record::transitions`].
    pub transitions: i32,
    /// Whether the holder is another than before.
    pub new: bool,
}

/// What this replica knows.
#[derive(Debug)]
pub struct Election {
    me: String,
    timing: Timing,
    /// What was read or written last and when it was first seen so; none: it must be read (again).
    seen: Option<(Option<Record>, Instant)>,
    /// The same, kept over failed writes, to tell how long another's Lease stood still.
    stood: Option<(Record, Instant)>,
    until: Option<Instant>,
}

impl Election {
    /// A replica that knows nothing yet. `me` must be unique among all processes, also of one host.
    pub fn new(me: impl Into<String>, timing: Timing) -> Self {
        Self { me: me.into(), timing, seen: None, stood: None, until: None }
    }

    /// Until when this replica leads; none: it does not. Who acts as the leader stops by then.
    pub fn until(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|until| now < *until)
    }

    /// Whether the Lease must be read before anything is written.
    pub fn must_look(&self, now: Instant) -> bool {
        self.seen.is_none() || self.until(now).is_none()
    }

    /// The Lease was read, or is not there.
    pub fn looked(&mut self, found: Option<Record>, now: Instant) {
        match &found {
            Some(record) if self.stood.as_ref().is_none_or(|(old, _)| old != record) => {
                self.stood = Some((record.clone(), now));
            }
            Some(_) => {}
            None => self.stood = None,
        }
        // Another has it, for certain: whatever this replica believed is over.
        if found.as_ref().is_some_and(|record| record.holder != self.me) {
            self.until = None;
        }
        self.seen = Some((found, now));
    }

    /// What to write now, if anything.
    pub fn claim(&self, now: Instant) -> Option<Claim> {
        let (found, _) = self.seen.as_ref()?;
        let Some(record) = found else { return Some(Claim { version: None, transitions: 0, new: true }) };
        let mine = record.holder == self.me;
        let stood = self.stood.as_ref().map_or(now, |(_, since)| *since);
        if !mine && !record.holder.is_empty() && now < stood + self.timing.lease {
            return None;
        }
        let transitions = if mine { record.transitions } else { record.transitions.saturating_add(1) };
        Some(Claim { version: Some(record.version.clone()), transitions, new: !mine })
    }

    /// A claim that was begun at `begun` is written.
    pub fn claimed(&mut self, record: Record, begun: Instant) {
        self.until = Some(begun + self.timing.renew);
        self.stood = Some((record.clone(), begun));
        self.seen = Some((Some(record), begun));
    }

    /// A claim failed, or nobody knows whether it did: the Lease must be read again.
    pub fn failed(&mut self) {
        self.seen = None;
    }

    /// What to write so that another may lead at once; none: this replica does not lead.
    pub fn release(&mut self, now: Instant) -> Option<Claim> {
        self.until(now)?;
        self.until = None;
        let (record, _) = self.seen.take()?;
        let record = record?;
        Some(Claim { version: Some(record.version), transitions: record.transitions, new: false })
    }
}

#[cfg(test)]
#[path = "election_tests.rs"]
mod tests;
