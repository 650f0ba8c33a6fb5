//! Upstream connections: used again, found stale, or not to be had.

use std::net::TcpListener;
use std::time::Duration;

use crate::support::{Backend, Proxy, Setup, cluster, eventually, get, ok, route, status};

const POST: &str = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi";

#[test]
fn clients_share_a_workers_connections() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    let mut first = proxy.connect();
    first.send(get("/"));
    let mut upstream = backend.accept();
    upstream.head();
    upstream.send(ok(""));
    first.head();
    proxy.connect().send(get("/second"));
    assert!(upstream.head().starts_with("GET /second "));
}

#[test]
fn clusters_do_not_share_connections() {
    let backend = Backend::new();
    let proxy = Proxy::with(
        Setup { routes: vec![route("/other", "other"), route("/", "c")], ..Setup::default() },
        &[backend.address],
    );
    proxy.apply(vec![cluster("other", Duration::from_secs(1), &[backend.address]).into()]);
    let mut client = proxy.connect();
    client.send(get("/"));
    let mut upstream = backend.accept();
    upstream.head();
    upstream.send(ok(""));
    client.head();
    client.send(get("/other"));
    assert!(backend.accept().head().starts_with("GET /other "));
}

#[test]
fn a_connection_that_was_closed_while_idle_is_not_used() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    let mut client = proxy.connect();
    for _ in 0..20 {
        client.send(POST);
        let mut upstream = backend.accept();
        upstream.head();
        upstream.exactly(2);
        upstream.send(ok(""));
        assert_eq!(status(&client.head()), 200);
    }
}

#[test]
fn a_connection_that_speaks_unasked_is_not_used() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    let mut client = proxy.connect();
    client.send(get("/1"));
    let mut upstream = backend.accept();
    upstream.head();
    upstream.send(ok("") + &ok("poison"));
    assert_eq!(status(&client.head()), 200);
    client.send(get("/2"));
    let mut other = backend.accept();
    assert!(other.head().starts_with("GET /2 "));
    other.send(ok("good"));
    client.head();
    assert_eq!(client.exactly(4), b"good");
}

/// Brings a connection into the pool, then has it closed just when the next request arrives.
fn close_in_use(request: &str, body: usize) -> (Backend, Proxy, crate::support::Conn) {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    let mut client = proxy.connect();
    client.send(get("/first"));
    let mut upstream = backend.accept();
    upstream.head();
    upstream.send(ok(""));
    client.head();
    client.send(request);
    upstream.head();
    upstream.exactly(body);
    drop(upstream);
    (backend, proxy, client)
}

#[test]
fn what_may_be_sent_twice_is_sent_again_once() {
    let put = "PUT /again HTTP/1.1\r\nhost: a\r\nx-request-id: 7\r\ncontent-length: 2\r\n\r\nhi";
    for (request, body) in [(get("/again"), 0), (put.to_owned(), 2)] {
        let (backend, proxy, mut client) = close_in_use(&request, body);
        let mut upstream = backend.accept();
        assert!(upstream.head().contains(" /again HTTP/1.1\r\n"));
        assert_eq!(upstream.exactly(body).len(), body);
        upstream.send(ok("ok"));
        assert_eq!(status(&client.head()), 200);
        proxy.logged();
        assert_eq!(proxy.logged()["bytes_received"], request.len(), "billed once");
    }
}

#[test]
fn a_second_failure_is_the_answer() {
    let (backend, proxy, mut client) = close_in_use(&get("/again"), 0);
    backend.accept().head();
    assert_eq!(status(&client.head()), 502);
    assert!(backend.pending().is_none());
    proxy.logged();
    assert_eq!(proxy.logged()["response_flags"], "UC");
}

#[test]
fn a_post_is_not_sent_twice() {
    let (backend, _proxy, mut client) = close_in_use(POST, 2);
    assert_eq!(status(&client.head()), 502);
    assert!(backend.pending().is_none());
}

/// An address that refuses connections.
fn nobody() -> std::net::SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn where_a_connect_fails_another_endpoint_is_tried() {
    let backend = Backend::new();
    let proxy = Proxy::with(Setup::default(), &[nobody(), backend.address]);
    let mut client = proxy.connect();
    for _ in 0..4 {
        client.send(POST);
        let mut upstream = backend.accept();
        upstream.head();
        upstream.exactly(2);
        upstream.send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        assert_eq!(status(&client.head()), 200);
    }
}

#[test]
fn without_an_endpoint_it_is_503_and_the_log_says_why() {
    let routes = vec![route("/unknown", "unknown"), route("/empty", "empty"), route("/", "c")];
    let proxy = Proxy::with(Setup { routes, ..Setup::default() }, &[nobody()]);
    proxy.apply(vec![cluster("empty", Duration::from_secs(1), &[]).into()]);
    let mut client = proxy.connect();
    for (path, flag) in [("/unknown", "NC"), ("/empty", "UH"), ("/", "UF")] {
        client.send(get(path));
        assert_eq!(status(&client.head()), 503, "{path}");
        assert_eq!(proxy.logged()["response_flags"], flag);
    }
}

#[test]
fn connections_of_an_endpoint_that_is_gone_are_closed() {
    let (old, new) = (Backend::new(), Backend::new());
    let proxy = Proxy::start(&old);
    let mut client = proxy.connect();
    client.send(get("/"));
    let mut upstream = old.accept();
    upstream.head();
    upstream.send(ok(""));
    client.head();
    proxy.apply(vec![cluster("c", Duration::from_secs(5), &[new.address]).into()]);
    // The worker sweeps every few seconds.
    assert_eq!(upstream.rest(), (Vec::new(), true));
    client.send(get("/"));
    eventually("the new endpoint", || new.pending());
}
