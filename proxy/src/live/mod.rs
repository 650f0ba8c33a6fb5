//! The only door from configuration to requests: takes [`Delta`]s whose dependencies are there, compiles them, swaps.
//!
//! What is compiled is a function of the resources that are there, not of the order in which they
//! came. What one resource names and nobody has sent yet stands as an empty slot until it comes.

mod admit;
mod clusters;
mod compile;
mod expressions;
mod limits;
mod listeners;
mod proxied;
mod routes;
mod slots;
#[cfg(test)]
mod tests;
mod timeouts;

pub use admit::Compiles;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::watch;
use weir_config::model::{Delta, Resource, ResourceType};

use crate::clock;
use crate::meter::Meter;
use crate::request::table::ListenerTable;
use crate::tls::{Keys, SecretSlot, Terminator, Wants};
use clusters::Clusters;
use compile::Compiler;
use limits::Limits;
use listeners::ListenerSet;
use routes::Routes;
use slots::Slots;

/// Listeners by name; serve/ binds and unbinds by it.
pub type Listeners = BTreeMap<String, Arc<ListenerTable>>;

/// The compiler: the one writer of all tables.
#[derive(Debug)]
pub struct Live {
    meter: Arc<Meter>,
    clusters: Clusters,
    secrets: Slots<SecretSlot>,
    keys: Arc<Keys>,
    wants: Arc<Wants>,
    limits: Limits,
    routes: Routes,
    listeners: ListenerSet,
    published: watch::Sender<Arc<Listeners>>,
}

impl Live {
    /// An empty configuration; tenants' counters are taken from `meter`. Parsed keys are not bounded, and no handshake
    /// waits for its certificate.
    ///
    /// # Errors
    /// The system gives no random numbers for the keys of TLS session tickets.
    pub fn new(meter: Arc<Meter>) -> Result<Self, rustls::Error> {
        Self::bounded(meter, Arc::default(), Arc::default())
    }

    /// The same, with parsed keys among `keys`, and handshakes that wait by `wants`.
    ///
    /// # Errors
    /// As [`Live::new`].
    pub fn bounded(meter: Arc<Meter>, keys: Arc<Keys>, wants: Arc<Wants>) -> Result<Self, rustls::Error> {
        Ok(Self {
            meter,
            clusters: Clusters::default(),
            secrets: Slots::default(),
            keys,
            wants,
            limits: Limits::default(),
            routes: Routes::default(),
            listeners: ListenerSet::new(Terminator::new()?),
            published: watch::Sender::default(),
        })
    }

    /// Makes a change visible to requests. Each table swaps at once; a request sees one or the
    /// other. What is new stands before what names it, and goes after it.
    pub fn apply(&mut self, delta: &Delta) {
        for resource in &delta.upserts {
            match resource {
                Resource::Cluster(cluster) => self.clusters.set(cluster, &mut self.secrets, &self.wants),
                Resource::LoadAssignment(assignment) => self.clusters.assign(assignment),
                Resource::Secret(secret) => {
                    let make = || SecretSlot::new(&secret.name, self.wants.clone());
                    self.secrets.sent(&secret.name, make).set(secret, &self.keys);
                }
                Resource::FilterConfig(filter) => self.limits.set(filter),
                _ => {}
            }
        }
        let mut compiler = Compiler { meter: &self.meter, clusters: &mut self.clusters, limits: &mut self.limits };
        self.routes.apply(delta, &mut compiler);
        if self.listeners.apply(delta, &mut compiler, &mut self.routes, (&mut self.secrets, &self.wants)) {
            self.published.send_replace(Arc::new(self.listeners.tables()));
        }
        self.remove(delta);
        self.sweep();
    }

    /// The listeners that should be bound, and a signal when they change.
    pub fn listeners(&self) -> watch::Receiver<Arc<Listeners>> {
        self.published.subscribe()
    }

    /// When a handshake last used the secret of this name, by [`clock::now`]; 0: none has.
    pub fn last_use(&self, secret: &str) -> u64 {
        self.secrets.get(secret).map_or(0, |slot| slot.last_use())
    }

    /// What others named until now: it goes last. A name that comes and goes in one change is there.
    fn remove(&mut self, delta: &Delta) {
        let came: BTreeSet<_> = delta.upserts.iter().map(|r| (r.kind(), r.name())).collect();
        for (kind, name) in delta.removals.iter().filter(|(kind, name)| !came.contains(&(*kind, name.as_str()))) {
            match kind {
                ResourceType::Cluster => self.clusters.remove(name),
                ResourceType::LoadAssignment => self.clusters.unassign(name),
                ResourceType::FilterConfig => self.limits.remove(name),
                ResourceType::Secret => {
                    if let Some(slot) = self.secrets.gone(name) {
                        slot.clear();
                    }
                }
                ResourceType::Listener | ResourceType::RouteConfiguration | ResourceType::VirtualHost => {}
            }
        }
    }

    /// Forgets what nobody sends and nobody names any more.
    fn sweep(&mut self) {
        self.routes.sweep();
        self.clusters.sweep();
        self.secrets.sweep();
        self.limits.sweep(clock::now());
    }
}
