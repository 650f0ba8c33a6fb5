//! Which listeners a route attaches to.

use weir_config::kinds::Kind;
use weir_config::kinds::gateway::{GATEWAY_GROUP, ParentReference};

use super::facts::Facts;
use super::port_plan::{ListenerFact, Ports, RoutesFrom};
use crate::index::{NsName, selector};

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

/// The Gateway that a `parentRef` names; none if it names something else.
pub(crate) fn gateway_of(namespace: &str, parent: &ParentReference) -> Option<NsName> {
    let group = parent.group.as_deref().unwrap_or(GATEWAY_GROUP);
    let kind = parent.kind.as_deref().unwrap_or("Gateway");
    (group == GATEWAY_GROUP && kind == "Gateway")
        .then(|| (parent.namespace.clone().unwrap_or_else(|| namespace.to_owned()), parent.name.clone()))
}

/// Judges the `parentRef` of a route of `namespace`.
pub(crate) fn attach<'a>(
    facts: &Facts,
    ports: &'a Ports,
    kind: Kind,
    namespace: &str,
    parent: &ParentReference,
) -> Attachment<'a> {
    let Some(gateway) = gateway_of(namespace, parent) else { return Attachment::NotOurs };
    if facts.objects.gateway(&gateway.0, &gateway.1).is_none() {
        // The commonest slip of all.
        let hint = match parent.namespace {
            Some(_) => "",
            None => " (a parentRef without `namespace` means a Gateway of the route's own)",
        };
        let message = format!("there is no Gateway {}/{}{hint}", gateway.0, gateway.1);
        return Attachment::Nowhere(message);
    }
    if facts.own_gateway(&gateway.0, &gateway.1).is_none() {
        return Attachment::NotOurs;
    }
    if facts.edge_of(&gateway).is_none() {
        let message = format!("no proxy class serves Gateway {}/{}", gateway.0, gateway.1);
        return Attachment::Refused("NoProxyClass", message);
    }
    if let Some((reason, message)) = facts.without_tenant(namespace) {
        return Attachment::Refused(reason, message);
    }
    let named: Vec<&ListenerFact> = ports
        .listeners(facts, &gateway)
        .filter(|listener| parent.section_name.as_ref().is_none_or(|name| *name == listener.id.listener))
        .filter(|listener| parent.port.is_none_or(|port| port == listener.port.number))
        .collect();
    if named.is_empty() {
        let message = format!("Gateway {}/{} has no listener of that name and port", gateway.0, gateway.1);
        return Attachment::Refused("NoMatchingParent", message);
    }
    let allowed: Vec<&ListenerFact> =
        named.into_iter().filter(|listener| allows(facts, kind, &gateway.0, namespace, listener)).collect();
    if allowed.is_empty() {
        let message =
            format!("no listener of Gateway {}/{} takes {}s of {namespace}", gateway.0, gateway.1, kind.name());
        return Attachment::Refused("NotAllowedByListeners", message);
    }
    let accepted: Vec<&ListenerFact> = allowed.into_iter().filter(|listener| listener.accepted).collect();
    if accepted.is_empty() {
        let message =
            format!("no listener that this route may attach to is accepted at Gateway {}/{}", gateway.0, gateway.1);
        return Attachment::Refused("NoMatchingParent", message);
    }
    Attachment::To(accepted)
}

fn allows(facts: &Facts, kind: Kind, gateway: &str, namespace: &str, listener: &ListenerFact) -> bool {
    listener.takes.contains(&kind)
        && match &listener.from {
            RoutesFrom::All => true,
            RoutesFrom::Same => gateway == namespace,
            RoutesFrom::Selector(wanted) => {
                facts.tenancy.labels(namespace).is_some_and(|labels| selector::matches(wanted, labels))
            }
        }
}
