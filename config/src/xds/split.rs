//! `WeightedCluster`: shares of requests, and what is changed for each.

use xds_api::pb::envoy::config::route::v3::WeightedCluster as Weights;
use xds_api::pb::envoy::config::route::v3::weighted_cluster::ClusterWeight;
use xds_api::pb::envoy::config::route::v3::weighted_cluster::cluster_weight::HostRewriteSpecifier;

use super::read::{At, Problems, fields, fitting};
use super::{headers, redirect, scalar};
use crate::model::{ClusterChanges, Split, WeightedCluster};

pub(super) fn write(clusters: &[WeightedCluster]) -> Weights {
    Weights { clusters: clusters.iter().map(write_weight).collect(), ..Default::default() }
}

fn write_weight(value: &WeightedCluster) -> ClusterWeight {
    let mut message =
        ClusterWeight { name: value.cluster.clone(), weight: Some(scalar::uint32(value.weight)), ..Default::default() };
    if let Some(changes) = &value.changes {
        (message.request_headers_to_add, message.request_headers_to_remove) = headers::write(&changes.request_headers);
        (message.response_headers_to_add, message.response_headers_to_remove) =
            headers::write(&changes.response_headers);
        message.host_rewrite_specifier = changes.host_rewrite.clone().map(HostRewriteSpecifier::HostRewriteLiteral);
    }
    message
}

/// Reads the shares; `at` is their own.
pub(super) fn read(message: Weights, at: &At<'_>, problems: &mut Problems) -> Option<Split> {
    fields!(message => Weights, at, problems;
        read clusters;
        refuse random_value_specifier;
        pass total_weight runtime_key_prefix;);
    let mut sum = 0u64;
    let clusters = clusters.into_iter().enumerate();
    let split = fitting(clusters.filter_map(|(index, cluster)| {
        let cluster = read_weight(cluster, &at.item("clusters", index), problems)?;
        sum += u64::from(cluster.weight);
        Some(cluster)
    }));
    if sum == 0 || sum > u64::from(u32::MAX) {
        problems.add(&at.field("clusters"), format!("the sum of weights is {sum}; it must be from 1 to {}", u32::MAX));
        return None;
    }
    Some(Split::Weighted(split))
}

fn read_weight(message: ClusterWeight, at: &At<'_>, problems: &mut Problems) -> Option<WeightedCluster> {
    fields!(message => ClusterWeight, at, problems;
        read name weight request_headers_to_add request_headers_to_remove response_headers_to_add
            response_headers_to_remove host_rewrite_specifier;
        refuse cluster_header metadata_match typed_per_filter_config;
        pass;);
    if name.is_empty() {
        problems.missing(&at.field("name"));
    }
    let request = (request_headers_to_add, request_headers_to_remove);
    let response = (response_headers_to_add, response_headers_to_remove);
    let host_rewrite = host_rewrite_specifier.and_then(|HostRewriteSpecifier::HostRewriteLiteral(host)| {
        read_host(host, &at.field("host_rewrite_literal"), problems)
    });
    let changes = ClusterChanges {
        request_headers: headers::read(request, headers::REQUEST, at, problems),
        response_headers: headers::read(response, headers::RESPONSE, at, problems),
        host_rewrite,
    };
    let Some(weight) = weight else {
        problems.missing(&at.field("weight"));
        return None;
    };
    let changes = (changes != ClusterChanges::default()).then(|| Box::new(changes));
    Some(WeightedCluster { cluster: name, weight: weight.value, changes })
}

/// A Host in place of the request's; it may have a port.
pub(super) fn read_host(host: String, at: &At<'_>, problems: &mut Problems) -> Option<String> {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => &host,
    };
    if redirect::is_host(name) || redirect::is_host(&host) {
        return Some(host);
    }
    problems.add(at, format!("{host:?} is not a host's name"));
    None
}
