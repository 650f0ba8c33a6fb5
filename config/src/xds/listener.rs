//! `Listener` and its filter chains.

use envoy_types::pb::envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector;
use xds_api::pb::envoy::config::listener::v3::{
    Filter, FilterChain as ProtoChain, FilterChainMatch, Listener as ProtoListener, ListenerFilter, UdpListenerConfig,
    filter, listener_filter,
};
use xds_api::pb::google::protobuf::Any;

use super::read::{At, Problems, fields};
use super::style::Style;
use super::{http, metadata, scalar, tcp_proxy, tls, udp_proxy};
use crate::model::{FilterChain, Listener, Network, Owner, Proxied, ServerName};

/// `filter_chain_match.transport_protocol` of TLS.
const TLS: &str = "tls";

pub(super) fn write(value: &Listener, style: Style) -> ProtoListener {
    if let Some(proxied) = &value.udp {
        return ProtoListener {
            name: value.name.clone(),
            address: Some(scalar::datagram_address(value.address)),
            udp_listener_config: Some(UdpListenerConfig::default()),
            metadata: metadata::write(proxied.owner.as_ref()),
            listener_filters: vec![listener_filter(udp_proxy::NAME, udp_proxy::write(proxied))],
            ..Default::default()
        };
    }
    // Envoy needs it to see the name that a client asks for, and whether it speaks TLS at all.
    let inspector =
        value.chains.iter().any(|chain| chain.tls.is_some() || chain.passthrough || !chain.server_names.is_empty());
    ProtoListener {
        name: value.name.clone(),
        address: Some(scalar::socket_address(value.address)),
        filter_chains: value.chains.iter().map(|chain| write_chain(chain, style)).collect(),
        listener_filters: if inspector { vec![tls_inspector()] } else { Vec::new() },
        ..Default::default()
    }
}

fn tls_inspector() -> ListenerFilter {
    let config = scalar::any14(&TlsInspector::default(), &scalar::NO_MAPS);
    listener_filter("envoy.filters.listener.tls_inspector", config)
}

fn listener_filter(name: &str, config: Any) -> ListenerFilter {
    ListenerFilter {
        name: name.to_owned(),
        config_type: Some(listener_filter::ConfigType::TypedConfig(config)),
        ..Default::default()
    }
}

fn write_chain(value: &FilterChain, style: Style) -> ProtoChain {
    let names = value.server_names.iter().map(|name| match name {
        ServerName::Exact(name) => name.clone(),
        ServerName::Suffix(suffix) => format!("*.{suffix}"),
    });
    let matches = FilterChainMatch {
        server_names: names.collect(),
        transport_protocol: if value.passthrough { TLS.to_owned() } else { String::new() },
        ..Default::default()
    };
    let (name, config, owner) = match &value.network {
        Network::Http(http) => ("envoy.filters.network.http_connection_manager", http::write(http, style), None),
        Network::Tcp(proxied) => (tcp_proxy::NAME, tcp_proxy::write(proxied), proxied.owner.as_ref()),
    };
    ProtoChain {
        name: value.name.clone(),
        filter_chain_match: (matches != FilterChainMatch::default()).then_some(matches),
        metadata: metadata::write(owner),
        transport_socket: value.tls.as_ref().map(|tls| tls::write(tls, style)),
        filters: vec![Filter { name: name.to_owned(), config_type: Some(filter::ConfigType::TypedConfig(config)) }],
        ..Default::default()
    }
}

pub(super) fn read(message: ProtoListener, at: &At<'_>, problems: &mut Problems) -> Option<Listener> {
    fields!(message => ProtoListener, at, problems;
        read name address filter_chains default_filter_chain listener_filters use_original_dst transparent freebind
            bind_to_port udp_listener_config metadata;
        refuse additional_addresses filter_chain_matcher deprecated_v1 api_listener socket_options listener_specifier;
        pass stat_prefix per_connection_buffer_limit_bytes drain_type listener_filters_timeout
            continue_on_listener_filters_timeout tcp_fast_open_queue_length traffic_direction connection_balance_config
            reuse_port enable_reuse_port access_log tcp_backlog_size max_connections_to_accept_per_socket_event
            enable_mptcp ignore_global_conn_limit bypass_overload_manager;);
    for (field, wrapped) in
        [("use_original_dst", use_original_dst), ("transparent", transparent), ("freebind", freebind)]
    {
        scalar::refuse_true(wrapped, &at.field(field), problems);
    }
    if bind_to_port.is_some_and(|wrapped| !wrapped.value) {
        problems.unsupported(&at.field("bind_to_port"));
    }
    let (address, datagrams) = scalar::read_any_address(address, &at.field("address"), problems)?;
    if datagrams {
        let chains = !filter_chains.is_empty() || default_filter_chain.is_some();
        let owner = metadata::read(metadata, &at.field("metadata"), problems);
        let udp = Some(Box::new(read_datagrams(udp_listener_config, listener_filters, chains, owner, at, problems)?));
        return Some(Listener { name, address, chains: Vec::new(), udp });
    }
    if udp_listener_config.is_some() {
        problems.add(&at.field("udp_listener_config"), "must not be set: the address is one of TCP");
    }
    read_listener_filters(listener_filters, at, problems);
    let mut chains = Vec::with_capacity(filter_chains.len() + 1);
    for (index, chain) in filter_chains.into_iter().enumerate() {
        let at = at.item("filter_chains", index);
        let unnamed = format!("filter_chains[{index}]");
        chains.extend(read_chain(chain, &unnamed, &at, problems));
    }
    if let Some(chain) = default_filter_chain {
        let at = at.field("default_filter_chain");
        if chain.filter_chain_match.is_some() {
            problems.add(&at.field("filter_chain_match"), "must not be set");
        }
        chains.extend(read_chain(chain, "default_filter_chain", &at, problems));
    }
    check_chains(&chains, at, problems);
    Some(Listener { name, address, chains, udp: None })
}

/// What a UDP listener does: it has the one listener filter `udp_proxy`, and no chains.
fn read_datagrams(
    config: Option<UdpListenerConfig>,
    filters: Vec<ListenerFilter>,
    chains: bool,
    owner: Option<Owner>,
    at: &At<'_>,
    problems: &mut Problems,
) -> Option<Proxied> {
    if let Some(config) = config {
        let at = at.field("udp_listener_config");
        fields!(config => UdpListenerConfig, at, problems;
            read;
            refuse quic_options udp_packet_packet_writer_config;
            pass downstream_socket_config;);
    }
    if chains {
        problems.add(&at.field("filter_chains"), "must be empty at a UDP listener");
    }
    let count = filters.len();
    let Ok([filter]) = <[ListenerFilter; 1]>::try_from(filters) else {
        problems.add(&at.field("listener_filters"), format!("has {count} filters; it must hold one UDP proxy"));
        return None;
    };
    let at = at.item("listener_filters", 0);
    let config = read_listener_filter(filter, &at, problems)?;
    let at = at.field("typed_config");
    if !udp_proxy::is(&config) {
        let problem = format!("{:?} is not supported", config.type_url);
        problems.advise(&at, problem, "the filter of a UDP listener is the UDP proxy");
        return None;
    }
    udp_proxy::read(&config, owner, &at, problems)
}

/// Which chain takes a connection must be clear.
fn check_chains(chains: &[FilterChain], at: &At<'_>, problems: &mut Problems) {
    let at = at.field("filter_chains");
    if chains.is_empty() {
        problems.add(&at, "has no chain that can be used");
    }
    if chains.iter().filter(|chain| chain.server_names.is_empty()).count() > 1 {
        problems.add(&at, "has more than one chain without `server_names`");
    }
    let mut names = std::collections::HashSet::new();
    let mut servers = std::collections::HashSet::new();
    for chain in chains {
        if !names.insert(&chain.name) {
            problems.add(&at, format!("has two chains of the name {:?}", chain.name));
        }
        for server in &chain.server_names {
            if !servers.insert(server) {
                problems.add(&at, format!("names the server {server:?} twice"));
            }
        }
    }
}

fn read_listener_filters(filters: Vec<ListenerFilter>, at: &At<'_>, problems: &mut Problems) {
    for (index, filter) in filters.into_iter().enumerate() {
        let at = at.item("listener_filters", index);
        let Some(any) = read_listener_filter(filter, &at, problems) else { continue };
        if !scalar::holds::<TlsInspector>(&any) {
            problems.advise(
                &at.field("typed_config"),
                format!("{:?} is not supported", any.type_url),
                "a listener filter is the TLS inspector",
            );
        }
    }
}

fn read_listener_filter(filter: ListenerFilter, at: &At<'_>, problems: &mut Problems) -> Option<Any> {
    fields!(filter => ListenerFilter, at, problems; read config_type; refuse filter_disabled; pass name;);
    match config_type {
        Some(listener_filter::ConfigType::TypedConfig(any)) => return Some(any),
        Some(listener_filter::ConfigType::ConfigDiscovery(_)) => problems.unsupported(&at.field("config_discovery")),
        None => problems.missing(&at.field("typed_config")),
    }
    None
}

fn read_chain(message: ProtoChain, unnamed: &str, at: &At<'_>, problems: &mut Problems) -> Option<FilterChain> {
    fields!(message => ProtoChain, at, problems;
        read filter_chain_match filters use_proxy_proto transport_socket name metadata;
        refuse on_demand_configuration;
        pass transport_socket_connect_timeout;);
    scalar::refuse_true(use_proxy_proto, &at.field("use_proxy_proto"), problems);
    let socket_at = at.field("transport_socket");
    let tls = scalar::read_transport_socket(transport_socket, &socket_at, problems)
        .and_then(|any| tls::read(&any, &socket_at.field("typed_config"), problems));
    let (server_names, passthrough) = filter_chain_match
        .map(|matches| read_match(matches, tls.is_some(), &at.field("filter_chain_match"), problems))
        .unwrap_or_default();
    let name = if name.is_empty() { unnamed.to_owned() } else { name };
    let owner = metadata::read(metadata, &at.field("metadata"), problems);
    let network = read_filters(filters, owner, at, problems)?;
    if passthrough && matches!(network, Network::Http(_)) {
        problems.advise(
            &at.field("transport_socket"),
            "is required",
            "HTTP is read from TLS that ends here; TLS that goes through has a TCP proxy",
        );
    }
    Some(FilterChain { name, server_names, tls, passthrough, network })
}

/// Server names, and whether TLS goes through: a name is seen in TLS alone.
fn read_match(message: FilterChainMatch, tls: bool, at: &At<'_>, problems: &mut Problems) -> (Vec<ServerName>, bool) {
    fields!(message => FilterChainMatch, at, problems;
        read server_names transport_protocol;
        refuse destination_port prefix_ranges address_suffix suffix_len direct_source_prefix_ranges source_type
            source_prefix_ranges source_ports application_protocols;
        pass;);
    let passthrough = !tls && (transport_protocol == TLS || !server_names.is_empty());
    let agrees = match transport_protocol.as_str() {
        "" | TLS => true,
        "raw_buffer" => !tls && server_names.is_empty(),
        _ => false,
    };
    if !agrees {
        problems.add(&at.field("transport_protocol"), format!("{transport_protocol:?} is not what the chain speaks"));
    }
    let mut names = Vec::with_capacity(server_names.len());
    for (index, name) in server_names.into_iter().enumerate() {
        let name = name.to_ascii_lowercase();
        let (text, wildcard) = name.strip_prefix("*.").map_or((name.as_str(), false), |suffix| (suffix, true));
        if text.is_empty() || text.contains(['*', ':', '/']) || text.bytes().any(|byte| byte.is_ascii_whitespace()) {
            problems.add(&at.item("server_names", index), format!("{name:?} is not a server's name"));
            continue;
        }
        names.push(if wildcard { ServerName::Suffix(text.to_owned()) } else { ServerName::Exact(name) });
    }
    (names, passthrough)
}

/// A chain ends in HTTP or in bytes, and has nothing before it.
fn read_filters(filters: Vec<Filter>, owner: Option<Owner>, at: &At<'_>, problems: &mut Problems) -> Option<Network> {
    let count = filters.len();
    let Ok([filter]) = <[Filter; 1]>::try_from(filters) else {
        let problem = format!("has {count} filters; it must hold one HTTP connection manager or one TCP proxy");
        problems.add(&at.field("filters"), problem);
        return None;
    };
    let at = at.item("filters", 0);
    match filter.config_type {
        Some(filter::ConfigType::TypedConfig(any)) if tcp_proxy::is(&any) => {
            tcp_proxy::read(&any, owner, &at.field("typed_config"), problems).map(Network::Tcp)
        }
        Some(filter::ConfigType::TypedConfig(any)) => {
            http::read(&any, &at.field("typed_config"), problems).map(Network::Http)
        }
        Some(filter::ConfigType::ConfigDiscovery(_)) => {
            problems.unsupported(&at.field("config_discovery"));
            None
        }
        None => {
            problems.missing(&at.field("typed_config"));
            None
        }
    }
}
