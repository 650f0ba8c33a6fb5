//! What a route does: `route` (to clusters) or `direct_response`.

use xds_api::pb::envoy::config::core::v3::data_source::Specifier;
use xds_api::pb::envoy::config::route::v3::route::Action;
use xds_api::pb::envoy::config::route::v3::route_action::{ClusterNotFoundResponseCode, ClusterSpecifier};
use xds_api::pb::envoy::config::route::v3::weighted_cluster::ClusterWeight;
use xds_api::pb::envoy::config::route::v3::{
    DirectResponseAction, RouteAction as ProtoAction, WeightedCluster as Weights,
};

use super::read::{At, Problems, fields};
use super::scalar;
use crate::model::{Forward, Redirect, RouteAction, Split, WeightedCluster};

pub(super) fn write(value: &RouteAction) -> Action {
    match value {
        RouteAction::Forward(Forward { split, timeout, missing, .. }) => Action::Route(ProtoAction {
            cluster_not_found_response_code: write_missing(*missing) as i32,
            timeout: timeout.map(scalar::duration),
            cluster_specifier: Some(match split {
                Split::One(cluster) => ClusterSpecifier::Cluster(cluster.clone()),
                Split::Weighted(clusters) => ClusterSpecifier::WeightedClusters(Weights {
                    clusters: clusters.iter().map(write_weight).collect(),
                    ..Default::default()
                }),
            }),
            ..Default::default()
        }),
        RouteAction::Redirect(Redirect { status, .. }) | RouteAction::Direct { status } => {
            Action::DirectResponse(DirectResponseAction { status: u32::from(*status), ..Default::default() })
        }
    }
}

/// A status that Envoy has no name for is its default.
fn write_missing(status: u16) -> ClusterNotFoundResponseCode {
    match status {
        404 => ClusterNotFoundResponseCode::NotFound,
        500 => ClusterNotFoundResponseCode::InternalServerError,
        _ => ClusterNotFoundResponseCode::ServiceUnavailable,
    }
}

fn write_weight(value: &WeightedCluster) -> ClusterWeight {
    ClusterWeight { name: value.cluster.clone(), weight: Some(scalar::uint32(value.weight)), ..Default::default() }
}

/// Reads the action; `at` is the route's.
pub(super) fn read(action: Option<Action>, at: &At<'_>, problems: &mut Problems) -> Option<RouteAction> {
    let unsupported = match action {
        Some(Action::Route(route)) => return read_forward(route, &at.field("route"), problems),
        Some(Action::DirectResponse(direct)) => return read_direct(direct, &at.field("direct_response"), problems),
        Some(Action::Redirect(_)) => "redirect",
        Some(Action::FilterAction(_)) => "filter_action",
        Some(Action::NonForwardingAction(_)) => "non_forwarding_action",
        None => {
            problems.advise(at, "has no action", "write `route` or `direct_response`");
            return None;
        }
    };
    problems.unsupported(&at.field(unsupported));
    None
}

fn read_forward(message: ProtoAction, at: &At<'_>, problems: &mut Problems) -> Option<RouteAction> {
    fields!(message => ProtoAction, at, problems;
        read cluster_specifier timeout cluster_not_found_response_code;
        refuse metadata_match prefix_rewrite regex_rewrite path_rewrite_policy
            append_x_forwarded_host idle_timeout retry_policy retry_policy_typed_config request_mirror_policies priority
            rate_limits hash_policy cors max_grpc_timeout grpc_timeout_offset upgrade_configs internal_redirect_policy
            internal_redirect_action max_internal_redirects hedge_policy max_stream_duration host_rewrite_specifier;
        pass include_vh_rate_limits early_data_policy;);
    let timeout = scalar::read_duration(timeout, &at.field("timeout"), problems);
    let missing = match ClusterNotFoundResponseCode::try_from(cluster_not_found_response_code) {
        Ok(ClusterNotFoundResponseCode::ServiceUnavailable) => 503,
        Ok(ClusterNotFoundResponseCode::NotFound) => 404,
        Ok(ClusterNotFoundResponseCode::InternalServerError) => 500,
        Err(_) => {
            problems.add(&at.field("cluster_not_found_response_code"), "is not a value of its enumeration");
            return None;
        }
    };
    let forward = |split| RouteAction::Forward(Forward { timeout, missing, ..Forward::to(split) });
    let unsupported = match cluster_specifier {
        Some(ClusterSpecifier::Cluster(cluster)) if cluster.is_empty() => {
            problems.add(&at.field("cluster"), "must not be empty");
            return None;
        }
        Some(ClusterSpecifier::Cluster(cluster)) => {
            return Some(forward(Split::One(cluster)));
        }
        Some(ClusterSpecifier::WeightedClusters(weights)) => {
            let split = read_weights(weights, &at.field("weighted_clusters"), problems)?;
            return Some(forward(split));
        }
        Some(ClusterSpecifier::ClusterHeader(_)) => "cluster_header",
        Some(ClusterSpecifier::ClusterSpecifierPlugin(_)) => "cluster_specifier_plugin",
        Some(ClusterSpecifier::InlineClusterSpecifierPlugin(_)) => "inline_cluster_specifier_plugin",
        None => {
            problems.advise(at, "names no cluster", "write `cluster` or `weighted_clusters`");
            return None;
        }
    };
    problems.unsupported(&at.field(unsupported));
    None
}

fn read_weights(message: Weights, at: &At<'_>, problems: &mut Problems) -> Option<Split> {
    fields!(message => Weights, at, problems;
        read clusters;
        refuse random_value_specifier;
        pass total_weight runtime_key_prefix;);
    let mut sum = 0u64;
    let mut split = Vec::with_capacity(clusters.len());
    for (index, cluster) in clusters.into_iter().enumerate() {
        let Some(cluster) = read_weight(cluster, &at.item("clusters", index), problems) else { continue };
        sum += u64::from(cluster.weight);
        split.push(cluster);
    }
    if sum == 0 || sum > u64::from(u32::MAX) {
        problems.add(&at.field("clusters"), format!("the sum of weights is {sum}; it must be from 1 to {}", u32::MAX));
        return None;
    }
    Some(Split::Weighted(split))
}

fn read_weight(message: ClusterWeight, at: &At<'_>, problems: &mut Problems) -> Option<WeightedCluster> {
    fields!(message => ClusterWeight, at, problems;
        read name weight;
        refuse cluster_header metadata_match request_headers_to_add request_headers_to_remove response_headers_to_add
            response_headers_to_remove typed_per_filter_config host_rewrite_specifier;
        pass;);
    if name.is_empty() {
        problems.missing(&at.field("name"));
    }
    let Some(weight) = weight else {
        problems.missing(&at.field("weight"));
        return None;
    };
    Some(WeightedCluster::new(name, weight.value))
}

fn read_direct(message: DirectResponseAction, at: &At<'_>, problems: &mut Problems) -> Option<RouteAction> {
    fields!(message => DirectResponseAction, at, problems; read status body; refuse; pass;);
    let empty = match body.and_then(|body| body.specifier) {
        None => true,
        Some(Specifier::InlineString(text)) => text.is_empty(),
        Some(Specifier::InlineBytes(bytes)) => bytes.is_empty(),
        Some(Specifier::Filename(_) | Specifier::EnvironmentVariable(_)) => false,
    };
    if !empty {
        problems.unsupported(&at.field("body"));
    }
    match u16::try_from(status) {
        Ok(status @ 200..600) => Some(RouteAction::Direct { status }),
        _ => {
            problems.add(&at.field("status"), format!("{status} is not a status from 200 to 599"));
            None
        }
    }
}
