//! Requests from other origins.

use weir_config::model::{Cors, Forward, HeaderMutation, HeaderOp, Route, RouteAction, Split, StringMatch};

use crate::support::{Backend, Proxy, Setup, field, ok, route, status};

fn policed(cluster: &str) -> Route {
    let cors = Cors {
        origins: vec![StringMatch::Exact("http://a".into())],
        methods: vec!["GET".into(), "PUT".into()],
        headers: vec!["x-1".into()],
        expose: vec!["x-3".into()],
        max_age: Some(60),
        credentials: false,
    };
    let op = |name: &str, value: &str| HeaderOp { name: name.into(), value: value.into(), append: false };
    let ops = vec![op("x-route", "1"), op("access-control-allow-origin", "route")];
    Route {
        cors: Some(Box::new(cors)),
        action: RouteAction::Forward(Forward::to(Split::One(cluster.into()))),
        response_headers: HeaderMutation { remove: Vec::new(), ops },
        ..route(&format!("/{cluster}"), cluster)
    }
}

fn asking(method: &str, path: &str, origin: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nhost: h\r\norigin: {origin}\r\naccess-control-request-method: PUT\r\n\r\n")
}

#[test]
fn preflights_are_answered_and_requests_get_the_headers() {
    let backend = Backend::new();
    let routes = vec![policed("c"), policed("nowhere")];
    let proxy = Proxy::with(Setup { routes, ..Setup::default() }, &[backend.address]);
    let mut client = proxy.connect();
    client.send(asking("OPTIONS", "/c", "http://a"));
    let answer = client.head();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    for (name, value) in [
        ("access-control-allow-origin", "http://a"),
        ("access-control-allow-methods", "GET, PUT"),
        ("access-control-allow-headers", "x-1"),
        ("access-control-expose-headers", "x-3"),
        ("access-control-max-age", "60"),
        ("content-length", "0"),
    ] {
        assert_eq!(field(&answer, name), [value]);
    }
    assert!(field(&answer, "x-route").is_empty(), "no endpoint was asked");
    assert!(backend.pending().is_none());
    assert_eq!(proxy.logged()["response_code"], 200);

    client.send(asking("PUT", "/c", "http://a"));
    let mut upstream = backend.accept();
    upstream.head();
    upstream.send("HTTP/1.1 200 OK\r\naccess-control-allow-origin: backend\r\ncontent-length: 0\r\n\r\n");
    let answer = client.head();
    assert_eq!(field(&answer, "access-control-allow-origin"), ["http://a"], "{answer}");
    assert_eq!((field(&answer, "access-control-expose-headers"), field(&answer, "x-route")), (vec!["x-3"], vec!["1"]));

    // Of an origin that may not read, even a preflight goes on; the browser sees no permission.
    client.send(asking("OPTIONS", "/c", "http://b"));
    upstream.head();
    upstream.send(ok(""));
    let answer = client.head();
    assert_eq!(field(&answer, "access-control-allow-origin"), ["route"]);
    assert!(field(&answer, "access-control-expose-headers").is_empty());

    client.send(asking("GET", "/nowhere", "http://a"));
    let answer = client.head();
    assert_eq!(status(&answer), 503);
    assert_eq!(field(&answer, "access-control-allow-origin"), ["http://a"], "a script may read that it failed");
}
