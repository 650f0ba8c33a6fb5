//! What an API server refuses by a kind's schema and its CEL rules, checked here because a directory
//! has no API server. What the Gateway API answers with a status condition (a reference that does
//! not resolve, a filter that is not supported) is no error.

mod backend_tls;
mod core;
mod gateway;
mod grpc_route;
mod http_filter;
mod http_route;
mod l4_route;
mod names;
mod parents;
mod policy;
mod traffic_policy;

use super::gateway::{TCPRoute, UDPRoute};
use super::{Object, SYSTEM_TENANT};
use crate::FieldError;
use names::{is_label, is_subdomain};

/// Everything that is wrong with the values of an object.
pub fn validate(object: &Object) -> Vec<FieldError> {
    let mut errors = Errors::default();
    metadata(object, &mut errors);
    match object {
        Object::Namespace(_) => {}
        Object::Service(service) => core::service(service, &mut errors),
        Object::Secret(secret) => core::secret(secret, &mut errors),
        // What is wrong with one that is referred to, its referrer's status says.
        Object::ConfigMap(_) => {}
        Object::EndpointSlice(slice) => core::endpoint_slice(slice, &mut errors),
        Object::GatewayClass(class) => gateway::class(&class.spec, &mut errors),
        Object::Gateway(gateway) => gateway::gateway(&gateway.spec, &mut errors),
        Object::ListenerSet(set) => gateway::listener_set(&set.spec, &mut errors),
        Object::HTTPRoute(route) => http_route::route(&route.spec, &mut errors),
        Object::GRPCRoute(route) => grpc_route::route(&route.spec, &mut errors),
        Object::TLSRoute(route) => l4_route::tls(&route.spec, &mut errors),
        Object::TCPRoute(TCPRoute { spec, .. }) => l4_route::plain(&spec.parent_refs, &spec.rules, &mut errors),
        Object::UDPRoute(UDPRoute { spec, .. }) => l4_route::plain(&spec.parent_refs, &spec.rules, &mut errors),
        Object::ReferenceGrant(grant) => core::grant(&grant.spec, &mut errors),
        Object::BackendTLSPolicy(policy) => backend_tls::policy(&policy.spec, &mut errors),
        Object::Plan(plan) => policy::limits("spec", &plan.spec, &mut errors),
        Object::Tenant(tenant) => policy::tenant(&tenant.spec, &mut errors),
        Object::TrafficPolicy(policy) => traffic_policy::policy(&policy.spec, &mut errors),
    }
    errors.0
}

fn metadata(object: &Object, errors: &mut Errors) {
    let label = matches!(object, Object::Namespace(_) | Object::Tenant(_) | Object::Service(_));
    match object.metadata().name.as_deref() {
        None | Some("") => errors.add("metadata.name", "is required"),
        Some(name) if label => errors.check(is_label(name), "metadata.name", || {
            format!("`{name}` is not a DNS label (lower-case letters, digits and `-`, at most 63)")
        }),
        Some(name) => errors.check(is_subdomain(name), "metadata.name", || {
            format!("`{name}` is not a DNS name (lower-case letters, digits, `-` and `.`, at most 253)")
        }),
    }
    if let Some(namespace) = object.metadata().namespace.as_deref() {
        errors.check(is_label(namespace), "metadata.namespace", || format!("`{namespace}` is not a DNS label"));
    }
    if matches!(object, Object::Tenant(_)) && object.metadata().name.as_deref() == Some(SYSTEM_TENANT) {
        errors.add("metadata.name", format!("`{SYSTEM_TENANT}` is the platform's own tenant"));
    }
}

/// Errors as they are found.
#[derive(Default)]
struct Errors(Vec<FieldError>);

impl Errors {
    fn add(&mut self, field: impl Into<String>, problem: impl Into<String>) {
        self.0.push(FieldError::new(field, problem));
    }

    fn push(&mut self, error: FieldError) {
        self.0.push(error);
    }

    fn check(&mut self, holds: bool, field: impl Into<String>, problem: impl FnOnce() -> String) {
        if !holds {
            self.add(field, problem());
        }
    }

    /// A list of at most `limit` items.
    fn at_most<T>(&mut self, list: &[T], limit: usize, field: &str) {
        self.check(list.len() <= limit, field, || format!("has {} items, at most {limit} are allowed", list.len()));
    }

    /// One of `known`, where it is there at all.
    fn one_of(&mut self, value: Option<&str>, known: &[&str], field: String) {
        if let Some(value) = value {
            self.check(known.contains(&value), field, || format!("must be one of {}, not `{value}`", known.join(", ")));
        }
    }

    /// Items of which none may stand twice.
    fn unique<T: Ord>(&mut self, items: impl Iterator<Item = T>, field: impl Fn(usize) -> String, problem: &str) {
        let mut seen = std::collections::BTreeSet::new();
        for (index, item) in items.enumerate() {
            self.check(seen.insert(item), field(index), || problem.to_owned());
        }
    }
}

#[cfg(test)]
mod tests;
