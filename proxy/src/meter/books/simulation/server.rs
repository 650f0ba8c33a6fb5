//! The server, and the network before it.

use std::collections::{BTreeMap, BTreeSet};

use weir_config::usage::v1::UsageBatch;
use weir_config::usage::{MAX_BATCH_ENTRIES, Units};

use super::counters::sum;
use crate::meter::{Epoch, Key};

/// Applies a batch once.
#[derive(Debug, Default)]
pub(super) struct Server {
    stored: BTreeMap<Key, UsageBatch>,
    pub(super) tenants: BTreeMap<String, Units>,
    pub(super) applied: BTreeMap<Epoch, u64>,
    /// Epochs whose open window is said to be lost.
    pub(super) lost: BTreeSet<Epoch>,
    /// Kept aside: another batch has the key, or a part of the range.
    pub(super) aside: Vec<(UsageBatch, UsageBatch)>,
}

impl Server {
    /// Takes a batch; always acknowledged after that.
    pub(super) fn take(&mut self, batch: &UsageBatch) -> Key {
        let key = Key::of(batch).unwrap();
        assert!(batch.first_sequence >= 1 && batch.first_sequence <= batch.sequence);
        assert!(batch.usage.len() <= MAX_BATCH_ENTRIES);
        assert!(batch.ended_ms >= batch.started_ms, "no span is negative");
        if let Some(stored) = self.stored.get(&key) {
            if stored != batch {
                self.aside.push((stored.clone(), batch.clone()));
            }
            return key;
        }
        let ends_within = self.stored.range(Key { sequence: batch.first_sequence, ..key }..).next();
        if let Some((other, stored)) = ends_within
            && other.epoch == key.epoch
            && stored.first_sequence <= key.sequence
        {
            self.aside.push((stored.clone(), batch.clone()));
            return key;
        }
        let mut names = BTreeSet::new();
        for entry in &batch.usage {
            assert!(names.insert(&entry.tenant), "a tenant stands in a batch once");
            let units = Units::from(entry.units.as_ref().unwrap());
            assert!(!units.is_zero(), "an entry says something");
            self.tenants.entry(entry.tenant.clone()).or_default().add(&units);
            *self.applied.entry(key.epoch).or_default() += sum(&units);
        }
        if batch.lost_open_window {
            self.lost.insert(key.epoch);
        }
        self.stored.insert(key, batch.clone());
        key
    }
}
