//! Which of two matches of one host is tried first.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};
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
    method: Reverse<usize>,
    headers: Reverse<usize>,
    query: Reverse<usize>,
    route: Age,
    place: (usize, usize),
    /// Of routes that share the requests of one match, as xDS reads them in turn.
    part: usize,
}

/// The rule by which one match is tried before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Step {
    /// An exact path before an expression, an expression before a prefix.
    PathKind,
    /// The longer path.
    PathLength,
    /// A method before none.
    Method,
    /// More headers.
    Headers,
    /// More query parameters.
    QueryParams,
    /// The older route.
    Age,
    /// The namespace and name that come first.
    Name,
    /// What stands first in the route: rules, then matches of a rule.
    Place,
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
            method: Reverse(usize::from(matches.method.is_some())),
            headers: Reverse(matches.headers.len()),
            query: Reverse(matches.query.len()),
            route: route.clone(),
            place: (rule, index),
            part: 0,
        }
    }

    /// The same match's place for one part of its requests.
    pub(crate) fn part(self, part: usize) -> Self {
        Self { part, ..self }
    }

    /// That of another kind of route with this one's part.
    pub(crate) fn of_part(self, other: &Self) -> Self {
        Self { part: other.part, ..self }
    }

    /// That of a match of a GRPCRoute (`GRPCRouteRule.matches`): names before expressions before none (which the API
    /// leaves open), characters of the service, of the method (`length`), headers, then as for all routes.
    pub(crate) fn grpc(
        is_expression: bool,
        length: (usize, usize),
        matches: &RouteMatch,
        route: &Age,
        place: (usize, usize),
    ) -> Self {
        let path = match length {
            (0, 0) => 2,
            _ => u8::from(is_expression),
        };
        Self {
            path,
            length: Reverse(length.0),
            method: Reverse(length.1),
            headers: Reverse(matches.headers.len()),
            query: Reverse(0),
            route: route.clone(),
            place,
            part: 0,
        }
    }

    /// The rule that decides between two different ones.
    pub(crate) fn step(&self, other: &Self) -> Step {
        if self.path != other.path {
            Step::PathKind
        } else if self.length != other.length {
            Step::PathLength
        } else if self.method != other.method {
            Step::Method
        } else if self.headers != other.headers {
            Step::Headers
        } else if self.query != other.query {
            Step::QueryParams
        } else if self.route.created() != other.route.created() {
            Step::Age
        } else if self.route != other.route {
            Step::Name
        } else {
            Step::Place
        }
    }
}
