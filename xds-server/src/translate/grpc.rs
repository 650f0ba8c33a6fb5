//! GRPCRoutes: a call is a request, `POST /<service>/<method>`, so its routes are made as those of an HTTPRoute, with
//! what is gRPC's own: the precedence of services and methods, no timeout (a stream may last for ever, and a call
//! says its own in `grpc-timeout`), and 503 where there is nothing to send to, which clients read as `UNAVAILABLE`.

use std::time::Duration;

use weir_config::kinds::Kind;
use weir_config::kinds::gateway::{
    GRPCRoute, GrpcMethodMatch, GrpcRouteMatch, GrpcRouteRule, HTTPRoute, HTTPRouteSpec, HttpPathMatch, HttpRouteMatch,
    HttpRouteRule,
};
use weir_config::model::{Owner, Route, RouteAction};

use super::backends::{Backends, Use};
use super::facts::Facts;
use super::precedence::Precedence;
use super::routes::{self, Rules};
use crate::index::Age;

/// Any service, or any method.
const ANY: &str = "[^/]+";

/// A GRPCRoute as the HTTPRoute that takes the same requests.
pub(crate) fn as_http(route: &GRPCRoute) -> HTTPRoute {
    let rules = route.spec.rules.as_ref().map(|rules| rules.iter().map(rule).collect());
    HTTPRoute {
        metadata: route.metadata.clone(),
        spec: HTTPRouteSpec {
            parent_refs: route.spec.parent_refs.clone(),
            use_default_gateways: route.spec.use_default_gateways.clone(),
            hostnames: route.spec.hostnames.clone(),
            rules,
        },
        status: None,
    }
}

fn rule(rule: &GrpcRouteRule) -> HttpRouteRule {
    HttpRouteRule {
        name: rule.name.clone(),
        matches: rule.matches.as_ref().map(|matches| matches.iter().map(match_).collect()),
        filters: rule.filters.clone(),
        backend_refs: rule.backend_refs.clone(),
        session_persistence: rule.session_persistence.clone(),
        ..HttpRouteRule::default()
    }
}

fn match_(match_: &GrpcRouteMatch) -> HttpRouteMatch {
    let path = match_.method.as_ref().and_then(path);
    HttpRouteMatch { path, headers: match_.headers.clone(), ..HttpRouteMatch::default() }
}

fn path(method: &GrpcMethodMatch) -> Option<HttpPathMatch> {
    let (service, name) = parts(method);
    let path = |type_: &str, value: String| Some(HttpPathMatch { type_: Some(type_.into()), value: Some(value) });
    if is_expression(method) {
        let group = |text: Option<&str>| text.map_or_else(|| ANY.to_owned(), |text| format!("(?:{text})"));
        return path("RegularExpression", format!("/{}/{}", group(service), group(name)));
    }
    match (service, name) {
        (Some(service), Some(name)) => path("Exact", format!("/{service}/{name}")),
        (Some(service), None) => path("PathPrefix", format!("/{service}")),
        // What Protobuf allows in a name means itself in an expression.
        (None, Some(name)) => path("RegularExpression", format!("/{ANY}/{name}")),
        (None, None) => None,
    }
}

fn is_expression(method: &GrpcMethodMatch) -> bool {
    method.type_.as_deref() == Some("RegularExpression")
}

/// Service and method, where they are said. A full name may begin with a dot, which no path has.
fn parts(method: &GrpcMethodMatch) -> (Option<&str>, Option<&str>) {
    let filled = |text: &'_ Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
    let service = method.service.as_deref().filter(|_| filled(&method.service));
    let service = if is_expression(method) { service } else { service.map(|name| name.trim_start_matches('.')) };
    (service, method.method.as_deref().filter(|_| filled(&method.method)))
}

/// Translates every rule; `http` is the route as [`as_http`] gives it.
pub(super) fn translate(
    facts: &Facts,
    owner: &Owner,
    route: &GRPCRoute,
    http: &HTTPRoute,
    backends: &mut Backends,
) -> Rules {
    backends.referrer(Kind::GRPCRoute, Use::Grpc);
    let mut rules = routes::translate(facts, owner, http, backends);
    backends.referrer(Kind::HTTPRoute, Use::Http);
    let age = Age::of(&route.metadata);
    for (precedence, translated) in &mut rules.routes {
        let (rule, place) = place(translated);
        let (expression, length) = call(route, rule, place);
        let of_kind = Precedence::grpc(expression, length, &translated.matches, &age, (rule, place));
        *precedence = of_kind.of_part(precedence);
        translated.name = format!("GRPCRoute/{}", translated.name);
        match &mut translated.action {
            RouteAction::Forward(forward) => {
                forward.timeout = Some(Duration::ZERO);
                forward.missing = 503;
            }
            RouteAction::Direct { status } => *status = 503,
            RouteAction::Redirect(_) => {}
        }
    }
    rules
}

/// What counts of the method of a match: whether it is an expression, and the characters of service and method.
pub(crate) fn call(route: &GRPCRoute, rule: usize, place: usize) -> (bool, (usize, usize)) {
    let matches = route.spec.rules.iter().flatten().nth(rule).and_then(|rule| rule.matches.as_ref());
    let method = matches.and_then(|matches| matches.get(place)).and_then(|match_| match_.method.as_ref());
    let (service, name) = method.map(parts).unwrap_or_default();
    (method.is_some_and(is_expression), (service.map_or(0, str::len), name.map_or(0, str::len)))
}

/// Places of rule and match, which end a route's name.
fn place(route: &Route) -> (usize, usize) {
    let mut parts = route.name.rsplit('/').map(|part| part.parse().unwrap_or_default());
    let place = parts.next().unwrap_or_default();
    (parts.next().unwrap_or_default(), place)
}
