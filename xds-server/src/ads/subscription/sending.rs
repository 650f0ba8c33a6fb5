//! What to send next, and what must wait for what.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use weir_config::model::ResourceType;

use super::kind::{InFlight, Pending, Standing};
use super::message::{Item, Response};
use super::stream::{HOLD, MAX_RESPONSE, Subscriptions};
use super::whole::{is_whole, version_of};
use crate::ads::encoded::Encoded;
use crate::ads::form::{Form, Hosts};
use crate::ads::view::View;

/// Bytes that an entry of a response has beside name and body, roughly.
const ENTRY: usize = 128;

/// What is to be done about a name.
enum Due {
    /// Nothing: the client was told.
    Settled,
    /// It waits for something else.
    Held,
    /// The client holds what is gone.
    Remove,
    /// The client asked for what is not there.
    Missing,
    /// Send it.
    Send(Arc<Encoded>),
}

/// Types whose resources refer to those of `kind`.
fn referrers(kind: ResourceType, form: Form) -> &'static [ResourceType] {
    use ResourceType::{Cluster, Listener, RouteConfiguration, VirtualHost};
    match kind {
        Cluster if form.is_inline() => &[Listener, RouteConfiguration],
        Cluster => &[Listener, RouteConfiguration, VirtualHost],
        ResourceType::LoadAssignment => &[Cluster],
        ResourceType::Secret | ResourceType::FilterConfig | RouteConfiguration => &[Listener],
        Listener | VirtualHost => &[],
    }
}

/// The types in the order of their removals: what needs others goes before them. A listener goes
/// before its hosts, so that its port closes rather than answers 404 meanwhile.
const REMOVALS: [ResourceType; ResourceType::ALL.len()] = [
    ResourceType::Listener,
    ResourceType::RouteConfiguration,
    ResourceType::VirtualHost,
    ResourceType::FilterConfig,
    ResourceType::Secret,
    ResourceType::Cluster,
    ResourceType::LoadAssignment,
];

/// What became of a type's turn.
enum Turn {
    Send(Response),
    /// It has something to send, and waits for an answer.
    Wait,
    Nothing,
}

impl Subscriptions {
    /// The next response, if one may go out now.
    pub fn poll(&mut self, view: &View<'_>, now: Instant) -> Option<Response> {
        let mut held = false;
        self.greet(view, now);
        for kind in ResourceType::ALL {
            match self.turn(*kind, view, now, &mut held) {
                Turn::Send(response) => return Some(response),
                Turn::Wait => return None,
                Turn::Nothing => {}
            }
        }
        REMOVALS.into_iter().find_map(|kind| self.removals(kind, view, now, held))
    }

    /// New, changed and missing resources of a type.
    fn turn(&mut self, kind: ResourceType, view: &View<'_>, now: Instant, held: &mut bool) -> Turn {
        let busy = self.kinds[kind as usize].in_flight.is_some();
        let (mut items, mut removed, mut settled, mut size) = (Vec::new(), Vec::new(), Vec::new(), 0);
        let (mut waits, mut held_here) = (false, false);
        // A set cannot be cut: what a part leaves out is gone.
        let most = if self.kinds[kind as usize].whole.is_some() { usize::MAX } else { MAX_RESPONSE };
        for (name, pending) in &self.kinds[kind as usize].pending {
            let due = self.due(kind, name, *pending, view, now);
            if busy && matches!(due, Due::Send(_) | Due::Missing) {
                // Later types wait for this one, though not for ever.
                waits = now < pending.since + HOLD;
                break;
            }
            match due {
                Due::Settled => settled.push(Arc::clone(name)),
                Due::Held => held_here = true,
                Due::Remove => {}
                Due::Missing => {
                    size += name.len() + ENTRY;
                    if kind == ResourceType::VirtualHost {
                        items.push(Item::Absent(Arc::clone(name)));
                    } else {
                        removed.push(Arc::clone(name));
                    }
                }
                Due::Send(resource) => {
                    let bytes = resource.body.len() + name.len() + ENTRY;
                    if size > 0 && size + bytes > most {
                        break;
                    }
                    size += bytes;
                    items.push(Item::Present(resource));
                }
            }
            if size >= most {
                break;
            }
        }
        *held |= held_here;
        let state = &mut self.kinds[kind as usize];
        for name in settled {
            state.pending.remove(&name);
        }
        // The first set names all that the client may have from before, or it would lose it.
        if held_here && state.whole.as_ref().is_some_and(|whole| !whole.has_begun()) {
            return Turn::Nothing;
        }
        if waits {
            return Turn::Wait;
        }
        let owed = state.owed && !busy && state.pending.is_empty();
        if items.is_empty() && removed.is_empty() && !owed {
            return Turn::Nothing;
        }
        Turn::Send(self.send(kind, items, removed, view.sequence(), now))
    }

    fn due(&self, kind: ResourceType, name: &Arc<str>, pending: Pending, view: &View<'_>, now: Instant) -> Due {
        let held = self.kinds[kind as usize].held.get(name);
        match view.get(kind, name) {
            Some(resource) => {
                let told = held.is_some_and(|held| held.told == Some(resource.version));
                if told && !pending.again {
                    Due::Settled
                } else if self.ready(resource, view, now) || now >= pending.since + HOLD {
                    Due::Send(Arc::clone(resource))
                } else {
                    Due::Held
                }
            }
            // There is no way to say it.
            None if !self.mode.is_delta() && !is_whole(kind) => Due::Settled,
            None if held.is_some_and(|held| held.may_have()) => Due::Remove,
            None if held.is_some() && !pending.again => Due::Settled,
            None if kind == ResourceType::VirtualHost && self.asked.is_unknown(name) => Due::Missing,
            None if !self.kinds[kind as usize].names.contains(name) => Due::Settled,
            None if kind == ResourceType::VirtualHost && self.has_hosts(name, view) => Due::Settled,
            None => Due::Missing,
        }
    }

    /// Whether a VHDS name is a RouteConfiguration's whose hosts answer for it.
    fn has_hosts(&self, name: &str, view: &View<'_>) -> bool {
        match view.form().hosts {
            Hosts::Inline | Hosts::OnDemand => self.is_routes(name, view),
            Hosts::Each => view.hosts(name).next().is_some(),
        }
    }

    /// Whether the client has every cluster that `resource` sends requests to, as far as this stream can tell.
    fn ready(&self, resource: &Encoded, view: &View<'_>, now: Instant) -> bool {
        if self.mode.alone {
            return true;
        }
        let mut clusters = resource.references.iter().filter(|(kind, _)| *kind == ResourceType::Cluster);
        clusters.all(|(_, name)| self.cluster_ready(name, view, now))
    }

    fn cluster_ready(&self, name: &Arc<str>, view: &View<'_>, now: Instant) -> bool {
        let state = &self.kinds[ResourceType::Cluster as usize];
        if state.asked && !state.covers(ResourceType::Cluster, view.form(), name) {
            return true;
        }
        let Some(cluster) = view.get(ResourceType::Cluster, name) else { return true };
        match state.held.get(name) {
            // A client that reconnects may ask for its routes first; one that has its clusters from
            // elsewhere never asks.
            _ if !state.asked => now >= self.opened + HOLD,
            // Waiting would not bring it.
            Some(held) if held.standing == Standing::Rejected => true,
            Some(held) if held.in_use => cluster.references.iter().all(|(_, name)| self.endpoints_ready(name)),
            _ => false,
        }
    }

    fn endpoints_ready(&self, name: &Arc<str>) -> bool {
        let state = &self.kinds[ResourceType::LoadAssignment as usize];
        let answered = state.held.get(name).is_some_and(|held| held.standing != Standing::Waiting);
        answered && !state.pending.contains_key(name)
    }

    /// Removals of a type: of what nothing that the client holds refers to.
    fn removals(&mut self, kind: ResourceType, view: &View<'_>, now: Instant, held: bool) -> Option<Response> {
        let state = &self.kinds[kind as usize];
        if state.in_flight.is_some() {
            return None;
        }
        let referrers = referrers(kind, view.form());
        let known = referrers.iter().all(|kind| self.references_known(*kind, now));
        let may_go = |name: &Arc<str>, pending: &Pending| {
            if self.mode.alone {
                return referrers.is_empty() || now >= pending.since + HOLD;
            }
            if now < pending.since + HOLD {
                return !held && known && !self.uses.any(kind, name);
            }
            // What a client goes on using because it refused the new version keeps what it needs.
            let reference = (kind, Arc::clone(name));
            !referrers.iter().any(|other| self.kinds[*other as usize].refused_refers_to(&reference))
        };
        let gone = state.pending.iter().filter(|(name, pending)| {
            matches!(self.due(kind, name, **pending, view, now), Due::Remove) && may_go(name, pending)
        });
        let mut size = 0;
        let removed: Vec<Arc<str>> = gone
            .map(|(name, _)| Arc::clone(name))
            .take_while(|name| {
                size += name.len() + ENTRY;
                size <= MAX_RESPONSE
            })
            .collect();
        (!removed.is_empty()).then(|| self.send(kind, Vec::new(), removed, view.sequence(), now))
    }

    /// Whether the server knows what the client's resources of a type refer to: not while a client
    /// that reconnects has not said what it brings along, or brings what has changed since. In state of the
    /// world it never says it, and is known once it was told all that it asked for.
    fn references_known(&self, kind: ResourceType, now: Instant) -> bool {
        let state = &self.kinds[kind as usize];
        let told = self.mode.is_delta() || (state.pending.is_empty() && state.in_flight.is_none());
        state.blind.is_empty() && ((state.asked && told) || now >= self.opened + HOLD)
    }

    fn send(
        &mut self,
        kind: ResourceType,
        items: Vec<Item>,
        removed: Vec<Arc<str>>,
        sequence: u64,
        now: Instant,
    ) -> Response {
        self.nonce += 1;
        let nonce = self.nonce;
        let state = &mut self.kinds[kind as usize];
        let mut names = Vec::with_capacity(items.len() + removed.len());
        let mut aliases = BTreeMap::new();
        for item in &items {
            let (name, version, references) = match item {
                Item::Present(r) => (&r.name, Some(r.version), Arc::clone(&r.references)),
                Item::Absent(name) => (name, None, Arc::default()),
            };
            names.push((Arc::clone(name), state.in_use(name)));
            state.tell(name, version, references, nonce, &mut self.uses);
            if kind == ResourceType::VirtualHost {
                self.asked.settle(name);
                let asked = self.asked.take(name);
                if !asked.is_empty() {
                    aliases.insert(Arc::clone(name), asked);
                }
            }
        }
        for name in &removed {
            names.push((Arc::clone(name), state.in_use(name)));
            state.tell(name, None, Arc::default(), nonce, &mut self.uses);
        }
        for (name, _) in &names {
            state.pending.remove(name);
        }
        state.owed = false;
        state.sent_sequence = sequence;
        if kind == ResourceType::Cluster {
            self.endpoints_again(&items, now);
        }
        let state = &mut self.kinds[kind as usize];
        let (items, removed) = match &mut state.whole {
            Some(whole) => (whole.tell(&items, &removed), Vec::new()),
            None => (items, removed),
        };
        let version = (!self.mode.is_delta()).then(|| version_of(&items));
        state.in_flight = Some(InFlight { nonce, sequence, version, names });
        Response { kind, nonce: nonce.to_string(), sequence, items, removed, version, aliases }
    }

    /// Endpoints of clusters that were just sent, where the client was told of them before.
    fn endpoints_again(&mut self, clusters: &[Item], now: Instant) {
        let state = &mut self.kinds[ResourceType::LoadAssignment as usize];
        for item in clusters {
            let Item::Present(cluster) = item else { continue };
            for (_, name) in cluster.references.iter() {
                let told = state.held.get(name).is_some_and(|h| h.told.is_some() && h.standing != Standing::Rejected);
                if told {
                    state.mark(name, true, now);
                } else if !state.asked {
                    self.warming.insert(Arc::clone(name));
                }
            }
        }
    }
}
