//! Where each batch lies that the server does not have yet, and what is known of the epochs.

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;

use weir_config::usage::{Units, v1::UsageBatch};

use super::{Frame, OpenEpoch, Segment};
use crate::meter::{Epoch, Key};

/// Where a frame lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Number of the segment.
    pub segment: u64,
    /// Where in it.
    pub offset: u64,
    /// The frame's length.
    pub len: usize,
}

/// A batch in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The first sequence that it stands for.
    pub first: u64,
    /// Begin of its span.
    pub started_ms: i64,
    /// Where its frame lies.
    pub place: Place,
    /// Which of the frame's batches it is.
    pub nth: usize,
    /// Whether it ends its epoch.
    pub last: bool,
    /// Whether it took the place of others.
    pub merged: bool,
}

/// What the log knows of an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    /// Its name.
    pub epoch: Epoch,
    /// The last sequence that was logged; 0: none.
    pub last_logged: u64,
    /// End of that window.
    pub ended_ms: Option<i64>,
    /// Whether its last batch is logged.
    pub ended: bool,
    /// Up to here a batch may have been sent.
    pub sent: u64,
    /// What comes after this sequence is not given out: its counters, with the mark of what was sent, are to be
    /// read again by a later start, which is not to take for never sent what was.
    pub held_after: Option<u64>,
    /// Totals that records hold, by incarnation: of epochs whose counters are still there.
    pub reached: HashMap<u64, Units>,
}

/// All batches without an acknowledgement, in order: epochs as they were begun, sequences within.
#[derive(Debug, Default)]
pub struct Index {
    epochs: Vec<Past>,
    live: BTreeMap<(usize, u64), Entry>,
    segments: BTreeMap<u64, Segment>,
    /// Acknowledged, and not yet written down to be.
    acknowledged: Vec<Key>,
    /// Is being merged: nothing of it may be sent meanwhile.
    merging: Option<(usize, RangeInclusive<u64>)>,
}

impl Index {
    /// Takes in a frame that was found, or was just appended. Totals are kept of epochs for which `wanted`
    /// gives the last sequence that is marked in the counters; segments with what comes after are pinned.
    pub fn take(&mut self, place: Place, frame: &Frame, wanted: &dyn Fn(Epoch) -> Option<u64>) {
        let segment = self.segments.entry(place.segment).or_default();
        segment.bytes = segment.bytes.max(place.offset + place.len as u64);
        for open in &frame.open {
            self.take_open(open);
        }
        for key in &frame.acknowledged {
            if let Some(epoch) = Epoch::from_bytes(&key.epoch) {
                self.drop_batch(Key { epoch, sequence: key.sequence });
            }
        }
        for (nth, logged) in frame.logged.iter().enumerate() {
            let Some(key) = Key::of(&logged.batch) else { continue };
            self.take_batch(key, &logged.batch, Entry::of(&logged.batch, place, nth));
            let Some(marked) = wanted(key.epoch) else { continue };
            if key.sequence > marked {
                self.segments.entry(place.segment).or_default().pinned = true;
            }
            let ordinal = self.begin(key.epoch);
            for reached in &logged.reached {
                let totals = self.epochs[ordinal].reached.entry(reached.incarnation).or_default();
                *totals = totals.max(&Units::from(&reached.totals));
            }
        }
    }

    fn take_open(&mut self, open: &OpenEpoch) {
        let Some(epoch) = Epoch::from_bytes(&open.epoch) else { return };
        let ordinal = self.begin(epoch);
        let past = &mut self.epochs[ordinal];
        if open.sequence >= past.last_logged {
            past.last_logged = open.sequence;
            past.ended_ms = Some(open.ended_ms);
        }
    }

    fn take_batch(&mut self, key: Key, batch: &UsageBatch, entry: Entry) {
        let ordinal = self.begin(key.epoch);
        let past = &mut self.epochs[ordinal];
        if key.sequence >= past.last_logged {
            past.last_logged = key.sequence;
            past.ended_ms = Some(batch.ended_ms);
        }
        past.ended |= batch.last;
        // It takes the place of what it was merged from.
        let mut entry = entry;
        let within: Vec<_> =
            self.live.range((ordinal, entry.first)..=(ordinal, key.sequence)).map(|(k, _)| *k).collect();
        for key in within {
            if let Some(old) = self.live.remove(&key) {
                self.release(&old, true);
                entry.merged = true;
            }
        }
        self.live.insert((ordinal, key.sequence), entry);
        let segment = self.segments.entry(entry.place.segment).or_default();
        segment.live += 1;
        segment.ends += usize::from(entry.last);
    }

    fn release(&mut self, entry: &Entry, merged: bool) {
        if let Some(segment) = self.segments.get_mut(&entry.place.segment) {
            segment.live -= 1;
            segment.ends -= usize::from(merged && entry.last);
            segment.superseded |= merged;
            segment.supersedes |= !merged && entry.merged;
        }
    }

    fn drop_batch(&mut self, key: Key) -> bool {
        let dropped = self.ordinal(key.epoch).and_then(|ordinal| self.live.remove(&(ordinal, key.sequence)));
        if let Some(entry) = &dropped {
            self.release(entry, false);
        }
        dropped.is_some()
    }

    /// An epoch begins, unless it is known. What is found of an earlier process may have been sent.
    pub fn begin(&mut self, epoch: Epoch) -> usize {
        self.ordinal(epoch).unwrap_or_else(|| {
            self.epochs.push(Past {
                epoch,
                last_logged: 0,
                ended_ms: None,
                ended: false,
                sent: u64::MAX,
                held_after: None,
                reached: HashMap::new(),
            });
            self.epochs.len() - 1
        })
    }

    /// Up to `sequence` the epoch's batches may have been sent, and no others.
    pub fn set_sent(&mut self, epoch: Epoch, sequence: u64) {
        let ordinal = self.begin(epoch);
        self.epochs[ordinal].sent = sequence;
    }

    fn ordinal(&self, epoch: Epoch) -> Option<usize> {
        self.epochs.iter().position(|past| past.epoch == epoch)
    }

    /// The epochs, oldest first.
    pub fn epochs(&self) -> &[Past] {
        &self.epochs
    }

    /// What is known of an epoch.
    pub fn past(&self, epoch: Epoch) -> Option<&Past> {
        self.ordinal(epoch).map(|ordinal| &self.epochs[ordinal])
    }

    /// Nothing of the epoch that comes after `sequence` is given out by this process.
    pub fn hold(&mut self, epoch: Epoch, sequence: u64) {
        if let Some(ordinal) = self.ordinal(epoch) {
            self.epochs[ordinal].held_after = Some(sequence);
        }
    }

    /// The oldest batch after a key, or at all; none while it is being merged.
    pub fn next(&self, after: Option<Key>) -> Option<(Key, Entry)> {
        let after = after.and_then(|key| Some((self.ordinal(key.epoch)?, key.sequence)));
        let mut from = after.map_or((0, 0), |(ordinal, sequence)| (ordinal, sequence.saturating_add(1)));
        loop {
            let ((ordinal, sequence), entry) = self.live.range(from..).next()?;
            if self.is_held(*ordinal, *sequence) {
                from = (ordinal + 1, 0);
                continue;
            }
            let key = Key { epoch: self.epochs[*ordinal].epoch, sequence: *sequence };
            return (!self.is_merging(*ordinal, *sequence)).then_some((key, *entry));
        }
    }

    fn is_held(&self, ordinal: usize, sequence: u64) -> bool {
        self.epochs[ordinal].held_after.is_some_and(|held| sequence > held)
    }

    fn is_merging(&self, ordinal: usize, sequence: u64) -> bool {
        self.merging.as_ref().is_some_and(|(o, range)| *o == ordinal && range.contains(&sequence))
    }

    /// Where a batch is that has no acknowledgement, if it may be sent now.
    pub fn get(&self, key: Key) -> Option<Entry> {
        let ordinal = self.ordinal(key.epoch)?;
        let there = self.live.get(&(ordinal, key.sequence)).copied();
        there.filter(|_| !self.is_held(ordinal, key.sequence) && !self.is_merging(ordinal, key.sequence))
    }

    /// Up to this key of its epoch a batch may be sent from now on.
    pub fn sending(&mut self, key: Key) {
        if let Some(ordinal) = self.ordinal(key.epoch) {
            let past = &mut self.epochs[ordinal];
            past.sent = past.sent.max(key.sequence);
        }
    }

    /// The server has the batch.
    pub fn acknowledge(&mut self, key: Key) {
        if self.drop_batch(key) {
            self.acknowledged.push(key);
        }
    }

    /// Keys that were acknowledged and are not yet written down to be.
    pub fn acknowledged(&self) -> &[Key] {
        &self.acknowledged
    }

    /// The first `n` of them are written down.
    pub fn forget_acknowledged(&mut self, n: usize) {
        self.acknowledged.drain(..n.min(self.acknowledged.len()));
    }

    /// Batches without an acknowledgement.
    pub fn live(&self) -> impl Iterator<Item = (Key, &Entry)> {
        self.live.iter().map(|((ordinal, sequence), entry)| {
            (Key { epoch: self.epochs[*ordinal].epoch, sequence: *sequence }, entry)
        })
    }

    /// The first sequence of an epoch that has no acknowledgement.
    pub fn first(&self, epoch: Epoch) -> Option<u64> {
        let ordinal = self.ordinal(epoch)?;
        self.live.range((ordinal, 0)..=(ordinal, u64::MAX)).next().map(|(_, entry)| entry.first)
    }

    /// Batches without an acknowledgement that were never sent, and so may be merged, of one epoch.
    pub fn never_sent(&self, epoch: Epoch) -> impl Iterator<Item = (u64, &Entry)> {
        let found = self.ordinal(epoch).filter(|ordinal| self.epochs[*ordinal].sent < u64::MAX);
        found.into_iter().flat_map(|ordinal| {
            let from = (ordinal, self.epochs[ordinal].sent + 1);
            self.live.range(from..=(ordinal, u64::MAX)).map(|((_, sequence), entry)| (*sequence, entry))
        })
    }

    /// From here on nothing of this range is given out or sent, until [`Index::end_merge`].
    pub fn begin_merge(&mut self, epoch: Epoch, range: RangeInclusive<u64>) {
        self.merging = self.ordinal(epoch).map(|ordinal| (ordinal, range));
    }

    /// The range is merged, or is not going to be.
    pub fn end_merge(&mut self) {
        self.merging = None;
    }

    /// What is known of a segment, to be changed.
    pub fn segment(&mut self, number: u64) -> &mut Segment {
        self.segments.entry(number).or_default()
    }

    /// Bytes of all segments.
    pub fn bytes(&self) -> u64 {
        self.segments.values().map(|segment| segment.bytes).sum()
    }

    /// Segments that nothing needs any more.
    pub fn dead(&self, active: Option<u64>) -> Vec<u64> {
        let oldest_live = self.segments.iter().find(|(_, segment)| segment.live > 0).map(|(number, _)| *number);
        let oldest_superseded = self.segments.iter().find(|(_, segment)| segment.superseded).map(|(number, _)| *number);
        let before = |oldest: Option<u64>, number| oldest.is_some_and(|oldest| oldest < number);
        let needed = |number: u64, segment: &Segment| {
            segment.live > 0
                || segment.pinned
                || Some(number) == active
                || (segment.ends > 0 && before(oldest_live, number))
                || (segment.supersedes && before(oldest_superseded, number))
        };
        self.segments.iter().filter(|(number, segment)| !needed(**number, segment)).map(|(number, _)| *number).collect()
    }

    /// The segment is gone.
    pub fn forget_segment(&mut self, number: u64) {
        self.segments.remove(&number);
    }

    /// The counters of earlier epochs are gone: totals in records are not needed any more.
    pub fn forget_reached(&mut self) {
        for past in &mut self.epochs {
            past.reached = HashMap::new();
        }
        for segment in self.segments.values_mut() {
            segment.pinned = false;
        }
    }
}

impl Entry {
    fn of(batch: &UsageBatch, place: Place, nth: usize) -> Self {
        Self {
            first: batch.first_sequence.clamp(1, batch.sequence.max(1)),
            started_ms: batch.started_ms,
            place,
            nth,
            last: batch.last,
            merged: false,
        }
    }
}
