//! Arbitrary listeners.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::{duration, host, local_rate_limit, name, route_configuration};
use crate::model::{DownstreamTls, FilterChain, HttpFilter, HttpOptions, Listener, Network, RouteSource, ServerName};

/// A listener whose chains are told apart by name and by SNI.
pub fn listener() -> impl Strategy<Value = Listener> {
    (name(), any::<SocketAddr>(), vec(chain(), 1..4)).prop_map(|(name, address, mut chains)| {
        let mut taken = BTreeSet::new();
        for (index, chain) in chains.iter_mut().enumerate() {
            chain.name = format!("{index}/{}", chain.name);
            chain.server_names.retain(|server| taken.insert(server.clone()));
        }
        let mut open = false;
        chains.retain(|chain| !chain.server_names.is_empty() || !std::mem::replace(&mut open, true));
        Listener { name, address: SocketAddr::new(address.ip(), address.port()), chains, udp: None }
    })
}

fn chain() -> impl Strategy<Value = FilterChain> {
    let server = prop_oneof![host().prop_map(ServerName::Exact), host().prop_map(ServerName::Suffix)];
    (name(), vec(server, 0..4), option::of(tls()), http()).prop_map(|(name, server_names, tls, http)| FilterChain {
        name,
        server_names,
        tls,
        passthrough: false,
        network: Network::Http(http),
    })
}

fn tls() -> impl Strategy<Value = DownstreamTls> {
    (vec(name(), 1..3), vec(prop_oneof![Just("h2".to_owned()), Just("http/1.1".to_owned())], 0..3))
        .prop_map(|(secrets, alpn)| DownstreamTls { secrets, alpn, clients: None })
}

fn http() -> impl Strategy<Value = HttpOptions> {
    let routes = prop_oneof![
        name().prop_map(RouteSource::Rds),
        route_configuration().prop_map(|routes| RouteSource::Inline(Box::new(routes))),
    ];
    let timeout = || option::of(prop_oneof![duration(), Just(Duration::ZERO)]);
    (
        (name(), routes, vec(filter(), 0..3)),
        (timeout(), timeout(), timeout()),
        (option::of(1u32..=8192), any::<bool>(), any::<bool>()),
    )
        .prop_map(|((stat_prefix, routes, filters), timeouts, (max_request_headers_kb, remote, access_log))| {
            HttpOptions {
                stat_prefix,
                routes,
                filters,
                idle_timeout: timeouts.0,
                request_headers_timeout: timeouts.1,
                stream_idle_timeout: timeouts.2,
                max_request_headers_kb,
                use_remote_address: remote,
                access_log,
            }
        })
}

fn filter() -> impl Strategy<Value = HttpFilter> {
    prop_oneof![
        name().prop_map(HttpFilter::Discovered),
        (name(), local_rate_limit()).prop_map(|(name, config)| HttpFilter::LocalRateLimit { name, config }),
    ]
}
