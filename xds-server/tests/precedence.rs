//! Which of a tenant's routes answers, against a naive reading of the Gateway API.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::cmp::Reverse;
use std::fmt::Write as _;

use proptest::prelude::*;
use regex::Regex;
use weir_config::model::{PathMatch, RouteMatch, StringMatch};
use weir_xds_server::translate::{Settings, World};

/// A match as it is written.
#[derive(Clone, Debug)]
struct Written {
    kind: &'static str,
    path: &'static str,
    method: Option<&'static str>,
    headers: Vec<(&'static str, &'static str)>,
    query: Vec<(&'static str, &'static str)>,
}

#[derive(Clone, Debug)]
struct Request {
    path: &'static str,
    method: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    query: Vec<(&'static str, &'static str)>,
}

fn pairs() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    prop::collection::btree_map(prop::sample::select(vec!["x", "y"]), prop::sample::select(vec!["1", "2"]), 0..3)
        .prop_map(|map| map.into_iter().collect())
}

fn written() -> impl Strategy<Value = Written> {
    let path = prop_oneof![
        prop::sample::select(vec![("Exact", "/a"), ("Exact", "/"), ("Exact", "/a/b")]),
        prop::sample::select(vec![
            ("PathPrefix", "/"),
            ("PathPrefix", "/a"),
            ("PathPrefix", "/a/b"),
            ("PathPrefix", "/a/")
        ]),
        prop::sample::select(vec![("RegularExpression", "/a.*"), ("RegularExpression", "/[ab]/?.*")]),
    ];
    (path, prop::option::of(prop::sample::select(vec!["GET", "POST"])), pairs(), pairs())
        .prop_map(|((kind, path), method, headers, query)| Written { kind, path, method, headers, query })
}

fn request() -> impl Strategy<Value = Request> {
    let paths = vec!["/", "/a", "/a/", "/a/b", "/a/b/c", "/ab", "/b"];
    (prop::sample::select(paths), prop::sample::select(vec!["GET", "POST"]), pairs(), pairs())
        .prop_map(|(path, method, headers, query)| Request { path, method, headers, query })
}

/// By the words of the specification.
fn fits(written: &Written, request: &Request) -> bool {
    let path = match written.kind {
        "Exact" => request.path == written.path,
        "RegularExpression" => Regex::new(&format!("^(?:{})$", written.path)).unwrap().is_match(request.path),
        _ => {
            let segments =
                |path: &str| path.split('/').filter(|s| !s.is_empty()).map(str::to_owned).collect::<Vec<_>>();
            segments(request.path).starts_with(&segments(written.path))
        }
    };
    path && written.method.is_none_or(|method| method == request.method)
        && written.headers.iter().all(|pair| request.headers.contains(pair))
        && written.query.iter().all(|pair| request.query.contains(pair))
}

fn rank(written: &Written) -> impl Ord {
    let class = ["Exact", "RegularExpression", "PathPrefix"].iter().position(|kind| *kind == written.kind);
    let length =
        if written.kind == "PathPrefix" { written.path.trim_end_matches('/').len().max(1) } else { written.path.len() };
    (class, Reverse((length, written.method.is_some(), written.headers.len(), written.query.len())))
}

/// Evaluates a translated match.
fn accepts(matches: &RouteMatch, request: &Request) -> bool {
    let path = match &matches.path {
        PathMatch::Exact(path) => request.path == path,
        PathMatch::Prefix(prefix) => request.path.starts_with(prefix.as_str()),
        PathMatch::SegmentPrefix(prefix) => {
            request.path.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
        PathMatch::Regex(regex) => Regex::new(&format!("^(?:{regex})$")).unwrap().is_match(request.path),
    };
    let has = |list: &[(&str, &str)], name: &str, value: &Option<StringMatch>| {
        list.iter().any(|(key, text)| *key == name && *value == Some(StringMatch::Exact((*text).to_owned())))
    };
    path && matches.method.as_deref().is_none_or(|method| method == request.method)
        && matches.headers.iter().all(|header| has(&request.headers, &header.name, &header.value))
        && matches.query.iter().all(|parameter| has(&request.query, &parameter.name, &parameter.value))
}

fn manifests(routes: &[Vec<Vec<Written>>]) -> String {
    let mut text = include_str!("golden/with/platform.yaml").to_owned();
    for (index, rules) in routes.iter().enumerate() {
        // The younger the route, the later its name: `creationTimestamp` decides before names do.
        let name = format!("r{}", routes.len() - index);
        write!(text, "\n---\nkind: HTTPRoute\nmetadata: {{namespace: acme, name: {name}, creationTimestamp: '2026-01-0{}T00:00:00Z'}}\nspec:\n  hostnames: [shop.acme.com]\n  parentRefs: [{{namespace: weir-system, name: public}}]\n  rules:\n", index + 1).unwrap();
        for rule in rules {
            text += "  - matches:\n";
            for written in rule {
                let list = |pairs: &[(&str, &str)]| {
                    let items: Vec<String> =
                        pairs.iter().map(|(name, value)| format!("{{name: '{name}', value: '{value}'}}")).collect();
                    items.join(", ")
                };
                let method = written.method.map(|method| format!(", method: {method}")).unwrap_or_default();
                writeln!(
                    text,
                    "    - {{path: {{type: {}, value: '{}'}}, headers: [{}], queryParams: [{}]{method}}}",
                    written.kind,
                    written.path,
                    list(&written.headers),
                    list(&written.query)
                )
                .unwrap();
            }
        }
    }
    text
}

fn check(routes: &[Vec<Vec<Written>>], requests: &[Request]) -> Result<(), TestCaseError> {
    let mut world = World::new(Settings::default());
    world.apply(&support::applied(&support::objects(&manifests(routes))));
    let host = &world.snapshot().virtual_hosts["edge/0.0.0.0/80/http/shop.acme.com"];
    let mut all = Vec::new();
    for (route, rules) in routes.iter().enumerate() {
        for (rule, matches) in rules.iter().enumerate() {
            for (place, written) in matches.iter().enumerate() {
                all.push((written, format!("acme/r{}/{rule}/{place}", routes.len() - route)));
            }
        }
    }
    // A stable sort keeps the older route, then the earlier rule and match, first.
    all.sort_by(|(a, _), (b, _)| rank(a).cmp(&rank(b)));
    for request in requests {
        let expected = all.iter().find(|(written, _)| fits(written, request)).map(|(_, name)| name.as_str());
        let found = host.routes.iter().find(|route| accepts(&route.matches, request)).map(|route| route.name.as_str());
        prop_assert_eq!(found, expected, "{:?}", request);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_route_that_the_specification_names_answers(
        routes in prop::collection::vec(prop::collection::vec(prop::collection::vec(written(), 1..4), 1..3), 1..4),
        requests in prop::collection::vec(request(), 1..20),
    ) {
        check(&routes, &requests)?;
    }
}
