//! The decision, in a form that outlives the borrowed head.

use std::sync::Arc;

use crate::meter::TenantId;
use crate::request::decide::{Budget, Decision, Refusal, decide};
use crate::request::table::{ClusterSlot, HttpTable, RouteTable};
use crate::request::{Head, Headers};
use crate::serve::flag::Flag;

/// What will be done with a request.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Who is charged.
    pub(crate) tenant: TenantId,
    /// The route that matched.
    pub(crate) route: Option<Arc<RouteTable>>,
    /// The budget that was asked.
    pub(crate) budget: Option<Budget>,
    /// What to do.
    pub(crate) action: Action,
}

/// What to do.
#[derive(Debug)]
pub(crate) enum Action {
    /// Send it to an endpoint of a cluster.
    Forward(Arc<ClusterSlot>),
    /// Answer it here.
    Answer {
        /// Status.
        status: u16,
        /// Why.
        flag: Flag,
    },
}

impl Plan {
    /// Asks [`decide`], against the routes that are current. `now` is [`crate::clock::now`].
    pub(crate) fn make<H: Headers + ?Sized>(http: &HttpTable, head: &Head<'_, H>, now: u64) -> Self {
        let hosts = http.routes.load();
        match decide(http, &hosts, head, now) {
            Decision::Forward { route, cluster, budget } => Self {
                tenant: route.tenant,
                route: Some(route.clone()),
                budget,
                action: Action::Forward(cluster.clone()),
            },
            Decision::Direct { route, status, budget } => Self {
                tenant: route.tenant,
                route: Some(route.clone()),
                budget,
                action: Action::Answer { status, flag: Flag::None },
            },
            Decision::Refuse { tenant, route, refusal, budget } => {
                let (status, flag) = match refusal {
                    Refusal::NoHost | Refusal::NoRoute => (404, Flag::NoRoute),
                    Refusal::RateLimited => (429, Flag::RateLimited),
                };
                Self { tenant, route: route.cloned(), budget, action: Action::Answer { status, flag } }
            }
        }
    }
}
