//! Split: one cluster, or several by weight.

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
