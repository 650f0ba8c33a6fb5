//! Which requests are copied, and where to.

use std::sync::Arc;

use weir_config::model::Fraction;

use super::cluster::ClusterSlot;

/// A mirror, compiled.
#[derive(Clone, Debug)]
pub struct MirrorTable {
    /// Cluster that gets the copies.
    pub cluster: Arc<ClusterSlot>,
    fraction: Option<Fraction>,
}

impl MirrorTable {
    /// Copies of a fraction of requests go to `cluster`; none: of all.
    pub fn new(cluster: Arc<ClusterSlot>, fraction: Option<Fraction>) -> Self {
        Self { cluster, fraction }
    }

    /// Whether a request is copied; `random` is a number of chance.
    pub fn wants(&self, random: u64) -> bool {
        self.fraction.is_none_or(|Fraction { numerator, denominator }| {
            random % u64::from(denominator.max(1)) < u64::from(numerator)
        })
    }
}
