//! From a proven identity to what a client may see. Pure.

use std::sync::Arc;

/// What a caller is to this server, by its service account alone: node metadata is a claim, and is never
/// believed beyond that.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Trusted with everything: anonymous callers, where those are let in.
    Anyone,
    /// A proxy of a class: the name of its edge.
    Edge(Arc<str>),
    /// A proxy of this namespace, and hence of its tenant.
    Sidecar(Arc<str>),
    /// May read what proxies have, and nothing else.
    Operator,
}

/// The resources that a stream may hold. A sidecar's tenant changes with the cluster's state; all else stays.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// All.
    Everything,
    /// Listeners, RouteConfigurations and VirtualHosts of this edge, and what they refer to, at any distance.
    Edge(Arc<str>),
    /// Clusters of this tenant, and what they refer to.
    Tenant(Arc<str>),
    /// None.
    Nothing,
}
