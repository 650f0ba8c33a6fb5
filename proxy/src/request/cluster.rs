//! A cluster as requests see it: its settings and the endpoints that can take requests.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use arc_swap::ArcSwap;
use weir_config::model::{Http2Options, UpstreamProtocol};

use super::retry::{Retries, RetryLimit};
use super::wheel::Wheel;
use crate::tls::Origin;

/// A cluster whose endpoints swap. Pools of connections are keyed by `id` and the endpoint's address.
#[derive(Debug)]
pub struct ClusterSlot {
    /// Unique in the process for (name, connection settings): a pool's key.
    pub id: u64,
    /// Resource name.
    pub name: Arc<str>,
    /// Settings and endpoints.
    pub state: ArcSwap<ClusterTable>,
    /// Turns of [`crate::balance`] so far.
    pub turn: AtomicU64,
    /// Its retries that are under way.
    pub retries: Retries,
}

impl ClusterSlot {
    /// A slot for a cluster that nobody has sent yet. `turn` is where its round robin begins: a
    /// number of chance, so that many proxies do not begin with the same endpoint.
    pub fn new(id: u64, name: &str, turn: u64) -> Self {
        let state = ArcSwap::from_pointee(ClusterTable::default());
        Self { id, name: name.into(), state, turn: turn.into(), retries: Retries::default() }
    }
}

/// Settings and endpoints of a cluster. The default is one that nobody has sent.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ClusterTable {
    /// False: a route names it, nobody has sent it. It answers as the route says (`NC`).
    pub known: bool,
    /// Limit of a connect.
    pub connect_timeout: Duration,
    /// What the endpoints speak.
    pub protocol: UpstreamProtocol,
    /// Settings of HTTP/2 connections, where any is given.
    pub http2: Option<Arc<Http2Options>>,
    /// TLS toward them; absent: plain text.
    pub tls: Option<TlsSettings>,
    /// How many retries it bears at one time.
    pub retries: RetryLimit,
    /// Endpoints to choose from, those of the best priority that can take requests; see [`crate::balance`].
    pub endpoints: Arc<[EndpointTable]>,
    /// Order of turns among them; none where there is no endpoint.
    pub wheel: Option<Wheel>,
}

impl ClusterTable {
    /// A known cluster that speaks HTTP/1.1, with these endpoints to choose from.
    pub fn new(connect_timeout: Duration, endpoints: Arc<[EndpointTable]>) -> Self {
        let weights: Vec<u32> = endpoints.iter().map(|e| e.weight.max(1)).collect();
        let wheel = Wheel::new(&weights);
        Self { known: true, connect_timeout, endpoints, wheel, ..Self::default() }
    }
}

/// TLS toward a cluster's endpoints; the same if it was made once.
#[derive(Clone, Debug)]
pub struct TlsSettings(pub Arc<Origin>);

impl PartialEq for TlsSettings {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for TlsSettings {}

impl Deref for TlsSettings {
    type Target = Origin;

    fn deref(&self) -> &Origin {
        &self.0
    }
}

/// An endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointTable {
    /// Address.
    pub address: SocketAddr,
    /// Share, at least 1.
    pub weight: u32,
}
