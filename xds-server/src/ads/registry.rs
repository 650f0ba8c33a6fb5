//! What each connected proxy has and acknowledged, for `weir status` and the admin endpoint.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::live::Live;

/// A stream of a proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProxyReport {
    /// `node.id`: what the proxy calls itself, which is no proof.
    pub node: String,
    /// `node.cluster`.
    pub cluster: String,
    /// Program and version, as the node says.
    pub agent: String,
    /// Address of the peer; empty over a Unix socket.
    pub peer: String,
    /// When the stream began, RFC 3339.
    pub since: String,
    /// Whether virtual hosts travel one by one (VHDS).
    pub vhds: bool,
    /// Variant of the protocol and sort of stream: `delta` or `sotw`, with the type that it has alone.
    #[serde(default)]
    pub protocol: String,
    /// What the caller proved to be: `namespace/name` of its service account, or `anonymous`.
    #[serde(default)]
    pub identity: String,
    /// Types that it asked for, in sending order.
    pub types: Vec<TypeReport>,
}

/// A type of resources on a stream. Changes are counted from the server's start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TypeReport {
    /// `Cluster`, `Listener`, ...
    #[serde(rename = "type")]
    pub type_name: String,
    /// Whether it asked for all.
    pub wildcard: bool,
    /// Names that it asked for.
    pub subscribed: usize,
    /// Resources that it was told of.
    pub resources: usize,
    /// Names that it must hear of still.
    pub waiting: usize,
    /// Number of the server's newest change when this type was last sent.
    pub sent: u64,
    /// The same of the last response that it accepted whole.
    pub acknowledged: u64,
    /// Of Listeners: the versions that it accepted last, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub versions: BTreeMap<String, String>,
    /// What it refused and was not replaced since.
    pub rejections: Vec<Rejection>,
}

/// A resource that a proxy refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rejection {
    /// Name.
    pub name: String,
    /// Version that it refused.
    pub version: String,
    /// `error_detail.message`.
    pub message: String,
}

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
