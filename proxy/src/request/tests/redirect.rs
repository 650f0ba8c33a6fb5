//! `Location`: the cases' answers are Envoy 1.40's own (tried with a static configuration of it).

use proptest::prelude::*;
use weir_config::model::{PathRewrite, Redirect};

use crate::request::redirect::{RedirectTable, Url, scheme};

fn none() -> Redirect {
    Redirect { scheme: None, host: None, port: None, path: None, status: 302 }
}

fn full(path: &str) -> Option<PathRewrite> {
    Some(PathRewrite::Full(path.into()))
}

/// `Location` for a request of `http://<authority><target>` over plain text, of which the route matched `/a`.
fn location(redirect: &Redirect, authority: &str, target: &str) -> String {
    located(redirect, "http", authority, target)
}

fn located(redirect: &Redirect, scheme: &str, authority: &str, target: &str) -> String {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let url = Url { scheme, forwarded_proto: scheme, authority };
    let mut out = Vec::new();
    RedirectTable::new(redirect).unwrap().location(&url, (path, query), 2, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn what_is_not_said_stays() {
    assert_eq!(location(&none(), "h", "/a/b?c=d"), "http://h/a/b?c=d");
    assert_eq!(location(&none(), "h:8080", "/a"), "http://h:8080/a");
    assert_eq!(location(&none(), "h:80", "/a"), "http://h:80/a");
}

#[test]
fn the_scheme_changes_and_its_old_port_goes() {
    let https = Redirect { scheme: Some("https".into()), ..none() };
    for (authority, expected) in [
        ("h", "https://h/a"),
        ("h:80", "https://h/a"),
        ("h:8080", "https://h:8080/a"),
        ("h:443", "https://h:443/a"),
        ("[::1]:80", "https://[::1]/a"),
        ("[::1]", "https://[::1]/a"),
    ] {
        assert_eq!(location(&https, authority, "/a"), expected);
    }
    let http = Redirect { scheme: Some("http".into()), ..none() };
    assert_eq!(located(&http, "https", "h:443", "/a"), "http://h/a");
    assert_eq!(located(&http, "http", "h:80", "/a"), "http://h:80/a", "it is the same scheme");
}

#[test]
fn host_and_port() {
    let host = Redirect { host: Some("other".into()), ..none() };
    assert_eq!(location(&host, "h:8080", "/a"), "http://other/a");
    let port = Redirect { port: Some(8443), ..none() };
    assert_eq!(location(&port, "h:8080", "/a"), "http://h:8443/a");
    assert_eq!(location(&port, "[::1]:80", "/a"), "http://[::1]:8443/a");
    let all = Redirect { host: Some("other".into()), port: Some(80), ..none() };
    assert_eq!(location(&all, "h", "/a"), "http://other:80/a", "whoever wants the port left out leaves it out");
}

#[test]
fn paths_and_queries() {
    for (path, target, expected) in [
        (full("/new"), "/a/b", "http://h/new"),
        (full("/new"), "/a/b?c", "http://h/new?c"),
        (full("/new?own=1"), "/a/b?c", "http://h/new?own=1"),
        (full("new"), "/a/b", "http://h/new"),
        (Some(PathRewrite::Prefix("/new".into())), "/a/b?c", "http://h/new/b?c"),
        (Some(PathRewrite::Prefix("/new".into())), "/a", "http://h/new"),
        (Some(PathRewrite::Prefix("/".into())), "/a/b", "http://h//b"),
        (
            Some(PathRewrite::Regex { pattern: "^/a/*".into(), substitution: "/".into() }),
            "/a/b?c=/a/x",
            "http://h/b?c=/a/x",
        ),
    ] {
        assert_eq!(location(&Redirect { path, ..none() }, "h", target), expected);
    }
    assert_eq!(location(&none(), "h", "*"), "http://h/*");
}

#[test]
fn the_scheme_is_the_forwarded_one_where_that_is_believed() {
    for (forwarded, remote, tls, expected) in [
        (None, false, false, "http"),
        (None, true, true, "https"),
        (Some(&b"https"[..]), false, false, "https"),
        (Some(b"https"), true, false, "http"),
        (Some(b"gopher"), false, true, "https"),
    ] {
        assert_eq!(scheme(forwarded, remote, tls), expected, "{forwarded:?} {remote} {tls}");
    }
}

proptest! {
    /// Whatever is asked, the answer is one URL with a scheme, a host and a path, and the query is as it was.
    #[test]
    fn it_is_always_a_url(
        host in prop::option::of("[a-z]{1,5}"),
        port in prop::option::of(1u16..),
        path in prop::option::of("/[a-z/]{0,5}"),
        authority in "[a-z]{1,5}(:[1-9][0-9]{0,3})?",
        asked in "/a[a-z/]{0,5}",
        query in prop::option::of("[a-z=&]{0,5}"),
    ) {
        let redirect = Redirect { host, port, path: path.map(PathRewrite::Full), ..none() };
        let target = query.as_ref().map_or(asked.clone(), |query| format!("{asked}?{query}"));
        let location = location(&redirect, &authority, &target);
        let rest = location.strip_prefix("http://").unwrap();
        let (host, path) = rest.split_at(rest.find('/').unwrap());
        prop_assert!(!host.is_empty());
        prop_assert_eq!(path.split_once('?').map(|(_, query)| query.to_owned()), query);
        if let Some(wanted) = redirect.host {
            prop_assert_eq!(host.split(':').next().unwrap(), wanted);
        }
        if let Some(port) = port {
            let end = format!(":{port}");
            prop_assert!(host.ends_with(&end));
        }
    }
}
