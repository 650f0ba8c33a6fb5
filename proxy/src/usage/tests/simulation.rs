//! The state machine against a log that grows and merges, a network that loses, doubles and reorders
//! acknowledgements, and streams that break at any moment.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use weir_config::testing::soak;
use weir_config::usage::v1::{UsageAck, UsageBatch};

use super::super::state::{Batches, Flight, WINDOW};
use super::{ack, batch, key};
use crate::meter::Key;

/// A log: what is unacknowledged, in order, and which of it may have been sent.
#[derive(Debug, Default)]
struct Log(RefCell<Inner>);

#[derive(Debug, Default)]
struct Inner {
    batches: BTreeMap<Key, Arc<UsageBatch>>,
    sent: BTreeSet<Key>,
    stored: BTreeSet<Key>,
    /// The last batch is merged into another while it is asked for.
    merge_at_next: bool,
}

impl Inner {
    /// The two newest batches become one, if neither was sent: as a log over its bound does.
    fn merge(&mut self) {
        let newest: Vec<Key> = self.batches.keys().rev().take(2).copied().collect();
        if let [b, a] = newest[..]
            && a.epoch == b.epoch
            && !newest.iter().any(|key| self.sent.contains(key))
        {
            let first = self.batches.remove(&a).unwrap().first_sequence;
            Arc::make_mut(self.batches.get_mut(&b).unwrap()).first_sequence = first;
        }
    }
}

impl Batches for Log {
    fn next(&self, after: Option<Key>) -> Option<Arc<UsageBatch>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let inner = &mut *self.0.borrow_mut();
        let after = after.map_or(Unbounded, Excluded);
        let next = inner.batches.range((after, Unbounded)).next().map(|(_, batch)| Arc::clone(batch));
        if std::mem::take(&mut inner.merge_at_next) {
            inner.merge();
        }
        next
    }

    fn sending(&self, key: Key) -> bool {
        let inner = &mut *self.0.borrow_mut();
        let there = inner.batches.contains_key(&key);
        if there {
            inner.sent.insert(key);
        }
        there
    }

    fn acknowledged(&self, key: Key) {
        let inner = &mut *self.0.borrow_mut();
        assert!(inner.stored.contains(&key), "{key} is dropped, and the server does not have it");
        assert!(inner.batches.remove(&key).is_some(), "{key} is acknowledged twice");
    }
}

struct World {
    rng: StdRng,
    now: Instant,
    log: Log,
    flight: Flight,
    /// What is between the two sides of the present stream.
    to_server: Vec<UsageBatch>,
    to_proxy: Vec<UsageAck>,
    /// What was sent on this stream, in order.
    sent: Vec<Key>,
    epoch: u8,
    sequence: u64,
    /// Sequences that the server has stored, whole ranges.
    stored: BTreeSet<(u8, u64)>,
    /// All that was ever logged.
    logged: BTreeSet<(u8, u64)>,
}

impl World {
    fn append(&mut self) {
        if self.rng.random_ratio(1, 20) {
            (self.epoch, self.sequence) = (self.epoch + 1, 0);
        }
        self.sequence += 1;
        self.logged.insert((self.epoch, self.sequence));
        let batch = batch(self.epoch, self.sequence);
        self.log.0.borrow_mut().batches.insert(key(self.epoch, self.sequence), Arc::new(batch));
    }

    fn send(&mut self) {
        while let Some(batch) = self.flight.next(&self.log, self.now) {
            let key = Key::of(&batch).unwrap();
            assert!(self.log.0.borrow().sent.contains(&key), "{key} left before it was marked");
            assert!(self.sent.last().is_none_or(|last| *last < key), "{key} is out of order, or twice on one stream");
            self.sent.push(key);
            self.to_server.push(UsageBatch::clone(&batch));
        }
        assert!(self.flight.overview().under_way <= WINDOW);
    }

    /// The server takes one batch, the first on the wire, and acknowledges it, or not.
    fn serve(&mut self) {
        if self.to_server.is_empty() {
            return;
        }
        let batch = self.to_server.remove(0);
        let key = Key::of(&batch).unwrap();
        self.log.0.borrow_mut().stored.insert(key);
        self.stored.extend((batch.first_sequence..=batch.sequence).map(|n| (batch.epoch[0], n)));
        for _ in 0..*[0, 1, 1, 1, 1, 2].get(self.rng.random_range(0..6)).unwrap() {
            let at = self.rng.random_range(0..=self.to_proxy.len());
            self.to_proxy.insert(at, ack(key));
        }
    }

    fn strange(&mut self) -> UsageAck {
        let epoch = vec![self.rng.random_range(0..4); self.rng.random_range(14..18)];
        // Of another start, far away: one that the server did not store must never be believed by chance.
        UsageAck { epoch, sequence: self.rng.next_u64() | 1 << 40 }
    }

    fn begin(&mut self) {
        self.to_server.clear();
        self.to_proxy.clear();
        self.sent.clear();
        self.flight.begin();
    }

    fn step(&mut self) {
        self.now += Duration::from_millis(self.rng.random_range(0..500));
        match self.rng.random_range(0..20) {
            0..5 => self.append(),
            5..8 => self.send(),
            8..12 => self.serve(),
            12..15 => {
                if let Some(ack) = self.to_proxy.pop() {
                    self.flight.receive(&ack, &self.log, self.now);
                }
            }
            15 => self.flight.opened(),
            16 => self.log.0.borrow_mut().merge(),
            17 => self.log.0.borrow_mut().merge_at_next = true,
            18 => {
                let strange = self.strange();
                self.flight.receive(&strange, &self.log, self.now);
            }
            _ => self.begin(),
        }
        if self.flight.deadline().is_some_and(|deadline| deadline <= self.now) {
            self.flight.give_up();
            self.begin();
        }
    }

    /// From here on the network is good, and everything arrives.
    fn settle(&mut self) {
        self.begin();
        self.flight.opened();
        self.send();
        while !self.to_server.is_empty() {
            let batch = self.to_server.remove(0);
            let key = Key::of(&batch).unwrap();
            self.log.0.borrow_mut().stored.insert(key);
            self.stored.extend((batch.first_sequence..=batch.sequence).map(|n| (batch.epoch[0], n)));
            self.flight.receive(&ack(key), &self.log, self.now);
            self.send();
        }
        assert!(self.log.0.borrow().batches.is_empty(), "all is acknowledged");
        assert_eq!(self.stored, self.logged, "the server has every window that was logged");
        assert_eq!(self.flight.overview().under_way, 0);
    }
}

#[test]
fn soak_usage_every_batch_reaches_the_server_and_none_is_dropped_before() {
    soak::seeds(|seed| {
        let mut world = World {
            rng: StdRng::seed_from_u64(seed),
            now: Instant::now(),
            log: Log::default(),
            flight: Flight::default(),
            to_server: Vec::new(),
            to_proxy: Vec::new(),
            sent: Vec::new(),
            epoch: 1,
            sequence: 0,
            stored: BTreeSet::new(),
            logged: BTreeSet::new(),
        };
        for _ in 0..400 {
            world.step();
        }
        world.settle();
    });
}
