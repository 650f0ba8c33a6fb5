//! What the status of a Gateway and of a ListenerSet says of their listeners.

use std::collections::BTreeMap;

use super::facts::Facts;
use super::port_plan::{Bind, Holder, ListenerFact, ListenerId, Ports};
use crate::status::{ListenerStatus, ServedBy};

/// The listeners of a Gateway or ListenerSet, in its order.
pub(crate) fn ordered<'a>(facts: &Facts, ports: &'a Ports, holder: &Holder) -> Vec<&'a ListenerFact> {
    let mut listeners: Vec<&ListenerFact> = ports.listeners(facts, holder).collect();
    listeners.sort_by_key(|listener| listener.index);
    listeners
}

/// Status of one listener.
pub(crate) fn shown(attached: &BTreeMap<ListenerId, u32>, listener: &ListenerFact) -> ListenerStatus {
    ListenerStatus {
        name: listener.id.listener.clone(),
        attached_routes: attached.get(&listener.id).copied().unwrap_or(0),
        supported_kinds: listener.supported_kinds.clone(),
        conditions: listener.conditions.clone(),
        served_by: listener.binds.iter().filter_map(served_by).collect(),
    }
}

fn served_by(bind: &Bind) -> Option<ServedBy> {
    Some(ServedBy { listener: bind.listener.clone(), routes: bind.routes.clone()? })
}
