//! A virtual host of the model into its table.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use weir_config::FieldError;
use weir_config::model::{Forward, HeaderMutation, Owner, Redirect, Route, RouteAction, Split, VirtualHost};
use weir_config::usage::NO_TENANT;

use super::clusters::Clusters;
use super::limits::Limits;
use crate::meter::{Lease, Meter};
use crate::request::matcher::Matcher;
use crate::request::table::{ActionTable, RouteTable, SplitTable, VirtualHostTable};
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
        let matchers = matchers(model)?;
        let routes = model.routes.iter().zip(matchers).map(|(route, matcher)| {
            let old = old.and_then(|old| old.routes.iter().find(|o| *o.name == *route.name));
            Arc::new(self.route(route, matcher, old.map(|o| &**o)))
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

    fn route(&mut self, model: &Route, matcher: Matcher, old: Option<&RouteTable>) -> RouteTable {
        let tenant = self.tenant(model.owner.as_ref());
        let plan = model.owner.as_ref().and_then(|owner| owner.plan.as_deref());
        let (action, timeout, missing) = match &model.action {
            RouteAction::Redirect(Redirect { status, .. }) | RouteAction::Direct { status } => {
                (ActionTable::Direct(*status), None, *status)
            }
            RouteAction::Forward(Forward { split, timeout, missing, .. }) => {
                (self.split(split, old), timeout.or(Some(ROUTE_TIMEOUT)), *missing)
            }
        };
        RouteTable {
            name: model.name.as_str().into(),
            owner: plan.map(|plan| self.limits.owner(tenant.name(), plan)),
            tenant,
            matcher,
            action,
            missing,
            timeout: timeout.filter(|t| !t.is_zero()),
            request_headers: mutation(&model.request_headers),
            response_headers: mutation(&model.response_headers),
        }
    }

    fn split(&mut self, model: &Split, old: Option<&RouteTable>) -> ActionTable {
        let list = match model {
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
        ActionTable::Split(Box::new(SplitTable { turn, wheel, clusters }))
    }
}

/// The compiled matches of all routes.
///
/// # Errors
/// Every expression that does not compile, by its path in the `VirtualHost` message.
pub(super) fn matchers(model: &VirtualHost) -> Result<Vec<Matcher>, Vec<FieldError>> {
    let mut compiled = Vec::with_capacity(model.routes.len());
    let mut errors = Vec::new();
    for (at, route) in model.routes.iter().enumerate() {
        match Matcher::new(&route.matches) {
            Ok(matcher) => compiled.push(matcher),
            Err(list) => errors.extend(list.into_iter().map(|e| e.within(&format!("routes[{at}].match")))),
        }
    }
    if errors.is_empty() { Ok(compiled) } else { Err(errors) }
}

fn mutation(model: &HeaderMutation) -> Arc<HeaderMutation> {
    if model.remove.is_empty() && model.ops.is_empty() { NO_MUTATION.clone() } else { Arc::new(model.clone()) }
}
