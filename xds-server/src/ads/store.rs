//! The resources that all streams share, and the news that they changed.
//!
//! One writer at a time encodes without holding the readers' lock; readers hold it for as long as
//! it takes to look up the names that changed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use tokio::sync::watch;
use weir_config::model::{Delta, ResourceType};

use super::encoded::Encoded;
use super::form::Form;
use super::resources::{Edit, Resources};

/// The store.
#[derive(Debug)]
pub struct Store {
    resources: RwLock<Resources>,
    /// Held by whoever makes a change, from reading the old state to putting the new one in place.
    writer: Mutex<Writer>,
    newest: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Writer {
    /// Streams that want the inline form.
    inline: usize,
}

impl Default for Store {
    fn default() -> Self {
        Self { resources: RwLock::default(), writer: Mutex::default(), newest: watch::Sender::new(0) }
    }
}

impl Store {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a change in. What is equal to what is there is dropped; true if anything is left.
    pub fn publish(&self, delta: &Delta) -> bool {
        let writer = self.writer();
        let upserts = delta.upserts.iter().map(|resource| Arc::new(Encoded::new(resource))).collect();
        let removals = delta.removals.iter().map(|(kind, name)| (*kind, Arc::from(name.as_str()))).collect();
        self.put(&writer, Edit { upserts, removals, inline: Vec::new() })
    }

    fn put(&self, writer: &MutexGuard<'_, Writer>, mut edit: Edit) -> bool {
        if writer.inline > 0 {
            let touched = self.read().inline_after(&edit);
            edit.inline.extend(touched);
        }
        let (changed, sequence) = {
            let mut resources = self.resources.write().unwrap_or_else(PoisonError::into_inner);
            (resources.apply(edit), resources.sequence())
        };
        if changed {
            self.newest.send_replace(sequence);
        }
        changed
    }

    /// The resources as they are. Hold it briefly: a change waits for it.
    pub fn read(&self) -> RwLockReadGuard<'_, Resources> {
        self.resources.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the number of the newest change.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// Number of resources of a type.
    pub fn count(&self, kind: ResourceType) -> usize {
        self.read().of(kind, Form::Vhds).len()
    }

    /// Keeps the inline form of RouteConfigurations for as long as the answer lives. They are made
    /// when the first stream asks and dropped with the last.
    pub fn want_inline(self: &Arc<Self>) -> InlineInterest {
        let mut writer = self.writer();
        writer.inline += 1;
        if writer.inline == 1 {
            let inline = self.read().all_inline();
            self.put(&writer, Edit { inline, ..Edit::default() });
        }
        InlineInterest(Arc::clone(self))
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(crate) fn publish_encoded(&self, upserts: Vec<Encoded>, removals: &[(ResourceType, &str)]) -> bool {
        let upserts = upserts.into_iter().map(Arc::new).collect();
        let removals = removals.iter().map(|(kind, name)| (*kind, Arc::from(*name))).collect();
        self.put(&self.writer(), Edit { upserts, removals, inline: Vec::new() })
    }
}

/// A stream's interest in the inline form.
#[derive(Debug)]
pub struct InlineInterest(Arc<Store>);

impl Drop for InlineInterest {
    fn drop(&mut self) {
        let mut writer = self.0.writer();
        writer.inline -= 1;
        if writer.inline == 0 {
            self.0.resources.write().unwrap_or_else(PoisonError::into_inner).forget_inline();
        }
    }
}
