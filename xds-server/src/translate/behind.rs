//! Routes of whole connections that are accepted and get none, for want of the name or the port: another goes first.
//! The Gateway API accepts them, and has no condition that says it, so they get one of Weir's own.

use std::collections::{BTreeMap, BTreeSet};

use weir_config::kinds::ObjectKey;

use super::claims::{Spot, Wish};
use super::unit::{Group, PortId};
use crate::seen::ROUTE_PROGRAMMED;
use crate::status::{Condition, ObjectStatus};

/// Reason of the condition.
const REASON: &str = "RouteConflict";
/// Names in one message.
const MOST_NAMES: usize = 8;

/// What routes of all groups wish at one port.
pub(super) type Wished = BTreeMap<Group, BTreeMap<Spot, BTreeSet<Wish>>>;

/// A route's entry of `status.parents`, by its place.
type Entry = (ObjectKey, usize);

/// What became of the wishes of one entry at one port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Outcome {
    /// Whether it has anything.
    has: bool,
    /// What others have, and who.
    lost: BTreeSet<String>,
}

/// Who is behind, by port.
#[derive(Debug, Default)]
pub(super) struct Behind {
    ports: BTreeMap<PortId, BTreeMap<Entry, Outcome>>,
    /// Ports at which a route wishes something.
    routes: BTreeMap<ObjectKey, BTreeSet<PortId>>,
}

impl Behind {
    /// Takes in what is wished at a port; answers with the routes of which something else is to be said now.
    pub(super) fn set(&mut self, port: PortId, wished: Option<&Wished>) -> BTreeSet<ObjectKey> {
        let new = wished.map(outcomes).unwrap_or_default();
        let old = self.ports.remove(&port).unwrap_or_default();
        let differs = |entry: &&Entry| old.get(*entry) != new.get(*entry);
        let changed = old.keys().chain(new.keys()).filter(differs).map(|(route, _)| route.clone()).collect();
        for (route, _) in old.keys() {
            if let Some(ports) = self.routes.get_mut(route) {
                ports.remove(&port);
                if ports.is_empty() {
                    self.routes.remove(route);
                }
            }
        }
        for (route, _) in new.keys() {
            self.routes.entry(route.clone()).or_default().insert(port);
        }
        if !new.is_empty() {
            self.ports.insert(port, new);
        }
        changed
    }

    /// Says in a route's status where it is behind with all that it wishes.
    pub(super) fn tell(&self, route: &ObjectKey, status: &mut ObjectStatus) {
        let ports = self.routes.get(route);
        for (place, parent) in status.parents.iter_mut().enumerate() {
            parent.conditions.retain(|condition| condition.type_ != ROUTE_PROGRAMMED);
            let entry = (route.clone(), place);
            let at_ports = ports.into_iter().flatten().filter_map(|port| self.ports.get(port));
            let outcomes: Vec<&Outcome> = at_ports.filter_map(|port| port.get(&entry)).collect();
            if outcomes.is_empty() || outcomes.iter().any(|outcome| outcome.has) {
                continue;
            }
            let lost: BTreeSet<&str> = outcomes.iter().flat_map(|outcome| &outcome.lost).map(String::as_str).collect();
            let more =
                if lost.len() > MOST_NAMES { format!(", and {} more", lost.len() - MOST_NAMES) } else { String::new() };
            let lost = lost.into_iter().take(MOST_NAMES).collect::<Vec<_>>().join("; ");
            let message = format!("no connection reaches this route: {lost}{more}. It serves when that is gone");
            parent.conditions.push(Condition::fails(ROUTE_PROGRAMMED, REASON, message));
        }
    }
}

/// Who has each spot, and who is behind.
fn outcomes(wished: &Wished) -> BTreeMap<Entry, Outcome> {
    let mut first: BTreeMap<&Spot, (&Group, &Wish)> = BTreeMap::new();
    let all = || wished.iter().flat_map(|(group, spots)| spots.iter().map(move |(spot, wishes)| (group, spot, wishes)));
    for (group, spot, wishes) in all() {
        let Some(wish) = wishes.first() else { continue };
        let best = first.entry(spot).or_insert((group, wish));
        if wish.order < best.1.order {
            *best = (group, wish);
        }
    }
    let mut outcomes: BTreeMap<Entry, Outcome> = BTreeMap::new();
    for (group, spot, wishes) in all() {
        let Some((owner, winner)) = first.get(spot) else { continue };
        for wish in wishes {
            let outcome = outcomes.entry((wish.route.clone(), wish.parent)).or_default();
            if wish.route == winner.route {
                outcome.has = true;
                continue;
            }
            let kind = winner.route.kind.name();
            let who = match owner.tenant() {
                _ if *owner == group => format!("{kind} {}/{}", winner.route.namespace, winner.route.name),
                Some(tenant) => format!("a {kind} of tenant {tenant}"),
                None => format!("another {kind}"),
            };
            let what = if wish.named { format!("`{}`", spot.1) } else { format!("port {}", wish.port) };
            let why = if winner.order.0 == wish.order.0 { "is older" } else { "has the more specific hostname" };
            outcome.lost.insert(format!("{who} {why} and has {what}"));
        }
    }
    outcomes
}
