//! `TcpProxy`: connections to clusters.

use envoy_types::pb::envoy::config::accesslog::v3::AccessLog;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::tcp_proxy::weighted_cluster::ClusterWeight;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::tcp_proxy::{
    ClusterSpecifier, WeightedCluster as Weights,
};
use xds_api::pb::google::protobuf::Any;

use super::read::{At, Problems, fields};
use super::{access_log, scalar};
use crate::model::{Owner, Proxied, Split, WeightedCluster};

/// Envoy's name of the filter.
pub(super) const NAME: &str = "envoy.filters.network.tcp_proxy";

/// What of a split can be chosen at all: Envoy takes no weight of zero at layer 4. One cluster is one.
pub(super) fn chosen(split: &Split) -> Split {
    let Split::Weighted(list) = split else { return split.clone() };
    let with_weight: Vec<_> = list.iter().filter(|cluster| cluster.weight > 0).collect();
    match with_weight.as_slice() {
        [one] => Split::One(one.cluster.clone()),
        several => Split::Weighted(several.iter().copied().cloned().collect()),
    }
}

pub(super) fn write(value: &Proxied) -> Any {
    let message = TcpProxy {
        stat_prefix: value.stat_prefix.clone(),
        idle_timeout: value.idle_timeout.map(|timeout| scalar::to14(&scalar::duration(timeout))),
        access_log: logs(value, "TCP"),
        cluster_specifier: Some(match chosen(&value.split) {
            Split::One(cluster) => ClusterSpecifier::Cluster(cluster),
            Split::Weighted(list) => ClusterSpecifier::WeightedClusters(Weights {
                clusters: list
                    .into_iter()
                    .map(|WeightedCluster { cluster, weight, .. }| ClusterWeight {
                        name: cluster,
                        weight,
                        ..Default::default()
                    })
                    .collect(),
            }),
        }),
        ..Default::default()
    };
    scalar::any14(&message, &scalar::NO_MAPS)
}

/// The log of connections, where it is wanted.
pub(super) fn logs(value: &Proxied, protocol: &str) -> Vec<AccessLog> {
    let log = || scalar::to14(&access_log::write_connections(value.owner.as_ref(), protocol));
    value.access_log.then(log).into_iter().collect()
}

/// The log of connections as it was sent; see [`access_log::read`].
pub(super) fn read_logs(logs: Vec<AccessLog>, at: &At<'_>, problems: &mut Problems) -> bool {
    let place = at.field("access_log");
    let logs = logs.iter().filter_map(|log| scalar::transcode(log, &place, problems)).collect();
    access_log::read(logs, at, problems)
}

/// Whether an `Any` holds this filter.
pub(super) fn is(any: &Any) -> bool {
    scalar::holds::<TcpProxy>(any)
}

/// Reads the filter in an `Any`; `at` is the `Any`'s.
pub(super) fn read(any: &Any, owner: Option<Owner>, at: &At<'_>, problems: &mut Problems) -> Option<Proxied> {
    let message: TcpProxy = scalar::unpack14(any, at, problems)?;
    fields!(message => TcpProxy, at, problems;
        read stat_prefix idle_timeout access_log cluster_specifier;
        refuse on_demand metadata_match downstream_idle_timeout upstream_idle_timeout backoff_options hash_policy
            tunneling_config max_downstream_connection_duration max_downstream_connection_duration_jitter_percentage
            proxy_protocol_tlvs proxy_protocol_tlv_merge_policy upstream_connect_mode max_early_data_bytes;
        pass max_connect_attempts access_log_flush_interval flush_access_log_on_connected access_log_options
            check_drain_close;);
    let idle_timeout = idle_timeout.and_then(|timeout| {
        let at = at.field("idle_timeout");
        let timeout = scalar::transcode(&timeout, &at, problems);
        scalar::read_duration(timeout, &at, problems)
    });
    let access_log = read_logs(access_log, at, problems);
    let split = match cluster_specifier {
        Some(ClusterSpecifier::Cluster(name)) => {
            if name.is_empty() {
                problems.missing(&at.field("cluster"));
            }
            Split::One(name)
        }
        Some(ClusterSpecifier::WeightedClusters(weights)) => {
            read_weights(weights, &at.field("weighted_clusters"), problems)?
        }
        None => {
            problems.advise(at, "names no cluster", "write `cluster` or `weighted_clusters`");
            return None;
        }
    };
    Some(Proxied { stat_prefix, split, owner, idle_timeout, access_log })
}

fn read_weights(Weights { clusters }: Weights, at: &At<'_>, problems: &mut Problems) -> Option<Split> {
    let mut list = Vec::with_capacity(clusters.len());
    for (index, cluster) in clusters.into_iter().enumerate() {
        let at = at.item("clusters", index);
        fields!(cluster => ClusterWeight, at, problems; read name weight; refuse metadata_match; pass;);
        if name.is_empty() {
            problems.missing(&at.field("name"));
        }
        if weight == 0 {
            problems.add(&at.field("weight"), "must be at least 1");
        }
        list.push(WeightedCluster::new(name, weight));
    }
    let sum: u64 = list.iter().map(|cluster| u64::from(cluster.weight)).sum();
    if sum == 0 || sum > u64::from(u32::MAX) {
        problems.add(&at.field("clusters"), format!("the sum of weights is {sum}; it must be from 1 to {}", u32::MAX));
        return None;
    }
    Some(Split::Weighted(list))
}
