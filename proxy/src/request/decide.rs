//! The decision: host, route, budget, cluster.

use std::sync::Arc;

use super::head::{Head, Headers};
use super::table::{ClusterSlot, HostTable, HttpTable, RouteTable};
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
        /// Rate-limit headers for the response, where the filter asks for them.
        budget: Option<Budget>,
    },
    /// Answer as the route says (`direct_response`).
    Direct {
        /// The route that matched.
        route: &'t Arc<RouteTable>,
        /// Status.
        status: u16,
    },
    /// Refuse.
    Refuse {
        /// Whom it is charged to: the route's tenant, or the virtual host's, or nobody's (`-`).
        tenant: TenantId,
        /// Name of the route that matched, if one did.
        route: Option<&'t Arc<RouteTable>>,
        /// Why.
        refusal: Refusal,
        /// The budget that was empty.
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

/// State of a budget after this request (`x-ratelimit-limit`, `-remaining`, `-reset`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Tokens a full bucket has.
    pub limit: u32,
    /// Tokens left.
    pub remaining: u32,
    /// Seconds until the next token (rounded up), at least 1 where none is left.
    pub reset: u32,
}

/// Decides. `now` is monotonic, in nanoseconds from the process's start.
pub fn decide<'t, H: Headers + ?Sized>(
    http: &'t HttpTable,
    hosts: &'t HostTable,
    head: &Head<'_, H>,
    now: u64,
) -> Decision<'t> {
    let _ = (http, hosts, head, now);
    unimplemented!()
}
