//! Changes go in as deltas; what a request would meet is read from the listeners' tables.

mod admit;
mod clusters;
mod limits;
mod listeners;
mod routes;
mod shares;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use weir_config::model::{
    Cluster, Delta, Domain, Endpoint, EndpointSource, FilterChain, Forward, HealthStatus, HttpFilter, HttpOptions,
    Listener, LoadAssignment, LocalityEndpoints, Network, Owner, PathMatch, Resource, ResourceType, Route, RouteAction,
    RouteConfiguration, RouteMatch, RouteSource, Split, VirtualHost, WeightedCluster,
};

use super::Live;
use crate::meter::Meter;
use crate::request::table::ChainTable;
use crate::request::{Decision, Head, decide};

/// A proxy's configuration, and the meter beside it.
struct World {
    live: Live,
    meter: Arc<Meter>,
}

impl World {
    fn new(resources: Vec<Resource>) -> Self {
        let meter = Arc::new(Meter::new(1));
        let mut world = Self { live: Live::new(meter.clone()).unwrap(), meter };
        world.set(resources);
        world
    }

    fn set(&mut self, upserts: Vec<Resource>) {
        self.live.apply(&Delta { upserts, removals: Vec::new() });
    }

    fn remove(&mut self, kind: ResourceType, name: &str) {
        self.live.apply(&Delta { upserts: Vec::new(), removals: vec![(kind, name.into())] });
    }

    /// The first chain of listener `l`.
    fn chain(&self) -> Arc<ChainTable> {
        self.live.listeners().borrow()["l"].chains[0].clone()
    }

    /// What happens to `GET path` for `host` at the first chain, in words.
    fn ask(&self, host: &str, path: &str) -> String {
        self.ask_at(&self.chain(), host, path)
    }

    fn ask_at(&self, chain: &ChainTable, host: &str, path: &str) -> String {
        let hosts = chain.http.routes.load();
        let headers: &[httparse::Header<'_>] = &[];
        let head = Head { method: "GET", host, path, query: None, headers };
        match decide(&chain.http, &hosts, &head, 0) {
            Decision::Forward { route, cluster, .. } => {
                let known = if cluster.state.load().known { "" } else { "?" };
                format!("{} -> {}{known}", route.tenant.name(), cluster.name)
            }
            Decision::Redirect { route, to, .. } => format!("{} {}", route.tenant.name(), to.status),
            Decision::Direct { route, status, .. } => format!("{} {status}", route.tenant.name()),
            Decision::Refuse { charged, refusal, .. } => {
                format!("{} {refusal:?}", charged.tenant().map_or("-", |tenant| tenant.name()))
            }
        }
    }

    /// How many of `n` requests are granted.
    fn granted(&self, host: &str, n: usize) -> usize {
        (0..n).filter(|_| !self.ask(host, "/").ends_with("RateLimited")).count()
    }
}

fn owner(tenant: &str, plan: Option<&str>) -> Option<Owner> {
    Some(Owner { tenant: tenant.into(), plan: plan.map(Into::into) })
}

fn route(name: &str, path: &str, owner: Option<Owner>, action: RouteAction) -> Route {
    Route {
        name: name.into(),
        owner,
        matches: RouteMatch {
            path: PathMatch::Prefix(path.into()),
            method: None,
            headers: Vec::new(),
            query: Vec::new(),
            fraction: None,
        },
        action,
        request_headers: Default::default(),
        response_headers: Default::default(),
        cors: None,
        session: None,
    }
}

fn to(cluster: &str) -> RouteAction {
    RouteAction::Forward(Forward::to(Split::One(cluster.into())))
}

fn split(weights: &[(&str, u32)]) -> RouteAction {
    let list = weights.iter().map(|(cluster, weight)| WeightedCluster::new(*cluster, *weight));
    RouteAction::Forward(Forward::to(Split::Weighted(list.collect())))
}

/// `r/<domain>`, owned by `tenant` on plan `gold`, everything to `action`.
fn host(domain: &str, tenant: &str, action: RouteAction) -> VirtualHost {
    VirtualHost {
        name: format!("r/{domain}"),
        domains: vec![match domain.strip_prefix("*.") {
            _ if domain == "*" => Domain::Any,
            Some(suffix) => Domain::Suffix(suffix.into()),
            None => Domain::Exact(domain.into()),
        }],
        owner: owner(tenant, Some("gold")),
        routes: vec![route("all", "/", owner(tenant, Some("gold")), action)],
    }
}

fn routes(virtual_hosts: Vec<VirtualHost>) -> RouteConfiguration {
    RouteConfiguration { name: "r".into(), virtual_hosts, vhds: false }
}

fn vhds() -> Resource {
    RouteConfiguration { vhds: true, ..routes(Vec::new()) }.into()
}

fn chain(name: &str, filters: Vec<HttpFilter>) -> FilterChain {
    FilterChain {
        name: name.into(),
        server_names: Vec::new(),
        tls: None,
        passthrough: false,
        network: Network::Http(HttpOptions {
            stat_prefix: "s".into(),
            routes: RouteSource::Rds("r".into()),
            filters,
            idle_timeout: None,
            request_headers_timeout: None,
            stream_idle_timeout: None,
            max_request_headers_kb: None,
            use_remote_address: true,
            http2: None,
            access_log: false,
        }),
    }
}

fn listener(chains: Vec<FilterChain>) -> Listener {
    Listener { name: "l".into(), address: address(8000), chains, udp: None }
}

/// Listener `l` with one chain, routes from `r`, and the platform's limits.
fn edge() -> Resource {
    listener(vec![chain("c", vec![HttpFilter::Discovered("limits".into())])]).into()
}

fn cluster(name: &str, service: &str) -> Resource {
    let connect_timeout = Some(Duration::from_secs(1));
    Cluster { connect_timeout, ..Cluster::new(name, EndpointSource::Eds(service.into())) }.into()
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Endpoints as (priority, port, health, weight).
fn assignment(name: &str, endpoints: &[(u32, u16, HealthStatus, u32)]) -> LoadAssignment {
    let localities = endpoints.iter().map(|(priority, port, health, weight)| LocalityEndpoints {
        priority: *priority,
        endpoints: vec![Endpoint { address: address(*port), health: *health, weight: *weight }],
        ..Default::default()
    });
    LoadAssignment { name: name.into(), localities: localities.collect() }
}
