//! Parsed keys of certificates, as many as the bound says: those that handshakes used last.
//!
//! A key as text is held for each certificate; parsed, it takes as much again and more, and most of an edge's
//! certificates are asked for rarely. A handshake takes the lock for two look-ups in maps; to parse a key, which
//! takes as long as a signature, nobody waits for another.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::sign::CertifiedKey;

/// A key that can sign; none where what was sent turned out to be of no use, so that it is not parsed anew each time.
type Parsed = Option<Arc<CertifiedKey>>;

/// The keys of a process. What is given up is parsed again when it is next asked for; connections do not need it.
#[derive(Debug)]
pub struct Keys {
    most: NonZeroUsize,
    held: Mutex<Held>,
    parsed: AtomicU64,
    evicted: AtomicU64,
    unusable: AtomicU64,
}

#[derive(Debug, Default)]
struct Held {
    /// Counts uses.
    clock: u64,
    /// By certificate, with the moment of the last use.
    by_certificate: HashMap<u64, (u64, Parsed)>,
    /// Certificates by that moment.
    by_use: BTreeMap<u64, u64>,
}

/// What became of keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyCounts {
    /// Held parsed now.
    pub held: u64,
    /// Parsed so far.
    pub parsed: u64,
    /// Given up for others.
    pub evicted: u64,
    /// Turned out to be of no use when they were parsed.
    pub unusable: u64,
}

impl Default for Keys {
    fn default() -> Self {
        Self::new(NonZeroUsize::MAX)
    }
}

impl Keys {
    /// At most so many.
    pub fn new(most: NonZeroUsize) -> Self {
        let zero = || AtomicU64::new(0);
        Self { most, held: Mutex::default(), parsed: zero(), evicted: zero(), unusable: zero() }
    }

    /// What became of keys so far.
    pub fn counts(&self) -> KeyCounts {
        KeyCounts {
            held: self.held().by_certificate.len() as u64,
            parsed: self.parsed.load(Relaxed),
            evicted: self.evicted.load(Relaxed),
            unusable: self.unusable.load(Relaxed),
        }
    }

    /// The key of a certificate, by the number that it alone has; made where it is not held.
    pub(super) fn get(&self, certificate: u64, make: impl FnOnce() -> Parsed) -> Parsed {
        if let Some(held) = self.held().used(certificate) {
            return held;
        }
        let made = make();
        self.parsed.fetch_add(1, Relaxed);
        self.unusable.fetch_add(u64::from(made.is_none()), Relaxed);
        let mut held = self.held();
        let key = held.used(certificate).unwrap_or_else(|| held.put(certificate, made));
        while held.by_certificate.len() > self.most.get() {
            held.evict();
            self.evicted.fetch_add(1, Relaxed);
        }
        key
    }

    /// Whether a key that can sign is held: a handshake has used it.
    pub(super) fn holds(&self, certificate: u64) -> bool {
        self.held().by_certificate.get(&certificate).is_some_and(|(_, key)| key.is_some())
    }

    /// A certificate is no more.
    pub(super) fn forget(&self, certificate: u64) {
        let mut held = self.held();
        if let Some((at, _)) = held.by_certificate.remove(&certificate) {
            held.by_use.remove(&at);
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// The key, which is the one used last from now on.
    fn used(&mut self, certificate: u64) -> Option<Parsed> {
        let (at, key) = self.by_certificate.get_mut(&certificate)?;
        self.by_use.remove(at);
        self.clock += 1;
        *at = self.clock;
        self.by_use.insert(self.clock, certificate);
        Some(key.clone())
    }

    fn put(&mut self, certificate: u64, key: Parsed) -> Parsed {
        self.clock += 1;
        self.by_certificate.insert(certificate, (self.clock, key.clone()));
        self.by_use.insert(self.clock, certificate);
        key
    }

    /// Gives up the key that was not used for longest.
    fn evict(&mut self) {
        if let Some((_, certificate)) = self.by_use.pop_first() {
            self.by_certificate.remove(&certificate);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(keys: &Keys, certificate: u64) -> bool {
        let mut made = false;
        keys.get(certificate, || {
            made = true;
            None
        });
        made
    }

    #[test]
    fn the_key_that_was_not_used_for_longest_is_given_up() {
        let keys = Keys::new(NonZeroUsize::new(2).unwrap());
        assert!(asked(&keys, 1) && asked(&keys, 2));
        assert!(!asked(&keys, 1), "it is held");
        assert!(asked(&keys, 3), "the third takes the place of the second");
        assert!(!asked(&keys, 1) && !asked(&keys, 3));
        assert!(asked(&keys, 2));
        assert_eq!(keys.counts(), KeyCounts { held: 2, parsed: 4, evicted: 2, unusable: 4 });
    }

    #[test]
    fn what_is_forgotten_takes_no_place() {
        let keys = Keys::new(NonZeroUsize::new(2).unwrap());
        assert!(asked(&keys, 1) && asked(&keys, 2));
        keys.forget(1);
        keys.forget(1);
        assert!(asked(&keys, 3));
        assert!(!asked(&keys, 2));
        assert_eq!(keys.counts().evicted, 0);
    }
}
