//! The decision: host, route, budget, cluster.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::changes::ChangesTable;
use super::cluster::ClusterSlot;
use super::head::{Head, Headers};
use super::limit;
pub use super::limit::Budget;
use super::redirect::RedirectTable;
use super::session;
use super::table::{ActionTable, HostTable, HttpTable, RouteTable, SplitTable, VirtualHostTable};
use crate::meter::Lease;

/// What to do with a request.
#[derive(Debug)]
pub enum Decision<'t> {
    /// Send it to an endpoint of `cluster`, as `route` says.
    Forward {
        /// The route that matched.
        route: &'t Arc<RouteTable>,
        /// The cluster that the split chose.
        cluster: &'t Arc<ClusterSlot>,
        /// What is changed for this cluster, in place of what the route says for all.
        changes: Option<&'t Arc<ChangesTable>>,
        /// What the request says of its session.
        session: session::Asked,
        /// What is left of the scarcest budget that it drew on.
        budget: Option<Budget>,
    },
    /// Answer where else to go (`redirect`).
    Redirect {
        /// The route that matched.
        route: &'t Arc<RouteTable>,
        /// Where.
        to: &'t RedirectTable,
        /// As in `Forward`.
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
        /// Whom it is charged to.
        charged: Charged<'t>,
        /// Why.
        refusal: Refusal,
        /// The budget that was empty, or as in `Forward`.
        budget: Option<Budget>,
    },
}

/// Whom a request is charged to: the table that holds the tenant's place among the counters.
#[derive(Clone, Copy, Debug)]
pub enum Charged<'t> {
    /// The tenant of the route that matched.
    Route(&'t Arc<RouteTable>),
    /// None did: the virtual host's tenant.
    Host(&'t Arc<VirtualHostTable>),
    /// No virtual host either: nobody (`-`).
    Nobody,
}

impl<'t> Charged<'t> {
    /// The tenant, if it is somebody's.
    pub fn tenant(self) -> Option<&'t Lease> {
        match self {
            Charged::Route(route) => Some(&route.tenant),
            Charged::Host(host) => Some(&host.tenant),
            Charged::Nobody => None,
        }
    }
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
    let route = host.and_then(|host| find(&host.routes, head));
    let (taken, budget) = limit::take(&http.limits, route.and_then(|route| route.owner.as_deref()), now);
    if !taken {
        let charged = route.map(Charged::Route).or(host.map(Charged::Host)).unwrap_or(Charged::Nobody);
        return Decision::Refuse { charged, refusal: Refusal::RateLimited, budget };
    }
    let Some(route) = route else {
        let (charged, refusal) =
            host.map_or((Charged::Nobody, Refusal::NoHost), |host| (Charged::Host(host), Refusal::NoRoute));
        return Decision::Refuse { charged, refusal, budget };
    };
    match &route.action {
        ActionTable::Forward(cluster) => {
            Decision::Forward { route, cluster, changes: None, session: asked(route, head), budget }
        }
        ActionTable::Split(split) => {
            let session = asked(route, head);
            let (cluster, changes) = choose(split, session.endpoint);
            Decision::Forward { route, cluster, changes, session, budget }
        }
        ActionTable::Redirect(to) => Decision::Redirect { route, to, budget },
        ActionTable::Direct(status) => Decision::Direct { route, status: *status, budget },
    }
}

/// The first route that matches and whose share the request is.
fn find<'t, H: Headers + ?Sized>(routes: &'t [Arc<RouteTable>], head: &Head<'_, H>) -> Option<&'t Arc<RouteTable>> {
    let mut draw = None;
    let mut matching = routes.iter().enumerate().filter(|(_, route)| route.matcher.matches(head));
    matching.find_map(|(at, route)| {
        let Some(share) = &route.share else { return Some(route) };
        if let Some(run) = share.run()
            && let Some(kept) = routes[at..].iter().take(run.routes).find(|route| keeps(route, head))
        {
            return Some(kept);
        }
        share.has(*draw.get_or_insert_with(|| share.draw())).then_some(route)
    })
}

/// Whether a route sends to the endpoint of the request's session.
fn keeps<H: Headers + ?Sized>(route: &RouteTable, head: &Head<'_, H>) -> bool {
    let Some(wanted) = asked(route, head).endpoint else { return false };
    match &route.action {
        ActionTable::Forward(cluster) => has(cluster, wanted),
        ActionTable::Split(split) => split.clusters.iter().any(|cluster| has(cluster, wanted)),
        ActionTable::Redirect(_) | ActionTable::Direct(_) => false,
    }
}

fn has(cluster: &ClusterSlot, wanted: SocketAddr) -> bool {
    cluster.state.load().endpoints.iter().any(|endpoint| endpoint.address == wanted)
}

/// What a request says of its session.
fn asked<H: Headers + ?Sized>(route: &RouteTable, head: &Head<'_, H>) -> session::Asked {
    let table = route.extras.as_ref().and_then(|extras| extras.session.as_ref());
    table.map_or_else(session::Asked::default, |table| table.asked(head, crate::clock::unix_seconds))
}

/// The cluster that has the endpoint of the request's session, whatever its weight is by now; else the one whose turn
/// it is.
fn choose(split: &SplitTable, wanted: Option<SocketAddr>) -> (&Arc<ClusterSlot>, Option<&Arc<ChangesTable>>) {
    let kept = wanted.and_then(|wanted| split.clusters.iter().position(|slot| has(slot, wanted)));
    let at = kept.unwrap_or_else(|| split.wheel.at(split.turn.fetch_add(1, Relaxed)));
    (&split.clusters[at], split.changes.get(at).and_then(Option::as_ref))
}
