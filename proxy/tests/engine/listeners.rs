//! Listeners come and go, and the proxy ends.

use std::net::{IpAddr, TcpListener, TcpStream};
use std::time::Duration;

use weir_config::model::{Listener, ResourceType};
use weir_proxy::serve::Options;

use crate::support::{Backend, Conn, Proxy, Setup, eventually, get, http, listener, ok, status};

#[test]
fn a_listener_that_is_added_serves_beside_the_others() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    proxy.address("l");
    proxy.apply(vec![listener("second", http()).into()]);
    for name in ["second", "l"] {
        let mut client = Conn::new(TcpStream::connect(proxy.address(name)).unwrap());
        client.send("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        let mut upstream = eventually("upstream", || backend.pending());
        upstream.head();
        upstream.send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        assert_eq!(status(&client.head()), 200);
    }
}

#[test]
fn a_listener_that_is_removed_finishes_what_it_began() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    let address = proxy.address("l");
    let (mut idle, mut busy, mut fresh) = (proxy.connect(), proxy.connect(), proxy.connect());
    idle.send(get("/"));
    let mut upstream = backend.accept();
    upstream.head();
    upstream.send(ok(""));
    idle.head();
    busy.send(get("/busy"));
    upstream.head();
    proxy.remove(ResourceType::Listener, "l");
    assert_eq!(idle.rest(), (Vec::new(), true), "an idle connection ends");
    eventually("closed socket", || TcpStream::connect(address).is_err().then_some(()));
    upstream.send(ok("done"));
    assert!(busy.head().contains("connection: close\r\n"));
    assert_eq!(busy.rest(), (b"done".to_vec(), true));
    // It was accepted to be served, though its request comes late.
    fresh.send(get("/fresh"));
    assert!(upstream.head().starts_with("GET /fresh "));
    upstream.send(ok(""));
    assert!(fresh.head().contains("connection: close\r\n"));
}

#[test]
fn a_caller_that_stays_silent_is_not_waited_for_beyond_the_drain_deadline() {
    let backend = Backend::new();
    let options = Options { drain_timeout: Duration::from_millis(200), ..Options::default() };
    let proxy = Proxy::with(Setup { options, ..Setup::default() }, &[backend.address]);
    let mut silent = proxy.connect();
    proxy.remove(ResourceType::Listener, "l");
    assert_eq!(silent.rest(), (Vec::new(), true));
}

#[test]
fn a_listener_that_changes_keeps_its_socket_and_its_callers() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    let address = proxy.address("l");
    let http = weir_config::model::HttpOptions { use_remote_address: true, ..http() };
    proxy.apply(vec![listener("l", http).into()]);
    eventually("the new chain", || {
        let mut client = Conn::new(TcpStream::connect(address).unwrap());
        client.send("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        let mut upstream = backend.accept();
        let head = upstream.head();
        upstream.send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        assert_eq!(status(&client.head()), 200);
        head.contains("x-forwarded-for: 127.0.0.1\r\n").then_some(())
    });
    assert_eq!(proxy.address("l"), address);
}

#[test]
fn an_address_that_is_taken_is_reported_and_tried_again() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    let mut second = listener("second", http());
    second.address = taken.local_addr().unwrap();
    let mut third = listener("third", http());
    third.address = second.address;
    proxy.apply(vec![second.into(), third.into()]);
    proxy.status(|s| (s.get("second")?.bound.is_none() && s.get("second")?.error.is_some()).then_some(()));
    let error = proxy.status(|s| s.get("third")?.error.clone());
    assert!(error.contains("taken by listener \"second\""), "{error}");
    proxy.connect().send(get("/"));
    backend.accept().head();
    drop(taken);
    proxy.status(|s| (s.get("second")?.bound.is_some() && s.get("second")?.error.is_none()).then_some(()));
}

#[test]
fn shutdown_finishes_exchanges_and_ends() {
    let backend = Backend::new();
    let mut proxy = Proxy::start(&backend);
    let address = proxy.address("l");
    let mut client = proxy.connect();
    client.send(get("/"));
    let mut upstream = backend.accept();
    upstream.head();
    proxy.shut_down();
    eventually("closed socket", || TcpStream::connect(address).is_err().then_some(()));
    upstream.send(ok("done"));
    assert!(client.head().contains("connection: close\r\n"));
    assert_eq!(client.rest(), (b"done".to_vec(), true));
    proxy.ended();
}

#[test]
fn shutdown_does_not_wait_beyond_its_deadline() {
    let backend = Backend::new();
    let options = Options { drain_timeout: Duration::from_millis(200), ..Options::default() };
    let mut proxy = Proxy::with(Setup { options, ..Setup::default() }, &[backend.address]);
    let mut client = proxy.connect();
    client.send(get("/"));
    let mut upstream = backend.accept();
    upstream.head();
    let mut silent = proxy.connect();
    proxy.shut_down();
    proxy.ended();
    upstream.rest();
    client.rest();
    silent.rest();
    assert_eq!(proxy.logged()["response_flags"], "DT");
}

#[test]
fn draining_stops_accepting_and_goes_on_until_shutdown() {
    let backend = Backend::new();
    let mut proxy = Proxy::start(&backend);
    let address = proxy.address("l");
    let mut client = proxy.connect();
    client.send(get("/"));
    let mut upstream = backend.accept();
    upstream.head();
    proxy.drain.send_replace(true);
    eventually("closed socket", || TcpStream::connect(address).is_err().then_some(()));
    upstream.send(ok(""));
    assert!(client.head().contains("connection: close\r\n"));
    proxy.shut_down();
    proxy.ended();
}

#[test]
fn beyond_the_limit_connections_wait() {
    let backend = Backend::new();
    let options = Options { max_connections: 1, ..Options::default() };
    let proxy = Proxy::with(Setup { options, ..Setup::default() }, &[backend.address]);
    let mut first = proxy.connect();
    first.send(get("/1"));
    let mut upstream = backend.accept();
    upstream.head();
    let mut second = proxy.connect();
    second.send(get("/2"));
    upstream.send(ok(""));
    first.head();
    first.send(get("/1"));
    assert!(upstream.head().starts_with("GET /1 "), "the second is not served yet");
    upstream.send(ok(""));
    first.head();
    drop(first);
    assert!(upstream.head().starts_with("GET /2 "));
}

#[test]
fn listeners_of_all_addresses_bind_the_one_that_is_set() {
    let backend = Backend::new();
    let own = "127.0.0.9".parse().unwrap();
    let setup = Setup { options: Options { bind: Some(own), ..Options::default() }, ..Setup::default() };
    let proxy = Proxy::with(setup, &[backend.address]);
    let all = |name: &str, ip: &str| Listener {
        address: (ip.parse::<IpAddr>().unwrap(), 0).into(),
        ..listener(name, http())
    };
    proxy.apply(vec![all("four", "0.0.0.0").into(), all("six", "::").into()]);
    assert_eq!(proxy.address("four").ip(), own);
    assert_ne!(proxy.address("l").ip(), own, "a listener that names an address has that one");
    let six = proxy.status(|statuses| statuses.get("six").filter(|s| s.bound.is_some() || s.error.is_some()).cloned());
    assert_ne!(six.bound.map(|bound| bound.ip()), Some(own), "a socket has one family");
}
