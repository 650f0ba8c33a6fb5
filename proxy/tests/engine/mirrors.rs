//! Copies of requests.

use std::io::Write;

use weir_config::model::{Forward, Fraction, Mirror, Route, RouteAction, Split};
use weir_proxy::meter::{Metric, TenantId};

use crate::support::{Backend, PATIENCE, Proxy, Setup, cluster, eventually, get, ok, route, status};

fn mirrored(mirrors: &[(&str, Option<(u32, u32)>)]) -> Route {
    let mirrors = mirrors.iter().map(|(cluster, fraction)| Mirror {
        cluster: (*cluster).into(),
        fraction: fraction.map(|(numerator, denominator)| Fraction { numerator, denominator }),
    });
    let forward = Forward { mirrors: mirrors.collect(), ..Forward::to(Split::One("c".into())) };
    Route { action: RouteAction::Forward(forward), ..route("/", "c") }
}

/// A proxy whose clusters `m0`, `m1`... are these.
fn proxy(route: Route, backend: &Backend, mirrors: &[&Backend]) -> Proxy {
    let proxy = Proxy::with(Setup { routes: vec![route], ..Setup::default() }, &[backend.address]);
    let clusters = mirrors.iter().enumerate();
    let clusters = clusters.map(|(n, mirror)| cluster(&format!("m{n}"), PATIENCE, &[mirror.address]).into());
    proxy.apply(clusters.collect());
    proxy
}

const POST: &str = "POST /a?b HTTP/1.1\r\nhost: a\r\nx-mine: 1\r\ntransfer-encoding: chunked\r\n\r\n";

#[test]
fn every_mirror_gets_the_request_and_the_client_none_of_its_answers() {
    let (backend, one, two) = (Backend::new(), Backend::new(), Backend::new());
    let proxy = proxy(mirrored(&[("m0", None), ("m1", None)]), &backend, &[&one, &two]);
    let mut client = proxy.connect();
    client.send(POST);
    client.send("5\r\nhello\r\n");
    let mut upstream = backend.accept();
    let head = upstream.head();
    upstream.until(b"5\r\nhello\r\n");
    let mut copies: Vec<_> = [&one, &two].map(Backend::accept).into_iter().collect();
    for copy in &mut copies {
        assert_eq!(copy.head(), head, "host, path and all other fields are the same");
        copy.until(b"5\r\nhello\r\n");
    }
    client.send("0\r\nx-sum: 1\r\n\r\n");
    for conn in copies.iter_mut().chain([&mut upstream]) {
        conn.until(b"0\r\nx-sum: 1\r\n\r\n");
    }
    copies[0].send("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 3\r\n\r\nbad");
    upstream.send(ok("well"));
    let answer = client.head();
    assert_eq!(status(&answer), 200);
    assert_eq!(client.exactly(4), b"well");
    assert_eq!(proxy.logged()["upstream_cluster"], "c");
    assert_eq!(proxy.total(Metric::Requests), 1, "the tenant asked once");
    assert_eq!(proxy.total(Metric::ResponseBytes), (answer.len() + 4) as u64);
    assert_eq!(proxy.meter.total(TenantId::NONE, Metric::Requests), 2, "copies are the platform's");
    // A copy's connection serves the next one, once its answer was read.
    eventually("copy's answer", || {
        let bytes = proxy.meter.total(TenantId::NONE, Metric::ResponseBytes);
        (bytes > 3).then_some(())
    });
    assert_eq!((proxy.stats.totals().copies, proxy.stats.totals().copies_dropped), (2, 0));
}

#[test]
fn a_mirror_that_is_not_there_harms_nobody() {
    let backend = Backend::new();
    let gone = Backend::new();
    let address = gone.address;
    drop(gone);
    let proxy = proxy(mirrored(&[("m0", None), ("nowhere", None)]), &backend, &[]);
    proxy.apply(vec![cluster("m0", PATIENCE, &[address]).into()]);
    let mut client = proxy.connect();
    client.send(get("/"));
    let mut upstream = backend.accept();
    for _ in 0..3 {
        upstream.head();
        upstream.send(ok(""));
        assert_eq!(status(&client.head()), 200);
        client.send(get("/"));
    }
}

#[test]
fn a_mirror_that_does_not_read_is_given_up() {
    let (backend, mirror) = (Backend::new(), Backend::new());
    let proxy = proxy(mirrored(&[("m0", None)]), &backend, &[&mirror]);
    let mut client = proxy.connect();
    // Far more than the sockets on the way to the mirror hold.
    let length = 64 << 20;
    client.send(format!("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n"));
    let mut writing = client.stream.try_clone().unwrap();
    let writer = std::thread::spawn(move || {
        let piece = vec![b'x'; 1 << 16];
        (0..length >> 16).for_each(|_| writing.write_all(&piece).unwrap());
    });
    let mut copy = mirror.accept();
    let mut upstream = backend.accept();
    upstream.head();
    for _ in 0..length >> 16 {
        upstream.exactly(1 << 16);
    }
    writer.join().unwrap();
    upstream.send(ok(""));
    assert_eq!(status(&client.head()), 200);
    assert_eq!(proxy.stats.totals().copies_dropped, 1);
    assert!(copy.rest().0.len() < length, "its connection ended");
}

#[test]
fn a_request_that_breaks_off_has_no_whole_copy() {
    let (backend, mirror) = (Backend::new(), Backend::new());
    let proxy = proxy(mirrored(&[("m0", None)]), &backend, &[&mirror]);
    let mut client = proxy.connect();
    client.send(POST);
    client.send("5\r\nhello\r\n");
    let mut copy = mirror.accept();
    copy.head();
    copy.until(b"5\r\nhello\r\n");
    drop(client);
    assert_eq!(copy.rest().0, b"", "no last chunk says that it was whole");
}

#[test]
fn a_request_sent_again_on_a_fresh_connection_is_copied_once() {
    let (backend, mirror) = (Backend::new(), Backend::new());
    let proxy = proxy(mirrored(&[("m0", None)]), &backend, &[&mirror]);
    let mut client = proxy.connect();
    client.send(get("/1"));
    let mut upstream = backend.accept();
    upstream.head();
    upstream.send(ok(""));
    client.head();
    let mut copy = mirror.accept();
    copy.head();
    copy.send(ok(""));
    client.send("PUT /2 HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello");
    // The connection is used again, and closed without a word.
    upstream.head();
    drop(upstream);
    let mut upstream = backend.accept();
    assert!(upstream.head().starts_with("PUT /2 "));
    assert_eq!(upstream.exactly(5), b"hello");
    upstream.send(ok(""));
    assert_eq!(status(&client.head()), 200);
    let other = eventually("second copy", || match copy.has_bytes() {
        true => Some(None),
        false => mirror.pending().map(Some),
    });
    let mut copy = other.unwrap_or(copy);
    assert!(copy.head().starts_with("PUT /2 "));
    assert_eq!(copy.exactly(5), b"hello");
    assert!(!copy.has_bytes());
    assert_eq!(proxy.stats.totals().copies, 2);
}

#[test]
fn a_fraction_is_copied() {
    let (backend, mirror) = (Backend::new(), Backend::new());
    let routes = mirrored(&[("m0", Some((0, 100))), ("m0", Some((100, 100))), ("m0", Some((1, 2)))]);
    let proxy = proxy(routes, &backend, &[&mirror]);
    let mut client = proxy.connect();
    client.send(get("/"));
    let mut upstream = backend.accept();
    for _ in 0..200 {
        upstream.head();
        upstream.send(ok(""));
        client.head();
        client.send(get("/"));
    }
    upstream.head();
    let totals = proxy.stats.totals();
    let begun = totals.copies + totals.copies_dropped;
    assert!((201 + 40..201 + 160).contains(&begun), "all of one, half of another, none of a third: {begun}");
}
