//! A relation that is read from both sides.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeBounds;

use super::Few;

/// Which keys each owner depends on, and which owners depend on a key.
#[derive(Clone, Debug)]
pub struct Reverse<K, O> {
    keys: BTreeMap<O, Few<K>>,
    owners: BTreeMap<K, Few<O>>,
}

impl<K, O> Default for Reverse<K, O> {
    fn default() -> Self {
        Self { keys: BTreeMap::new(), owners: BTreeMap::new() }
    }
}

impl<K: Ord + Clone, O: Ord + Clone> Reverse<K, O> {
    /// Replaces the keys of `owner`; answers with those that it gained or lost.
    pub fn set(&mut self, owner: &O, keys: BTreeSet<K>) -> Vec<K> {
        let old = self.keys.remove(owner).unwrap_or_default();
        let lost = old.iter().filter(|key| !keys.contains(key));
        let gained = keys.iter().filter(|key| !old.contains(*key));
        let mut changed: Vec<K> = lost.chain(gained).cloned().collect();
        changed.sort();
        for key in &changed {
            let owners = self.owners.entry(key.clone()).or_default();
            if !owners.remove(owner) {
                owners.insert(owner.clone());
            }
            if owners.is_empty() {
                self.owners.remove(key);
            }
        }
        if !keys.is_empty() {
            self.keys.insert(owner.clone(), keys.into());
        }
        changed
    }

    /// Owners that depend on `key`.
    pub fn owners<'a>(&'a self, key: &K) -> impl Iterator<Item = &'a O> + use<'a, K, O> {
        self.owners.get(key).into_iter().flatten()
    }

    /// Number of owners that depend on `key`.
    pub fn count(&self, key: &K) -> usize {
        self.owners.get(key).map_or(0, Few::len)
    }

    /// Keys that `owner` depends on.
    pub fn keys<'a>(&'a self, owner: &O) -> impl Iterator<Item = &'a K> + use<'a, K, O> {
        self.keys.get(owner).into_iter().flatten()
    }

    /// Keys in `range` that anyone depends on, with their owners.
    pub fn range(&self, range: impl RangeBounds<K>) -> impl Iterator<Item = (&K, &Few<O>)> {
        self.owners.range(range)
    }

    /// Whether nobody depends on anything.
    pub fn is_empty(&self) -> bool {
        self.owners.is_empty()
    }

    /// Whether anyone depends on `key`.
    pub fn contains(&self, key: &K) -> bool {
        self.owners.contains_key(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_agree_after_a_change() {
        let mut relation = Reverse::<u8, char>::default();
        relation.set(&'a', BTreeSet::from([1, 2]));
        relation.set(&'b', BTreeSet::from([2]));
        assert_eq!(relation.set(&'a', BTreeSet::from([2, 3])), [1, 3]);
        assert!(!relation.contains(&1));
        assert_eq!(relation.owners(&2).collect::<String>(), "ab");
        assert_eq!(relation.set(&'a', BTreeSet::new()), [2, 3]);
        assert_eq!(relation.range(..).count(), 1);
    }
}
