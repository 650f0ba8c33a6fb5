//! Bytes are billed as they cross the client's connection, to the byte.

use weir_proxy::meter::{Metric, TenantId};

use crate::support::{Backend, Proxy, Setup, eventually, get, ok, route};

#[test]
fn pipelined_requests_are_billed_apart_at_their_borders() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    let mut client = proxy.connect();
    let chunked =
        "\r\nPOST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3;ext=1\r\nabc\r\n0\r\nt: 1\r\n\r\n";
    let requests = [get("/first"), chunked.to_owned(), get("/last")];
    client.send(requests.concat());
    let mut upstream = backend.accept();
    let (mut expected, mut received) = (Vec::new(), 0);
    for request in &requests {
        upstream.head();
        if request.contains("chunked") {
            upstream.until(b"0\r\nt: 1\r\n\r\n");
        }
        upstream.send(ok("hello"));
        expected.push(request.len());
        received += client.head().len() + client.exactly(5).len();
    }
    let logged: Vec<_> = requests.iter().map(|_| proxy.logged()).collect();
    let billed: Vec<_> = logged.iter().map(|line| line["bytes_received"].as_u64().unwrap() as usize).collect();
    assert_eq!(billed, expected);
    assert_eq!(logged.iter().map(|line| line["bytes_sent"].as_u64().unwrap() as usize).sum::<usize>(), received);
    assert_eq!(proxy.total(Metric::RequestBytes) as usize, requests.concat().len());
    assert_eq!(proxy.total(Metric::ResponseBytes) as usize, received);
    assert_eq!(proxy.total(Metric::Requests), 3);
}

#[test]
fn an_aborted_request_is_billed_for_what_came() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    let mut client = proxy.connect();
    let sent = "PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nonly this";
    client.send(sent);
    let mut upstream = backend.accept();
    upstream.head();
    upstream.exactly(9);
    drop(client);
    assert_eq!(proxy.logged()["bytes_received"], sent.len());
    assert_eq!(proxy.total(Metric::RequestBytes) as usize, sent.len());
    assert_eq!(proxy.total(Metric::ResponseBytes), 0);
}

#[test]
fn a_long_response_is_billed_while_it_runs() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    let mut client = proxy.connect();
    client.send(get("/"));
    let mut upstream = backend.accept();
    upstream.head();
    upstream.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n");
    let got = client.head().len() + client.exactly(10).len();
    eventually("bill", || (proxy.total(Metric::ResponseBytes) as usize == got).then_some(()));
}

#[test]
fn what_is_nobodys_is_billed_to_nobody() {
    let backend = Backend::new();
    let proxy = Proxy::with(Setup { routes: vec![route("/c", "c")], ..Setup::default() }, &[backend.address]);
    let mut client = proxy.connect();
    // The virtual host is the tenant's, though no route matched.
    client.send(get("/none"));
    let refused = client.head().len();
    let malformed = "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n";
    client.send(malformed);
    let answer = client.head().len();
    client.rest();
    assert_eq!(proxy.total(Metric::Requests), 1);
    assert_eq!(proxy.total(Metric::RequestBytes) as usize, get("/none").len());
    assert_eq!(proxy.total(Metric::ResponseBytes) as usize, refused);
    let nobody = |metric| proxy.meter.total(TenantId::NONE, metric) as usize;
    assert_eq!((nobody(Metric::RequestBytes), nobody(Metric::ResponseBytes)), (malformed.len(), answer));
    assert_eq!(nobody(Metric::Requests), 0, "no head was parsed");
}

#[test]
fn the_engine_counts_its_connections_and_answers() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    let mut client = proxy.connect();
    client.send(get("/"));
    let mut upstream = backend.accept();
    upstream.head();
    upstream.send(ok("hello"));
    client.head();
    client.exactly(5);
    let seen = proxy.stats.totals();
    assert_eq!((seen.connections, seen.active, seen.upstream_connections), (1, 1, 1));
    client.send("GET / HTTP/1.1\r\n\r\n");
    client.head();
    drop(client);
    let seen = eventually("the connection's end", || Some(proxy.stats.totals()).filter(|t| t.active == 0));
    assert_eq!(seen.responses, [("2xx", "-", 1), ("4xx", "DPE", 1)]);
}
