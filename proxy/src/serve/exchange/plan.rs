//! The decision, in a form that outlives the borrowed head.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use weir_config::model::{HeaderMutation, HeaderOp};
use weir_config::usage::NO_TENANT;

use crate::balance::Tries;
use crate::clock::unix_seconds;
use crate::meter::{Lease, Metric, TenantId};
use crate::request::changes::ChangesTable;
use crate::request::cluster::ClusterSlot;
use crate::request::cors::Judgement;
use crate::request::decide::{Budget, Charged, Decision, Refusal, decide};
use crate::request::redirect::Url;
use crate::request::rewrite::PathTable;
use crate::request::session;
use crate::request::table::{Extras, HttpTable, RouteTable, VirtualHostTable};
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
    /// Headers of the proxy's own on the response, after all other changes (CORS).
    own: Option<Box<HeaderMutation>>,
    /// What the request says of its session.
    session: session::Asked,
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
    /// The answer to a request that came on the wrong connection (RFC 9110 section 15.5.20). It is nobody's: which
    /// tenant it is for was not looked at.
    pub(crate) fn misdirected() -> Self {
        let action = Action::Answer { status: 421, flag: Flag::NoRoute, location: None };
        let session = session::Asked::default();
        Self { route: None, host: None, own: None, session, budget: None, changes: None, action }
    }

    /// Asks [`decide`], against the routes that are current; `url` is what `head` asks for. `now` is
    /// [`crate::clock::now`].
    pub(crate) fn make<H: Headers + ?Sized>(http: &HttpTable, head: &Head<'_, H>, url: &Url<'_>, now: u64) -> Self {
        let hosts = http.routes.load();
        match decide(http, &hosts, head, now) {
            Decision::Forward { route, cluster, changes, session, budget } => {
                let judged = route.extras.as_ref().and_then(|extras| extras.cors.as_ref()?.judge(head));
                let (action, own) = match judged {
                    None => (Action::Forward(cluster.clone()), None),
                    Some(Judgement::GoesOn(own)) => (Action::Forward(cluster.clone()), Some(own)),
                    // The route answers it, and no endpoint: what the route changes of responses is not for it.
                    Some(Judgement::Preflight(own)) => {
                        (Action::Answer { status: 200, flag: Flag::None, location: None }, Some(own))
                    }
                };
                let (own, changes) = (own.map(Box::new), changes.cloned());
                Self { own, session, changes, ..Self::of(route, budget, action) }
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
                Self { route, host, own: None, session: session::Asked::default(), budget, changes: None, action }
            }
        }
    }

    fn of(route: &Arc<RouteTable>, budget: Option<Budget>, action: Action) -> Self {
        let session = session::Asked::default();
        Self { route: Some(route.clone()), host: None, own: None, session, budget, changes: None, action }
    }

    /// A plan for a copy of the request, to another cluster.
    pub(crate) fn copied(&self, cluster: &Arc<ClusterSlot>) -> Self {
        let action = Action::Forward(cluster.clone());
        let session = session::Asked::default();
        Self { route: self.route.clone(), host: None, own: None, session, budget: None, changes: None, action }
    }

    /// What its route keeps requests for, if it does.
    pub(crate) fn kept(&self) -> Option<&Extras> {
        self.extras().filter(|extras| extras.is_kept())
    }

    /// The first try.
    pub(crate) fn tries(&self) -> Tries {
        Tries { prefer: self.session.endpoint, ..Tries::default() }
    }

    /// Whether the answer is the proxy's own, to a preflight.
    pub(crate) fn is_preflight(&self) -> bool {
        self.own.is_some() && matches!(self.action, Action::Answer { .. })
    }

    /// Headers of the proxy's own on a response that the endpoint `from` gave, or on an answer of the proxy's own.
    pub(crate) fn own_headers(&self, from: Option<SocketAddr>) -> Option<Cow<'_, HeaderMutation>> {
        let own = self.own.as_deref().map(Cow::Borrowed);
        let Some(told) = from.and_then(|from| self.told(from)) else { return own };
        let mut own = own.unwrap_or_default().into_owned();
        own.ops.push(told);
        Some(Cow::Owned(own))
    }

    /// What tells a client that another endpoint served it than the one it asked for.
    fn told(&self, from: SocketAddr) -> Option<HeaderOp> {
        let news = self.session.keeps && self.session.endpoint != Some(from);
        Some(self.extras()?.session.as_ref().filter(|_| news)?.tell(from, unix_seconds()))
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
