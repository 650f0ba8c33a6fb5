//! `VirtualHost` and its routes.

use xds_api::pb::envoy::config::route::v3::{Route as ProtoRoute, VirtualHost as ProtoHost};

use super::per_route::{self, PerRoute};
use super::read::{At, Problems, fields, fitting};
use super::{headers, metadata, route_action, route_match};
use crate::model::{Domain, Route, VirtualHost};

pub(super) fn write(value: &VirtualHost) -> ProtoHost {
    ProtoHost {
        name: value.name.clone(),
        domains: value.domains.iter().map(write_domain).collect(),
        routes: value.routes.iter().map(write_route).collect(),
        metadata: metadata::write(value.owner.as_ref()),
        ..Default::default()
    }
}

fn write_domain(domain: &Domain) -> String {
    match domain {
        Domain::Exact(name) => name.clone(),
        Domain::Suffix(suffix) => format!("*.{suffix}"),
        Domain::Any => "*".to_owned(),
    }
}

fn write_route(value: &Route) -> ProtoRoute {
    let (request_headers_to_add, request_headers_to_remove) = headers::write(&value.request_headers);
    let (response_headers_to_add, response_headers_to_remove) = headers::write(&value.response_headers);
    ProtoRoute {
        name: value.name.clone(),
        r#match: Some(route_match::write(&value.matches)),
        action: Some(route_action::write(&value.action)),
        metadata: metadata::write(value.owner.as_ref()),
        request_headers_to_add,
        request_headers_to_remove,
        response_headers_to_add,
        response_headers_to_remove,
        typed_per_filter_config: per_route::write(value),
        ..Default::default()
    }
}

pub(super) fn read(message: ProtoHost, at: &At<'_>, problems: &mut Problems) -> Option<VirtualHost> {
    fields!(message => ProtoHost, at, problems;
        read name domains routes metadata;
        refuse matcher require_tls rate_limits request_headers_to_add request_headers_to_remove response_headers_to_add
            response_headers_to_remove cors typed_per_filter_config include_request_attempt_count
            include_attempt_count_in_response retry_policy retry_policy_typed_config hedge_policy
            include_is_timeout_retry_header per_request_buffer_limit_bytes request_mirror_policies;
        pass virtual_clusters;);
    if name.is_empty() {
        problems.missing(&at.field("name"));
    }
    if domains.is_empty() {
        problems.missing(&at.field("domains"));
    }
    let domains = domains.into_iter().enumerate();
    let domains =
        fitting(domains.filter_map(|(index, domain)| read_domain(domain, &at.item("domains", index), problems)));
    let owner = metadata::read(metadata, &at.field("metadata"), problems);
    let routes = routes.into_iter().enumerate();
    let routes = fitting(routes.filter_map(|(index, route)| read_route(route, &at.item("routes", index), problems)));
    Some(VirtualHost { name, domains, owner, routes })
}

fn read_domain(domain: String, at: &At<'_>, problems: &mut Problems) -> Option<Domain> {
    let domain = domain.to_ascii_lowercase();
    if domain == "*" {
        return Some(Domain::Any);
    }
    let (suffix, wildcard) = match domain.strip_prefix("*.") {
        Some(suffix) => (suffix, true),
        None => (domain.as_str(), false),
    };
    // A bracketed IPv6 address is the one name that holds colons.
    let port = if suffix.starts_with('[') { !suffix.ends_with(']') } else { suffix.contains(':') };
    let problem = if port {
        "must not name a port: hosts match without theirs"
    } else if suffix.contains('*') {
        "may have a wildcard only as its whole first label (`*.example.com`), or be `*`"
    } else if suffix.is_empty() || suffix.bytes().any(|byte| byte.is_ascii_whitespace() || byte == b'/') {
        "is not a host's name"
    } else {
        return Some(if wildcard { Domain::Suffix(suffix.to_owned()) } else { Domain::Exact(domain) });
    };
    problems.add(at, format!("{domain:?} {problem}"));
    None
}

fn read_route(message: ProtoRoute, at: &At<'_>, problems: &mut Problems) -> Option<Route> {
    fields!(message => ProtoRoute, at, problems;
        read name r#match action metadata request_headers_to_add request_headers_to_remove response_headers_to_add
            response_headers_to_remove typed_per_filter_config;
        refuse per_request_buffer_limit_bytes;
        pass decorator tracing stat_prefix;);
    let matches = match r#match {
        Some(matches) => route_match::read(matches, &at.field("match"), problems),
        None => {
            problems.missing(&at.field("match"));
            None
        }
    };
    let action = route_action::read(action, at, problems);
    let owner = metadata::read(metadata, &at.field("metadata"), problems);
    let request = (request_headers_to_add, request_headers_to_remove);
    let request_headers = headers::read(request, headers::REQUEST, at, problems);
    let response = (response_headers_to_add, response_headers_to_remove);
    let response_headers = headers::read(response, headers::RESPONSE, at, problems);
    let PerRoute { cors, session } = per_route::read(typed_per_filter_config, at, problems);
    Some(Route { owner, request_headers, response_headers, cors, session, ..Route::new(name, matches?, action?) })
}
