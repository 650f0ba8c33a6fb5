use std::time::Duration;

use proptest::prelude::*;
use weir_config::model::{HeaderMatch, PathMatch, QueryMatch, RouteMatch, StringMatch};

use crate::request::head::Head;
use crate::request::matcher::{Matcher, regex};

fn any_path() -> RouteMatch {
    RouteMatch {
        path: PathMatch::Prefix("/".into()),
        method: None,
        headers: Vec::new(),
        query: Vec::new(),
        fraction: None,
    }
}

fn head<'h>(target: &'h str, headers: &'h [httparse::Header<'h>]) -> Head<'h, [httparse::Header<'h>]> {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    Head { method: "GET", host: "h", path, query, headers }
}

fn matches(model: &RouteMatch, target: &str, headers: &[(&str, &str)]) -> bool {
    let headers: Vec<_> =
        headers.iter().map(|(name, value)| httparse::Header { name, value: value.as_bytes() }).collect();
    Matcher::new(model).unwrap().matches(&head(target, &headers))
}

fn exact(text: &str) -> Option<StringMatch> {
    Some(StringMatch::Exact(text.into()))
}

/// Each line was tried on Envoy 1.40.
#[test]
fn headers_match_as_in_envoy() {
    let header = |value: Option<StringMatch>, invert| RouteMatch {
        headers: vec![HeaderMatch { name: "x-a".into(), invert, value }],
        ..any_path()
    };
    let two = [("X-A", "b"), ("x-a", "c")];
    let cases = [
        (header(exact("b"), false), &two[..], true),
        (header(exact("c"), false), &two, true),
        (header(exact("b,c"), false), &two, false),
        (header(exact("b"), true), &two, false),
        (header(exact("z"), true), &two, true),
        (header(Some(StringMatch::Contains(",".into())), false), &two, false),
        (header(Some(StringMatch::Regex("b, ?c".into())), false), &[("x-a", "b,c")], true),
        (header(exact("b"), true), &[], false),
        (header(exact("b"), true), &[("x-a", "c")], true),
        (header(exact(""), false), &[("x-a", "")], true),
        (header(exact(""), false), &[], false),
        (header(None, false), &[("x-a", "")], true),
        (header(None, false), &[("x-b", "")], false),
        (header(None, true), &[("x-a", "1")], false),
        (header(None, true), &[], true),
    ];
    for (model, headers, expected) in cases {
        assert_eq!(matches(&model, "/", headers), expected, "{model:?} on {headers:?}");
    }
}

/// Each line was tried on Envoy 1.40.
#[test]
fn query_parameters_match_as_in_envoy() {
    let query = |name: &str, value| RouteMatch { query: vec![QueryMatch { name: name.into(), value }], ..any_path() };
    let cases = [
        (query("a", exact("b")), "/?a=b", true),
        (query("a", exact("b")), "/?a=b&a=c", true),
        (query("a", exact("b")), "/?a=c&a=b", false),
        (query("a", exact("b")), "/?x&a=b=c", false),
        (query("a", exact("b=c")), "/?x&a=b=c", true),
        (query("a", exact("b")), "/?a=%62", false),
        (query("a b", exact("x y")), "/?a%20b=x%20y", false),
        (query("a", exact("")), "/?a", true),
        (query("a", exact("")), "/?a=", true),
        (query("a", exact("")), "/", false),
        (query("a", None), "/?a&b", true),
        (query("a", None), "/?b", false),
        (query("a", None), "/?A=1", false),
    ];
    for (model, target, expected) in cases {
        assert_eq!(matches(&model, target, &[]), expected, "{model:?} on {target}");
    }
}

#[test]
fn every_part_must_match() {
    let model = RouteMatch {
        path: PathMatch::Exact("/p".into()),
        method: Some("GET".into()),
        headers: vec![HeaderMatch { name: "x-a".into(), invert: false, value: exact("b") }],
        query: vec![QueryMatch { name: "q".into(), value: None }],
        fraction: None,
    };
    assert!(matches(&model, "/p?q", &[("x-a", "b")]));
    assert!(!matches(&model, "/P?q", &[("x-a", "b")]));
    assert!(!matches(&model, "/p?r", &[("x-a", "b")]));
    assert!(!matches(&model, "/p?q", &[("x-a", "B")]));
    assert!(!matches(&RouteMatch { method: Some("get".into()), ..model }, "/p?q", &[("x-a", "b")]));
}

#[test]
fn expressions_match_the_whole_text() {
    let model = |pattern: &str| RouteMatch { path: PathMatch::Regex(pattern.into()), ..any_path() };
    assert!(matches(&model(r"/re/\d"), "/re/1?x", &[]));
    assert!(!matches(&model(r"/re/\d"), "/re/12", &[]));
    assert!(matches(&model("/a|/ab"), "/ab", &[]), "a shorter choice does not hide a longer one");
    assert!(!matches(&model("/a|b"), "/ab", &[]));
    assert!(!matches(&model("(?m)/a$"), "/a\n/b", &[]));
    assert!(!matches(&model(r"/\w"), "/é", &[]), "classes are ASCII, as in RE2");
    assert!(matches(&model(r"/\pL"), "/é", &[]));
}

#[test]
fn an_expression_that_cannot_be_compiled_names_its_field() {
    let model = RouteMatch {
        path: PathMatch::Regex("(".into()),
        method: Some("GET".into()),
        headers: vec![HeaderMatch { name: "x".into(), invert: false, value: Some(StringMatch::Regex("a)|(b".into())) }],
        query: vec![QueryMatch { name: "x".into(), value: Some(StringMatch::Regex("a{1000000}".into())) }],
        fraction: None,
    };
    let errors = Matcher::new(&model).unwrap_err();
    let fields: Vec<_> = errors.iter().map(|e| e.field.as_str()).collect();
    let expected = ["safe_regex.regex", "headers[1].string_match.safe_regex.regex"];
    assert_eq!(fields[..2], expected);
    assert_eq!(fields[2], "query_parameters[0].string_match.safe_regex.regex");
    assert!(errors.iter().all(|e| e.problem.contains("regular expression") && !e.problem.contains('\n')), "{errors:?}");
}

/// Time is linear in the text: what would take others centuries is done at once.
#[test]
fn no_expression_takes_long() {
    let evil = regex("(a*)*(a*)*b").unwrap();
    let text = "a".repeat(50_000);
    let begun = std::time::Instant::now();
    assert!(!evil.is_match(text.as_bytes()));
    assert!(begun.elapsed() < Duration::from_secs(20));
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "ab", ""]), 0..4)
        .prop_map(|s| format!("/{}", s.join("/")))
}

fn path_match() -> impl Strategy<Value = PathMatch> {
    prop_oneof![
        path().prop_map(PathMatch::Exact),
        path().prop_map(PathMatch::Prefix),
        path()
            .prop_map(|p| p.trim_end_matches('/').to_owned())
            .prop_filter("not empty", |p| !p.is_empty())
            .prop_map(PathMatch::SegmentPrefix),
        path().prop_map(|p| PathMatch::Regex(format!("{p}.*b"))),
    ]
}

fn reference(model: &PathMatch, path: &str) -> bool {
    match model {
        PathMatch::Exact(whole) => whole == path,
        PathMatch::Prefix(prefix) => path.starts_with(prefix.as_str()),
        PathMatch::SegmentPrefix(prefix) => {
            let wanted: Vec<_> = prefix.split('/').collect();
            path.split('/').take(wanted.len()).collect::<Vec<_>>() == wanted
        }
        PathMatch::Regex(pattern) => {
            let begin = pattern.trim_end_matches(".*b");
            path.len() > begin.len() && path.starts_with(begin) && path.ends_with('b')
        }
    }
}

proptest! {
    #[test]
    fn paths_match_as_the_reference_says(model in path_match(), path in path()) {
        let compiled = RouteMatch { path: model.clone(), ..any_path() };
        prop_assert_eq!(matches(&compiled, &path, &[]), reference(&model, &path));
    }
}
