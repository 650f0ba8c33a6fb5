//! Listener: an address, and what happens to a connection that arrives there.

use std::net::SocketAddr;
use std::time::Duration;

use super::cluster::Roots;
use super::http2::Http2Options;
use super::limit::LocalRateLimit;
use super::route::{Owner, RouteConfiguration};
use super::split::Split;

/// A listener (`envoy.config.listener.v3.Listener`).
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    /// Resource name.
    pub name: String,
    /// Address to bind.
    pub address: SocketAddr,
    /// Chains; the one whose `server_names` match the SNI most specifically takes the connection.
    /// At most one chain has no `server_names`: it takes what no other does. None at a UDP listener.
    pub chains: Vec<FilterChain>,
    /// A UDP listener (`socket_address.protocol`) with this `udp_proxy`; absent: TCP.
    pub udp: Option<Box<Proxied>>,
}

/// `FilterChain`: TLS or none, then HTTP or bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct FilterChain {
    /// Name, unique in the listener.
    pub name: String,
    /// SNI names (`filter_chain_match.server_names`); empty: any connection.
    pub server_names: Vec<ServerName>,
    /// TLS that ends here; absent: plain text, or TLS that goes through.
    pub tls: Option<DownstreamTls>,
    /// Whether the chain takes TLS connections and passes them on unread (`filter_chain_match.transport_protocol`
    /// is `tls`, without a `transport_socket`). `tls` is absent then.
    pub passthrough: bool,
    /// What is spoken within.
    pub network: Network,
}

impl FilterChain {
    /// Its HTTP connection manager, if it has one.
    pub fn http(&self) -> Option<&HttpOptions> {
        match &self.network {
            Network::Http(http) => Some(http),
            Network::Tcp(_) => None,
        }
    }

    /// The same, to be changed.
    pub fn http_mut(&mut self) -> Option<&mut HttpOptions> {
        match &mut self.network {
            Network::Http(http) => Some(http),
            Network::Tcp(_) => None,
        }
    }
}

/// The network filter of a chain.
#[derive(Clone, Debug, PartialEq)]
pub enum Network {
    /// The HTTP connection manager.
    Http(HttpOptions),
    /// `tcp_proxy`: bytes both ways.
    Tcp(Proxied),
}

/// `TcpProxy`, or `UdpProxyConfig`: where connections, or sessions, go.
#[derive(Clone, Debug, PartialEq)]
pub struct Proxied {
    /// `stat_prefix`.
    pub stat_prefix: String,
    /// Which clusters. Where the one chosen does not exist, a connection is closed and a datagram dropped.
    pub split: Split,
    /// Whose it is: charged (metadata `weir.dev` of the filter chain; of the listener, for UDP).
    pub owner: Option<Owner>,
    /// `idle_timeout`: nothing moves; absent: Envoy's 1 h (UDP: 1 min).
    pub idle_timeout: Option<Duration>,
    /// Whether each connection is written to the access log (stdout, JSON).
    pub access_log: bool,
}

/// An SNI name: exact, or `*.` and a suffix that spans one or more labels. Lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServerName {
    /// `shop.acme.com`
    Exact(String),
    /// `*.acme.com`; the text held is `acme.com`.
    Suffix(String),
}

/// `DownstreamTlsContext`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DownstreamTls {
    /// Names of SDS secrets, at least one; the first whose certificate covers the SNI serves.
    pub secrets: Vec<String>,
    /// Protocols offered by ALPN, best first.
    pub alpn: Vec<String>,
    /// Which certificates of clients are asked for; absent: none.
    pub clients: Option<Box<ClientCertificates>>,
}

/// Validation of clients' certificates (`validation_context`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificates {
    /// Who may have signed them.
    pub roots: Roots,
    /// `require_client_certificate`: a client without one is refused.
    pub required: bool,
    /// `trust_chain_verification: ACCEPT_UNTRUSTED`: one that nobody known has signed is taken too.
    pub untrusted: bool,
}

/// `HttpConnectionManager`.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpOptions {
    /// `stat_prefix`.
    pub stat_prefix: String,
    /// Where the routes come from.
    pub routes: RouteSource,
    /// Filters before the router, in order.
    pub filters: Vec<HttpFilter>,
    /// `common_http_protocol_options.idle_timeout`: a connection without a request; absent: Envoy's 1 h.
    pub idle_timeout: Option<Duration>,
    /// `request_headers_timeout`: from the first byte of a head to its last; absent: no limit of the listener's own.
    pub request_headers_timeout: Option<Duration>,
    /// `stream_idle_timeout`: an exchange in which no byte moves; absent: Envoy's 5 min.
    pub stream_idle_timeout: Option<Duration>,
    /// `max_request_headers_kb`, in KiB; absent: Envoy's 60.
    pub max_request_headers_kb: Option<u32>,
    /// `use_remote_address`: the peer's address is the client's, appended to `x-forwarded-for`.
    pub use_remote_address: bool,
    /// `http2_protocol_options`; absent: as docs/http2.md says.
    pub http2: Option<Box<Http2Options>>,
    /// Whether each exchange is written to the access log (stdout, JSON).
    pub access_log: bool,
}

/// RDS by name, or routes that came with the listener.
#[derive(Clone, Debug, PartialEq)]
pub enum RouteSource {
    /// `rds`, over ADS.
    Rds(String),
    /// `route_config`.
    Inline(Box<RouteConfiguration>),
}

/// An HTTP filter before the router.
#[derive(Clone, Debug, PartialEq)]
pub enum HttpFilter {
    /// `config_discovery` over ADS of a `local_ratelimit` filter: the resource's name is the filter's.
    Discovered(String),
    /// `local_ratelimit` with its configuration in place; `name` is the filter's.
    LocalRateLimit {
        /// Name of the filter.
        name: String,
        /// Configuration.
        config: LocalRateLimit,
    },
    /// `envoy.filters.http.cors`: routes have their policies.
    Cors,
    /// `envoy.filters.http.stateful_session`: routes have their sessions.
    StatefulSession,
}
