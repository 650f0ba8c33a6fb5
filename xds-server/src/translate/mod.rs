//! Objects to resources and conditions, a tenant at a time. Pure: no I/O, no async.
//!
//! [`World`] is the whole pure half of the server: events in, a [`Delta`] out.

use std::collections::BTreeMap;

use weir_config::kinds::ObjectKey;
use weir_config::model::{Delta, Snapshot};

use crate::status::ObjectStatus;
use crate::watch::Event;

/// What translation must know beside the objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Name of the edge, the first part of its resources' names.
    pub edge: String,
    /// Namespaces of the reserved tenant `system`.
    pub system_namespaces: Vec<String>,
    /// Whether namespaces of no tenant are served as `system` (`--unassigned=system`).
    pub unassigned_is_system: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { edge: "edge".into(), system_namespaces: vec!["weir-system".into()], unassigned_is_system: false }
    }
}

/// The objects seen so far and what they become: a pure function of the set of objects, whatever
/// the order in which they came.
#[derive(Debug, Default)]
pub struct World {}

impl World {
    /// An empty world.
    pub fn new(settings: Settings) -> Self {
        let _ = settings;
        Self {}
    }

    /// Takes changes in and says what they change in the resources. Costs what the change touches.
    pub fn apply(&mut self, events: &[Event]) -> Delta {
        let _ = events;
        unimplemented!()
    }

    /// All resources.
    pub fn snapshot(&self) -> &Snapshot {
        unimplemented!()
    }

    /// Conditions of every object that has any.
    pub fn statuses(&self) -> &BTreeMap<ObjectKey, ObjectStatus> {
        unimplemented!()
    }
}
