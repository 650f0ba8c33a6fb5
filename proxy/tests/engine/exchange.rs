//! What one connection can do.

use std::time::Duration;

use weir_config::model::{HeaderMutation, HeaderOp, RouteAction};

use crate::support::{Backend, Proxy, Setup, cluster, get, http, ok, route, status};

#[test]
fn a_connection_serves_request_after_request() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    let mut client = proxy.connect();
    client.send(get("/1"));
    let mut upstream = backend.accept();
    for path in ["/1", "/2", "/3"] {
        if path != "/1" {
            client.send(get(path));
        }
        assert!(upstream.head().starts_with(&format!("GET {path} HTTP/1.1\r\n")));
        upstream.send(ok(path));
        assert!(!client.head().contains("connection:"));
        assert_eq!(client.exactly(2), path.as_bytes());
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    let mut client = proxy.connect();
    client.send(format!("{}POST /2 HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi{}", get("/1"), get("/3")));
    let mut upstream = backend.accept();
    for path in ["/1", "/2", "/3"] {
        assert_eq!(upstream.head().split(' ').nth(1), Some(path));
        if path == "/2" {
            assert_eq!(upstream.exactly(2), b"hi");
        }
        upstream.send(ok(path));
    }
    for path in ["/1", "/2", "/3"] {
        assert_eq!(status(&client.head()), 200);
        assert_eq!(client.exactly(2), path.as_bytes());
    }
}

#[test]
fn a_head_in_single_bytes_is_a_head() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    let mut client = proxy.connect();
    for byte in get("/slow").bytes() {
        client.send([byte]);
    }
    let mut upstream = backend.accept();
    assert!(upstream.head().starts_with("GET /slow "));
    for byte in ok("hi").bytes() {
        upstream.send([byte]);
    }
    assert_eq!(status(&client.head()), 200);
    assert_eq!(client.exactly(2), b"hi");
}

#[test]
fn both_bodies_stream_at_once() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
    let mut upstream = backend.accept();
    upstream.head();
    upstream.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
    // The response has begun while the request goes on, so it says that it ends the connection.
    assert!(client.head().contains("connection: close\r\n"));
    for _ in 0..3 {
        client.send("4\r\nping\r\n");
        assert_eq!(upstream.exactly(9), b"4\r\nping\r\n");
        upstream.send("4\r\npong\r\n");
        assert_eq!(client.exactly(9), b"4\r\npong\r\n");
    }
    client.send("0\r\nsum: 3\r\n\r\n");
    assert_eq!(upstream.until(b"\r\n\r\n"), b"0\r\nsum: 3\r\n\r\n");
    upstream.send("0\r\nsum: 4\r\n\r\n");
    assert_eq!(client.rest(), (b"0\r\nsum: 4\r\n\r\n".to_vec(), true));
}

#[test]
fn large_bodies_pass_whole() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    let body: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    let (mut client, sent) = (proxy.connect(), body.clone());
    client.send(format!("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", body.len()));
    let mut writer = crate::support::Conn::new(client.stream.try_clone().unwrap());
    let sender = std::thread::spawn(move || writer.send(sent));
    let mut upstream = backend.accept();
    upstream.head();
    assert!(upstream.exactly(body.len()) == body);
    sender.join().unwrap();
    let answer = body.clone();
    let answering = std::thread::spawn(move || {
        upstream.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", answer.len()));
        upstream.send(answer);
    });
    assert_eq!(status(&client.head()), 200);
    assert!(client.exactly(body.len()) == body);
    answering.join().unwrap();
}

#[test]
fn expectations_are_the_origins_to_meet() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    let mut client = proxy.connect();
    client.send("PUT / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n");
    let mut upstream = backend.accept();
    assert!(upstream.head().contains("expect: 100-continue\r\n"));
    upstream.send("HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(client.head(), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("hi");
    assert_eq!(upstream.exactly(2), b"hi");
    upstream.send(ok(""));
    assert_eq!(status(&client.head()), 200);
}

#[test]
fn an_origin_may_refuse_a_body_before_it_comes() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    let mut client = proxy.connect();
    client.send("PUT / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 1000000\r\n\r\n");
    let mut upstream = backend.accept();
    upstream.head();
    upstream.send("HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n");
    let head = client.head();
    assert_eq!(status(&head), 413);
    assert!(head.contains("connection: close\r\n"));
    // What the client sends nevertheless is read for a while, so that no reset eats the answer.
    client.send([b'x'; 100_000]);
    assert_eq!(client.rest(), (Vec::new(), true));
    assert!(upstream.rest().0.len() < 100_000);
}

#[test]
fn head_has_no_body_whatever_its_length_says() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    let mut client = proxy.connect();
    client.send("HEAD /1 HTTP/1.1\r\nhost: a\r\n\r\n");
    let mut upstream = backend.accept();
    upstream.head();
    upstream.send("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n");
    assert!(client.head().contains("content-length: 1000\r\n"));
    client.send(get("/2"));
    assert!(upstream.head().starts_with("GET /2 "));
    upstream.send("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(status(&client.head()), 204);
    client.send(get("/3"));
    assert!(upstream.head().starts_with("GET /3 "));
}

#[test]
fn http_1_0_gets_no_chunks_and_keeps_alive_only_on_demand() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n\r\n");
    let mut upstream = backend.accept();
    upstream.head();
    upstream.send(ok("hi"));
    assert!(client.head().contains("connection: keep-alive\r\n"));
    assert_eq!(client.exactly(2), b"hi");
    client.send("GET / HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n\r\n");
    upstream.head();
    upstream.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n");
    let head = client.head();
    assert!(head.contains("connection: close\r\n") && !head.contains("chunked"), "{head}");
    assert_eq!(client.rest(), (b"hi".to_vec(), true));
}

#[test]
fn a_client_that_asks_for_it_is_closed() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    let mut upstream = backend.accept();
    assert!(!upstream.head().contains("connection"));
    upstream.send(ok("hi"));
    assert!(client.head().contains("connection: close\r\n"));
    assert_eq!(client.rest(), (b"hi".to_vec(), true));
}

#[test]
fn too_much_head_is_refused() {
    let backend = Backend::new();
    let setup = || Setup {
        http: weir_config::model::HttpOptions { max_request_headers_kb: Some(20), ..http() },
        ..Setup::default()
    };
    let proxy = Proxy::with(setup(), &[backend.address]);
    let head = |bytes: usize| format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(bytes));
    let mut client = proxy.connect();
    client.send(head(19 * 1024));
    let mut upstream = backend.accept();
    upstream.head();
    upstream.send(ok(""));
    assert_eq!(status(&client.head()), 200);
    client.send(head(21 * 1024));
    assert_eq!(status(&client.head()), 431);
    let mut client = proxy.connect();
    client.send(format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: 1\r\n".repeat(101)));
    assert_eq!(status(&client.head()), 431);
    assert!(backend.pending().is_none());
}

#[test]
fn answers_of_our_own_leave_the_connection_open() {
    let backend = Backend::new();
    let mut direct = route("/direct", "c");
    direct.action = RouteAction::Direct { status: 503 };
    let proxy = Proxy::with(Setup { routes: vec![direct, route("/c", "c")], ..Setup::default() }, &[backend.address]);
    let mut client = proxy.connect();
    client.send("POST /direct HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi");
    let head = client.head();
    assert_eq!(status(&head), 503);
    assert!(
        head.contains("\r\ndate: ") && head.contains("GMT\r\n") && head.contains("content-length: 0\r\n"),
        "{head}"
    );
    client.send("HEAD /none HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(status(&client.head()), 404);
    let line = (proxy.logged(), proxy.logged());
    assert_eq!((&line.0["response_flags"], &line.1["response_flags"]), (&"-".into(), &"NR".into()));
    client.send(get("/c"));
    backend.accept().head();
}

#[test]
fn a_client_cannot_take_away_what_the_proxy_says_of_it() {
    let backend = Backend::new();
    let setup =
        Setup { http: weir_config::model::HttpOptions { use_remote_address: true, ..http() }, ..Setup::default() };
    let proxy = Proxy::with(setup, &[backend.address]);
    let mut client = proxy.connect();
    client.send(
        "GET / HTTP/1.1\r\nhost: a\r\nconnection: x-forwarded-for, X-Forwarded-Proto, x-request-id, x-a\r\n\
         x-forwarded-for: 192.0.2.1\r\nx-forwarded-proto: https\r\nx-request-id: mine\r\nx-a: 1\r\n\r\n",
    );
    let head = backend.accept().head();
    assert!(head.contains("\r\nx-forwarded-for: 192.0.2.1, 127.0.0.1\r\nx-forwarded-proto: http\r\n"), "{head}");
    assert!(head.contains("\r\nx-request-id: ") && !head.contains("mine") && !head.contains("x-a"), "{head}");
}

#[test]
fn headers_say_where_a_request_came_from_and_what_the_route_wants() {
    let backend = Backend::new();
    let mut changed = route("/", "c");
    let op = |name: &str, value: &str, append| HeaderOp { name: name.into(), value: value.into(), append };
    changed.request_headers =
        HeaderMutation { remove: vec!["x-a".into()], ops: vec![op("x-b", "new", false), op("x-c", "more", true)] };
    changed.response_headers = HeaderMutation { remove: vec!["server".into()], ops: vec![op("x-d", "1", false)] };
    let setup = Setup {
        routes: vec![changed],
        http: weir_config::model::HttpOptions { use_remote_address: true, ..http() },
        ..Setup::default()
    };
    let proxy = Proxy::with(setup, &[backend.address]);
    let mut client = proxy.connect();
    client.send(
        "GET / HTTP/1.1\r\nhost: a\r\nX-A: 1\r\nX-B: 1\r\nX-C: 1\r\nx-forwarded-for: 192.0.2.1\r\nx-forwarded-proto: https\r\n\r\n",
    );
    let mut upstream = backend.accept();
    let head = upstream.head();
    let id = head.split("x-request-id: ").nth(1).and_then(|rest| rest.split("\r\n").next()).unwrap();
    assert_eq!((id.len(), &id[14..15]), (36, "4"));
    assert_eq!(
        head.replace(id, "ID"),
        "GET / HTTP/1.1\r\nhost: a\r\nX-C: 1\r\nx-forwarded-for: 192.0.2.1, 127.0.0.1\r\nx-forwarded-proto: http\r\n\
         x-request-id: ID\r\nx-b: new\r\nx-c: more\r\n\r\n"
    );
    upstream.send("HTTP/1.1 200 OK\r\nserver: s\r\nx-d: 0\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(client.head(), "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx-d: 1\r\n\r\n");
    assert_eq!(proxy.logged()["request_id"], id);
}

#[test]
fn routes_are_chosen_by_the_path_that_the_backend_resolves() {
    let (public, admin) = (Backend::new(), Backend::new());
    let setup = Setup { routes: vec![route("/public", "c"), route("/admin", "admin")], ..Setup::default() };
    let proxy = Proxy::with(setup, &[public.address]);
    proxy.apply(vec![cluster("admin", Duration::from_secs(5), &[admin.address]).into()]);
    let mut client = proxy.connect();
    client.send(get("/public/%2e%2e\\admin?x=/../public"));
    let mut upstream = admin.accept();
    assert!(upstream.head().starts_with("GET /admin?x=/../public HTTP/1.1\r\n"));
    upstream.send(ok(""));
    assert_eq!(status(&client.head()), 200);
    assert_eq!(proxy.logged()["path"], "/admin?x=/../public");
    assert!(public.pending().is_none());
}
