//! Conditions of GatewayClasses and Gateways.

use std::collections::BTreeMap;

use weir_config::kinds::CONTROLLER_NAME;
use weir_config::kinds::gateway::{Gateway, GatewayClass, GatewayListener};

use super::facts::Facts;
use super::listeners::addresses;
use super::port_plan::{Bind, ListenerFact, ListenerId, Ports};
use crate::index::NsName;
use crate::status::{Address, Condition, ListenerStatus, ObjectStatus, ServedBy, features};

/// Status of a GatewayClass; empty if it is another controller's.
pub(crate) fn class(class: &GatewayClass) -> ObjectStatus {
    let mut status = ObjectStatus::default();
    if class.spec.controller_name == CONTROLLER_NAME {
        status.supported_features = features::SUPPORTED.iter().map(ToString::to_string).collect();
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
    if facts.edge_of(id).is_none() {
        return without_class(facts, gateway);
    }
    let mut listeners: Vec<&ListenerFact> = ports.listeners(facts, id).collect();
    listeners.sort_by_key(|listener| listener.index);
    let status = |listener: &&ListenerFact| ListenerStatus {
        name: listener.id.listener.clone(),
        attached_routes: attached.get(&listener.id).copied().unwrap_or(0),
        supported_kinds: listener.supported_kinds.clone(),
        conditions: listener.conditions.clone(),
        served_by: listener.binds.iter().filter_map(served_by).collect(),
    };
    ObjectStatus {
        conditions: vec![accepted(facts, id, gateway, &listeners), programmed(&listeners)],
        addresses: reached_at(gateway),
        listeners: listeners.iter().map(status).collect(),
        ..ObjectStatus::default()
    }
}

/// The addresses that a Gateway asks for and edges bind. Where it names none, edges bind all addresses of their
/// machines, and which of them clients reach is the platform's knowledge.
fn reached_at(gateway: &Gateway) -> Vec<Address> {
    let named = addresses(gateway).0.into_iter().filter(|address| !address.is_unspecified());
    named.map(|address| Address { type_: "IPAddress".into(), value: address.to_string() }).collect()
}

fn served_by(bind: &Bind) -> Option<ServedBy> {
    Some(ServedBy { listener: bind.listener.clone(), routes: bind.routes.clone()? })
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

fn accepted(facts: &Facts, id: &NsName, gateway: &Gateway, listeners: &[&ListenerFact]) -> Condition {
    let (good, bad) = addresses(gateway);
    let refused = listeners.iter().filter(|listener| !listener.accepted).count();
    let mut unsupported = Vec::new();
    for (field, set) in [
        ("spec.tls", gateway.spec.tls.is_some()),
        ("spec.allowedListeners", gateway.spec.allowed_listeners.is_some()),
        ("spec.defaultScope", gateway.spec.default_scope.as_deref().is_some_and(|scope| scope != "None")),
        ("spec.infrastructure.parametersRef", parameters(gateway)),
    ] {
        if set {
            unsupported.push(field);
        }
    }
    if let Some((reason, message)) = facts.without_tenant(&id.0) {
        Condition::fails("Accepted", reason, message)
    } else if good.is_empty() || !bad.is_empty() {
        Condition::fails("Accepted", "UnsupportedAddress", bad.join("; "))
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

fn programmed(listeners: &[&ListenerFact]) -> Condition {
    if listeners.iter().any(|listener| listener.programmed()) {
        Condition::holds("Programmed", "Programmed", "the Gateway is served")
    } else {
        Condition::fails("Programmed", "Invalid", "no listener is served")
    }
}
