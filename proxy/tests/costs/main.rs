//! What a decision, an exchange, an edit and a tenant cost, counted by the allocator. One test,
//! because the count is the process's.

#[cfg(test)]
mod exchange;
#[cfg(test)]
mod held;
#[cfg(test)]
mod http2;

use std::alloc::System;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use weir_config::model::{
    Cluster, Delta, Domain, Endpoint, EndpointSource, FilterChain, FilterConfig, Forward, HeaderMatch, HealthStatus,
    HttpFilter, HttpOptions, Listener, LoadAssignment, LocalRateLimit, LocalityEndpoints, Network, Owner, PathMatch,
    QueryMatch, Resource, Route, RouteAction, RouteConfiguration, RouteMatch, RouteSource, Split, StringMatch,
    TokenBucket, VirtualHost, WeightedCluster,
};
use weir_proxy::balance;
use weir_proxy::live::Live;
use weir_proxy::log::{AccessLog, Entry};
use weir_proxy::meter::{Meter, Metric};
use weir_proxy::request::table::HttpTable;
use weir_proxy::request::{Decision, Head, decide};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Tenants at an edge that is full.
const MANY: usize = 20_000;

fn owner(n: usize) -> Option<Owner> {
    Some(Owner { tenant: format!("tenant-{n:05}"), plan: Some("gold".into()) })
}

fn address() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 8080))
}

/// The tenant of DESIGN.md's target: a host with two routes, two clusters with their endpoints, one limit.
fn tenant(n: usize) -> Vec<Resource> {
    let cluster = |which: &str| format!("tenant-{n:05}/ns-{n:05}/{which}/80");
    let route = |which: &str, path: PathMatch, action| Route {
        name: format!("ns-{n:05}/{which}/0/0"),
        owner: owner(n),
        matches: RouteMatch { path, method: None, headers: Vec::new(), query: Vec::new(), fraction: None },
        action,
        request_headers: Default::default(),
        response_headers: Default::default(),
        cors: None,
        session: None,
    };
    let forward = |split| RouteAction::Forward(Forward::to(split));
    let weighted = [("web", 90), ("api", 10)].map(|(which, weight)| WeightedCluster::new(cluster(which), weight));
    let host = VirtualHost {
        name: format!("r/www.tenant-{n:05}.example"),
        domains: vec![Domain::Exact(format!("www.tenant-{n:05}.example"))],
        owner: owner(n),
        routes: vec![
            route("api", PathMatch::SegmentPrefix("/api".into()), forward(Split::One(cluster("api")))),
            route("web", PathMatch::Prefix("/".into()), forward(Split::Weighted(weighted.to_vec()))),
        ],
    };
    let mut resources = vec![host.into()];
    for which in ["web", "api"] {
        let service = format!("ns-{n:05}/{which}/80");
        let endpoint = Endpoint { address: address(), health: HealthStatus::Unknown, weight: 1 };
        let locality = LocalityEndpoints { endpoints: vec![endpoint], ..Default::default() };
        let endpoints = EndpointSource::Eds(service.clone());
        resources.push(LoadAssignment { name: service, localities: vec![locality] }.into());
        resources.push(Cluster::new(cluster(which), endpoints).into());
    }
    resources
}

fn edge() -> Vec<Resource> {
    let bucket = TokenBucket { max_tokens: 1_000_000, tokens_per_fill: 1, fill_interval_ms: 1000 };
    let config = LocalRateLimit { plans: [("gold".to_owned(), bucket)].into(), headers: true, ..Default::default() };
    let http = HttpOptions {
        stat_prefix: "s".into(),
        routes: RouteSource::Rds("r".into()),
        filters: vec![HttpFilter::Discovered("limits".into())],
        idle_timeout: None,
        request_headers_timeout: None,
        stream_idle_timeout: None,
        max_request_headers_kb: None,
        use_remote_address: true,
        http2: None,
        access_log: true,
    };
    let chain = FilterChain {
        name: "c".into(),
        server_names: Vec::new(),
        tls: None,
        passthrough: false,
        network: Network::Http(http),
    };
    vec![
        FilterConfig { name: "limits".into(), config }.into(),
        RouteConfiguration { name: "r".into(), virtual_hosts: Vec::new(), vhds: true }.into(),
        Listener { name: "l".into(), address: address(), chains: vec![chain], udp: None }.into(),
    ]
}

/// A host with every kind of match, none of which the request of [`request`] escapes.
fn picky() -> Resource {
    let mut resources = tenant(0);
    let Resource::VirtualHost(host) = resources.remove(0) else { unreachable!() };
    let mut host = VirtualHost::clone(&host);
    let text = |text: StringMatch| HeaderMatch { name: "x-a".into(), invert: false, value: Some(text) };
    let mut route = host.routes[1].clone();
    route.matches = RouteMatch {
        path: PathMatch::Regex("/shop/[a-z]+".into()),
        method: Some("GET".into()),
        headers: vec![
            text(StringMatch::Exact("two".into())),
            text(StringMatch::Regex("t.*".into())),
            text(StringMatch::Contains("w".into())),
        ],
        query: vec![QueryMatch { name: "q".into(), value: Some(StringMatch::Prefix("1".into())) }],
        fraction: None,
    };
    host.routes = vec![route];
    host.domains = vec![Domain::Suffix("picky.example".into())];
    host.name = "r/*.picky.example".into();
    host.into()
}

fn request(http: &HttpTable, meter: &Meter, log: &AccessLog, host: &str) {
    let headers = [
        httparse::Header { name: "X-A", value: b"one" },
        httparse::Header { name: "X-A", value: b"two" },
        httparse::Header { name: "User-Agent", value: b"test" },
    ];
    let hosts = http.routes.load();
    let head = Head { method: "GET", host, path: "/shop/cart", query: Some("p=2&q=12"), headers: &headers[..] };
    let (route, cluster) = match decide(http, &hosts, &head, weir_proxy::clock::now()) {
        Decision::Forward { route, cluster, budget, .. } => {
            assert!(budget.is_some_and(|b| b.remaining > 0));
            (route, cluster)
        }
        other => panic!("{other:?}"),
    };
    let Some(endpoint) = balance::pick(cluster, &cluster.state.load(), &balance::Tries::default()).map(|e| e.address)
    else {
        panic!()
    };
    meter.add(0, route.tenant.id(), Metric::Requests, 1);
    meter.begin_write(0, route.tenant.id(), Metric::ResponseBytes, 1024).done(1024);
    let entry = Entry {
        start: SystemTime::UNIX_EPOCH,
        duration: Duration::from_millis(1),
        method: "GET",
        authority: Some(host),
        path: "/shop/cart?p=2&q=12",
        protocol: "HTTP/1.1",
        response_code: 200,
        response_flags: "",
        response_code_details: None,
        bytes_received: 100,
        bytes_sent: 1024,
        upstream_host: Some(endpoint),
        upstream_cluster: Some(&cluster.name),
        route_name: Some(&route.name),
        tenant: "tenant",
        request_id: None,
        downstream_remote_address: Some(endpoint),
        requested_server_name: None,
        user_agent: Some("test"),
    };
    log.write(0, &entry);
}

fn apply(live: &mut Live, upserts: Vec<Resource>) {
    live.apply(&Delta { upserts, removals: Vec::new() });
}

#[test]
fn decisions_allocate_nothing_edits_little_and_tenants_are_small() {
    held::what_is_read_has_no_room_to_spare();
    held::a_tenant_is_held_in_little();
    held::an_edit_costs_no_more_at_a_large_edge();
    let meter = Arc::new(Meter::new(1));
    let mut live = Live::new(meter.clone()).unwrap();
    apply(&mut live, edge());
    apply(&mut live, (0..1000).flat_map(tenant).collect());

    // Memory of a tenant: what is held after its resources are dropped.
    let region = Region::new(ALLOCATOR);
    for n in 1000..MANY {
        apply(&mut live, tenant(n));
    }
    let change = region.change();
    let held = change.bytes_allocated as isize - change.bytes_deallocated as isize;
    let each = held as usize / (MANY - 1000);
    println!("a tenant's tables hold {each} bytes");
    assert!(each < 3 * 1024, "{each} bytes a tenant");

    // An edit of one host copies one shard and the spine, not the table.
    let region = Region::new(ALLOCATOR);
    apply(&mut live, tenant(500));
    let bytes = region.change().bytes_allocated;
    println!("an edit allocates {bytes} bytes");
    assert!(bytes < 64 * 1024, "{bytes} bytes for an edit");

    // A decision, a choice of endpoint, counters, a line of log: nothing.
    apply(&mut live, vec![picky()]);
    let chain = live.listeners().borrow()["l"].chains[0].clone();
    let log = AccessLog::to(1, Box::new(std::io::sink())).unwrap();
    let hosts = ["www.tenant-00500.example", "www.tenant-19999.example", "a.b.picky.example"];
    let round = || hosts.iter().for_each(|host| request(&chain.http, &meter, &log, host));
    // Buffers and the regex's caches take their size at first.
    (0..50).for_each(|_| round());
    assert!(log.flush(Duration::from_secs(20)));
    (0..50).for_each(|_| round());
    assert!(log.flush(Duration::from_secs(20)));
    let region = Region::new(ALLOCATOR);
    (0..50).for_each(|_| round());
    let change = region.change();
    assert_eq!((change.allocations, change.reallocations), (0, 0), "{change:?}");
    exchange::exchanges_allocate_nothing();
}
