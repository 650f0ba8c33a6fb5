//! Certificates that handshakes wait for: the way from workers to the stream, and its bounds.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

use super::slot::SecretSlot;

/// What handshakes want. One for the process.
#[derive(Debug, Default)]
pub struct Wants {
    /// Handshakes that may wait at one time; zero: nobody fetches what they wait for.
    most: usize,
    waiting: AtomicUsize,
    queue: Mutex<Vec<Weak<SecretSlot>>>,
    bell: Notify,
    refused: AtomicU64,
}

/// What became of handshakes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WantCounts {
    /// That wait now.
    pub waiting: u64,
    /// That failed for want of a certificate.
    pub refused: u64,
}

impl Wants {
    /// So many handshakes may wait at one time.
    pub fn new(most: usize) -> Self {
        Self { most, ..Self::default() }
    }

    /// Waits until there is something to take.
    pub async fn rung(&self) {
        self.bell.notified().await;
    }

    /// Names of secrets that handshakes wait for, asked for since this was last called.
    pub fn take(&self) -> Vec<String> {
        let queue = std::mem::take(&mut *self.queue());
        queue.iter().filter_map(Weak::upgrade).filter_map(|slot| slot.taken()).collect()
    }

    /// What became of handshakes so far.
    pub fn counts(&self) -> WantCounts {
        WantCounts { waiting: self.waiting.load(Relaxed) as u64, refused: self.refused.load(Relaxed) }
    }

    /// A handshake fails for want of a certificate; how many have.
    pub(super) fn refuse(&self) -> u64 {
        self.refused.fetch_add(1, Relaxed) + 1
    }

    /// A place to wait in; none where all are taken.
    pub(super) fn place(&self) -> Option<Place<'_>> {
        let free = |waiting: usize| (waiting < self.most).then_some(waiting + 1);
        self.waiting.fetch_update(Relaxed, Relaxed, free).ok().map(|_| Place(self))
    }

    pub(super) fn ask(&self, slot: &Arc<SecretSlot>) {
        self.queue().push(Arc::downgrade(slot));
        self.bell.notify_one();
    }

    fn queue(&self) -> MutexGuard<'_, Vec<Weak<SecretSlot>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place to wait in, until it is dropped.
#[derive(Debug)]
pub(super) struct Place<'a>(&'a Wants);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}
