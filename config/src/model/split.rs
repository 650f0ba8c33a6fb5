//! Split: one cluster, or several by weight.

use super::headers::HeaderMutation;

/// Where a route's requests go (`cluster`, or `weighted_clusters`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Split {
    /// All to one.
    One(String),
    /// By weight; at least one, and the sum of weights is from 1 to `u32::MAX`.
    Weighted(Vec<WeightedCluster>),
}

/// `WeightedCluster.ClusterWeight`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightedCluster {
    /// Name of the cluster.
    pub cluster: String,
    /// Share, relative to the sum; zero is allowed.
    pub weight: u32,
    /// What is changed for this cluster alone, before the route's own changes: of two that set one thing the route's
    /// stands, its Host too.
    pub changes: Option<Box<ClusterChanges>>,
}

/// What `ClusterWeight` changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterChanges {
    /// `request_headers_to_add` and `..._to_remove`.
    pub request_headers: HeaderMutation,
    /// `response_headers_to_add` and `..._to_remove`.
    pub response_headers: HeaderMutation,
    /// `host_rewrite_literal`.
    pub host_rewrite: Option<String>,
}

impl WeightedCluster {
    /// A share of requests, sent as they came.
    pub fn new(cluster: impl Into<String>, weight: u32) -> Self {
        Self { cluster: cluster.into(), weight, changes: None }
    }
}

impl Split {
    /// Names of the clusters that it refers to.
    pub fn clusters(&self) -> impl Iterator<Item = &str> {
        let (one, many) = match self {
            Split::One(name) => (Some(name.as_str()), &[][..]),
            Split::Weighted(list) => (None, list.as_slice()),
        };
        one.into_iter().chain(many.iter().map(|w| w.cluster.as_str()))
    }
}
