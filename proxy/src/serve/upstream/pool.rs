//! Idle connections of one worker: the latest used is used next, the oldest goes first.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Instant;

use super::PoolLimits;
use crate::request::cluster::ClusterSlot;

/// About half of how many that were taken since may stay in the order.
const TAKEN: usize = 4096;

/// What may share a connection. A cluster belongs to one tenant, so connections do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    /// [`ClusterSlot::id`]
    pub(crate) cluster: u64,
    /// Endpoint.
    pub(crate) address: SocketAddr,
    /// The TLS settings; 0: none.
    pub(crate) settings: u64,
}

#[derive(Debug)]
struct Place<T> {
    slot: Weak<ClusterSlot>,
    /// By stamp, the oldest first.
    idle: VecDeque<(u64, T)>,
}

/// The pool.
#[derive(Debug)]
pub(crate) struct Pool<T> {
    places: HashMap<Key, Place<T>, BuildHasherDefault<KeyHasher>>,
    /// Every connection that was put here, the oldest first; those that were taken since are
    /// passed over when met, and swept out when they are the greater part.
    order: VecDeque<(Key, u64, Instant)>,
    stamp: u64,
    len: usize,
    limits: PoolLimits,
}

impl<T> Pool<T> {
    /// An empty pool.
    pub(crate) fn new(limits: PoolLimits) -> Self {
        Self { places: HashMap::default(), order: VecDeque::new(), stamp: 0, len: 0, limits }
    }

    /// The connection that was used last.
    pub(crate) fn take(&mut self, key: Key) -> Option<T> {
        let (_, connection) = self.places.get_mut(&key)?.idle.pop_back()?;
        self.len -= 1;
        Some(connection)
    }

    /// Keeps a connection. Where there are too many, the oldest of its endpoint or of all is dropped.
    pub(crate) fn put(&mut self, key: Key, slot: &Arc<ClusterSlot>, connection: T, now: Instant) {
        self.stamp += 1;
        let place =
            self.places.entry(key).or_insert_with(|| Place { slot: Arc::downgrade(slot), idle: VecDeque::new() });
        place.idle.push_back((self.stamp, connection));
        self.len += 1;
        if place.idle.len() > self.limits.per_endpoint {
            place.idle.pop_front();
            self.len -= 1;
        }
        self.order.push_back((key, self.stamp, now));
        while self.len > self.limits.total && self.drop_oldest() {}
        if self.order.len() > 2 * (self.len + self.limits.total.min(TAKEN)) + 64 {
            self.tidy();
        }
    }

    /// Drops what is idle for too long, and whose cluster or endpoint is gone.
    pub(crate) fn sweep(&mut self, now: Instant) {
        while self.order.front().is_some_and(|(_, _, since)| now.duration_since(*since) >= self.limits.idle) {
            self.drop_oldest();
        }
        self.places.retain(|key, place| {
            let serves = |slot: Arc<ClusterSlot>| slot.state.load().endpoints.iter().any(|e| e.address == key.address);
            !place.idle.is_empty() && place.slot.upgrade().is_some_and(serves)
        });
        self.len = self.places.values().map(|place| place.idle.len()).sum();
        self.tidy();
    }

    /// How many connections are idle.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Drops the oldest that is idle; false if none is.
    pub(crate) fn shed(&mut self) -> bool {
        let before = self.len;
        while self.len == before && self.drop_oldest() {}
        self.len < before
    }

    /// Drops the oldest if it is still here; false if there is none.
    fn drop_oldest(&mut self) -> bool {
        let Some((key, stamp, _)) = self.order.pop_front() else { return false };
        if let Some(place) = self.places.get_mut(&key)
            && place.idle.front().is_some_and(|(first, _)| *first == stamp)
        {
            place.idle.pop_front();
            self.len -= 1;
        }
        true
    }

    /// Forgets the order of what was taken.
    fn tidy(&mut self) {
        let places = &self.places;
        self.order.retain(|(key, stamp, _)| {
            places.get(key).is_some_and(|place| place.idle.binary_search_by_key(stamp, |(s, _)| *s).is_ok())
        });
    }
}

/// Keys come from configuration, not from clients: a short hash serves.
#[derive(Default)]
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        // The table looks at the upper bits too.
        self.0 ^ self.0 >> 32
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::request::cluster::{ClusterTable, EndpointTable};

    fn slot(id: u64, ports: &[u16]) -> Arc<ClusterSlot> {
        let slot = ClusterSlot::new(id, "c", 0);
        let endpoints = ports.iter().map(|port| EndpointTable { address: address(*port), weight: 1 }).collect();
        slot.state.store(ClusterTable::new(Duration::from_secs(1), endpoints).into());
        slot.into()
    }

    fn address(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    fn key(cluster: u64, port: u16) -> Key {
        Key { cluster, address: address(port), settings: 0 }
    }

    fn pool(per_endpoint: usize, total: usize) -> Pool<u32> {
        Pool::new(PoolLimits { per_endpoint, total, idle: Duration::from_secs(10) })
    }

    #[test]
    fn the_latest_used_is_used_next_and_keys_are_apart() {
        let (mut pool, slot, now) = (pool(8, 8), slot(1, &[1]), Instant::now());
        pool.put(key(1, 1), &slot, 10, now);
        pool.put(key(1, 1), &slot, 11, now);
        assert_eq!(pool.take(key(2, 1)), None);
        assert_eq!(pool.take(key(1, 2)), None);
        assert_eq!(pool.take(key(1, 1)), Some(11));
        assert_eq!(pool.take(key(1, 1)), Some(10));
        assert_eq!(pool.take(key(1, 1)), None);
    }

    #[test]
    fn too_many_push_out_the_oldest() {
        let (mut pool, slot, now) = (pool(2, 3), slot(1, &[1, 2]), Instant::now());
        for n in 0..3 {
            pool.put(key(1, 1), &slot, n, now);
        }
        assert_eq!(pool.len(), 2);
        pool.put(key(1, 2), &slot, 20, now);
        pool.put(key(1, 2), &slot, 21, now);
        assert_eq!(pool.len(), 3);
        assert_eq!((pool.take(key(1, 1)), pool.take(key(1, 1))), (Some(2), None));
    }

    #[test]
    fn what_waits_too_long_goes() {
        let (mut pool, slot, now) = (pool(8, 8), slot(1, &[1]), Instant::now());
        pool.put(key(1, 1), &slot, 1, now);
        pool.put(key(1, 1), &slot, 2, now + Duration::from_secs(5));
        pool.sweep(now + Duration::from_secs(11));
        assert_eq!((pool.take(key(1, 1)), pool.take(key(1, 1))), (Some(2), None));
    }

    #[test]
    fn what_configuration_dropped_goes() {
        let (mut pool, one, two, now) = (pool(8, 8), slot(1, &[1, 2]), slot(2, &[1]), Instant::now());
        pool.put(key(1, 1), &one, 1, now);
        pool.put(key(1, 2), &one, 2, now);
        pool.put(key(2, 1), &two, 3, now);
        one.state.store(slot(1, &[2]).state.load_full());
        drop(two);
        pool.sweep(now);
        assert_eq!(pool.len(), 1);
        assert_eq!(pool.take(key(1, 2)), Some(2));
    }

    #[test]
    fn long_use_does_not_grow_it() {
        let (mut pool, slot, now) = (pool(4, 4), slot(1, &[1]), Instant::now());
        for n in 0..10_000 {
            pool.put(key(1, 1), &slot, n, now);
            assert_eq!(pool.take(key(1, 1)), Some(n));
        }
        assert!(pool.order.len() < 100);
    }

    #[test]
    fn one_is_shed_at_a_time_the_oldest_first() {
        let (mut pool, slot, now) = (pool(4, 4), slot(1, &[1]), Instant::now());
        for n in 0..3 {
            pool.put(key(1, 1), &slot, n, now);
        }
        assert_eq!(pool.take(key(1, 1)), Some(2));
        assert!(pool.shed());
        assert_eq!(pool.len(), 1);
        assert_eq!(pool.take(key(1, 1)), Some(1));
        assert!(!pool.shed());
    }
}
