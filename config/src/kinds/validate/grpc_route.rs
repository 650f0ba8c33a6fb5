//! `GRPCRoute`: the CRD's schema and CEL rules, and regular expressions that compile.

use super::Errors;
use super::http_route::{backend_ref, filters, regex, session_persistence, values};
use super::parents::{hostnames, parents};
use crate::kinds::gateway::{GRPCRouteSpec, GrpcMethodMatch, GrpcRouteMatch, GrpcRouteRule, HttpFilter};

/// Types of filters that a GRPCRoute may have, of those of an HTTPRoute.
const FILTERS: [&str; 4] = ["ResponseHeaderModifier", "RequestHeaderModifier", "RequestMirror", "ExtensionRef"];

pub(super) fn route(route: &GRPCRouteSpec, errors: &mut Errors) {
    parents(&route.parent_refs, errors);
    hostnames(&route.hostnames, 16, errors);
    let rules = route.rules.as_deref().unwrap_or_default();
    errors.at_most(rules, 16, "spec.rules");
    let matches: usize = rules.iter().filter_map(|rule| rule.matches.as_ref()).map(Vec::len).sum();
    errors.check(matches <= 128, "spec.rules", || format!("has {matches} matches together, at most 128 are allowed"));
    let named = rules.iter().enumerate().map(|(index, rule)| rule.name.as_deref().ok_or(index));
    errors.unique(named, |index| format!("spec.rules[{index}].name"), "is the name of an earlier rule");
    for (index, one) in rules.iter().enumerate() {
        rule(one, &format!("spec.rules[{index}]"), errors);
    }
}

fn rule(rule: &GrpcRouteRule, at: &str, errors: &mut Errors) {
    let matches = rule.matches.as_deref().unwrap_or_default();
    errors.at_most(matches, 64, &format!("{at}.matches"));
    for (index, GrpcRouteMatch { method, headers }) in matches.iter().enumerate() {
        let at = format!("{at}.matches[{index}]");
        if let Some(method) = method {
            method_match(method, &format!("{at}.method"), errors);
        }
        values(headers, 4096, &format!("{at}.headers"), errors);
    }
    grpc_filters(&rule.filters, &format!("{at}.filters"), errors);
    if let Some(session) = &rule.session_persistence {
        session_persistence(session, &format!("{at}.sessionPersistence"), errors);
    }
    errors.at_most(&rule.backend_refs, 16, &format!("{at}.backendRefs"));
    for (index, backend) in rule.backend_refs.iter().enumerate() {
        let at = format!("{at}.backendRefs[{index}]");
        backend_ref(backend, &at, errors);
        only_grpc(&backend.filters, &format!("{at}.filters"), errors);
    }
}

fn grpc_filters(list: &[HttpFilter], at: &str, errors: &mut Errors) {
    filters(list, at, errors);
    only_grpc(list, at, errors);
}

fn only_grpc(list: &[HttpFilter], at: &str, errors: &mut Errors) {
    for (index, filter) in list.iter().enumerate() {
        errors.one_of(Some(&filter.type_), &FILTERS, format!("{at}[{index}].type"));
    }
}

fn method_match(method: &GrpcMethodMatch, at: &str, errors: &mut Errors) {
    let GrpcMethodMatch { type_, service, method } = method;
    errors.one_of(type_.as_deref(), &["Exact", "RegularExpression"], format!("{at}.type"));
    let filled = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
    errors.check(filled(service) || filled(method), at, || "needs `service`, `method` or both".into());
    let expression = type_.as_deref() == Some("RegularExpression");
    for (field, text) in [("service", service), ("method", method)] {
        let at = format!("{at}.{field}");
        let Some(text) = text.as_deref().filter(|text| !text.is_empty()) else { continue };
        errors.check(text.len() <= 1024, at.as_str(), || "is longer than 1024 bytes".into());
        if expression {
            regex(text, at, errors);
        } else {
            let right = if field == "service" { is_service(text) } else { is_identifier(text) };
            errors.check(right, at, || format!("`{text}` is not the name of a {field}"));
        }
    }
}

/// A full name of Protobuf: identifiers joined by `.`, with or without one in front.
fn is_service(text: &str) -> bool {
    text.strip_prefix('.').unwrap_or(text).split('.').all(is_identifier)
}

fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
