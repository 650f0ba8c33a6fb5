//! What configuration was compiled into: indices and slots instead of names, so that a request
//! looks nothing up by a string but its host.
//!
//! A *slot* is a place that others point to and whose content swaps: routes of a
//! RouteConfiguration, endpoints of a cluster. A connection keeps the chain that it arrived at;
//! the slots behind it stay current.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use arc_swap::ArcSwap;
use weir_config::model::HeaderMutation;

use crate::meter::TenantId;

/// A listener.
#[derive(Debug)]
pub struct ListenerTable {
    /// Resource name.
    pub name: String,
    /// Address to bind.
    pub address: SocketAddr,
    /// Chains, and which SNI goes to which.
    pub chains: Vec<Arc<ChainTable>>,
}

/// A filter chain.
#[derive(Debug)]
pub struct ChainTable {
    /// Name.
    pub name: String,
    /// TLS settings; absent: plain text.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// HTTP settings.
    pub http: HttpTable,
    /// Set when the chain is gone or replaced: its connections end after the exchange under way.
    pub draining: AtomicBool,
}

/// HTTP connection manager.
#[derive(Debug)]
pub struct HttpTable {
    /// Routes, current at every request.
    pub routes: Arc<ArcSwap<HostTable>>,
    /// A connection without a request ends after this.
    pub idle_timeout: Duration,
    /// A head must be whole within this, from its first byte.
    pub request_headers_timeout: Duration,
    /// An exchange in which no byte moves ends after this.
    pub stream_idle_timeout: Duration,
    /// Largest head, in bytes.
    pub max_head_bytes: usize,
    /// Whether the peer's address is the client's.
    pub use_remote_address: bool,
    /// Whether exchanges are logged.
    pub access_log: bool,
}

/// Virtual hosts of a RouteConfiguration, by host.
#[derive(Debug, Default)]
pub struct HostTable {}

/// A route.
#[derive(Debug)]
pub struct RouteTable {
    /// Name.
    pub name: String,
    /// Tenant that is charged.
    pub tenant: TenantId,
    /// From the whole request to the whole response; none: no limit.
    pub timeout: Option<Duration>,
    /// Changes to the request's headers.
    pub request_headers: HeaderMutation,
    /// Changes to the response's headers.
    pub response_headers: HeaderMutation,
}

/// A cluster whose endpoints swap. Pools of connections are keyed by `id` and the endpoint's address.
#[derive(Debug)]
pub struct ClusterSlot {
    /// Unique in the process for (name, connection settings): a pool's key.
    pub id: u64,
    /// Resource name.
    pub name: String,
    /// Settings and endpoints.
    pub state: ArcSwap<ClusterTable>,
}

/// Settings and endpoints of a cluster.
#[derive(Debug)]
pub struct ClusterTable {
    /// False: a route names it, nobody has sent it. It answers 503 (`NC`).
    pub known: bool,
    /// Limit of a connect.
    pub connect_timeout: Duration,
    /// Endpoints to choose from, those of the best priority that can take requests; see [`crate::balance`].
    pub endpoints: Vec<EndpointTable>,
}

/// An endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointTable {
    /// Address.
    pub address: SocketAddr,
    /// Share, at least 1.
    pub weight: u32,
}
