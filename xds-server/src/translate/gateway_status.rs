//! Conditions of GatewayClasses and Gateways.

use std::collections::BTreeMap;

use weir_config::kinds::CONTROLLER_NAME;
use weir_config::kinds::gateway::{Gateway, GatewayClass, GatewayListener};

use super::addresses::Addresses;
use super::client_certificates;
use super::facts::Facts;
use super::listener_sets;
use super::listener_status::{ordered, shown};
use super::listeners::addresses;
use super::port_plan::{ListenerFact, ListenerId, Ports};
use crate::index::NsName;
use crate::status::{Condition, ListenerStatus, ObjectStatus, features};

/// Status of a GatewayClass; empty if it is another controller's. `per_gateway`: whether each Gateway has a Service of its
/// own, whichever edge serves it.
pub(crate) fn class(class: &GatewayClass, per_gateway: bool) -> ObjectStatus {
    let mut status = ObjectStatus::default();
    if class.spec.controller_name == CONTROLLER_NAME {
        let infrastructure = per_gateway.then_some(&features::INFRASTRUCTURE);
        status.supported_features = features::SUPPORTED.iter().chain(infrastructure).map(ToString::to_string).collect();
        status.supported_features.sort_unstable();
        status.conditions.push(match &class.spec.parameters_ref {
            None => Condition::holds("Accepted", "Accepted", "Weir serves Gateways of this class"),
            Some(_) => Condition::fails("Accepted", "InvalidParameters", "spec.parametersRef is not supported"),
        });
    }
    status
}

/// Status of a Gateway of a class of Weir's.
pub(crate) fn gateway(
    facts: &Facts,
    ports: &Ports,
    attached: &BTreeMap<ListenerId, u32>,
    id: &NsName,
    gateway: &Gateway,
) -> ObjectStatus {
    let Some(edge) = facts.edge_of(id) else { return without_class(facts, gateway) };
    let addresses = addresses(facts, edge, gateway);
    let listeners = ordered(facts, ports, &(id.clone(), None));
    ObjectStatus {
        conditions: [
            Some(accepted(facts, id, gateway, &addresses, &listeners)),
            Some(programmed(&addresses, &listeners)),
            resolved(facts, gateway),
            insecure(gateway),
        ]
        .into_iter()
        .flatten()
        .collect(),
        addresses: addresses.reached.into_iter().collect(),
        listeners: listeners.iter().map(|listener| shown(attached, listener)).collect(),
        attached_listener_sets: gateway.spec.allowed_listeners.as_ref().map(|_| sets(facts, ports, id)),
        ..ObjectStatus::default()
    }
}

/// How many ListenerSets are attached: those with a listener that is served.
fn sets(facts: &Facts, ports: &Ports, id: &NsName) -> u32 {
    let sets = facts.listener_sets.owners(id);
    let attached = sets.filter(|set| listener_sets::is_accepted(facts, ports, id, set)).count();
    u32::try_from(attached).unwrap_or(u32::MAX)
}

/// Status of a Gateway that no proxy class serves.
fn without_class(facts: &Facts, gateway: &Gateway) -> ObjectStatus {
    let message = format!("no proxy class serves it: proxyClasses of the server lists {}", facts.settings.classes);
    let conditions = || {
        let programmed = Condition::fails("Programmed", "Invalid", "no proxy class serves the Gateway");
        vec![Condition::fails("Accepted", "NoProxyClass", message.clone()), programmed]
    };
    let status = |listener: &GatewayListener| ListenerStatus {
        name: listener.name.clone(),
        attached_routes: 0,
        supported_kinds: Vec::new(),
        conditions: conditions(),
        served_by: Vec::new(),
    };
    let listeners = gateway.spec.listeners.iter().map(status).collect();
    ObjectStatus { conditions: conditions(), listeners, ..ObjectStatus::default() }
}

fn accepted(
    facts: &Facts,
    id: &NsName,
    gateway: &Gateway,
    addresses: &Addresses,
    listeners: &[&ListenerFact],
) -> Condition {
    let refused = listeners.iter().filter(|listener| !listener.accepted).count();
    let mut unsupported = Vec::new();
    for (field, set) in
        [("spec.defaultScope", gateway.spec.default_scope.as_deref().is_some_and(|scope| scope != "None"))]
    {
        if set {
            unsupported.push(field);
        }
    }
    if let Some((reason, message)) = facts.without_tenant(&id.0) {
        Condition::fails("Accepted", reason, message)
    } else if parameters(gateway) {
        let message = "spec.infrastructure.parametersRef: Weir has no parameters of a Gateway; take it out";
        Condition::fails("Accepted", "InvalidParameters", message)
    } else if !addresses.unsupported.is_empty() {
        Condition::fails("Accepted", "UnsupportedAddress", addresses.unsupported.join("; "))
    } else if !unsupported.is_empty() {
        Condition::fails("Accepted", "Unsupported", format!("not enforced yet: {}", unsupported.join(", ")))
    } else if refused == listeners.len() {
        Condition::fails("Accepted", "ListenersNotValid", "no listener is accepted")
    } else if refused > 0 {
        Condition::holds(
            "Accepted",
            "ListenersNotValid",
            format!("{refused} of {} listeners are not accepted", listeners.len()),
        )
    } else {
        Condition::holds("Accepted", "Accepted", "the Gateway is valid")
    }
}

fn parameters(gateway: &Gateway) -> bool {
    gateway.spec.infrastructure.as_ref().is_some_and(|infrastructure| infrastructure.parameters_ref.is_some())
}

/// A warning where clients are let in whatever certificate they show, as the Gateway API wants it.
fn insecure(gateway: &Gateway) -> Option<Condition> {
    let frontend = gateway.spec.tls.as_ref()?.frontend.as_ref()?;
    let ports = frontend.per_port.iter().map(|one| &one.tls);
    let mut all = std::iter::once(&frontend.default).chain(ports).filter_map(|tls| tls.validation.as_ref());
    all.any(|validation| validation.mode.as_deref() == Some("AllowInsecureFallback")).then(|| {
        let message = "spec.tls.frontend: with AllowInsecureFallback clients without a valid certificate are let in";
        Condition::holds("InsecureFrontendValidationMode", "ConfigurationChanged", message)
    })
}

/// Whether the certificate for backends can be used; none: the Gateway asks for none.
fn resolved(facts: &Facts, gateway: &Gateway) -> Option<Condition> {
    Some(match client_certificates::shown(facts, gateway)? {
        Ok(_) => Condition::holds("ResolvedRefs", "ResolvedRefs", "the certificate for backends can be used"),
        Err((reason, message)) => {
            Condition::fails("ResolvedRefs", reason, format!("spec.tls.backend.clientCertificateRef: {message}"))
        }
    })
}

fn programmed(addresses: &Addresses, listeners: &[&ListenerFact]) -> Condition {
    if !addresses.not_usable.is_empty() {
        Condition::fails("Programmed", "AddressNotUsable", addresses.not_usable.join("; "))
    } else if !addresses.not_assigned.is_empty() {
        Condition::fails("Programmed", "AddressNotAssigned", addresses.not_assigned.join("; "))
    } else if listeners.iter().any(|listener| listener.programmed()) {
        Condition::holds("Programmed", "Programmed", "the Gateway is served")
    } else {
        Condition::fails("Programmed", "Invalid", "no listener is served")
    }
}
