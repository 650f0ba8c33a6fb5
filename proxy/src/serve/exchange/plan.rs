//! The decision, in a form that outlives the borrowed head.

use std::sync::Arc;

use weir_config::model::HeaderMutation;
use weir_config::usage::NO_TENANT;

use crate::meter::{Lease, Metric, TenantId};
use crate::request::changes::ChangesTable;
use crate::request::decide::{Budget, Charged, Decision, Refusal, decide};
use crate::request::redirect::Url;
use crate::request::rewrite::PathTable;
use crate::request::table::{ClusterSlot, Extras, HttpTable, RouteTable, VirtualHostTable};
use crate::request::{Head, Headers};
use crate::serve::flag::Flag;

/// Changes no header.
pub(crate) static UNCHANGED: HeaderMutation = HeaderMutation { remove: Vec::new(), ops: Vec::new() };

/// What will be done with a request. It holds what it is charged to: while there is a plan, the tenant
/// keeps its place among the counters.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The route that matched.
    pub(crate) route: Option<Arc<RouteTable>>,
    /// Where no route matched, the virtual host whose tenant is charged.
    host: Option<Arc<VirtualHostTable>>,
    /// The budget that was asked.
    pub(crate) budget: Option<Budget>,
    /// What is changed for the cluster that was chosen, in place of what the route says for all.
    changes: Option<Arc<ChangesTable>>,
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
        /// Where else to go.
        location: Option<Box<[u8]>>,
    },
}

impl Plan {
    /// Asks [`decide`], against the routes that are current; `url` is what `head` asks for. `now` is
    /// [`crate::clock::now`].
    pub(crate) fn make<H: Headers + ?Sized>(http: &HttpTable, head: &Head<'_, H>, url: &Url<'_>, now: u64) -> Self {
        let hosts = http.routes.load();
        match decide(http, &hosts, head, now) {
            Decision::Forward { route, cluster, changes, budget } => {
                Self { changes: changes.cloned(), ..Self::of(route, budget, Action::Forward(cluster.clone())) }
            }
            Decision::Redirect { route, to, budget } => {
                let mut location = Vec::new();
                to.location(url, (head.path, head.query), route.matcher.named(head.path), &mut location);
                let location = Some(location.into());
                Self::of(route, budget, Action::Answer { status: to.status, flag: Flag::None, location })
            }
            Decision::Direct { route, status, budget } => {
                Self::of(route, budget, Action::Answer { status, flag: Flag::None, location: None })
            }
            Decision::Refuse { charged, refusal, budget } => {
                let (status, flag) = match refusal {
                    Refusal::NoHost | Refusal::NoRoute => (404, Flag::NoRoute),
                    Refusal::RateLimited => (429, Flag::RateLimited),
                };
                let (route, host) = match charged {
                    Charged::Route(route) => (Some(route.clone()), None),
                    Charged::Host(host) => (None, Some(host.clone())),
                    Charged::Nobody => (None, None),
                };
                let action = Action::Answer { status, flag, location: None };
                Self { route, host, budget, changes: None, action }
            }
        }
    }

    fn of(route: &Arc<RouteTable>, budget: Option<Budget>, action: Action) -> Self {
        Self { route: Some(route.clone()), host: None, budget, changes: None, action }
    }

    fn extras(&self) -> Option<&Extras> {
        self.route.as_ref()?.extras.as_deref()
    }

    /// The Host that the endpoint sees, where it is not the client's.
    pub(crate) fn host(&self) -> Option<&str> {
        match &self.changes {
            Some(changes) => changes.host.as_deref(),
            None => self.extras()?.host.as_deref(),
        }
    }

    /// What becomes of `path`, and how many bytes of it the route matched.
    pub(crate) fn path(&self, path: &str) -> Option<(&PathTable, usize)> {
        let table = self.extras()?.path.as_ref()?;
        Some((table, self.route.as_ref()?.matcher.named(path)))
    }

    /// What is changed of the request's headers.
    pub(crate) fn request_headers(&self) -> &HeaderMutation {
        match (&self.changes, &self.route) {
            (Some(changes), _) => &changes.request_headers,
            (None, Some(route)) => &route.request_headers,
            (None, None) => &UNCHANGED,
        }
    }

    /// What is changed of the response's headers.
    pub(crate) fn response_headers(&self) -> &HeaderMutation {
        match (&self.changes, &self.route) {
            (Some(changes), _) => &changes.response_headers,
            (None, Some(route)) => &route.response_headers,
            (None, None) => &UNCHANGED,
        }
    }

    fn lease(&self) -> Option<&Lease> {
        self.route.as_ref().map(|route| &route.tenant).or(self.host.as_ref().map(|host| &host.tenant))
    }

    /// Who is charged.
    pub(crate) fn tenant(&self) -> TenantId {
        self.lease().map_or(TenantId::NONE, Lease::id)
    }

    /// Its name.
    pub(crate) fn tenant_name(&self) -> &str {
        self.lease().map_or(NO_TENANT, |lease| lease.name())
    }

    /// What a refusal of our own counts as, beside a request.
    pub(crate) fn refused_as(&self) -> Option<Metric> {
        match self.action {
            Action::Answer { flag: Flag::None, .. } | Action::Forward(_) => None,
            Action::Answer { status: 402 | 429, .. } => Some(Metric::LimitedRequests),
            Action::Answer { status: 401 | 403, .. } => Some(Metric::DeniedRequests),
            Action::Answer { .. } => None,
        }
    }
}
