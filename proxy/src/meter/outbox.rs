//! Batches that wait for the server, in order.
//!
//! One stream takes from it: [`Outbox::next`], then [`Outbox::sending`] before a batch leaves the first
//! time, and [`Outbox::acknowledged`] when the server has it. None of these waits for a disk's
//! synchronisation.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use weir_config::usage::v1::UsageBatch;

use super::state::LogState;
use super::{Epoch, Key};

/// Batches that wait for the server. Shared.
#[derive(Debug, Default)]
pub struct Outbox {
    inner: Mutex<Inner>,
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Inner {
    epochs: Vec<Epoch>,
    batches: BTreeMap<(usize, u64), Arc<UsageBatch>>,
}

impl Outbox {
    /// The oldest batch without an acknowledgement that comes after `after` (or at all), in the order
    /// of the log: epochs as they were begun, sequences within. None where there is none now:
    /// wait for [`Outbox::changed`].
    pub fn next(&self, after: Option<Key>) -> Option<Arc<UsageBatch>> {
        let inner = self.inner();
        let after = after.and_then(|key| Some((inner.ordinal(key.epoch)?, key.sequence)));
        let from = after.map_or((0, 0), |(epoch, sequence)| (epoch, sequence + 1));
        inner.batches.range(from..).next().map(|(_, batch)| Arc::clone(batch))
    }

    /// Notes that the batch may have been sent, so that it is never merged. To be called before
    /// it is sent, every time. False: the batch is not there any more, because it was
    /// merged or acknowledged meanwhile; it must not be sent: ask [`Outbox::next`] again.
    #[must_use = "a batch that is not there any more must not be sent"]
    pub fn sending(&self, key: Key) -> bool {
        let inner = self.inner();
        inner.ordinal(key.epoch).is_some_and(|epoch| inner.batches.contains_key(&(epoch, key.sequence)))
    }

    /// The server has stored the batch: it is dropped. A key that is not there is passed over.
    pub fn acknowledged(&self, key: Key) {
        let mut inner = self.inner();
        if let Some(epoch) = inner.ordinal(key.epoch) {
            inner.batches.remove(&(epoch, key.sequence));
        }
        drop(inner);
        self.changed.send_modify(|n| *n += 1);
    }

    /// Changes whenever there may be something new to send, or to show. Take the receiver first, then
    /// look, then wait for a change.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// The log as it is now.
    pub fn state(&self) -> LogState {
        let inner = self.inner();
        LogState { unacknowledged: inner.batches.len() as u64, ..LogState::default() }
    }

    /// Adds a batch as if it had just been logged: for tests of what sends.
    #[cfg(test)]
    pub(crate) fn push(&self, batch: UsageBatch) {
        let mut inner = self.inner();
        let key = Key::of(&batch).unwrap();
        let epoch = inner.ordinal(key.epoch).unwrap_or_else(|| {
            inner.epochs.push(key.epoch);
            inner.epochs.len() - 1
        });
        inner.batches.insert((epoch, key.sequence), Arc::new(batch));
        drop(inner);
        self.changed.send_modify(|n| *n += 1);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn ordinal(&self, epoch: Epoch) -> Option<usize> {
        self.epochs.iter().position(|known| *known == epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_come_in_order_until_they_are_acknowledged() {
        let outbox = Outbox::default();
        let batch =
            |sequence| UsageBatch { epoch: vec![7; 16], sequence, first_sequence: sequence, ..Default::default() };
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
}
