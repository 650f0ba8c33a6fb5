//! What each connected proxy has and acknowledged, for `weir status` and the admin endpoint.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::live::Live;
use super::report::ProxyReport;

/// The streams that are open.
#[derive(Debug, Default)]
pub struct Registry {
    streams: Mutex<Streams>,
}

#[derive(Debug, Default)]
struct Streams {
    next: u64,
    open: BTreeMap<u64, Arc<Proxy>>,
}

/// An open stream of a proxy.
#[derive(Debug)]
pub struct Proxy {
    id: u64,
    /// Without types.
    about: ProxyReport,
    live: Arc<Live>,
}

impl Proxy {
    /// What it said of itself when it came.
    pub fn about(&self) -> &ProxyReport {
        &self.about
    }

    /// Number of the stream, unique among those of this server.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The stream's state.
    pub fn live(&self) -> &Live {
        &self.live
    }

    /// What it has now.
    pub fn report(&self) -> ProxyReport {
        ProxyReport { types: self.live.report(), ..self.about.clone() }
    }
}

impl Registry {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Every open stream, oldest first.
    pub fn open(&self) -> Vec<Arc<Proxy>> {
        self.lock().open.values().cloned().collect()
    }

    /// What every open stream has, oldest first.
    pub fn proxies(&self) -> Vec<ProxyReport> {
        self.open().iter().map(|proxy| proxy.report()).collect()
    }

    /// Number of open streams.
    pub fn len(&self) -> usize {
        self.lock().open.len()
    }

    /// Whether no stream is open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Enters a stream, for as long as the answer lives.
    pub fn enter(self: &Arc<Self>, about: ProxyReport, live: Arc<Live>) -> Entry {
        let mut streams = self.lock();
        let id = streams.next;
        streams.next += 1;
        streams.open.insert(id, Arc::new(Proxy { id, about, live }));
        Entry { registry: Arc::clone(self), id }
    }

    fn lock(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream's place in the registry.
#[derive(Debug)]
pub struct Entry {
    registry: Arc<Registry>,
    id: u64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.registry.lock().open.remove(&self.id);
    }
}
