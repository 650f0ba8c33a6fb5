//! Which of two matches of one host is tried first.

use std::cmp::Reverse;

use weir_config::model::{PathMatch, RouteMatch};

use crate::index::Age;

/// The Gateway API's order (`HTTPRouteRule.matches`); what is less is tried first.
///
/// An exact path, then regular expressions by length (the API leaves their place open; this is
/// Envoy Gateway's), then prefixes by length; a method; more headers; more query parameters; the
/// older route, then its namespace and name; its rules and matches as they stand.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Precedence {
    path: u8,
    length: Reverse<usize>,
    method: Reverse<bool>,
    headers: Reverse<usize>,
    query: Reverse<usize>,
    route: Age,
    place: (usize, usize),
}

impl Precedence {
    pub(crate) fn new(matches: &RouteMatch, route: &Age, rule: usize, index: usize) -> Self {
        let (path, length) = match &matches.path {
            PathMatch::Exact(path) => (0, path.len()),
            PathMatch::Regex(path) => (1, path.len()),
            PathMatch::Prefix(path) | PathMatch::SegmentPrefix(path) => (2, path.len()),
        };
        Self {
            path,
            length: Reverse(length),
            method: Reverse(matches.method.is_some()),
            headers: Reverse(matches.headers.len()),
            query: Reverse(matches.query.len()),
            route: route.clone(),
            place: (rule, index),
        }
    }
}
