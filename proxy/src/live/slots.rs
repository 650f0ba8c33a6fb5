//! Slots by name: made when first named or sent, forgotten when neither holds any more.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Slots of one type of resource.
#[derive(Debug)]
pub(super) struct Slots<T> {
    by_name: HashMap<Arc<str>, Arc<T>>,
    /// Named by others, but nobody has sent them. Few: only these are swept.
    unsent: BTreeSet<Arc<str>>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { by_name: HashMap::new(), unsent: BTreeSet::new() }
    }
}

impl<T> Slots<T> {
    /// The slot of that name, for one who refers to it.
    pub(super) fn named(&mut self, name: &str, make: impl FnOnce() -> T) -> Arc<T> {
        if let Some(slot) = self.by_name.get(name) {
            return slot.clone();
        }
        let (name, slot): (Arc<str>, _) = (name.into(), Arc::new(make()));
        self.unsent.insert(name.clone());
        self.by_name.insert(name, slot.clone());
        slot
    }

    /// The slot of that name, which has been sent.
    pub(super) fn sent(&mut self, name: &str, make: impl FnOnce() -> T) -> Arc<T> {
        let slot = self.named(name, make);
        self.unsent.remove(name);
        slot
    }

    /// Its resource is gone. The caller empties the slot that is handed back.
    pub(super) fn gone(&mut self, name: &str) -> Option<Arc<T>> {
        let (name, slot) = self.by_name.get_key_value(name)?;
        self.unsent.insert(name.clone());
        Some(slot.clone())
    }

    /// Whether it was named or sent.
    pub(super) fn get(&self, name: &str) -> Option<&Arc<T>> {
        self.by_name.get(name)
    }

    /// Forgets slots that were not sent and that nobody holds; says which.
    pub(super) fn sweep(&mut self) -> Vec<Arc<T>> {
        let idle = |name: &Arc<str>| self.by_name.get(name).is_none_or(|slot| Arc::strong_count(slot) == 1);
        let names: Vec<_> = self.unsent.iter().filter(|name| idle(name)).cloned().collect();
        names
            .iter()
            .filter_map(|name| {
                self.unsent.remove(name);
                self.by_name.remove(name)
            })
            .collect()
    }
}
