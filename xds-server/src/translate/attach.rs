//! Which listeners a route attaches to.

use weir_config::kinds::gateway::{GATEWAY_GROUP, ParentReference};
use weir_config::kinds::{Kind, ObjectKey};

use super::facts::Facts;
use super::listener_sets;
use super::port_plan::{Holder, ListenerFact, Ports, RoutesFrom};
use super::refers;
use crate::index::selector;

/// What becomes of one `parentRef`.
pub(crate) enum Attachment<'a> {
    /// It is not about a Gateway of Weir's, which says nothing to it.
    NotOurs,
    /// There is no such Gateway: a sentence.
    Nowhere(String),
    /// The route is not accepted there: a reason and a sentence.
    Refused(&'static str, String),
    /// These listeners take it, as far as hostnames allow.
    To(Vec<&'a ListenerFact>),
}

/// The Gateway or ListenerSet that a `parentRef` names; none if it names something else.
pub(crate) fn parent_of(namespace: &str, parent: &ParentReference) -> Option<ObjectKey> {
    let group = parent.group.as_deref().unwrap_or(GATEWAY_GROUP);
    let kind = match parent.kind.as_deref().unwrap_or("Gateway") {
        "Gateway" => Kind::Gateway,
        "ListenerSet" => Kind::ListenerSet,
        _ => return None,
    };
    let namespace = parent.namespace.as_deref().unwrap_or(namespace);
    (group == GATEWAY_GROUP).then(|| ObjectKey::new(kind, namespace, &parent.name))
}

/// The Gateway at which a parent's listeners are, with the ListenerSet; none: there is no such parent.
fn holder(facts: &Facts, parent: &ObjectKey) -> Option<Holder> {
    let id = (parent.namespace.clone(), parent.name.clone());
    match parent.kind {
        Kind::ListenerSet => {
            let set = facts.objects.listener_set(&id.0, &id.1)?;
            Some((refers::gateway_of(set)?, Some(id)))
        }
        _ => facts.objects.gateway(&id.0, &id.1).map(|_| (id, None)),
    }
}

/// Judges the `parentRef` of a route of `namespace`.
pub(crate) fn attach<'a>(
    facts: &Facts,
    ports: &'a Ports,
    kind: Kind,
    namespace: &str,
    parent: &ParentReference,
) -> Attachment<'a> {
    let Some(key) = parent_of(namespace, parent) else { return Attachment::NotOurs };
    let Some(holder) = holder(facts, &key) else {
        // The commonest slip of all.
        let hint = match parent.namespace {
            Some(_) => String::new(),
            None => format!(" (a parentRef without `namespace` means a {} of the route's own)", key.kind.name()),
        };
        return Attachment::Nowhere(format!("there is no {key}{hint}"));
    };
    let gateway = &holder.0;
    if facts.own_gateway(&gateway.0, &gateway.1).is_none() {
        return Attachment::NotOurs;
    }
    if facts.edge_of(gateway).is_none() {
        let message = format!("no proxy class serves Gateway {}/{}", gateway.0, gateway.1);
        return Attachment::Refused("NoProxyClass", message);
    }
    if let Some((reason, message)) = facts.without_tenant(namespace) {
        return Attachment::Refused(reason, message);
    }
    if let Some(set) = &holder.1
        && let Some((_, message)) = listener_sets::refusal(facts, set)
    {
        return Attachment::Refused("NoMatchingParent", format!("{key} is not accepted: {message}"));
    }
    let named: Vec<&ListenerFact> = ports
        .listeners(facts, &holder)
        .filter(|listener| parent.section_name.as_ref().is_none_or(|name| *name == listener.id.listener))
        .filter(|listener| parent.port.is_none_or(|port| port == listener.port.number))
        .collect();
    if named.is_empty() {
        let message = format!("{key} has no listener of that name and port");
        return Attachment::Refused("NoMatchingParent", message);
    }
    let allowed: Vec<&ListenerFact> =
        named.into_iter().filter(|listener| allows(facts, kind, namespace, listener)).collect();
    if allowed.is_empty() {
        let message = format!("no listener of {key} takes {}s of {namespace}", kind.name());
        return Attachment::Refused("NotAllowedByListeners", message);
    }
    let accepted: Vec<&ListenerFact> = allowed.into_iter().filter(|listener| listener.accepted).collect();
    if accepted.is_empty() {
        let message = format!("no listener that this route may attach to is accepted at {key}");
        return Attachment::Refused("NoMatchingParent", message);
    }
    Attachment::To(accepted)
}

fn allows(facts: &Facts, kind: Kind, namespace: &str, listener: &ListenerFact) -> bool {
    listener.takes.contains(&kind)
        && match &listener.from {
            RoutesFrom::All => true,
            RoutesFrom::Same => listener.id.namespace() == namespace,
            RoutesFrom::Selector(wanted) => {
                facts.tenancy.labels(namespace).is_some_and(|labels| selector::matches(wanted, labels))
            }
        }
}
