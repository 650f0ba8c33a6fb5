//! Whoever has an answer has been charged for it, wherever a kill comes: what the next start would find in
//! the counters' file is compared, at once, with what the client got.

use std::io::{Read, Write};
use std::sync::Arc;

use weir_config::model::ResourceType;
use weir_proxy::meter::{Counted, Meter, Metric, Units, file};
use weir_proxy::serve::Options;

use crate::support::{Backend, Proxy, Setup, eventually, get, ok, route};
use crate::{tls, tunnel};

/// Times that each thing is tried: what is counted too late shows in some of them.
const ROUNDS: u64 = 300;

/// Counters in a directory.
struct Disk(tempfile::TempDir);

impl Disk {
    fn new() -> (Self, Setup) {
        let dir = tempfile::tempdir().unwrap();
        let meter = Meter::create(dir.path(), [3; 16], 1).unwrap();
        (Self(dir), Setup { meter: Arc::new(meter), routes: vec![route("/c", "c")], ..Setup::default() })
    }

    /// What the next start would find of `acme`.
    fn found(&self) -> Units {
        let [path] = file::list(self.0.path()).unwrap().try_into().unwrap();
        let old = file::read(&path).unwrap();
        old.counted.iter().find(|counted| &*counted.tenant == "acme").unwrap().total
    }

    /// The same without time, which is counted when an exchange has ended.
    fn charged(&self) -> [u64; 3] {
        let found = self.found();
        [Metric::Requests, Metric::RequestBytes, Metric::ResponseBytes].map(|metric| found[metric])
    }
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nt: 1\r\n\r\n";

#[test]
fn a_response_is_charged_before_its_last_byte_arrives() {
    let (backend, (disk, setup)) = (Backend::new(), Disk::new());
    let proxy = Proxy::with(setup, &[backend.address]);
    let mut client = proxy.connect();
    let mut charged = [0; 3];
    let mut upstream = None;
    for round in 0..ROUNDS {
        let path = if round % 5 == 4 { "/refused" } else { "/c" };
        client.send(get(path));
        let mut got = 0;
        if path == "/c" {
            let upstream = upstream.get_or_insert_with(|| backend.accept());
            upstream.head();
            upstream.send(if round % 2 == 0 { ok("hello") } else { CHUNKED.into() });
            got += if round % 2 == 0 { 5 } else { client_chunks() };
        }
        let body = got;
        got += client.head().len();
        client.exactly(body);
        charged = [charged[0] + 1, charged[1] + get(path).len() as u64, charged[2] + got as u64];
        assert_eq!(disk.charged(), charged, "round {round}");
    }
}

/// Bytes of the body of [`CHUNKED`].
fn client_chunks() -> usize {
    CHUNKED.split_once("\r\n\r\n").unwrap().1.len()
}

#[test]
fn so_it_is_through_tls() {
    let (backend, (disk, setup)) = (Backend::new(), Disk::new());
    let (proxy, roots) = tls::start_with(&backend, setup);
    let mut client = tls::dial(&proxy, "other.test", &roots);
    let mut upstream = None;
    let body = "x".repeat(40_000);
    let answer = ok(&body);
    let mut got = vec![0; answer.len()];
    for round in 1..=ROUNDS / 3 {
        client.write_all(get("/c").as_bytes()).unwrap();
        let upstream = upstream.get_or_insert_with(|| backend.accept());
        upstream.head();
        upstream.send(&answer);
        client.read_exact(&mut got).unwrap();
        assert_eq!(disk.charged(), [1, get("/c").len() as u64, got.len() as u64].map(|n| n * round), "round {round}");
    }
}

#[test]
fn so_are_bytes_of_a_tunnel() {
    let (backend, (disk, setup)) = (Backend::new(), Disk::new());
    let proxy = Proxy::with(Setup { routes: vec![route("/", "c")], ..setup }, &[backend.address]);
    let (mut client, mut upstream) = tunnel::open(&proxy, &backend);
    for round in 1..=ROUNDS {
        client.send("ping");
        upstream.exactly(4);
        assert_eq!(disk.found()[Metric::TunnelRequestBytes], 4 * round);
        upstream.send("pong!");
        client.exactly(5);
        assert_eq!(disk.found()[Metric::TunnelResponseBytes], 5 * round);
    }
}

fn acme(proxy: &Proxy) -> Counted {
    proxy.meter.counted().into_iter().find(|counted| &*counted.tenant == "acme").unwrap()
}

/// A tenant is gone from the configuration, and its tunnel is open: what passes is its own.
#[test]
fn who_is_counted_for_keeps_its_place_until_it_has_ended() {
    let (backend, (_disk, setup)) = (Backend::new(), Disk::new());
    let setup = Setup { options: Options::default(), routes: vec![route("/", "c")], ..setup };
    let proxy = Proxy::with(setup, &[backend.address]);
    let (mut client, mut upstream) = tunnel::open(&proxy, &backend);
    let mut idle = proxy.connect();
    idle.send(get("/"));
    let mut other = backend.accept();
    other.head();
    other.send(ok("hello"));
    idle.head();
    idle.exactly(5);
    proxy.remove(ResourceType::RouteConfiguration, "r");
    client.send("ping");
    upstream.exactly(4);
    let counted = acme(&proxy);
    assert!(!counted.leaving);
    assert!(!proxy.meter.free(counted.place, counted.incarnation));
    drop(client);
    upstream.rest();
    drop(upstream);
    // The idle connection holds nothing.
    let counted = eventually("end of the tunnel", || Some(acme(&proxy)).filter(|counted| counted.leaving));
    assert_eq!(counted.total[Metric::TunnelRequestBytes], 4);
    proxy.meter.logged(counted.place, counted.incarnation, &counted.total);
    assert!(proxy.meter.free(counted.place, counted.incarnation));
    idle.send(get("/"));
    assert!(idle.head().starts_with("HTTP/1.1 404"));
}
