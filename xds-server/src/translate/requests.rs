//! Routes of requests: HTTPRoutes and GRPCRoutes, which share listeners and may not share names there.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use weir_config::kinds::Kind;
use weir_config::kinds::gateway::{GRPCRoute, HTTPRoute};
use weir_config::model::Owner;

use super::backends::Backends;
use super::facts::Facts;
use super::grpc;
use super::hostnames::Served;
use super::routes::{self, Rules};
use crate::index::{Age, Objects, Pattern};

/// A route of requests.
pub(crate) enum Requests<'a> {
    Http(&'a HTTPRoute),
    /// With what takes the same requests.
    Grpc(&'a GRPCRoute, Box<HTTPRoute>),
}

/// Those of some namespaces, the oldest first.
pub(super) fn of_namespaces<'a>(objects: &'a Objects, namespaces: &'a [String]) -> Vec<(Age, Requests<'a>)> {
    let mut routes = Vec::new();
    for namespace in namespaces {
        routes.extend(objects.routes(namespace).map(|route| (Age::of(&route.metadata), Requests::Http(route))));
        let grpc = |route: &'a GRPCRoute| Requests::Grpc(route, Box::new(grpc::as_http(route)));
        routes.extend(objects.grpc_routes(namespace).map(|route| (Age::of(&route.metadata), grpc(route))));
    }
    routes.sort_by(|(one, a), (other, b)| one.cmp(other).then(a.kind().cmp(&b.kind())));
    routes
}

impl Requests<'_> {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Http(_) => Kind::HTTPRoute,
            Self::Grpc(..) => Kind::GRPCRoute,
        }
    }

    /// The HTTPRoute that takes the same requests.
    pub(crate) fn as_http(&self) -> &HTTPRoute {
        match self {
            Self::Http(route) => route,
            Self::Grpc(_, http) => http,
        }
    }

    /// Its rules.
    pub(crate) fn translate(&self, facts: &Facts, owner: &Owner, backends: &mut Backends) -> Rules {
        match self {
            Self::Http(route) => routes::translate(facts, owner, route, backends),
            Self::Grpc(route, http) => grpc::translate(facts, owner, route, http, backends),
        }
    }
}

/// Which kind has each name: an HTTPRoute and a GRPCRoute whose names intersect at a listener are not both accepted.
/// Routes of two tenants never share a name, so a tenant's own are compared.
pub(super) struct Rivals {
    /// Names by RouteConfiguration and kind; none where there is one kind only.
    names: Option<BTreeMap<(String, Kind), BTreeSet<Pattern>>>,
}

impl Rivals {
    pub(super) fn new(routes: &[(Age, Requests<'_>)]) -> Self {
        let has = |kind| routes.iter().any(|(_, route)| route.kind() == kind);
        Self { names: (has(Kind::HTTPRoute) && has(Kind::GRPCRoute)).then(BTreeMap::new) }
    }

    /// Gives a route its names at one parent; a sentence where an older route of the other kind has one of them.
    pub(super) fn refuse(&mut self, kind: Kind, served: &Served, rules: &Rules) -> Option<String> {
        let names = self.names.as_mut().filter(|_| !rules.routes.is_empty())?;
        let other = if kind == Kind::GRPCRoute { Kind::HTTPRoute } else { Kind::GRPCRoute };
        for place in &served.places {
            let theirs = names.get(&(place.routes.clone(), other));
            if let Some(taken) = theirs.and_then(|theirs| intersecting(theirs, &place.domain)) {
                return Some(format!("an older {} has `{taken}` at this parent", other.name()));
            }
        }
        for place in &served.places {
            names.entry((place.routes.clone(), kind)).or_default().insert(place.domain.clone());
        }
        None
    }
}

/// A name of the set that intersects with this one.
fn intersecting<'a>(names: &'a BTreeSet<Pattern>, name: &Pattern) -> Option<Cow<'a, Pattern>> {
    let below = names.range(name..).next().filter(|first| name.covers(first));
    below.map(Cow::Borrowed).or_else(|| name.wider().find(|wider| names.contains(wider)).map(Cow::Owned))
}
