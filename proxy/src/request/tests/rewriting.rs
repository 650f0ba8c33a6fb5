//! Paths and headers that endpoints see.

use proptest::prelude::*;
use weir_config::model::{HeaderMutation, HeaderOp, PathMatch, PathRewrite, RouteMatch};

use crate::request::changes::then;
use crate::request::matcher::Matcher;
use crate::request::rewrite::PathTable;

fn rewrite(matches: PathMatch, model: &PathRewrite, path: &str) -> String {
    let matcher = Matcher::new(&RouteMatch { path: matches, ..RouteMatch::default() }).unwrap();
    let mut out = Vec::new();
    PathTable::new(model).unwrap().write(path, matcher.named(path), &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_prefix_is_what_the_route_matched() {
    let new = PathRewrite::Prefix("/new".into());
    for (matches, path, expected) in [
        (PathMatch::Prefix("/old".into()), "/old/a", "/new/a"),
        (PathMatch::Prefix("/old".into()), "/oldest", "/newest"),
        (PathMatch::SegmentPrefix("/old".into()), "/old/a", "/new/a"),
        (PathMatch::SegmentPrefix("/old".into()), "/old", "/new"),
        (PathMatch::Exact("/old/a".into()), "/old/a", "/new"),
        (PathMatch::Regex("/o.*".into()), "/old/a", "/new"),
        (PathMatch::Prefix("/".into()), "/a", "/newa"),
    ] {
        assert_eq!(rewrite(matches, &new, path), expected);
    }
    // As Envoy: whoever wants no second slash says so by an expression.
    assert_eq!(rewrite(PathMatch::SegmentPrefix("/old".into()), &PathRewrite::Prefix("/".into()), "/old/a"), "//a");
}

#[test]
fn what_would_be_no_path_is_made_one() {
    let regex = |pattern: &str, substitution: &str| PathRewrite::Regex {
        pattern: pattern.into(),
        substitution: substitution.into(),
    };
    let all = || PathMatch::Prefix("/".into());
    assert_eq!(rewrite(all(), &regex("^/(.*)$", r"\1"), "/a/b"), "/a/b");
    assert_eq!(rewrite(all(), &regex("^/.*$", ""), "/a/b"), "/a/b", "nothing is no rewrite");
    assert_eq!(rewrite(all(), &PathRewrite::Full("a".into()), "/x"), "/a");
}

#[test]
fn what_may_not_stand_in_a_target_is_refused() {
    for text in ["/a b", "/a\r\nx: 1", "/\u{e4}", "/a#b"] {
        assert!(PathTable::new(&PathRewrite::Full(text.into())).is_err(), "{text:?}");
        let prefix = PathTable::new(&PathRewrite::Prefix(text.into())).unwrap_err();
        assert_eq!(prefix.field, "prefix_rewrite");
        let model = PathRewrite::Regex { pattern: "a".into(), substitution: text.into() };
        assert_eq!(PathTable::new(&model).unwrap_err().field, "regex_rewrite.substitution");
    }
}

/// What a mutation means, step by step.
fn apply(mutation: &HeaderMutation, headers: &mut Vec<(String, String)>) {
    headers.retain(|(name, _)| !mutation.remove.contains(name));
    for op in &mutation.ops {
        if !op.append {
            headers.retain(|(name, _)| *name != op.name);
        }
        headers.push((op.name.clone(), op.value.clone()));
    }
}

fn mutation() -> impl Strategy<Value = HeaderMutation> {
    let name = || prop::sample::select(vec!["a".to_owned(), "b".into(), "c".into()]);
    let op = (name(), "[0-9]", any::<bool>()).prop_map(|(name, value, append)| HeaderOp { name, value, append });
    (prop::collection::vec(name(), 0..2), prop::collection::vec(op, 0..4))
        .prop_map(|(remove, ops)| HeaderMutation { remove, ops })
}

proptest! {
    #[test]
    fn two_changes_made_one_do_what_both_did(
        first in mutation(),
        second in mutation(),
        headers in prop::collection::vec(("[abcd]", "[0-9]"), 0..4),
    ) {
        let mut apart = headers.clone();
        apply(&first, &mut apart);
        apply(&second, &mut apart);
        let mut together = headers;
        apply(&then(&first, &second), &mut together);
        prop_assert_eq!(together, apart);
    }
}
