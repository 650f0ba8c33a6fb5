//! The only door from configuration to requests: takes [`Delta`]s whose dependencies are there, compiles them, swaps.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;
use weir_config::FieldError;
use weir_config::model::{Delta, Resource};

use crate::meter::Meter;
use crate::request::table::ListenerTable;
use crate::xds::Admit;

/// Listeners by name; serve/ binds and unbinds by it.
pub type Listeners = BTreeMap<String, Arc<ListenerTable>>;

/// The compiler: the one writer of all tables.
#[derive(Debug)]
pub struct Live {
    listeners: watch::Sender<Arc<Listeners>>,
}

impl Live {
    /// An empty configuration; tenants' counters are taken from `meter`.
    pub fn new(meter: Arc<Meter>) -> Self {
        let _ = meter;
        Self { listeners: watch::Sender::default() }
    }

    /// Makes a change visible to requests. Each table swaps at once; a request sees one or the other.
    pub fn apply(&mut self, delta: &Delta) {
        let _ = delta;
        unimplemented!()
    }

    /// The listeners that should be bound, and a signal when they change.
    pub fn listeners(&self) -> watch::Receiver<Arc<Listeners>> {
        self.listeners.subscribe()
    }
}

/// Checks what only compiling shows: regular expressions, certificates and keys.
#[derive(Clone, Copy, Debug)]
pub struct Compiles;

impl Admit for Compiles {
    fn admit(&self, resource: &Resource) -> Result<(), Vec<FieldError>> {
        let _ = resource;
        unimplemented!()
    }
}
