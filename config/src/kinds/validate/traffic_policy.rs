//! `TrafficPolicy`.

use super::backend_tls::targets;
use super::{Errors, names};
use crate::kinds::traffic_policy::{Sticky, TrafficPolicySpec};

/// Kinds that a TrafficPolicy may be about, each with its group.
const TARGETS: [(&str, &str); 4] = [
    ("gateway.networking.k8s.io", "Gateway"),
    ("gateway.networking.k8s.io", "HTTPRoute"),
    ("gateway.networking.k8s.io", "GRPCRoute"),
    ("", "Service"),
];

pub(super) fn policy(policy: &TrafficPolicySpec, errors: &mut Errors) {
    targets(&policy.target_refs, 16, errors);
    for (index, target) in policy.target_refs.iter().enumerate() {
        let known = TARGETS.contains(&(target.group.as_str(), target.kind.as_str()));
        errors.check(known, format!("spec.targetRefs[{index}].kind"), || {
            format!("{} is no Gateway, HTTPRoute, GRPCRoute or Service, with its group", target.kind)
        });
    }
    let timeouts = policy.timeouts.as_ref();
    let retry = policy.retry.as_ref();
    for (field, text) in [
        ("timeouts.request", timeouts.and_then(|timeouts| timeouts.request.as_ref())),
        ("timeouts.backendRequest", timeouts.and_then(|timeouts| timeouts.backend_request.as_ref())),
        ("timeouts.connect", timeouts.and_then(|timeouts| timeouts.connect.as_ref())),
        ("retry.backoff", retry.and_then(|retry| retry.backoff.as_ref())),
    ] {
        duration(text, &format!("spec.{field}"), errors);
    }
    if let Some(retry) = retry {
        errors.at_most(&retry.codes, 32, "spec.retry.codes");
        for (index, code) in retry.codes.iter().enumerate() {
            errors.check((400..600).contains(code), format!("spec.retry.codes[{index}]"), || {
                format!("must be from 400 to 599, not {code}")
            });
        }
        errors.check(retry.attempts.is_none_or(|attempts| attempts <= 10), "spec.retry.attempts", || {
            "must be at most 10".into()
        });
    }
    if let Some(one) = &policy.sticky {
        sticky(one, errors);
    }
}

fn sticky(sticky: &Sticky, errors: &mut Errors) {
    let token = |name: &str| names::is_header_name(name);
    match (&sticky.cookie, &sticky.header) {
        (Some(cookie), None) => {
            errors.check(token(&cookie.name), "spec.sticky.cookie.name", || {
                format!("`{}` is no name of a cookie", cookie.name)
            });
            duration(cookie.ttl.as_ref(), "spec.sticky.cookie.ttl", errors);
        }
        (None, Some(header)) => errors.check(token(&header.name), "spec.sticky.header.name", || {
            format!("`{}` is no name of a header", header.name)
        }),
        _ => errors.add("spec.sticky", "must have exactly one of cookie and header"),
    }
}

/// One to four numbers of at most five digits, each with a unit (GEP-2257).
fn duration(text: Option<&String>, at: &str, errors: &mut Errors) {
    let Some(text) = text else { return };
    let (mut rest, mut parts) = (text.as_str(), 0);
    let mut right = !rest.is_empty();
    while right && !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let letters = rest[digits..].bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit = &rest[digits..digits + letters];
        parts += 1;
        right = (1..=5).contains(&digits) && parts <= 4 && ["h", "m", "s", "ms"].contains(&unit);
        rest = &rest[digits + letters..];
    }
    errors.check(right, at, || format!("`{text}` is no duration such as `1h30m`, `5s`, `100ms`"));
}
