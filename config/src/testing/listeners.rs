//! Arbitrary listeners.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::routes::owner;
use super::{duration, host, http2, local_rate_limit, name, roots, route_configuration};
use crate::model::{
    ClientCertificates, DownstreamTls, FilterChain, HttpFilter, HttpOptions, Listener, Network, Proxied, RouteSource,
    ServerName, Split, WeightedCluster,
};

/// A listener: of TCP, whose chains are told apart by name and by SNI, or of UDP.
pub fn listener() -> impl Strategy<Value = Listener> {
    prop_oneof![3 => streams(), 1 => datagrams()]
}

fn datagrams() -> impl Strategy<Value = Listener> {
    (name(), address(), proxied()).prop_map(|(name, address, proxied)| Listener {
        name,
        address,
        chains: Vec::new(),
        udp: Some(Box::new(proxied)),
    })
}

fn address() -> impl Strategy<Value = SocketAddr> {
    any::<SocketAddr>().prop_map(|address| SocketAddr::new(address.ip(), address.port()))
}

fn streams() -> impl Strategy<Value = Listener> {
    (name(), address(), vec(chain(), 1..4)).prop_map(|(name, address, mut chains)| {
        let mut taken = BTreeSet::new();
        for (index, chain) in chains.iter_mut().enumerate() {
            chain.name = format!("{index}/{}", chain.name);
            chain.server_names.retain(|server| taken.insert(server.clone()));
        }
        let mut open = false;
        chains.retain(|chain| !chain.server_names.is_empty() || !std::mem::replace(&mut open, true));
        Listener { name, address, chains, udp: None }
    })
}

/// A chain in one of the forms that there are: plain text, TLS that ends here, TLS that goes through.
fn chain() -> impl Strategy<Value = FilterChain> {
    let server = || prop_oneof![host().prop_map(ServerName::Exact), host().prop_map(ServerName::Suffix)];
    let network = || prop_oneof![http().prop_map(Network::Http), proxied().prop_map(Network::Tcp)];
    let plain = network().prop_map(|network| (Vec::new(), None, false, network));
    let ended =
        (vec(server(), 0..4), tls(), network()).prop_map(|(names, tls, network)| (names, Some(tls), false, network));
    let through =
        (vec(server(), 0..4), proxied()).prop_map(|(names, proxied)| (names, None, true, Network::Tcp(proxied)));
    (name(), prop_oneof![1 => plain, 3 => ended, 2 => through]).prop_map(
        |(name, (server_names, tls, passthrough, network))| FilterChain {
            name,
            server_names,
            tls,
            passthrough,
            network,
        },
    )
}

fn tls() -> impl Strategy<Value = DownstreamTls> {
    let clients = (roots(), any::<bool>(), any::<bool>())
        .prop_map(|(roots, required, untrusted)| Box::new(ClientCertificates { roots, required, untrusted }));
    let alpn = prop_oneof![Just("h2".to_owned()), Just("http/1.1".to_owned())];
    (vec(name(), 1..3), vec(alpn, 0..3), option::of(clients)).prop_map(|(secrets, alpn, clients)| DownstreamTls {
        secrets,
        alpn,
        clients,
    })
}

/// Where connections or sessions go.
pub fn proxied() -> impl Strategy<Value = Proxied> {
    // Weights of zero are not written.
    let weighted = (name(), 1u32..1_000_000).prop_map(|(cluster, weight)| WeightedCluster::new(cluster, weight));
    let split = prop_oneof![name().prop_map(Split::One), vec(weighted, 2..4).prop_map(Split::Weighted)];
    let timeout = option::of(prop_oneof![duration(), Just(Duration::ZERO)]);
    (name(), split, option::of(owner()), timeout, any::<bool>()).prop_map(
        |(stat_prefix, split, owner, idle_timeout, access_log)| Proxied {
            stat_prefix,
            split,
            owner,
            idle_timeout,
            access_log,
        },
    )
}

fn http() -> BoxedStrategy<HttpOptions> {
    let routes = prop_oneof![
        name().prop_map(RouteSource::Rds),
        route_configuration().prop_map(|routes| RouteSource::Inline(Box::new(routes))),
    ];
    let timeout = || option::of(prop_oneof![duration(), Just(Duration::ZERO)]);
    (
        (name(), routes, vec(filter(), 0..3)),
        (timeout(), timeout(), timeout()),
        (option::of(1u32..=8192), any::<bool>(), any::<bool>(), option::of(http2())),
    )
        .prop_map(|((stat_prefix, routes, filters), timeouts, (max_request_headers_kb, remote, access_log, http2))| {
            HttpOptions {
                stat_prefix,
                routes,
                filters,
                idle_timeout: timeouts.0,
                request_headers_timeout: timeouts.1,
                stream_idle_timeout: timeouts.2,
                max_request_headers_kb,
                use_remote_address: remote,
                http2,
                access_log,
            }
        })
        .boxed()
}

fn filter() -> impl Strategy<Value = HttpFilter> {
    prop_oneof![
        name().prop_map(HttpFilter::Discovered),
        (name(), local_rate_limit()).prop_map(|(name, config)| HttpFilter::LocalRateLimit { name, config }),
    ]
}
