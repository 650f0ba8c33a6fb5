//! `ListenerSet`: listeners that others than its owner add to a Gateway. What a Gateway's own listeners obey, these
//! obey: `listeners` works them out together.

use std::collections::BTreeMap;

use weir_config::kinds::gateway::{Gateway, GatewayListener, ListenerSet};

use super::facts::Facts;
use super::listener_status::{ordered, shown};
use super::port_plan::{ListenerFact, ListenerId, Ports};
use super::refers;
use crate::index::{NsName, selector};
use crate::status::{Condition, ObjectStatus};

/// The ListenerSets whose listeners a Gateway takes.
pub(crate) fn attached<'a>(
    facts: &'a Facts,
    id: &'a NsName,
    gateway: &'a Gateway,
) -> impl Iterator<Item = (NsName, &'a ListenerSet)> {
    let sets = facts.listener_sets.owners(id);
    sets.filter(move |set| allowed(facts, &id.0, gateway, &set.0) && facts.without_tenant(&set.0).is_none())
        .filter_map(|set| Some((set.clone(), facts.objects.listener_set(&set.0, &set.1)?)))
}

/// Whether a Gateway lets ListenerSets of a namespace attach (`spec.allowedListeners`).
fn allowed(facts: &Facts, own: &str, gateway: &Gateway, namespace: &str) -> bool {
    let namespaces = gateway.spec.allowed_listeners.as_ref().and_then(|allowed| allowed.namespaces.as_ref());
    match namespaces.map(|namespaces| (namespaces.from.as_deref(), &namespaces.selector)) {
        Some((Some("All"), _)) => true,
        Some((Some("Same"), _)) => own == namespace,
        Some((Some("Selector"), Some(wanted))) => {
            facts.tenancy.labels(namespace).is_some_and(|labels| selector::matches(wanted, labels))
        }
        _ => false,
    }
}

/// Why none of a ListenerSet's listeners is taken; none: each stands for itself.
pub(crate) fn refusal(facts: &Facts, id: &NsName) -> Option<(&'static str, String)> {
    let parent = refers::gateway_of(facts.objects.listener_set(&id.0, &id.1)?)?;
    let gateway = facts.own_gateway(&parent.0, &parent.1)?;
    let called = format!("Gateway {}/{}", parent.0, parent.1);
    if facts.edge_of(&parent).is_none() || facts.without_tenant(&parent.0).is_some() {
        return Some(("ParentNotAccepted", format!("{called} is not accepted: its status says why")));
    }
    if !allowed(facts, &parent.0, gateway, &id.0) {
        let message = format!("spec.allowedListeners of {called} does not allow ListenerSets of namespace {}", id.0);
        return Some(("NotAllowed", message));
    }
    facts.without_tenant(&id.0)
}

/// Whether a ListenerSet is attached to a Gateway.
pub(crate) fn is_accepted(facts: &Facts, ports: &Ports, gateway: &NsName, set: &NsName) -> bool {
    refusal(facts, set).is_none() && ports.listeners(facts, &(gateway.clone(), Some(set.clone()))).any(is_valid)
}

/// Whether a listener is accepted, and its references are good as far as they must be.
fn is_valid(listener: &ListenerFact) -> bool {
    listener.accepted && listener.programmed()
}

/// Status of a ListenerSet; empty where its Gateway is not Weir's.
pub(crate) fn status(
    facts: &Facts,
    ports: &Ports,
    attached: &BTreeMap<ListenerId, u32>,
    id: &NsName,
    set: &ListenerSet,
) -> ObjectStatus {
    let Some(gateway) = refers::gateway_of(set).filter(|(ns, name)| facts.own_gateway(ns, name).is_some()) else {
        return ObjectStatus::default();
    };
    if let Some((reason, message)) = refusal(facts, id) {
        let both = ["Accepted", "Programmed"].map(|type_| Condition::fails(type_, reason, message.clone()));
        return ObjectStatus { conditions: both.to_vec(), ..ObjectStatus::default() };
    }
    let listeners = ordered(facts, ports, &(gateway, Some(id.clone())));
    let valid = listeners.iter().filter(|listener| is_valid(listener)).count();
    let conditions = match (valid, listeners.len()) {
        (0, _) => ["Accepted", "Programmed"]
            .map(|type_| Condition::fails(type_, "ListenersNotValid", "no listener is valid: see their conditions")),
        (valid, all) => {
            let accepted = if valid == all {
                Condition::holds("Accepted", "Accepted", "the ListenerSet is valid")
            } else {
                let message = format!("{} of {all} listeners are not valid: see their conditions", all - valid);
                Condition::holds("Accepted", "ListenersNotValid", message)
            };
            [accepted, Condition::holds("Programmed", "Programmed", "the ListenerSet is served")]
        }
    };
    ObjectStatus {
        conditions: conditions.to_vec(),
        listeners: listeners.iter().map(|listener| shown(attached, listener)).collect(),
        ..ObjectStatus::default()
    }
}

/// A listener as it was written.
pub(crate) fn listener<'a>(facts: &'a Facts, fact: &ListenerFact) -> Option<&'a GatewayListener> {
    let all = match &fact.id.set {
        Some((namespace, name)) => &facts.objects.listener_set(namespace, name)?.spec.listeners,
        None => &facts.own_gateway(&fact.id.gateway.0, &fact.id.gateway.1)?.spec.listeners,
    };
    all.get(fact.index)
}
