//! A whole proxy, from its bootstrap to its end, against a small ADS server and raw sockets. Each
//! wait is bounded and ends on what it waits for.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails the test")]

mod on_demand;
mod server;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use server::Server;
use weir_config::bootstrap::{Address, Admin, Endpoint as Xds, ProxyBootstrap};
use weir_config::model::*;
use weir_proxy::run::{Bound, Hooks, Life, Proxy, service};

const PATIENCE: Duration = Duration::from_secs(20);

/// A backend that answers each connection's first request with its name.
fn backend(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
                head.push(byte[0]);
            }
            let answer =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{name}", name.len());
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

fn cluster(name: &str) -> Resource {
    Cluster::new(name, EndpointSource::Eds(name.into())).into()
}

fn endpoints(name: &str, address: SocketAddr) -> Resource {
    let endpoints = vec![Endpoint { address, health: HealthStatus::Healthy, weight: 1 }];
    let localities = vec![LocalityEndpoints { endpoints, ..LocalityEndpoints::default() }];
    LoadAssignment { name: name.into(), localities }.into()
}

fn host(domain: &str, cluster: &str, path: PathMatch) -> Resource {
    let route = Route {
        name: format!("{domain} to {cluster}"),
        owner: Some(Owner { tenant: "acme".into(), plan: None }),
        matches: RouteMatch { path, method: None, headers: vec![], query: vec![], fraction: None },
        action: RouteAction::Forward(Forward::to(Split::One(cluster.into()))),
        request_headers: Default::default(),
        response_headers: Default::default(),
        cors: None,
        session: None,
    };
    let domains = vec![Domain::Exact(domain.into())];
    VirtualHost { name: format!("r/{domain}"), domains, owner: None, routes: vec![route] }.into()
}

fn listener() -> Resource {
    let http = HttpOptions {
        stat_prefix: "http".into(),
        routes: RouteSource::Rds("r".into()),
        filters: vec![],
        idle_timeout: None,
        request_headers_timeout: None,
        stream_idle_timeout: None,
        max_request_headers_kb: None,
        use_remote_address: true,
        http2: None,
        access_log: false,
    };
    let chains = vec![FilterChain {
        name: "plain".into(),
        server_names: vec![],
        tls: None,
        passthrough: false,
        network: Network::Http(http),
    }];
    Listener { name: "l".into(), address: ([127, 0, 0, 1], 0).into(), chains, udp: None }.into()
}

/// One listener, `a.test` to `backend`.
fn world(backend: SocketAddr) -> Snapshot {
    let mut world = Snapshot::default();
    let any = PathMatch::Prefix("/".into());
    let routes = RouteConfiguration { name: "r".into(), virtual_hosts: vec![], vhds: true }.into();
    for resource in [cluster("a"), endpoints("a", backend), listener(), routes, host("a.test", "a", any)] {
        world.insert(resource);
    }
    world
}

/// A proxy on a thread.
struct Running {
    admin: SocketAddr,
    listener: SocketAddr,
    life: Life,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
}

impl Running {
    fn start(xds: SocketAddr, state: &Path) -> Self {
        Self::start_as(ProxyBootstrap::default(), xds, state)
    }

    /// With settings of its own.
    fn start_as(settings: ProxyBootstrap, xds: SocketAddr, state: &Path) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let bootstrap = ProxyBootstrap {
            xds: Xds::new(Address::Tcp(xds)),
            admin: Admin::new("127.0.0.1:0".parse().unwrap()),
            state_dir: state.into(),
            workers: Some(1),
            ..settings
        };
        let (tell, told) = mpsc::channel::<Bound>();
        let hooks =
            Hooks { set_filter: Arc::new(|_| Ok(())), bound: Box::new(move |bound| drop(tell.send(bound.clone()))) };
        let proxy = Proxy::new(&bootstrap, hooks).unwrap();
        let life = proxy.life();
        let thread = Some(thread::spawn(move || proxy.run(vec![])));
        loop {
            let bound = told.recv_timeout(PATIENCE).expect("a listener is bound");
            let Address::Tcp(admin) = bound.admin else { panic!("not TCP") };
            if let Some(listener) = bound.listeners.get("l") {
                return Self { admin, listener: *listener, life, thread };
            }
        }
    }

    /// Status and body of an answer for a host.
    fn get(&self, host: &str) -> (u16, String) {
        ask(self.listener, &format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"))
    }

    fn admin(&self, path: &str) -> (u16, String) {
        ask(self.admin, &format!("GET {path} HTTP/1.0\r\n\r\n"))
    }

    fn end(mut self) -> Duration {
        let asked = Instant::now();
        self.life.end();
        self.thread.take().unwrap().join().unwrap().unwrap();
        asked.elapsed()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.life.end();
    }
}

fn ask(address: SocketAddr, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// Waits until `condition` holds.
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
        thread::yield_now();
    }
}

fn answers(status: u16, body: &str) -> (u16, String) {
    (status, body.to_owned())
}

#[test]
fn a_proxy_comes_up_obeys_edits_and_ends_when_nothing_is_under_way() {
    let state = tempfile::tempdir().unwrap();
    let (one, two) = (backend("one"), backend("two"));
    let server = Server::start(world(one));
    let proxy = Running::start(server.address, state.path());
    assert_eq!(proxy.get("a.test"), answers(200, "one"));
    assert_eq!(proxy.get("b.test").0, 404);
    until("ready", || proxy.admin("/ready") == answers(200, "LIVE\n"));
    assert!(proxy.admin("/config_dump").1.contains("r/a.test"));
    assert!(proxy.admin("/stats/prometheus").1.contains("weir_tenant_requests_total{tenant=\"acme\"} 1\n"));

    server.edit(|world| {
        world.insert(cluster("b"));
        world.insert(endpoints("b", two));
        world.insert(host("b.test", "b", PathMatch::Prefix("/".into())));
    });
    until("a new host serves", || proxy.get("b.test") == answers(200, "two"));
    server.edit(|world| {
        world.remove(ResourceType::VirtualHost, "r/a.test");
    });
    until("a removed host is gone", || proxy.get("a.test").0 == 404);

    assert!(proxy.end() < Duration::from_secs(5), "it does not wait for a grace period");
}

#[test]
fn a_bad_resource_is_refused_by_name_and_its_neighbours_serve() {
    let state = tempfile::tempdir().unwrap();
    let (one, two) = (backend("one"), backend("two"));
    let server = Server::start(world(one));
    let proxy = Running::start(server.address, state.path());
    server.edit(|world| {
        world.insert(host("a.test", "a", PathMatch::Regex("(".into())));
        world.insert(cluster("b"));
        world.insert(endpoints("b", two));
        world.insert(host("b.test", "b", PathMatch::Prefix("/".into())));
    });
    until("the neighbour serves", || proxy.get("b.test") == answers(200, "two"));
    assert_eq!(proxy.get("a.test"), answers(200, "one"), "the last good version serves");
    until("a refusal", || !server.refusals.lock().unwrap().is_empty());
    let refusal = server.refusals.lock().unwrap()[0].clone();
    assert!(refusal.starts_with("VirtualHost `r/a.test`: ") && refusal.contains("regex"), "{refusal}");
}

#[test]
fn a_restarted_proxy_serves_without_a_server_and_obeys_it_when_it_is_back() {
    let state = tempfile::tempdir().unwrap();
    let (one, two) = (backend("one"), backend("two"));
    let server = Server::start(world(one));
    let address = server.address;
    let first = Running::start(address, state.path());
    assert_eq!(first.get("a.test"), answers(200, "one"));
    drop(server);
    assert_eq!(first.get("a.test"), answers(200, "one"), "a dead server takes nothing down");
    first.end();

    let second = Running::start(address, state.path());
    assert_eq!(second.get("a.test"), answers(200, "one"));
    assert_eq!(second.admin("/ready").0, 200);
    let _server = Server::start_at(address, world(two));
    until("the server's new word holds", || second.get("a.test") == answers(200, "two"));
}

#[test]
fn a_service_that_fails_ends_the_process_with_its_reason() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let state = tempfile::tempdir().unwrap();
    let bootstrap = ProxyBootstrap {
        admin: Admin::new("127.0.0.1:0".parse().unwrap()),
        state_dir: state.path().into(),
        workers: Some(1),
        ..ProxyBootstrap::default()
    };
    let hooks = || Hooks { set_filter: Arc::new(|_| Ok(())), bound: Box::new(|_| {}) };
    let proxy = Proxy::new(&bootstrap, hooks()).unwrap();
    let broken = service("control", |_| async { anyhow::bail!("the disk is full") });
    assert_eq!(proxy.run(vec![broken]).unwrap_err().to_string(), "the disk is full");

    let taken = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let held = TcpListener::bind(taken).unwrap();
    let bootstrap = ProxyBootstrap { admin: Admin::new(Address::Tcp(held.local_addr().unwrap())), ..bootstrap };
    let error = Proxy::new(&bootstrap, hooks()).unwrap_err();
    assert!(error.to_string().contains("cannot bind the admin endpoint"), "{error:#}");
}
