//! `Cluster`.

use xds_api::pb::envoy::config::cluster::v3::CircuitBreakers;
use xds_api::pb::envoy::config::cluster::v3::Cluster as ProtoCluster;
use xds_api::pb::envoy::config::cluster::v3::circuit_breakers::Thresholds;
use xds_api::pb::envoy::config::cluster::v3::circuit_breakers::thresholds::RetryBudget as ProtoRetryBudget;
use xds_api::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, CommonLbConfig, DiscoveryType, EdsClusterConfig, LbPolicy,
};
use xds_api::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use xds_api::pb::envoy::r#type::v3::Percent;

use super::read::{At, Problems, fields};
use super::style::Style;
use super::{endpoint, scalar, tls, upstream_protocol};
use crate::model::{Cluster, EndpointSource, RetryBudget};

pub(super) fn write(value: &Cluster, style: Style) -> ProtoCluster {
    let (kind, eds_cluster_config, load_assignment) = match &value.endpoints {
        EndpointSource::Eds(service_name) => (
            DiscoveryType::Eds,
            Some(EdsClusterConfig {
                eds_config: Some(style.source()),
                // Absent, it is the cluster's own name.
                service_name: if *service_name == value.name { String::new() } else { service_name.clone() },
            }),
            None,
        ),
        EndpointSource::Static(assignment) => (DiscoveryType::Static, None, Some(endpoint::write(assignment))),
    };
    ProtoCluster {
        name: value.name.clone(),
        connect_timeout: value.connect_timeout.map(scalar::duration),
        eds_cluster_config,
        load_assignment,
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(kind as i32)),
        transport_socket: value.tls.as_deref().map(|tls| tls::write_upstream(tls, style)),
        typed_extension_protocol_options: upstream_protocol::write(value.protocol, value.http2.as_deref()),
        circuit_breakers: value.retry_budget.map(write_budget),
        // Envoy would send to endpoints that are not ready once half of them are not.
        common_lb_config: Some(CommonLbConfig {
            healthy_panic_threshold: Some(Percent { value: 0.0 }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

pub(super) fn read(message: ProtoCluster, at: &At<'_>, problems: &mut Problems) -> Option<Cluster> {
    fields!(message => ProtoCluster, at, problems;
        read name cluster_discovery_type eds_cluster_config load_assignment connect_timeout lb_policy lb_config
            common_lb_config transport_socket typed_extension_protocol_options circuit_breakers;
        refuse transport_socket_matches health_checks max_requests_per_connection
            upstream_http_protocol_options common_http_protocol_options http_protocol_options http2_protocol_options
            outlier_detection upstream_bind_config lb_subset_config
            protocol_selection upstream_connection_options filters load_balancing_policy upstream_config
            connection_pool_per_downstream_connection;
        pass alt_stat_name per_connection_buffer_limit_bytes dns_refresh_rate dns_failure_refresh_rate respect_dns_ttl
            dns_lookup_family dns_resolvers use_tcp_for_dns_lookups dns_resolution_config typed_dns_resolver_config
            wait_for_warm_on_init cleanup_interval metadata close_connections_on_host_health_failure
            ignore_health_on_host_removal lrs_server track_timeout_budgets track_cluster_stats preconnect_policy;);
    if name.is_empty() {
        problems.missing(&at.field("name"));
    }
    let socket_at = at.field("transport_socket");
    let tls = scalar::read_transport_socket(transport_socket, &socket_at, problems)
        .and_then(|any| tls::read_upstream(&any, &socket_at.field("typed_config"), problems))
        .map(Box::new);
    read_balancing(lb_policy, lb_config.is_some(), common_lb_config, at, problems);
    let connect_timeout = scalar::read_duration(connect_timeout, &at.field("connect_timeout"), problems);
    if connect_timeout.is_some_and(|timeout| timeout.is_zero()) {
        problems.add(&at.field("connect_timeout"), "must be greater than zero");
    }
    let retry_budget = read_breakers(circuit_breakers, &at.field("circuit_breakers"), problems);
    let (protocol, http2) = upstream_protocol::read(typed_extension_protocol_options, at, problems);
    let endpoints = read_source(&name, cluster_discovery_type, eds_cluster_config, load_assignment, at, problems)?;
    Some(Cluster { connect_timeout, protocol, http2, tls, retry_budget, ..Cluster::new(name, endpoints) })
}

fn write_budget(RetryBudget { percent, least }: RetryBudget) -> CircuitBreakers {
    let retry_budget = Some(ProtoRetryBudget {
        budget_percent: Some(Percent { value: percent }),
        min_retry_concurrency: Some(scalar::uint32(least)),
    });
    // Of the default priority, which all routes have.
    CircuitBreakers { thresholds: vec![Thresholds { retry_budget, ..Default::default() }], ..Default::default() }
}

/// The budget of retries, which is the one threshold that is known.
fn read_breakers(message: Option<CircuitBreakers>, at: &At<'_>, problems: &mut Problems) -> Option<RetryBudget> {
    fields!(message? => CircuitBreakers, at, problems; read thresholds; refuse per_host_thresholds; pass;);
    let mut budget = None;
    for (index, threshold) in thresholds.into_iter().enumerate() {
        let at = at.item("thresholds", index);
        fields!(threshold => Thresholds, &at, problems;
            read retry_budget;
            refuse priority max_connections max_pending_requests max_requests max_retries max_connection_pools;
            pass track_remaining;);
        // Of several of one priority Envoy takes the first.
        budget = budget.or_else(|| retry_budget.map(|read| read_budget(read, &at.field("retry_budget"), problems)));
    }
    budget
}

fn read_budget(message: ProtoRetryBudget, at: &At<'_>, problems: &mut Problems) -> RetryBudget {
    fields!(message => ProtoRetryBudget, at, problems; read budget_percent min_retry_concurrency; refuse; pass;);
    let default = RetryBudget::default();
    let percent = budget_percent.map_or(default.percent, |percent| percent.value);
    if !(0.0..=100.0).contains(&percent) {
        problems.add(&at.field("budget_percent"), "must be from 0 to 100");
    }
    RetryBudget { percent, least: min_retry_concurrency.map_or(default.least, |wrapped| wrapped.value) }
}

fn read_balancing(policy: i32, configured: bool, common: Option<CommonLbConfig>, at: &At<'_>, problems: &mut Problems) {
    // Each of these spreads requests evenly; which one is tuning.
    let even = [LbPolicy::RoundRobin, LbPolicy::LeastRequest, LbPolicy::Random];
    if !even.iter().any(|known| *known as i32 == policy) {
        problems.advise(&at.field("lb_policy"), "is not supported", "leave it out, or write ROUND_ROBIN");
    } else if configured {
        problems.unsupported(&at.field("lb_config"));
    }
    if let Some(common) = common {
        let at = at.field("common_lb_config");
        fields!(common => CommonLbConfig, at, problems;
            read;
            refuse ignore_new_hosts_until_first_hc consistent_hashing_lb_config override_host_status
                locality_config_specifier;
            pass healthy_panic_threshold update_merge_window close_connections_on_host_set_change;);
    }
}

fn read_source(
    name: &str,
    kind: Option<ClusterDiscoveryType>,
    eds: Option<EdsClusterConfig>,
    inline: Option<ClusterLoadAssignment>,
    at: &At<'_>,
    problems: &mut Problems,
) -> Option<EndpointSource> {
    let kind = match kind {
        None => Some(DiscoveryType::Static),
        Some(ClusterDiscoveryType::Type(kind)) => DiscoveryType::try_from(kind).ok(),
        Some(ClusterDiscoveryType::ClusterType(_)) => {
            problems.unsupported(&at.field("cluster_type"));
            return None;
        }
    };
    match kind {
        Some(DiscoveryType::Static) => match inline {
            Some(inline) => endpoint::read(inline, &at.field("load_assignment"), problems).map(EndpointSource::Static),
            None => {
                problems.missing(&at.field("load_assignment"));
                None
            }
        },
        Some(DiscoveryType::Eds) => {
            let at = at.field("eds_cluster_config");
            let Some(EdsClusterConfig { eds_config, service_name }) = eds else {
                problems.missing(&at);
                return None;
            };
            scalar::read_ads(eds_config, &at.field("eds_config"), problems);
            let service_name = if service_name.is_empty() { name.to_owned() } else { service_name };
            Some(EndpointSource::Eds(service_name))
        }
        Some(other) => {
            problems.advise(
                &at.field("type"),
                format!("{} is not supported", other.as_str_name()),
                "use EDS or STATIC: names are not resolved",
            );
            None
        }
        None => {
            problems.add(&at.field("type"), "has an unknown value");
            None
        }
    }
}
