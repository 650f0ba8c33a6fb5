//! Where connections and sessions go that are not HTTP.

use std::sync::Arc;
use std::time::Duration;

use weir_config::model::{Proxied, Split};
use weir_config::usage::NO_TENANT;

use super::compile::Compiler;
use super::timeouts::limit;
use crate::request::table::ProxiedTable;
use crate::request::wheel::Wheel;

impl Compiler<'_> {
    /// Compiles. Its turns begin by chance, so that many proxies do not all begin with the same cluster.
    pub(super) fn proxied(&mut self, model: &Proxied, idle: Duration) -> Arc<ProxiedTable> {
        let (names, weights): (Vec<&str>, Vec<u32>) = match &model.split {
            Split::One(name) => (vec![name], vec![1]),
            Split::Weighted(list) => list.iter().map(|share| (share.cluster.as_str(), share.weight)).unzip(),
        };
        let wheel = Wheel::new(&weights);
        // The model rules a sum of zero out: what nobody has sent stands for it.
        let names = if wheel.is_some() { names } else { vec![""] };
        Arc::new(ProxiedTable {
            tenant: self.meter.tenant(model.owner.as_ref().map_or(NO_TENANT, |owner| &owner.tenant)),
            clusters: names.into_iter().map(|name| self.clusters.slot(name)).collect(),
            wheel,
            turn: u64::from(rand::random::<u32>()).into(),
            idle_timeout: limit(model.idle_timeout, idle),
            access_log: model.access_log,
        })
    }
}
