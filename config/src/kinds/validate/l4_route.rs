//! `TLSRoute`, `TCPRoute`, `UDPRoute`: the CRDs' schemas and CEL rules.

use super::Errors;
use super::parents::{hostnames, parents};
use crate::kinds::gateway::{BackendRef, L4RouteRule, ParentReference, TLSRouteSpec};

pub(super) fn tls(route: &TLSRouteSpec, errors: &mut Errors) {
    errors.check(!route.hostnames.is_empty(), "spec.hostnames", || "must have at least one name".into());
    hostnames(&route.hostnames, 1024, errors);
    plain(&route.parent_refs, &route.rules, errors);
}

/// A route without hostnames.
pub(super) fn plain(parent_refs: &[ParentReference], rules: &[L4RouteRule], errors: &mut Errors) {
    parents(parent_refs, errors);
    errors.check(rules.len() == 1, "spec.rules", || format!("must have one rule, not {}", rules.len()));
    for (index, rule) in rules.iter().enumerate() {
        let at = format!("spec.rules[{index}].backendRefs");
        errors.check(!rule.backend_refs.is_empty(), at.as_str(), || "must have at least one backend".into());
        errors.at_most(&rule.backend_refs, 16, &at);
        for (index, backend) in rule.backend_refs.iter().enumerate() {
            backend_ref(backend, &format!("{at}[{index}]"), errors);
        }
    }
}

fn backend_ref(backend: &BackendRef, at: &str, errors: &mut Errors) {
    let target = &backend.target;
    errors.check(!target.name.is_empty(), format!("{at}.name"), || "must not be empty".into());
    let group = target.group.as_deref().unwrap_or_default();
    let service = group.is_empty() && target.kind.as_deref().unwrap_or("Service") == "Service";
    match target.port {
        None => errors.check(!service, format!("{at}.port"), || "is required for a Service".into()),
        Some(port) => errors.check(port >= 1, format!("{at}.port"), || "must be from 1 to 65535".into()),
    }
    let weight = backend.weight.unwrap_or(1);
    errors.check(weight <= 1_000_000, format!("{at}.weight"), || format!("must be at most 1000000, not {weight}"));
}
