//! Listener: an address, and what happens to a connection that arrives there.

use std::net::SocketAddr;
use std::time::Duration;

use super::limit::LocalRateLimit;
use super::route::RouteConfiguration;

/// A TCP listener (`envoy.config.listener.v3.Listener`).
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    /// Resource name.
    pub name: String,
    /// Address to bind.
    pub address: SocketAddr,
    /// Chains; the one whose `server_names` match the SNI most specifically takes the connection.
    /// At most one chain has no `server_names`: it takes what no other does.
    pub chains: Vec<FilterChain>,
}

/// `FilterChain`: TLS or none, then HTTP.
#[derive(Clone, Debug, PartialEq)]
pub struct FilterChain {
    /// Name, unique in the listener.
    pub name: String,
    /// SNI names (`filter_chain_match.server_names`); empty: any connection.
    pub server_names: Vec<ServerName>,
    /// TLS; absent: plain text.
    pub tls: Option<DownstreamTls>,
    /// The HTTP connection manager.
    pub http: HttpOptions,
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
}
