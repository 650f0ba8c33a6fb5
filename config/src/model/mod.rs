//! What the proxy is told: plain values, one type for each thing that travels as an xDS resource.
//!
//! The server translates objects into these, [`crate::xds`] writes them as standard messages and
//! reads them back, and the proxy compiles them into its tables. Values that are equal mean the
//! same; nothing here knows tokio, kube or tonic.

pub mod cluster;
pub mod headers;
pub mod http2;
pub mod limit;
pub mod listener;
pub mod name;
pub mod pattern;
mod references;
pub mod route;
pub mod secret;
pub mod snapshot;
pub mod split;

pub use cluster::{
    Cluster, Endpoint, EndpointSource, HealthStatus, LoadAssignment, Locality, LocalityEndpoints, RetryBudget, Roots,
    SubjectName, UpstreamProtocol, UpstreamTls,
};
pub use headers::{HeaderMutation, HeaderOp};
pub use http2::{Http2Options, Keepalive};
pub use limit::{FilterConfig, LocalRateLimit, TokenBucket};
pub use listener::{
    ClientCertificates, DownstreamTls, FilterChain, HttpFilter, HttpOptions, Listener, Network, Proxied, RouteSource,
    ServerName,
};
pub use references::references;
pub use route::{
    Cors, Domain, Forward, Fraction, HeaderMatch, Mirror, Owner, PathMatch, PathRewrite, QueryMatch, Redirect, Retry,
    RetryOn, Route, RouteAction, RouteConfiguration, RouteMatch, SessionPersistence, StringMatch, VirtualHost,
};
pub use secret::{PrivateKey, Secret, TlsCertificate};
pub use snapshot::{Delta, Resource, ResourceType, Snapshot};
pub use split::{ClusterChanges, Split, WeightedCluster};
