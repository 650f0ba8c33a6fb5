//! What a route does: `route` (to clusters), `redirect` or `direct_response`.

use xds_api::pb::envoy::config::core::v3::data_source::Specifier;
use xds_api::pb::envoy::config::route::v3::route::Action;
use xds_api::pb::envoy::config::route::v3::route_action::{
    ClusterNotFoundResponseCode, ClusterSpecifier, HostRewriteSpecifier,
};
use xds_api::pb::envoy::config::route::v3::{DirectResponseAction, RouteAction as ProtoAction};

use super::read::{At, Problems, fields, fitting};
use super::{mirror, redirect, retry, rewrite, scalar, split};
use crate::model::{Forward, PathRewrite, RouteAction, Split};

pub(super) fn write(value: &RouteAction) -> Action {
    match value {
        RouteAction::Forward(forward) => Action::Route(write_forward(forward)),
        RouteAction::Redirect(value) => Action::Redirect(redirect::write(value)),
        RouteAction::Direct { status } => {
            Action::DirectResponse(DirectResponseAction { status: u32::from(*status), ..Default::default() })
        }
    }
}

fn write_forward(value: &Forward) -> ProtoAction {
    let mut message = ProtoAction {
        cluster_not_found_response_code: write_missing(value.missing) as i32,
        timeout: value.timeout.map(scalar::duration),
        host_rewrite_specifier: value.host_rewrite.clone().map(HostRewriteSpecifier::HostRewriteLiteral),
        retry_policy: value.retry.as_deref().map(retry::write),
        request_mirror_policies: value.mirrors.iter().map(mirror::write).collect(),
        cluster_specifier: Some(match &value.split {
            Split::One(cluster) => ClusterSpecifier::Cluster(cluster.clone()),
            Split::Weighted(clusters) => ClusterSpecifier::WeightedClusters(split::write(clusters)),
        }),
        ..Default::default()
    };
    match &value.path_rewrite {
        None => {}
        Some(PathRewrite::Full(path)) => message.regex_rewrite = Some(rewrite::write_whole(path)),
        Some(PathRewrite::Prefix(prefix)) => message.prefix_rewrite = prefix.clone(),
        Some(PathRewrite::Regex { pattern, substitution }) => {
            message.regex_rewrite = Some(rewrite::write_regex(pattern, substitution));
        }
    }
    message
}

/// A status that Envoy has no name for is its default.
fn write_missing(status: u16) -> ClusterNotFoundResponseCode {
    match status {
        404 => ClusterNotFoundResponseCode::NotFound,
        500 => ClusterNotFoundResponseCode::InternalServerError,
        _ => ClusterNotFoundResponseCode::ServiceUnavailable,
    }
}

/// Reads the action; `at` is the route's.
pub(super) fn read(action: Option<Action>, at: &At<'_>, problems: &mut Problems) -> Option<RouteAction> {
    let unsupported = match action {
        Some(Action::Route(route)) => {
            return read_forward(route, &at.field("route"), problems).map(RouteAction::Forward);
        }
        Some(Action::DirectResponse(direct)) => return read_direct(direct, &at.field("direct_response"), problems),
        Some(Action::Redirect(message)) => {
            return redirect::read(message, &at.field("redirect"), problems).map(RouteAction::Redirect);
        }
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

fn read_forward(message: ProtoAction, at: &At<'_>, problems: &mut Problems) -> Option<Forward> {
    fields!(message => ProtoAction, at, problems;
        read cluster_specifier timeout cluster_not_found_response_code prefix_rewrite regex_rewrite retry_policy
            request_mirror_policies host_rewrite_specifier;
        refuse metadata_match path_rewrite_policy append_x_forwarded_host idle_timeout retry_policy_typed_config
            priority rate_limits hash_policy cors max_grpc_timeout grpc_timeout_offset upgrade_configs
            internal_redirect_policy internal_redirect_action max_internal_redirects hedge_policy max_stream_duration;
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
    let path_rewrite = match (prefix_rewrite.is_empty(), regex_rewrite) {
        (true, None) => None,
        (false, None) => {
            rewrite::read_text(prefix_rewrite, &at.field("prefix_rewrite"), problems).map(PathRewrite::Prefix)
        }
        (true, Some(regex)) => rewrite::read_regex(regex, &at.field("regex_rewrite"), problems),
        (false, Some(_)) => {
            problems.add(&at.field("regex_rewrite"), "cannot stand beside `prefix_rewrite`");
            None
        }
    };
    let retry = retry_policy.and_then(|policy| retry::read(policy, &at.field("retry_policy"), problems));
    let mirrors = request_mirror_policies.into_iter().enumerate();
    let mirrors = fitting(
        mirrors
            .filter_map(|(index, policy)| mirror::read(policy, &at.item("request_mirror_policies", index), problems)),
    );
    Some(Forward {
        timeout,
        missing,
        host_rewrite: read_host_rewrite(host_rewrite_specifier, at, problems),
        path_rewrite,
        retry: retry.map(Box::new),
        mirrors,
        ..Forward::to(read_split(cluster_specifier, at, problems)?)
    })
}

fn read_host_rewrite(specifier: Option<HostRewriteSpecifier>, at: &At<'_>, problems: &mut Problems) -> Option<String> {
    let unsupported = match specifier? {
        HostRewriteSpecifier::HostRewriteLiteral(host) => {
            return split::read_host(host, &at.field("host_rewrite_literal"), problems);
        }
        HostRewriteSpecifier::AutoHostRewrite(wrapped) if !wrapped.value => return None,
        HostRewriteSpecifier::AutoHostRewrite(_) => "auto_host_rewrite",
        HostRewriteSpecifier::HostRewriteHeader(_) => "host_rewrite_header",
        HostRewriteSpecifier::HostRewritePathRegex(_) => "host_rewrite_path_regex",
    };
    problems.unsupported(&at.field(unsupported));
    None
}

fn read_split(specifier: Option<ClusterSpecifier>, at: &At<'_>, problems: &mut Problems) -> Option<Split> {
    let unsupported = match specifier {
        Some(ClusterSpecifier::Cluster(cluster)) if cluster.is_empty() => {
            problems.add(&at.field("cluster"), "must not be empty");
            return None;
        }
        Some(ClusterSpecifier::Cluster(cluster)) => return Some(Split::One(cluster)),
        Some(ClusterSpecifier::WeightedClusters(weights)) => {
            return split::read(weights, &at.field("weighted_clusters"), problems);
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
