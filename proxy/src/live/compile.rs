//! A virtual host of the model into its table.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use weir_config::FieldError;
use weir_config::model::{
    Forward, HeaderMutation, Mirror, Owner, Redirect, Route, RouteAction, Split, VirtualHost, WeightedCluster,
};
use weir_config::usage::NO_TENANT;

use super::clusters::Clusters;
use super::expressions::{self, Expressions};
use super::limits::Limits;
use crate::meter::{Lease, Meter};
use crate::request::changes::{self, ChangesTable};
use crate::request::mirror::MirrorTable;
use crate::request::retry::RetryTable;
use crate::request::session::SessionTable;
use crate::request::share::ShareTable;
use crate::request::table::{ActionTable, Extras, RouteTable, SplitTable, VirtualHostTable};
use crate::request::wheel::Wheel;

/// Envoy's route `timeout` where none is given.
const ROUTE_TIMEOUT: Duration = Duration::from_secs(15);

/// Most routes change no header: they share this.
static NO_MUTATION: LazyLock<Arc<HeaderMutation>> = LazyLock::new(Arc::default);

/// What routes refer to.
#[derive(Debug)]
pub(super) struct Compiler<'l> {
    pub(super) meter: &'l Meter,
    pub(super) clusters: &'l mut Clusters,
    pub(super) limits: &'l mut Limits,
}

impl Compiler<'_> {
    /// Compiles. Turns of weighted splits go on from `old`, what is served until now.
    ///
    /// # Errors
    /// Every expression that does not compile.
    pub(super) fn virtual_host(
        &mut self,
        model: &VirtualHost,
        old: Option<&VirtualHostTable>,
    ) -> Result<Arc<VirtualHostTable>, Vec<FieldError>> {
        let compiled = expressions::of(model)?;
        let routes = model.routes.iter().zip(compiled).enumerate().map(|(at, (route, compiled))| {
            let old = old.and_then(|old| old.routes.iter().find(|o| *o.name == *route.name)).map(|old| &**old);
            let share = ShareTable::new(&model.routes, at, old.and_then(|old| old.share.as_deref()));
            Arc::new(RouteTable { share, ..self.route(route, compiled, old) })
        });
        let routes = routes.collect();
        Ok(Arc::new(VirtualHostTable {
            name: model.name.as_str().into(),
            tenant: self.tenant(model.owner.as_ref()),
            domains: model.domains.as_slice().into(),
            routes,
        }))
    }

    fn tenant(&self, owner: Option<&Owner>) -> Lease {
        self.meter.tenant(owner.map_or(NO_TENANT, |owner| &owner.tenant))
    }

    fn route(&mut self, model: &Route, compiled: Expressions, old: Option<&RouteTable>) -> RouteTable {
        let tenant = self.tenant(model.owner.as_ref());
        let plan = model.owner.as_ref().and_then(|owner| owner.plan.as_deref());
        let Expressions { matcher, redirect, path, cors } = compiled;
        let (action, timeout, missing) = match (&model.action, redirect) {
            (RouteAction::Forward(forward), _) => {
                let action = self.split(model, forward, old);
                (action, forward.timeout.or(Some(ROUTE_TIMEOUT)), forward.missing)
            }
            (RouteAction::Redirect(redirect), Some(table)) => {
                (ActionTable::Redirect(Box::new(table)), None, redirect.status)
            }
            (RouteAction::Redirect(Redirect { status, .. }) | RouteAction::Direct { status }, _) => {
                (ActionTable::Direct(*status), None, *status)
            }
        };
        let extras = match &model.action {
            RouteAction::Forward(forward) => Extras {
                host: host(&forward.host_rewrite),
                path,
                retry: forward.retry.as_deref().map(RetryTable::new),
                mirrors: forward.mirrors.iter().map(|mirror| self.mirror(mirror)).collect(),
                cors,
                session: model.session.as_deref().map(SessionTable::new),
            },
            RouteAction::Redirect(_) | RouteAction::Direct { .. } => Extras::default(),
        };
        RouteTable {
            name: model.name.as_str().into(),
            owner: plan.map(|plan| self.limits.owner(tenant.name(), plan)),
            tenant,
            matcher,
            share: None,
            action,
            missing,
            timeout: timeout.filter(|t| !t.is_zero()),
            request_headers: mutation(&model.request_headers),
            response_headers: mutation(&model.response_headers),
            extras: (!extras.is_empty()).then(|| Box::new(extras)),
        }
    }

    fn mirror(&mut self, model: &Mirror) -> MirrorTable {
        MirrorTable::new(self.clusters.slot(&model.cluster), model.fraction)
    }

    fn split(&mut self, route: &Route, forward: &Forward, old: Option<&RouteTable>) -> ActionTable {
        let list = match &forward.split {
            Split::One(name) => return ActionTable::Forward(self.clusters.slot(name)),
            Split::Weighted(list) => list,
        };
        let weights: Vec<u32> = list.iter().map(|w| w.weight).collect();
        let clusters: Box<[_]> = list.iter().map(|w| self.clusters.slot(&w.cluster)).collect();
        let Some(wheel) = Wheel::new(&weights) else {
            // The model rules a sum of zero out: answer as for a cluster that nobody has sent.
            return ActionTable::Forward(self.clusters.slot(""));
        };
        let turn = match old.map(|old| &old.action) {
            Some(ActionTable::Split(old)) => old.turn.clone(),
            // By chance, so that many proxies do not all begin with the same cluster.
            _ => Arc::new(u64::from(rand::random::<u32>()).into()),
        };
        let changes = match list.iter().any(|one| one.changes.is_some()) {
            true => list.iter().map(|one| changes_of(route, forward, one)).collect(),
            false => Box::default(),
        };
        ActionTable::Split(Box::new(SplitTable { turn, wheel, clusters, changes }))
    }
}

/// What is changed for one cluster of a split: its own changes first, then the route's.
fn changes_of(route: &Route, forward: &Forward, one: &WeightedCluster) -> Option<Arc<ChangesTable>> {
    let own = one.changes.as_deref()?;
    Some(Arc::new(ChangesTable {
        request_headers: changes::then(&own.request_headers, &route.request_headers),
        response_headers: changes::then(&own.response_headers, &route.response_headers),
        host: host(&forward.host_rewrite).or_else(|| host(&own.host_rewrite)),
    }))
}

/// A Host to be written, where there is one.
fn host(model: &Option<String>) -> Option<Box<str>> {
    model.as_deref().filter(|host| !host.is_empty()).map(Box::from)
}

fn mutation(model: &HeaderMutation) -> Arc<HeaderMutation> {
    if model.remove.is_empty() && model.ops.is_empty() { NO_MUTATION.clone() } else { Arc::new(model.clone()) }
}
