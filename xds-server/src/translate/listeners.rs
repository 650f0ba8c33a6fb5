//! The listeners of one port of an edge: which Gateways' listeners share it, what they become, and how a host
//! finds its own.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use weir_config::kinds::gateway::Gateway;

use weir_config::model::{
    DownstreamTls, FilterChain, HttpFilter, HttpOptions, Network, RouteConfiguration, RouteSource, name,
};

use super::addresses::{self, Addresses};
use super::classes::EdgeId;
use super::edge_services;
use super::facts::Facts;
use super::listener_checks::{Checked, Place, TOO_MANY, check};
use super::listener_sets;
use super::port_plan::{Bind, L4Listener, ListenerId, PortPlan, Socket, Table};
use super::protocol::{Protocol, Transport};
use super::sni;
use super::unit::{Group, PortId};
use crate::index::{Age, NsName, Pattern};

/// A listener with what decides whether it comes first.
struct Candidate {
    /// The platform before tenants, so that no tenant takes a port from it; then the Gateway's age; its own listeners
    /// before those of ListenerSets, and these by age.
    order: (bool, Age, Option<Age>, usize),
    owner: Group,
    addresses: Vec<IpAddr>,
    checked: Checked,
}

/// What an address of the port carries.
struct Taken {
    transport: Transport,
    table: Table,
    chains: Vec<FilterChain>,
    /// Places of HTTPS listeners' chains.
    place: BTreeMap<ListenerId, usize>,
    l4: BTreeMap<String, L4Listener>,
}

/// An address, for connections or (true) for datagrams: these are bound apart.
type Bound = (bool, IpAddr);

/// Works one port out, from the Gateways that have a listener there.
pub(crate) fn plan<'a>(facts: &Facts, port: PortId, gateways: impl Iterator<Item = &'a NsName>) -> PortPlan {
    let mut plan = PortPlan::default();
    let mut candidates = Vec::new();
    for id in gateways {
        let Some(gateway) = facts.own_gateway(&id.0, &id.1) else { continue };
        let addresses: Vec<IpAddr> = addresses(facts, port.edge, gateway).bound.into_iter().collect();
        let own = std::iter::once((None, None, gateway.spec.listeners.as_slice()));
        let sets = listener_sets::attached(facts, id, gateway);
        let sets =
            sets.map(|(set, object)| (Some(set), Some(Age::of(&object.metadata)), object.spec.listeners.as_slice()));
        for (set, set_age, listeners) in own.chain(sets) {
            let owner = Group::of(&facts.tenancy, &set.as_ref().unwrap_or(id).0);
            for (index, listener) in listeners.iter().enumerate().filter(|(_, l)| l.port == port.number) {
                let place = Place { gateway_id: id, gateway, set: set.as_ref(), port, index };
                let checked = check(facts, &owner, &place, listener, &mut plan);
                let order = (owner != Group::System, Age::of(&gateway.metadata), set_age.clone(), index);
                candidates.push(Candidate { order, owner: owner.clone(), addresses: addresses.clone(), checked });
            }
        }
    }
    candidates.sort_by(|a, b| a.order.cmp(&b.order));
    let mut taken: BTreeMap<Bound, Taken> = BTreeMap::new();
    for candidate in candidates {
        place(facts, port, candidate, &mut taken, &mut plan);
    }
    for (bound, taken) in taken {
        finish(facts, port, bound, taken, &mut plan);
    }
    for listeners in plan.holders.values_mut() {
        listeners.sort_by_key(|listener| listener.index);
    }
    plan
}

/// The addresses of a Gateway at an edge.
pub(crate) fn addresses(facts: &Facts, edge: EdgeId, gateway: &Gateway) -> Addresses {
    let listed = facts.settings.classes.addresses(edge);
    match facts.settings.classes.service(edge) {
        Some(service) if listed.listed.is_empty() && (service.per_gateway || service.name.is_some()) => {
            let given = edge_services::given(facts, service, gateway);
            addresses::behind_service(given, gateway)
        }
        _ => addresses::of_gateway(&listed, gateway),
    }
}

/// Gives a listener its place on the port, or says who is there already.
fn place(facts: &Facts, port: PortId, candidate: Candidate, taken: &mut BTreeMap<Bound, Taken>, plan: &mut PortPlan) {
    let Candidate { owner, addresses, mut checked, .. } = candidate;
    let holder = checked.fact.id.holder();
    let mut conflict = None;
    if addresses.is_empty() {
        conflict = Some(("PortUnavailable", "the Gateway has no address that can be bound".into()));
    } else if checked.fact.accepted {
        match conflict_at(&addresses, checked.protocol.transport(), taken) {
            Some(found) => conflict = Some(found),
            None => {
                let udp = checked.protocol == Protocol::Udp;
                let free = |host: &Pattern| {
                    let mut here = addresses.iter().filter_map(|address| taken.get(&(udp, *address)));
                    here.all(|taken| !taken.table.contains_key(host))
                };
                let hosts: Vec<Pattern> = checked.fact.hosts.iter().filter(|host| free(host)).cloned().collect();
                if hosts.is_empty() {
                    let same = if checked.protocol.has_names() { "hostname" } else { "protocol" };
                    let there = addresses.iter().filter_map(|address| taken.get(&(udp, *address)));
                    let mut has =
                        there.flat_map(|here| checked.fact.hosts.iter().filter_map(|host| here.table.get(host)));
                    let who = match has.next() {
                        Some((id, of)) if *of == owner || *of == Group::System => {
                            format!(": {} of {}", id.listener, id.object())
                        }
                        Some((_, Group::Tenant(tenant))) => format!(": tenant {tenant}'s"),
                        _ => String::new(),
                    };
                    let message = format!("port {} has an older listener with the same {same}{who}", port.number);
                    conflict = Some(("HostnameConflict", message));
                } else {
                    checked.fact.hosts = hosts;
                    conflict = crowded(facts, port, &addresses, &checked, taken);
                }
            }
        }
    }
    checked.conclude(conflict);
    if checked.fact.accepted {
        for address in addresses {
            let routes = bind(facts, port, address, &owner, &checked, taken);
            if let Some(routes) = routes.as_ref().filter(|_| !checked.protocol.is_l4()) {
                plan.routes.insert(routes.clone(), address);
            }
            let listener = socket_name(facts, port, address, checked.protocol == Protocol::Udp);
            checked.fact.binds.push(Bind { address, listener, routes });
        }
        if checked.protocol.ends_tls() {
            plan.secrets.extend(checked.secrets.iter().cloned());
        }
    }
    plan.holders.entry(holder).or_default().push(checked.fact);
}

fn conflict_at(
    addresses: &[IpAddr],
    transport: Transport,
    taken: &BTreeMap<Bound, Taken>,
) -> Option<(&'static str, String)> {
    let udp = transport == Transport::Udp;
    for address in addresses {
        let overlaps = |(other_udp, other): &&Bound| {
            *other_udp == udp
                && other != address
                && other.is_ipv4() == address.is_ipv4()
                && (other.is_unspecified() || address.is_unspecified())
        };
        if let Some((_, other)) = taken.keys().find(overlaps) {
            return Some(("PortUnavailable", format!("{address} and {other} cannot both be bound on one port")));
        }
        if taken.get(&(udp, *address)).is_some_and(|taken| taken.transport != transport) {
            return Some(("ProtocolConflict", "an older listener has the port for another protocol".into()));
        }
    }
    None
}

/// Whether a listener would be a filter chain more than the edge's proxies take. Those that come before it are the
/// platform's and the older ones.
fn crowded(
    facts: &Facts,
    port: PortId,
    addresses: &[IpAddr],
    checked: &Checked,
    taken: &BTreeMap<Bound, Taken>,
) -> Option<(&'static str, String)> {
    let most = facts.settings.classes.max_filter_chains(port.edge)?;
    if checked.protocol.transport() != Transport::Tls || (checked.protocol.ends_tls() && checked.secrets.is_empty()) {
        return None;
    }
    let full = |address: &IpAddr| taken.get(&(false, *address)).is_some_and(|t| t.place.len() + t.l4.len() >= most);
    addresses.iter().any(full).then(|| {
        let (number, edge) = (port.number, facts.settings.classes.name(port.edge));
        let message = format!(
            "port {number} has {most} older listeners with TLS, as many as the proxies of class `{edge}` take: use \
             another port or another class's Gateway, cover several names with one wildcard, or raise maxFilterChains of \
             the class"
        );
        (TOO_MANY, message)
    })
}

/// Name of the xDS Listener of an address.
fn socket_name(facts: &Facts, port: PortId, address: IpAddr, udp: bool) -> String {
    let edge = facts.settings.classes.name(port.edge);
    if udp { name::udp_listener(edge, address, port.number) } else { name::listener(edge, address, port.number) }
}

/// Binds a listener to an address; the name of its RouteConfiguration there, or what its chains' names begin with.
fn bind(
    facts: &Facts,
    port: PortId,
    address: IpAddr,
    owner: &Group,
    checked: &Checked,
    taken: &mut BTreeMap<Bound, Taken>,
) -> Option<String> {
    let fact = &checked.fact;
    let transport = checked.protocol.transport();
    let here = taken.entry((transport == Transport::Udp, address)).or_insert_with(|| Taken {
        transport,
        table: Table::new(),
        chains: Vec::new(),
        place: BTreeMap::new(),
        l4: BTreeMap::new(),
    });
    for host in &fact.hosts {
        here.table.insert(host.clone(), (fact.id.clone(), owner.clone()));
    }
    let edge = facts.settings.classes.name(port.edge);
    if transport == Transport::Http {
        let routes = name::http_routes(edge, address, port.number);
        if here.chains.is_empty() {
            here.chains.push(chain(facts, routes.clone(), Vec::new(), None));
        }
        return Some(routes);
    }
    if checked.protocol.ends_tls() && checked.secrets.is_empty() {
        return None;
    }
    let secrets = checked.secrets.iter().map(|(namespace, name)| name::secret(namespace, name)).collect();
    let listener = &fact.id.listener;
    if checked.protocol.is_l4() {
        let protocol = match transport {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls | Transport::Http => "tls",
        };
        let base = match (&fact.id.set, &fact.id.gateway) {
            (Some((namespace, set)), _) => {
                name::connections_of_set(edge, address, port.number, protocol, namespace, set, listener)
            }
            (None, (namespace, gateway)) => {
                name::connections(edge, address, port.number, protocol, namespace, gateway, listener)
            }
        };
        let ends = checked.protocol.ends_tls();
        let tls = ends.then(|| DownstreamTls { secrets, alpn: Vec::new(), clients: None });
        here.l4.insert(base.clone(), L4Listener { protocol: checked.protocol, hosts: fact.hosts.clone(), tls });
        return Some(base);
    }
    let routes = match (&fact.id.set, &fact.id.gateway) {
        (Some((namespace, set)), _) => name::https_routes_of_set(edge, address, port.number, namespace, set, listener),
        (None, (namespace, gateway)) => name::https_routes(edge, address, port.number, namespace, gateway, listener),
    };
    let mut names: Vec<_> = fact.hosts.iter().filter_map(Pattern::server_name).collect();
    if fact.hosts.contains(&Pattern::ANY) {
        names.clear();
    }
    let alpn = vec!["h2".into(), "http/1.1".into()];
    let tls = DownstreamTls { secrets, alpn, clients: checked.clients.clone() };
    here.place.insert(fact.id.clone(), here.chains.len());
    here.chains.push(chain(facts, routes.clone(), names, Some(tls)));
    Some(routes)
}

fn chain(
    facts: &Facts,
    routes: String,
    server_names: Vec<weir_config::model::ServerName>,
    tls: Option<DownstreamTls>,
) -> FilterChain {
    FilterChain {
        name: routes.clone(),
        server_names,
        tls,
        passthrough: false,
        network: Network::Http(HttpOptions {
            stat_prefix: routes.clone(),
            routes: RouteSource::Rds(routes),
            // Always all of them, so that no edit of a route changes a Listener. Limits stand first: what CORS answers
            // by itself counts too.
            filters: vec![
                HttpFilter::Discovered(name::RATE_LIMITS.into()),
                HttpFilter::Cors,
                HttpFilter::StatefulSession,
            ],
            idle_timeout: None,
            request_headers_timeout: None,
            stream_idle_timeout: None,
            max_request_headers_kb: None,
            use_remote_address: true,
            http2: None,
            access_log: facts.settings.access_log,
        }),
    }
}

fn finish(facts: &Facts, port: PortId, (udp, address): Bound, taken: Taken, plan: &mut PortPlan) {
    let Taken { transport, table, mut chains, place, l4 } = taken;
    if transport == Transport::Tls {
        plan.wildcards.extend(sni::give_back(facts, &table, &mut chains, &place));
    }
    if matches!(transport, Transport::Http | Transport::Tls) {
        plan.tables.insert(address, table);
    }
    if chains.is_empty() && l4.is_empty() {
        return;
    }
    chains.sort_by(|a, b| a.name.cmp(&b.name));
    for name in plan.routes.iter().filter(|(_, at)| **at == address && !udp).map(|(name, _)| name.clone()) {
        plan.resources.push(RouteConfiguration { name, virtual_hosts: Vec::new(), vhds: true }.into());
    }
    let (name, address) = (socket_name(facts, port, address, udp), SocketAddr::new(address, port.number));
    plan.sockets.push(Socket { name, address, chains, l4 });
}
