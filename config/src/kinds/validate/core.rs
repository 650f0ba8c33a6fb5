//! The plain Kubernetes kinds and `ReferenceGrant`: what Weir relies on.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;

use super::{Errors, names};
use crate::kinds::gateway::ReferenceGrantSpec;

const PORTS: std::ops::RangeInclusive<i32> = 1..=65535;

pub(super) fn service(service: &Service, errors: &mut Errors) {
    let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    for (index, port) in ports.clone().enumerate() {
        errors.check(PORTS.contains(&port.port), format!("spec.ports[{index}].port"), || {
            format!("must be from 1 to 65535, not {}", port.port)
        });
        let named = ports.clone().count() == 1 || port.name.as_deref().is_some_and(|name| !name.is_empty());
        errors.check(named, format!("spec.ports[{index}].name"), || "is required where there are several ports".into());
    }
    let names = ports.filter_map(|port| port.name.as_deref());
    errors.unique(names, |index| format!("spec.ports[{index}].name"), "stands twice");
}

pub(super) fn secret(secret: &Secret, errors: &mut Errors) {
    if secret.type_.as_deref() != Some("kubernetes.io/tls") {
        return;
    }
    for name in ["tls.crt", "tls.key"] {
        let there = secret.data.as_ref().is_some_and(|data| data.contains_key(name));
        errors.check(there, format!("data[{name}]"), || "is required in a Secret of type kubernetes.io/tls".into());
    }
}

pub(super) fn endpoint_slice(slice: &EndpointSlice, errors: &mut Errors) {
    let family = slice.address_type.as_str();
    if family.is_empty() {
        errors.add("addressType", "is required");
    } else {
        errors.one_of(Some(family), &["IPv4", "IPv6", "FQDN"], "addressType".into());
    }
    for (index, endpoint) in slice.endpoints.iter().flatten().enumerate() {
        let at = format!("endpoints[{index}].addresses");
        errors.check(!endpoint.addresses.is_empty(), at.as_str(), || "is required".into());
        errors.at_most(&endpoint.addresses, 100, &at);
        for (index, address) in endpoint.addresses.iter().enumerate() {
            let right = match family {
                "IPv4" => address.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv4()),
                "IPv6" => address.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6()),
                "FQDN" => names::is_subdomain(address),
                _ => true,
            };
            errors.check(right, format!("{at}[{index}]"), || format!("`{address}` is not of type {family}"));
        }
    }
    for (index, port) in slice.ports.iter().flatten().enumerate() {
        errors.check(port.port.is_none_or(|port| PORTS.contains(&port)), format!("ports[{index}].port"), || {
            "must be from 1 to 65535".into()
        });
    }
    let names = slice.ports.iter().flatten().map(|port| port.name.as_deref().unwrap_or_default());
    errors.unique(names, |index| format!("ports[{index}].name"), "stands twice");
}

pub(super) fn grant(grant: &ReferenceGrantSpec, errors: &mut Errors) {
    errors.check(!grant.from.is_empty(), "spec.from", || "must not be empty".into());
    errors.check(!grant.to.is_empty(), "spec.to", || "must not be empty".into());
    errors.at_most(&grant.from, 16, "spec.from");
    errors.at_most(&grant.to, 16, "spec.to");
    for (index, from) in grant.from.iter().enumerate() {
        let at = format!("spec.from[{index}]");
        errors.check(!from.kind.is_empty(), format!("{at}.kind"), || "must not be empty".into());
        errors.check(names::is_label(&from.namespace), format!("{at}.namespace"), || {
            format!("`{}` is not the name of a namespace", from.namespace)
        });
    }
    for (index, to) in grant.to.iter().enumerate() {
        errors.check(!to.kind.is_empty(), format!("spec.to[{index}].kind"), || "must not be empty".into());
        errors.check(to.name.as_deref() != Some(""), format!("spec.to[{index}].name"), || "must not be empty".into());
    }
}
