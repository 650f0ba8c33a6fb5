//! Batches that wait for the server, in order.
//!
//! One stream takes from it: [`Outbox::next`], then [`Outbox::sending`] before a batch leaves, and
//! [`Outbox::acknowledged`] when the server has it. None of these waits for a disk to write.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::watch;
use weir_config::usage::v1::UsageBatch;

use super::ledger::Counters;
use super::log::disk::Disk;
use super::log::{Entry, Index, Place, decode, name};
use super::state::{Alarm, EpochState, LogState};
use super::{Epoch, Key};

/// Batches that wait for the server. Shared.
pub struct Outbox {
    disk: Arc<dyn Disk>,
    current: OnceLock<(Epoch, Arc<dyn Counters>)>,
    inner: Mutex<Inner>,
    /// The frame that was read last: batches of one frame are asked for one after the other.
    read: Mutex<Option<Read>>,
    changed: watch::Sender<u64>,
}

/// What the books and the stream share.
#[derive(Debug, Default)]
pub(super) struct Inner {
    pub(super) index: Index,
    /// What cannot be seen in the index.
    pub(super) state: LogState,
    /// Batches that could not be read when they were to be sent.
    unreadable: u64,
}

#[derive(Debug)]
struct Read {
    place: Place,
    batches: Vec<Arc<UsageBatch>>,
}

impl Outbox {
    /// Over the log of `disk`, whose index is to be filled.
    pub(super) fn new(disk: Arc<dyn Disk>) -> Self {
        Self {
            disk,
            current: OnceLock::new(),
            inner: Mutex::default(),
            read: Mutex::default(),
            changed: watch::Sender::default(),
        }
    }

    /// The process counts in `counters` from now on; they hold the mark of what may have been sent.
    pub(super) fn begin(&self, epoch: Epoch, counters: Arc<dyn Counters>) {
        self.inner().index.set_sent(epoch, 0);
        let _already = self.current.set((epoch, counters));
    }

    /// The oldest batch without an acknowledgement that comes after `after` (or at all), in the order
    /// of the log: epochs as they were begun, sequences within. None where there is none now:
    /// wait for [`Outbox::changed`]. One that cannot be read is logged and left out.
    pub fn next(&self, after: Option<Key>) -> Option<Arc<UsageBatch>> {
        let mut after = after;
        loop {
            let (key, entry) = self.inner().index.next(after)?;
            match self.read(&entry) {
                Ok(batch) => return Some(batch),
                Err(error) => {
                    let mut inner = self.inner();
                    // It may have been merged or acknowledged, and deleted, meanwhile.
                    if inner.index.get(key) == Some(entry) {
                        inner.unreadable += 1;
                        tracing::error!(%key, %error, "cannot read logged usage: it is not sent");
                        after = Some(key);
                    }
                }
            }
        }
    }

    /// Notes that the batch may have been sent, so that it is never merged. To be called before
    /// it is sent, every time. False: the batch is not there any more, because it was
    /// merged or acknowledged meanwhile; it must not be sent: ask [`Outbox::next`] again.
    #[must_use = "a batch that is not there any more must not be sent"]
    pub fn sending(&self, key: Key) -> bool {
        let mut inner = self.inner();
        if inner.index.get(key).is_none() {
            return false;
        }
        let new = inner.index.past(key.epoch).is_some_and(|past| past.sent < key.sequence);
        if let Some((_, counters)) = self.current.get().filter(|(epoch, _)| new && *epoch == key.epoch) {
            counters.set_sent_sequence(key.sequence);
        }
        inner.index.sending(key);
        true
    }

    /// The server has stored the batch: it is dropped. A key that is not there is passed over.
    pub fn acknowledged(&self, key: Key) {
        self.inner().index.acknowledge(key);
        self.notify();
    }

    /// Changes whenever there may be something new to send, or to show. Take the receiver first, then
    /// look, then wait for a change.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// The log as it is now.
    pub fn state(&self) -> LogState {
        let inner = self.inner();
        let current = self.current.get().map(|(epoch, _)| *epoch);
        let mut epochs = Vec::new();
        for past in inner.index.epochs() {
            let first = inner.index.first(past.epoch);
            if first.is_none() && current != Some(past.epoch) {
                continue;
            }
            epochs.push(EpochState {
                epoch: past.epoch,
                first_unacknowledged: first,
                last_logged: past.last_logged,
                sent: past.sent.min(past.last_logged),
                acknowledged: first.map_or(past.last_logged, |first| first - 1),
                ended: past.ended,
            });
        }
        let mut state = LogState {
            epochs,
            bytes: inner.index.bytes(),
            unacknowledged: inner.index.live().count() as u64,
            oldest_unacknowledged_ms: inner.index.live().map(|(_, entry)| entry.started_ms).min(),
            ..inner.state.clone()
        };
        if inner.unreadable > 0 {
            state.alarms.push(Alarm::Unreadable(inner.unreadable));
        }
        if let Some((_, counters)) = self.current.get()
            && let places @ 1.. = counters.volatile()
        {
            state.alarms.push(Alarm::Volatile(places as u64));
        }
        state
    }

    /// Reads a batch.
    pub(super) fn read(&self, entry: &Entry) -> io::Result<Arc<UsageBatch>> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if read.as_ref().is_none_or(|read| read.place != entry.place) {
            let Place { segment, offset, len } = entry.place;
            let bytes = self.disk.read_at(&name(segment), offset, len)?;
            let (frame, _) =
                decode(&bytes).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it is damaged"))?;
            let batches = frame.logged.into_iter().map(|logged| Arc::new(logged.batch)).collect();
            *read = Some(Read { place: entry.place, batches });
        }
        let batch = read.as_ref().and_then(|read| read.batches.get(entry.nth)).cloned();
        batch.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "its frame holds fewer batches"))
    }

    pub(super) fn notify(&self) {
        self.changed.send_modify(|n| *n += 1);
    }

    pub(super) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Without anything in it, in memory.
#[cfg(test)]
impl Default for Outbox {
    fn default() -> Self {
        Self::new(Arc::new(super::disk::Memory::new(u64::MAX)))
    }
}

#[cfg(test)]
impl Outbox {
    /// Adds a batch as if it had just been logged: for tests of what sends.
    pub(crate) fn push(&self, batch: UsageBatch) {
        use super::log::{Frame, Logged, encode};

        let frame = Frame { logged: vec![Logged { batch, reached: Vec::new() }], ..Frame::default() };
        let bytes = encode(&frame);
        let mut inner = self.inner();
        let place = Place { segment: 1, offset: inner.index.bytes(), len: bytes.len() };
        self.disk.append(&name(1), &bytes).unwrap();
        inner.index.take(place, &frame, &|_| None);
        drop(inner);
        self.notify();
    }
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbox").field("disk", &self.disk).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(sequence: u64) -> UsageBatch {
        UsageBatch { epoch: vec![7; 16], sequence, first_sequence: sequence, ..Default::default() }
    }

    #[test]
    fn batches_come_in_order_until_they_are_acknowledged() {
        let outbox = Outbox::default();
        outbox.push(batch(1));
        outbox.push(batch(2));
        let first = outbox.next(None).unwrap();
        assert_eq!(first.sequence, 1);
        let key = Key::of(&first).unwrap();
        assert!(outbox.sending(key));
        assert_eq!(outbox.next(Some(key)).unwrap().sequence, 2);
        outbox.acknowledged(key);
        assert_eq!(outbox.next(None).unwrap().sequence, 2);
        assert!(!outbox.sending(key), "it is not there any more");
    }

    #[test]
    fn one_that_cannot_be_read_holds_up_nobody_and_is_told() {
        let outbox = Outbox::default();
        for sequence in 1..=3 {
            outbox.push(batch(sequence));
        }
        let len = outbox.disk.read(&name(1)).unwrap().len() as u64;
        outbox.disk.cut(&name(1), len / 3 + 5).unwrap();
        assert_eq!(outbox.next(None).unwrap().sequence, 1);
        assert_eq!(outbox.next(Key::of(&batch(1))), None);
        assert_eq!(outbox.state().alarms, [Alarm::Unreadable(2)]);
    }

    #[test]
    fn who_waits_is_told_of_batches_and_of_acknowledgements() {
        let outbox = Outbox::default();
        let mut changed = outbox.changed();
        outbox.push(batch(1));
        assert!(changed.has_changed().unwrap());
        changed.mark_unchanged();
        outbox.acknowledged(Key::of(&batch(1)).unwrap());
        assert!(changed.has_changed().unwrap());
    }
}
