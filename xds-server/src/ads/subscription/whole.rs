//! State of the world: a type whose every response is the whole set.
//!
//! A resource that a response leaves out is gone for the client. So a set goes on holding what may not go
//! yet, in the version that the client has, and of what the client refused the version before.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_config::model::ResourceType;

use super::message::Item;
use crate::ads::encoded::{Encoded, Version};

/// Whether responses of this type hold the whole set: by the protocol, clusters and listeners alone.
pub(super) fn is_whole(kind: ResourceType) -> bool {
    matches!(kind, ResourceType::Cluster | ResourceType::Listener)
}

/// What the client was told.
#[derive(Debug, Default)]
pub(super) struct Whole {
    begun: bool,
    shown: BTreeMap<Arc<str>, Shown>,
}

/// A resource of the set.
#[derive(Debug)]
struct Shown {
    last: Arc<Encoded>,
    /// The version that the client accepted last.
    good: Option<Arc<Encoded>>,
}

impl Whole {
    /// Whether the client was told anything on this stream. What it has from before is not known, and the
    /// first set takes away what it does not name.
    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    /// The set with these changes.
    pub(super) fn tell(&mut self, items: &[Item], removed: &[Arc<str>]) -> Vec<Item> {
        self.begun = true;
        for name in removed {
            self.shown.remove(name);
        }
        for item in items {
            if let Item::Present(resource) = item {
                let good = self.shown.remove(&resource.name).and_then(|shown| shown.good);
                self.shown.insert(Arc::clone(&resource.name), Shown { last: Arc::clone(resource), good });
            }
        }
        self.shown.values().map(|shown| Item::Present(Arc::clone(&shown.last))).collect()
    }

    /// The client accepted the last version of `name`.
    pub(super) fn accept(&mut self, name: &str) {
        if let Some(shown) = self.shown.get_mut(name) {
            shown.good = Some(Arc::clone(&shown.last));
        }
    }

    /// The client refused the last version of `name`, and has the one before, if any: the same bytes shall not
    /// come again with every other change.
    pub(super) fn refuse(&mut self, name: &str) {
        match self.shown.get_mut(name) {
            Some(Shown { last, good: Some(good) }) => *last = Arc::clone(good),
            Some(Shown { good: None, .. }) => drop(self.shown.remove(name)),
            None => {}
        }
    }

    /// The client does not ask for `name` any more.
    pub(super) fn forget(&mut self, name: &str) {
        self.shown.remove(name);
    }
}

/// `version_info` of a response: a hash of what it holds, so that replicas agree.
pub(super) fn version_of(items: &[Item]) -> Version {
    let mut text = String::new();
    for item in items {
        if let Item::Present(resource) = item {
            text.push_str(&resource.name);
            text.push('\0');
            text.push_str(&resource.version.to_string());
        }
    }
    Version::of(text.as_bytes())
}
