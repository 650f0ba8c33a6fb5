//! Connections that change their protocol.

use std::time::Duration;

use weir_config::model::{HttpOptions, ResourceType};
use weir_proxy::meter::Metric;
use weir_proxy::serve::Options;

use crate::support::{Backend, Conn, Proxy, Setup, eventually, get, http, ok, status};

const UPGRADE: &str = "GET /chat HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";

pub(crate) fn open(proxy: &Proxy, backend: &Backend) -> (Conn, Conn) {
    let mut client = proxy.connect();
    client.send(UPGRADE);
    let mut upstream = backend.accept();
    assert!(upstream.head().contains("connection: upgrade\r\nupgrade: websocket\r\n"));
    upstream.send(SWITCH);
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    (client, upstream)
}

#[test]
fn bytes_pass_both_ways_and_are_counted_apart() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    let (mut client, mut upstream) = open(&proxy, &backend);
    client.send("ping");
    assert_eq!(upstream.exactly(4), b"ping");
    upstream.send("pong!");
    assert_eq!(client.exactly(5), b"pong!");
    eventually("count", || (proxy.total(Metric::TunnelResponseBytes) == 5).then_some(()));
    assert_eq!(proxy.total(Metric::TunnelRequestBytes), 4);
    assert_eq!(proxy.total(Metric::RequestBytes), UPGRADE.len() as u64);
}

#[test]
fn what_came_with_the_heads_is_not_lost() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    let mut client = proxy.connect();
    client.send(format!("{UPGRADE}early"));
    let mut upstream = backend.accept();
    upstream.head();
    upstream.send(format!("{SWITCH}soon"));
    client.head();
    assert_eq!(upstream.exactly(5), b"early");
    assert_eq!(client.exactly(4), b"soon");
    eventually("count", || (proxy.total(Metric::TunnelRequestBytes) == 5).then_some(()));
}

#[test]
fn each_side_may_end_by_itself() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    let (mut client, mut upstream) = open(&proxy, &backend);
    client.end();
    assert_eq!(upstream.rest(), (Vec::new(), true));
    upstream.send("last words");
    drop(upstream);
    assert_eq!(client.rest(), (b"last words".to_vec(), true));
}

#[test]
fn an_origin_may_decline() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    let mut client = proxy.connect();
    client.send(UPGRADE);
    let mut upstream = backend.accept();
    upstream.head();
    upstream.send(ok("no"));
    assert_eq!(status(&client.head()), 200);
    assert_eq!(client.exactly(2), b"no");
    client.send(get("/"));
    upstream.head();
}

#[test]
fn silence_ends_it() {
    let backend = Backend::new();
    let http = HttpOptions { stream_idle_timeout: Some(Duration::from_millis(150)), ..http() };
    let proxy = Proxy::with(Setup { http, ..Setup::default() }, &[backend.address]);
    let (mut client, mut upstream) = open(&proxy, &backend);
    client.rest();
    upstream.rest();
}

#[test]
fn it_outlives_its_listener_until_the_drain_deadline() {
    let backend = Backend::new();
    let options = Options { drain_timeout: Duration::from_millis(300), ..Options::default() };
    let proxy = Proxy::with(Setup { options, ..Setup::default() }, &[backend.address]);
    let (mut client, mut upstream) = open(&proxy, &backend);
    proxy.remove(ResourceType::Listener, "l");
    proxy.status(|statuses| statuses.is_empty().then_some(()));
    client.send("still");
    assert_eq!(upstream.exactly(5), b"still");
    client.rest();
    upstream.rest();
}
