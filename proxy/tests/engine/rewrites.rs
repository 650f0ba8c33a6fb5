//! Redirects, and what of a request the endpoint sees changed.

use weir_config::model::{
    ClusterChanges, Forward, HeaderMutation, HeaderOp, PathMatch, PathRewrite, Redirect, Route, RouteAction, Split,
    WeightedCluster,
};

use crate::support::{Backend, Conn, PATIENCE, Proxy, Setup, cluster, field, get, ok, route, status};

fn set(name: &str, value: &str) -> HeaderOp {
    HeaderOp { name: name.into(), value: value.into(), append: false }
}

fn to(prefix: &str, forward: Forward) -> Route {
    Route { action: RouteAction::Forward(forward), ..route(prefix, "c") }
}

/// What the backend sees of a request, which it answers.
fn seen(client: &mut Conn, backend: &Backend, upstream: &mut Option<Conn>, request: &str) -> (String, String) {
    client.send(request);
    let upstream = upstream.get_or_insert_with(|| backend.accept());
    let head = upstream.head();
    upstream.send(ok(""));
    (head, client.head())
}

#[test]
fn a_redirect_leads_where_the_route_says() {
    let backend = Backend::new();
    let redirect = |prefix: &str, status, path| {
        let redirect = Redirect { scheme: Some("https".into()), host: None, port: None, path, status };
        Route {
            action: RouteAction::Redirect(redirect),
            matches: weir_config::model::RouteMatch {
                path: PathMatch::SegmentPrefix(prefix.into()),
                ..Default::default()
            },
            response_headers: HeaderMutation { remove: Vec::new(), ops: vec![set("x-why", "moved")] },
            ..route(prefix, "c")
        }
    };
    let statuses = [(301, "Moved Permanently"), (302, "Found"), (303, "See Other")]
        .into_iter()
        .chain([(307, "Temporary Redirect"), (308, "Permanent Redirect")]);
    let all: Vec<_> = statuses
        .clone()
        .map(|(status, _)| redirect(&format!("/{status}"), status, Some(PathRewrite::Prefix("/new".into()))))
        .collect();
    let proxy = Proxy::with(Setup { routes: all, ..Setup::default() }, &[backend.address]);
    let mut client = proxy.connect();
    for (code, reason) in statuses {
        client.send(format!("POST /{code}/a?b=c HTTP/1.1\r\nhost: shop:80\r\ncontent-length: 2\r\n\r\nhi"));
        let head = client.head();
        assert!(head.starts_with(&format!("HTTP/1.1 {code} {reason}\r\n")), "{head}");
        assert_eq!(field(&head, "location"), ["https://shop/new/a?b=c"]);
        assert_eq!((field(&head, "x-why"), field(&head, "content-length")), (vec!["moved"], vec!["0"]));
        assert_eq!(proxy.logged()["response_code"], code);
    }
    assert!(backend.pending().is_none(), "no endpoint is asked");
}

#[test]
fn the_endpoint_sees_the_host_and_the_path_that_the_route_says() {
    let backend = Backend::new();
    let rewritten = Forward {
        host_rewrite: Some("inner.test".into()),
        path_rewrite: Some(PathRewrite::Prefix("/new".into())),
        ..Forward::to(Split::One("c".into()))
    };
    let regex = PathRewrite::Regex { pattern: "/([a-z]+)/([a-z]+)".into(), substitution: r"/\2/\1".into() };
    let swapped = Forward { path_rewrite: Some(regex), ..Forward::to(Split::One("c".into())) };
    let setup = Setup { routes: vec![to("/old", rewritten), to("/", swapped)], ..Setup::default() };
    let proxy = Proxy::with(setup, &[backend.address]);
    let (mut client, mut upstream) = (proxy.connect(), None);
    let (head, _) = seen(&mut client, &backend, &mut upstream, &get("/old/a?b=/old"));
    assert!(head.starts_with("GET /new/a?b=/old HTTP/1.1\r\nhost: inner.test\r\n"), "{head}");
    let (head, _) = seen(&mut client, &backend, &mut upstream, &get("/a/b?c=/d/e"));
    assert!(head.starts_with("GET /b/a?c=/d/e HTTP/1.1\r\nhost: a\r\n"), "{head}");
    let (head, _) = seen(&mut client, &backend, &mut upstream, "GET http://b HTTP/1.1\r\nhost: b\r\n\r\n");
    assert!(head.starts_with("GET / HTTP/1.1\r\nhost: b\r\n"), "{head}");
    assert_eq!(proxy.logged()["path"], "/old/a?b=/old", "the log says what was asked for");
}

#[test]
fn a_clusters_changes_come_before_the_routes() {
    let (one, two) = (Backend::new(), Backend::new());
    let changes = |name: &str| {
        let ops = vec![set("x-cluster", name), set("x-both", "cluster")];
        let request_headers = HeaderMutation { remove: vec!["x-gone".into()], ops };
        let response_headers = HeaderMutation { remove: Vec::new(), ops: vec![set("x-served-by", name)] };
        Some(Box::new(ClusterChanges { request_headers, response_headers, host_rewrite: Some(format!("{name}.test")) }))
    };
    let split = Split::Weighted(vec![
        WeightedCluster { changes: changes("c"), ..WeightedCluster::new("c", 1) },
        WeightedCluster { changes: changes("d"), ..WeightedCluster::new("d", 1) },
        WeightedCluster::new("c", 1),
    ]);
    let mut all = to("/", Forward::to(split));
    all.request_headers.ops = vec![set("x-both", "route")];
    let proxy = Proxy::with(Setup { routes: vec![all], ..Setup::default() }, &[one.address]);
    proxy.apply(vec![cluster("d", PATIENCE, &[two.address]).into()]);
    let (mut client, mut upstreams) = (proxy.connect(), [None, None]);
    let mut served = Vec::new();
    for _ in 0..3 {
        client.send("GET / HTTP/1.1\r\nhost: a\r\nx-gone: 1\r\n\r\n");
        let (at, head) = crate::support::eventually("request", || {
            for (at, backend) in [&one, &two].into_iter().enumerate() {
                if upstreams[at].is_none() {
                    upstreams[at] = backend.pending();
                }
                if let Some(upstream) = upstreams[at].as_mut().filter(|upstream| upstream.has_bytes()) {
                    return Some((at, upstream.head()));
                }
            }
            None
        });
        upstreams[at].as_mut().unwrap().send(ok(""));
        let answer = client.head();
        assert_eq!(status(&answer), 200);
        assert_eq!(field(&head, "x-both"), ["route"], "{head}");
        match field(&head, "x-cluster").first() {
            Some(name) => {
                assert_eq!(*name, ["c", "d"][at]);
                assert_eq!(field(&head, "host"), [format!("{name}.test")]);
                assert_eq!(field(&answer, "x-served-by"), [*name]);
                assert!(field(&head, "x-gone").is_empty());
            }
            None => {
                assert_eq!((at, field(&head, "host"), field(&head, "x-gone")), (0, vec!["a"], vec!["1"]));
                assert!(field(&answer, "x-served-by").is_empty());
            }
        }
        served.push((at, field(&head, "x-cluster").len()));
    }
    served.sort_unstable();
    assert_eq!(served, [(0, 0), (0, 1), (1, 1)], "each took its turn");
}
