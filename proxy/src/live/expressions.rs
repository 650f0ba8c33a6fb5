//! What of a route can fail to compile: expressions. Compiled before a resource is acknowledged, and again when
//! it is taken; an expression that stands in many routes is compiled once.

use weir_config::FieldError;
use weir_config::model::{PathRewrite, Route, RouteAction, VirtualHost};

use crate::request::cors::CorsTable;
use crate::request::matcher::Matcher;
use crate::request::redirect::RedirectTable;
use crate::request::rewrite::PathTable;

/// Where a route has its CORS policy.
const CORS: &str = "typed_per_filter_config[envoy.filters.http.cors]";

/// The compiled expressions of a route.
#[derive(Debug)]
pub(super) struct Expressions {
    /// Which requests.
    pub(super) matcher: Matcher,
    /// Where else they are to go.
    pub(super) redirect: Option<RedirectTable>,
    /// The path that the endpoint sees.
    pub(super) path: Option<PathTable>,
    /// Who may read responses from another origin.
    pub(super) cors: Option<Box<CorsTable>>,
}

/// Those of all routes.
///
/// # Errors
/// Every one that does not compile, by its path in the `VirtualHost` message.
pub(super) fn of(model: &VirtualHost) -> Result<Vec<Expressions>, Vec<FieldError>> {
    let mut compiled = Vec::with_capacity(model.routes.len());
    let mut errors = Vec::new();
    for (at, route) in model.routes.iter().enumerate() {
        match of_route(route) {
            Ok(one) => compiled.push(one),
            Err(list) => errors.extend(list.into_iter().map(|error| error.within(&format!("routes[{at}]")))),
        }
    }
    if errors.is_empty() { Ok(compiled) } else { Err(errors) }
}

fn of_route(route: &Route) -> Result<Expressions, Vec<FieldError>> {
    let mut errors = Vec::new();
    let matcher = Matcher::new(&route.matches)
        .map_err(|list| errors.extend(list.into_iter().map(|error| error.within("match"))))
        .ok();
    let (mut redirect, mut path) = (None, None);
    match &route.action {
        RouteAction::Redirect(model) => match RedirectTable::new(model) {
            Ok(table) => redirect = Some(table),
            Err(error) => errors.push(error.within("redirect")),
        },
        RouteAction::Forward(forward) => match rewrite(forward.path_rewrite.as_ref()) {
            Ok(table) => path = table,
            Err(error) => errors.push(error.within("route")),
        },
        RouteAction::Direct { .. } => {}
    }
    let mut cors = None;
    if let Some(model) = &route.cors {
        match CorsTable::new(model) {
            Ok(table) => cors = Some(Box::new(table)),
            Err(list) => errors.extend(list.into_iter().map(|error| error.within(CORS))),
        }
    }
    match matcher {
        Some(matcher) if errors.is_empty() => Ok(Expressions { matcher, redirect, path, cors }),
        _ => Err(errors),
    }
}

fn rewrite(model: Option<&PathRewrite>) -> Result<Option<PathTable>, FieldError> {
    model.map(PathTable::new).transpose()
}
