//! `GatewayClass` and `Gateway`: the CRDs' schemas and CEL rules.

use std::net::IpAddr;

use super::{Errors, names, policy::label_selector};
use crate::kinds::gateway::{
    FrontendTls, FrontendValidation, GatewayClassSpec, GatewayListener, GatewaySpec, ListenerSetSpec, ListenerTls,
};

pub(super) fn class(class: &GatewayClassSpec, errors: &mut Errors) {
    let right = class.controller_name.split_once('/').is_some_and(|(domain, path)| {
        names::is_subdomain(domain) && !path.is_empty() && class.controller_name.len() <= 253
    });
    errors.check(right, "spec.controllerName", || {
        format!("`{}` is not a domain and a path joined by `/`", class.controller_name)
    });
}

pub(super) fn gateway(gateway: &GatewaySpec, errors: &mut Errors) {
    errors.check(!gateway.gateway_class_name.is_empty(), "spec.gatewayClassName", || "must not be empty".into());
    listeners(&gateway.listeners, errors);
    addresses(gateway, errors);
    let allowed = gateway.allowed_listeners.as_ref().and_then(|allowed| allowed.namespaces.as_ref());
    if let Some(namespaces) = allowed {
        let at = "spec.allowedListeners.namespaces";
        errors.one_of(namespaces.from.as_deref(), &["All", "Selector", "Same", "None"], format!("{at}.from"));
        if let Some(selector) = &namespaces.selector {
            label_selector(selector, &format!("{at}.selector"), errors);
        }
    }
    if let Some(frontend) = gateway.tls.as_ref().and_then(|tls| tls.frontend.as_ref()) {
        frontend_tls(frontend, errors);
    }
}

pub(super) fn listener_set(set: &ListenerSetSpec, errors: &mut Errors) {
    errors.check(!set.parent_ref.name.is_empty(), "spec.parentRef.name", || "must not be empty".into());
    listeners(&set.listeners, errors);
}

fn listeners(listeners: &[GatewayListener], errors: &mut Errors) {
    errors.check(!listeners.is_empty(), "spec.listeners", || "must have at least one listener".into());
    errors.at_most(listeners, 64, "spec.listeners");
    for (index, one) in listeners.iter().enumerate() {
        listener(one, &format!("spec.listeners[{index}]"), errors);
    }
    let at = |index| format!("spec.listeners[{index}]");
    let name = |index| format!("{}.name", at(index));
    errors.unique(listeners.iter().map(|one| one.name.as_str()), name, "is the name of an earlier listener");
    let triples = listeners.iter().map(|one| (one.port, one.protocol.as_str(), one.hostname.as_deref()));
    errors.unique(triples, at, "has port, protocol and hostname of an earlier listener");
}

fn frontend_tls(frontend: &FrontendTls, errors: &mut Errors) {
    let at = "spec.tls.frontend";
    if let Some(one) = &frontend.default.validation {
        validation(one, &format!("{at}.default.validation"), errors);
    }
    errors.at_most(&frontend.per_port, 64, &format!("{at}.perPort"));
    for (index, port) in frontend.per_port.iter().enumerate() {
        if let Some(one) = &port.tls.validation {
            validation(one, &format!("{at}.perPort[{index}].tls.validation"), errors);
        }
    }
    let ports = frontend.per_port.iter().map(|port| port.port);
    errors.unique(ports, |index| format!("{at}.perPort[{index}].port"), "stands twice");
}

fn validation(validation: &FrontendValidation, at: &str, errors: &mut Errors) {
    let refs = &validation.ca_certificate_refs;
    errors.check(!refs.is_empty(), format!("{at}.caCertificateRefs"), || "must not be empty".into());
    errors.at_most(refs, 16, &format!("{at}.caCertificateRefs"));
    let known = ["AllowValidOnly", "AllowInsecureFallback"];
    errors.one_of(validation.mode.as_deref(), &known, format!("{at}.mode"));
}

fn addresses(gateway: &GatewaySpec, errors: &mut Errors) {
    errors.at_most(&gateway.addresses, 16, "spec.addresses");
    for (index, address) in gateway.addresses.iter().enumerate() {
        let at = format!("spec.addresses[{index}].value");
        let Some(value) = address.value.as_deref().filter(|value| !value.is_empty()) else { continue };
        match address.type_.as_deref() {
            None | Some("IPAddress") => {
                errors.check(value.parse::<IpAddr>().is_ok(), at, || format!("`{value}` is not an IP address"));
            }
            Some("Hostname") => {
                errors.check(names::hostname(value).is_none(), at, || format!("`{value}` is not a hostname"))
            }
            Some(_) => {}
        }
    }
    let at = |index| format!("spec.addresses[{index}]");
    // Several addresses without a value ask for as many of the proxy's choice.
    let values = gateway.addresses.iter().enumerate().map(|(index, address)| match address.value.as_deref() {
        None | Some("") => Err(index),
        Some(value) => Ok((address.type_.as_deref().unwrap_or("IPAddress"), value)),
    });
    errors.unique(values, at, "stands twice");
}

fn listener(listener: &GatewayListener, at: &str, errors: &mut Errors) {
    let GatewayListener { name, hostname, port, protocol, tls, allowed_routes } = listener;
    errors.check(names::is_subdomain(name), format!("{at}.name"), || format!("`{name}` is not a DNS name"));
    errors.check(*port >= 1, format!("{at}.port"), || "must be from 1 to 65535".into());
    errors.check(is_protocol(protocol), format!("{at}.protocol"), || format!("`{protocol}` is not a protocol"));
    if let Some(hostname) = hostname {
        if matches!(protocol.as_str(), "TCP" | "UDP") {
            errors.add(format!("{at}.hostname"), format!("must not be set with protocol {protocol}"));
        } else if let Some(error) = names::hostname(hostname) {
            errors.push(error.within(&format!("{at}.hostname")));
        }
    }
    match (protocol.as_str(), tls) {
        ("HTTP" | "TCP" | "UDP", Some(_)) => {
            errors.add(format!("{at}.tls"), format!("must not be set with protocol {protocol}"));
        }
        ("TLS", None) => errors.add(format!("{at}.tls"), "is required with protocol TLS"),
        (_, Some(tls)) => listener_tls(protocol, tls, &format!("{at}.tls"), errors),
        (_, None) => {}
    }
    if let Some(routes) = allowed_routes {
        let from = routes.namespaces.as_ref().and_then(|namespaces| namespaces.from.as_deref());
        errors.one_of(from, &["All", "Selector", "Same", "None"], format!("{at}.allowedRoutes.namespaces.from"));
        if let Some(selector) = routes.namespaces.as_ref().and_then(|namespaces| namespaces.selector.as_ref()) {
            label_selector(selector, &format!("{at}.allowedRoutes.namespaces.selector"), errors);
        }
        errors.at_most(&routes.kinds, 8, &format!("{at}.allowedRoutes.kinds"));
    }
}

/// A name of the Gateway API's (`HTTP`), or a domain and a name (`example.com/bar`).
fn is_protocol(text: &str) -> bool {
    let word = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    match text.split_once('/') {
        Some((domain, name)) => names::is_subdomain(domain) && word(name),
        None => word(text),
    }
}

fn listener_tls(protocol: &str, tls: &ListenerTls, at: &str, errors: &mut Errors) {
    let mode = tls.mode.as_deref();
    errors.one_of(mode, &["Terminate", "Passthrough"], format!("{at}.mode"));
    if protocol == "HTTPS" && mode == Some("Passthrough") {
        errors.add(format!("{at}.mode"), "must be Terminate with protocol HTTPS");
    }
    if mode.unwrap_or("Terminate") == "Terminate" && tls.certificate_refs.is_empty() && tls.options.is_empty() {
        errors.add(format!("{at}.certificateRefs"), "must not be empty with mode Terminate");
    }
    errors.at_most(&tls.certificate_refs, 64, &format!("{at}.certificateRefs"));
}
