//! The decision: host, route, budget, cluster.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::head::{Head, Headers};
use super::limit;
pub use super::limit::Budget;
use super::table::{ActionTable, ClusterSlot, HostTable, HttpTable, RouteTable, SplitTable};
use crate::meter::TenantId;

/// What to do with a request.
#[derive(Debug)]
pub enum Decision<'t> {
    /// Send it to an endpoint of `cluster`, as `route` says.
    Forward {
        /// The route that matched.
        route: &'t Arc<RouteTable>,
        /// The cluster that the split chose.
        cluster: &'t Arc<ClusterSlot>,
        /// What is left of the scarcest budget that it drew on.
        budget: Option<Budget>,
    },
    /// Answer as the route says (`direct_response`).
    Direct {
        /// The route that matched.
        route: &'t Arc<RouteTable>,
        /// Status.
        status: u16,
        /// As in `Forward`.
        budget: Option<Budget>,
    },
    /// Refuse.
    Refuse {
        /// Whom it is charged to: the route's tenant, or the virtual host's, or nobody's (`-`).
        tenant: TenantId,
        /// Name of the route that matched, if one did.
        route: Option<&'t Arc<RouteTable>>,
        /// Why.
        refusal: Refusal,
        /// The budget that was empty, or as in `Forward`.
        budget: Option<Budget>,
    },
}

/// Why a request is refused, and with which status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 404, `NR`: no such host.
    NoHost,
    /// 404, `NR`: no such route.
    NoRoute,
    /// 429, `RL`: the budget is spent.
    RateLimited,
}

/// Decides. `now` is [`crate::clock::now`]. Allocates nothing, and its cost does not grow with the
/// number of hosts.
pub fn decide<'t, H: Headers + ?Sized>(
    http: &'t HttpTable,
    hosts: &'t HostTable,
    head: &Head<'_, H>,
    now: u64,
) -> Decision<'t> {
    let host = hosts.find(head.host);
    let route = host.and_then(|host| host.routes.iter().find(|route| route.matcher.matches(head)));
    let (taken, budget) = limit::take(&http.limits, route.and_then(|route| route.owner.as_deref()), now);
    let tenant = route.map(|route| route.tenant).or(host.map(|host| host.tenant)).unwrap_or(TenantId::NONE);
    if !taken {
        return Decision::Refuse { tenant, route, refusal: Refusal::RateLimited, budget };
    }
    let Some(route) = route else {
        let refusal = if host.is_some() { Refusal::NoRoute } else { Refusal::NoHost };
        return Decision::Refuse { tenant, route: None, refusal, budget };
    };
    match &route.action {
        ActionTable::Forward(cluster) => Decision::Forward { route, cluster, budget },
        ActionTable::Split(split) => Decision::Forward { route, cluster: choose(split), budget },
        ActionTable::Direct(status) => Decision::Direct { route, status: *status, budget },
    }
}

fn choose(split: &SplitTable) -> &Arc<ClusterSlot> {
    &split.clusters[split.wheel.at(split.turn.fetch_add(1, Relaxed))]
}
