//! `Listener` and its filter chains.

use envoy_types::pb::envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector;
use xds_api::pb::envoy::config::listener::v3::{
    Filter, FilterChain as ProtoChain, FilterChainMatch, Listener as ProtoListener, ListenerFilter, filter,
    listener_filter,
};

use super::read::{At, Problems, fields};
use super::style::Style;
use super::{http, scalar, tls};
use crate::model::{FilterChain, Listener, Network, ServerName};

pub(super) fn write(value: &Listener, style: Style) -> ProtoListener {
    // Envoy needs it to see the name that a client asks for.
    let inspector = value.chains.iter().any(|chain| chain.tls.is_some() || !chain.server_names.is_empty());
    ProtoListener {
        name: value.name.clone(),
        address: Some(scalar::socket_address(value.address)),
        filter_chains: value.chains.iter().map(|chain| write_chain(chain, style)).collect(),
        listener_filters: if inspector { vec![tls_inspector()] } else { Vec::new() },
        ..Default::default()
    }
}

fn tls_inspector() -> ListenerFilter {
    ListenerFilter {
        name: "envoy.filters.listener.tls_inspector".to_owned(),
        config_type: Some(listener_filter::ConfigType::TypedConfig(scalar::any14(
            &TlsInspector::default(),
            &scalar::NO_MAPS,
        ))),
        ..Default::default()
    }
}

fn write_chain(value: &FilterChain, style: Style) -> ProtoChain {
    let names = value.server_names.iter().map(|name| match name {
        ServerName::Exact(name) => name.clone(),
        ServerName::Suffix(suffix) => format!("*.{suffix}"),
    });
    ProtoChain {
        name: value.name.clone(),
        filter_chain_match: (!value.server_names.is_empty())
            .then(|| FilterChainMatch { server_names: names.collect(), ..Default::default() }),
        transport_socket: value.tls.as_ref().map(|tls| tls::write(tls, style)),
        filters: vec![Filter {
            name: "envoy.filters.network.http_connection_manager".to_owned(),
            config_type: value.http().map(|http| filter::ConfigType::TypedConfig(http::write(http, style))),
        }],
        ..Default::default()
    }
}

pub(super) fn read(message: ProtoListener, at: &At<'_>, problems: &mut Problems) -> Option<Listener> {
    fields!(message => ProtoListener, at, problems;
        read name address filter_chains default_filter_chain listener_filters use_original_dst transparent freebind
            bind_to_port;
        refuse additional_addresses filter_chain_matcher deprecated_v1 udp_listener_config api_listener socket_options
            listener_specifier;
        pass stat_prefix per_connection_buffer_limit_bytes metadata drain_type listener_filters_timeout
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
    read_listener_filters(listener_filters, at, problems);
    let address = scalar::read_socket_address(address, &at.field("address"), problems);
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
    Some(Listener { name, address: address?, chains, udp: None })
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
        fields!(filter => ListenerFilter, at, problems; read config_type; refuse filter_disabled; pass name;);
        match config_type {
            Some(listener_filter::ConfigType::TypedConfig(any)) if scalar::holds::<TlsInspector>(&any) => {}
            Some(listener_filter::ConfigType::TypedConfig(any)) => problems.advise(
                &at.field("typed_config"),
                format!("{:?} is not supported", any.type_url),
                "a listener filter is the TLS inspector",
            ),
            Some(listener_filter::ConfigType::ConfigDiscovery(_)) => {
                problems.unsupported(&at.field("config_discovery"));
            }
            None => problems.missing(&at.field("typed_config")),
        }
    }
}

fn read_chain(message: ProtoChain, unnamed: &str, at: &At<'_>, problems: &mut Problems) -> Option<FilterChain> {
    fields!(message => ProtoChain, at, problems;
        read filter_chain_match filters use_proxy_proto transport_socket name;
        refuse on_demand_configuration;
        pass metadata transport_socket_connect_timeout;);
    scalar::refuse_true(use_proxy_proto, &at.field("use_proxy_proto"), problems);
    let socket_at = at.field("transport_socket");
    let tls = scalar::read_transport_socket(transport_socket, &socket_at, problems)
        .and_then(|any| tls::read(&any, &socket_at.field("typed_config"), problems));
    let server_names = filter_chain_match
        .map(|matches| read_match(matches, tls.is_some(), &at.field("filter_chain_match"), problems))
        .unwrap_or_default();
    let name = if name.is_empty() { unnamed.to_owned() } else { name };
    let network = Network::Http(read_filters(filters, at, problems)?);
    Some(FilterChain { name, server_names, tls, passthrough: false, network })
}

fn read_match(message: FilterChainMatch, tls: bool, at: &At<'_>, problems: &mut Problems) -> Vec<ServerName> {
    fields!(message => FilterChainMatch, at, problems;
        read server_names transport_protocol;
        refuse destination_port prefix_ranges address_suffix suffix_len direct_source_prefix_ranges source_type
            source_prefix_ranges source_ports application_protocols;
        pass;);
    let agrees = match transport_protocol.as_str() {
        "" => true,
        "tls" => tls,
        "raw_buffer" => !tls,
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
    names
}

/// A chain ends in HTTP, and has nothing before it.
fn read_filters(filters: Vec<Filter>, at: &At<'_>, problems: &mut Problems) -> Option<crate::model::HttpOptions> {
    let count = filters.len();
    let Ok([filter]) = <[Filter; 1]>::try_from(filters) else {
        problems.add(&at.field("filters"), format!("has {count} filters; it must hold one HTTP connection manager"));
        return None;
    };
    let at = at.item("filters", 0);
    match filter.config_type {
        Some(filter::ConfigType::TypedConfig(any)) => http::read(&any, &at.field("typed_config"), problems),
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
