//! What is known of one watch: what a list or an event does to it, and which events that makes.
//!
//! A list is the truth: what it does not name is gone. Events of one watch come in the order of their versions,
//! so one that is no newer than what was seen is a repetition, and says nothing. Versions are compared only
//! where they are numbers, as those of every API server in use are.

use std::collections::{BTreeMap, HashSet};
use std::mem;

use weir_config::FieldError;
use weir_config::kinds::ObjectKey;

use super::wire::Item;
use crate::watch::Event;

/// The objects that one watch has told of.
#[derive(Debug, Default)]
pub(super) struct Known {
    served: HashSet<ObjectKey>,
    problems: BTreeMap<ObjectKey, Vec<FieldError>>,
    version: Option<u64>,
}

impl Known {
    /// Takes a complete list in.
    pub(super) fn list(&mut self, items: Vec<Item>, version: &str) -> Vec<Event> {
        // Never compared with what was seen: after a restore of its store an API server counts from less.
        self.version = version.parse().ok();
        self.problems.clear();
        let mut gone = mem::take(&mut self.served);
        let mut events = Vec::with_capacity(items.len());
        for item in items {
            if item.object.is_some() {
                gone.remove(&item.key);
            }
            events.extend(self.put(item));
        }
        events.extend(gone.into_iter().map(Event::Delete));
        events
    }

    /// Takes a new or changed object in.
    pub(super) fn changed(&mut self, item: Item) -> Option<Event> {
        if !self.is_news(&item.version) {
            return None;
        }
        self.put(item)
    }

    /// Takes an object's end in.
    pub(super) fn gone(&mut self, key: ObjectKey, version: &str) -> Option<Event> {
        if !self.is_news(version) {
            return None;
        }
        self.problems.remove(&key);
        self.served.remove(&key).then_some(Event::Delete(key))
    }

    /// Nothing happened up to `version`.
    pub(super) fn bookmark(&mut self, version: &str) {
        self.is_news(version);
    }

    /// What is wrong with objects.
    pub(super) fn problems(&self) -> impl Iterator<Item = (&ObjectKey, &FieldError)> {
        self.problems.iter().flat_map(|(key, problems)| problems.iter().map(move |problem| (key, problem)))
    }

    fn put(&mut self, item: Item) -> Option<Event> {
        let Item { key, object, problems, .. } = item;
        if problems.is_empty() {
            self.problems.remove(&key);
        } else {
            self.problems.insert(key.clone(), problems);
        }
        match object {
            Some(object) => {
                self.served.insert(key);
                Some(Event::Apply(object))
            }
            None => self.served.remove(&key).then_some(Event::Delete(key)),
        }
    }

    /// Whether `version` is newer than all that was seen; it has been seen then.
    fn is_news(&mut self, version: &str) -> bool {
        let Ok(version) = version.parse::<u64>() else { return true };
        if self.version.is_some_and(|seen| version <= seen) {
            return false;
        }
        self.version = Some(version);
        true
    }
}
