//! Which resources there are, who made them, and what a round of work changes.

use std::collections::{BTreeMap, HashMap};

use weir_config::model::{Delta, Resource, ResourceType, Snapshot};

use super::unit::Maker;
use crate::index::Few;

type Key = (ResourceType, String);

/// The resources, with the changes that are not told yet.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    snapshot: Snapshot,
    makers: HashMap<Key, Maker>,
    made: HashMap<Maker, Few<Key>>,
    pending: BTreeMap<Key, Option<Resource>>,
}

impl Ledger {
    /// All resources, as of the last [`Ledger::settle`].
    pub(crate) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Replaces everything that `maker` made.
    pub(crate) fn replace(&mut self, maker: &Maker, resources: Vec<Resource>) {
        let keys: Few<Key> = resources.iter().map(|r| (r.kind(), r.name().to_owned())).collect();
        let old = self.made.remove(maker).unwrap_or_default();
        for gone in old.iter().filter(|key| !keys.contains(*key)) {
            self.retract(maker, gone);
        }
        for resource in resources {
            self.take(maker, resource);
        }
        if !keys.is_empty() {
            self.made.insert(maker.clone(), keys);
        }
    }

    /// Adds one resource of a maker that is never replaced as a whole.
    pub(crate) fn put(&mut self, maker: &Maker, resource: Resource) {
        self.take(maker, resource);
    }

    /// Takes back one resource that [`Ledger::put`] added.
    pub(crate) fn retract(&mut self, maker: &Maker, key: &Key) {
        // A name that passed to another maker in this round is that one's now.
        if self.makers.get(key) == Some(maker) {
            self.makers.remove(key);
            self.pending.insert(key.clone(), None);
        }
    }

    fn take(&mut self, maker: &Maker, resource: Resource) {
        let key = (resource.kind(), resource.name().to_owned());
        self.makers.insert(key.clone(), maker.clone());
        self.pending.insert(key, Some(resource));
    }

    /// Ends a round: what is really different from before.
    pub(crate) fn settle(&mut self) -> Delta {
        let mut delta = Delta::default();
        for ((kind, name), resource) in std::mem::take(&mut self.pending) {
            let before = self.snapshot.get(kind, &name);
            match resource {
                Some(resource) if before.as_ref() != Some(&resource) => delta.upserts.push(resource),
                None if before.is_some() => delta.removals.push((kind, name)),
                _ => {}
            }
        }
        self.snapshot.apply(&delta);
        delta
    }
}
