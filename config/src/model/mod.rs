//! What the proxy is told: plain values, one type for each thing that travels as an xDS resource.
//!
//! The server translates objects into these, [`crate::xds`] writes them as standard messages and
//! reads them back, and the proxy compiles them into its tables. Values that are equal mean the
//! same; nothing here knows tokio, kube or tonic.

pub mod cluster;
pub mod limit;
pub mod listener;
pub mod name;
pub mod pattern;
pub mod route;
pub mod secret;
pub mod snapshot;
pub mod split;

pub use cluster::{Cluster, Endpoint, EndpointSource, HealthStatus, LoadAssignment, Locality, LocalityEndpoints};
pub use limit::{FilterConfig, LocalRateLimit, TokenBucket};
pub use listener::{DownstreamTls, FilterChain, HttpFilter, HttpOptions, Listener, RouteSource, ServerName};
pub use route::{
    Domain, HeaderMatch, HeaderMutation, HeaderOp, Owner, PathMatch, QueryMatch, Route, RouteAction,
    RouteConfiguration, RouteMatch, StringMatch, VirtualHost,
};
pub use secret::{PrivateKey, Secret, TlsCertificate};
pub use snapshot::{Delta, Resource, ResourceType, Snapshot};
pub use split::{Split, WeightedCluster};
