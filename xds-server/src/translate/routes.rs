//! Rules of an HTTPRoute to routes.
//!
//! `timeouts.request` is the route's timeout, `0s` none; without it Envoy's own 15 s hold, as the
//! Gateway API leaves that to the implementation.

use weir_config::FieldError;
use weir_config::kinds::gateway::{HTTPRoute, HttpRouteMatch, HttpRouteRule};
use weir_config::model::name::NO_CLUSTER;
use weir_config::model::{Forward, Owner, Route, RouteAction};

use super::backends::{Backends, Unresolved};
use super::facts::Facts;
use super::precedence::Precedence;
use super::{duration, filters, matches};
use crate::index::Age;

/// What the rules of one HTTPRoute become.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    /// Routes with their places among the others of a host.
    pub(crate) routes: Vec<(Precedence, Route)>,
    /// Rules that were dropped, and why.
    pub(crate) dropped: Vec<FieldError>,
    /// Backends that are not there.
    pub(crate) unresolved: Vec<Unresolved>,
}

/// Translates every rule; one that cannot be honoured is dropped alone.
pub(crate) fn translate(facts: &Facts, owner: &Owner, route: &HTTPRoute, backends: &mut Backends) -> Rules {
    let mut rules = Rules::default();
    let age = Age::of(&route.metadata);
    let default = [HttpRouteRule::default()];
    let list = route.spec.rules.as_deref().unwrap_or(&default);
    for (index, rule) in list.iter().enumerate() {
        let mut unresolved = Vec::new();
        match one(facts, owner, &age, index, rule, backends, &mut unresolved) {
            Ok(routes) => {
                rules.routes.extend(routes);
                rules.unresolved.extend(unresolved);
            }
            Err(error) => rules.dropped.push(error.within(&format!("spec.rules[{index}]"))),
        }
    }
    rules
}

fn one(
    facts: &Facts,
    owner: &Owner,
    age: &Age,
    index: usize,
    rule: &HttpRouteRule,
    backends: &mut Backends,
    unresolved: &mut Vec<Unresolved>,
) -> Result<Vec<(Precedence, Route)>, FieldError> {
    refuse_unsupported(rule)?;
    let mutations = filters::translate(&rule.filters)?;
    let timeout = match rule.timeouts.as_ref().and_then(|timeouts| timeouts.request.as_deref()) {
        Some(text) => Some(duration::parse(text).ok_or_else(|| {
            FieldError::new("timeouts.request", format!("`{text}` is no duration such as `1h30m`, `5s`, `100ms`"))
        })?),
        None => None,
    };
    let default = [HttpRouteMatch::default()];
    let list = rule.matches.as_deref().filter(|list| !list.is_empty()).unwrap_or(&default);
    let mut routes = Vec::with_capacity(list.len());
    for (place, entry) in list.iter().enumerate() {
        let matches = matches::translate(entry).map_err(|e| e.within(&format!("matches[{place}]")))?;
        let name = format!("{}/{}/{index}/{place}", age.namespace, age.name);
        let route = Route {
            owner: Some(owner.clone()),
            request_headers: mutations.request.clone(),
            response_headers: mutations.response.clone(),
            ..Route::new(name, matches, RouteAction::Direct { status: 500 })
        };
        routes.push((Precedence::new(&route.matches, age, index, place), route));
    }
    // Last, so that a rule that is dropped asks for no cluster.
    if let Some(split) = backends.split(facts, &owner.tenant, &age.namespace, &rule.backend_refs, unresolved) {
        // A cluster that is merely not there yet is unavailable, not an error of the route.
        let missing = if split.clusters().any(|cluster| cluster == NO_CLUSTER) { 500 } else { 503 };
        for (_, route) in &mut routes {
            route.action = RouteAction::Forward(Forward { timeout, missing, ..Forward::to(split.clone()) });
        }
    }
    Ok(routes)
}

/// Fields that change what happens to a request and that nothing enforces yet.
fn refuse_unsupported(rule: &HttpRouteRule) -> Result<(), FieldError> {
    let backend_timeout = rule.timeouts.as_ref().is_some_and(|timeouts| timeouts.backend_request.is_some());
    let backend_filters = rule.backend_refs.iter().position(|backend| !backend.filters.is_empty());
    let field = if rule.retry.is_some() {
        "retry".to_owned()
    } else if rule.session_persistence.is_some() {
        "sessionPersistence".to_owned()
    } else if backend_timeout {
        "timeouts.backendRequest".to_owned()
    } else if let Some(index) = backend_filters {
        format!("backendRefs[{index}].filters")
    } else {
        return Ok(());
    };
    Err(FieldError::new(field, "is not supported yet"))
}
