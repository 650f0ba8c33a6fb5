//! What was accepted, and what of it is live: a resource goes live when what it refers to is
//! there. Pure: the clock is passed in.
//!
//! Until then the version before keeps serving. The wait is bounded, as Envoy's is: after
//! [`BOUND`] a resource goes live as it is. Nothing waits for what the version before referred to
//! already, nor for a name of which the server said that there is none, nor for a certificate that is fetched when a
//! handshake needs it.
//!
//! What the server removes is gone at once where it is a cut in authority; clusters and endpoints
//! stay while an older version that is still live needs them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use weir_config::model::name::split_virtual_host;
use weir_config::model::{Delta, Resource, ResourceType, Snapshot};

use super::change::{Change, Received};
use super::refs::{Key, references};

/// Longest wait for what a resource refers to: Envoy's `initial_fetch_timeout`.
pub const BOUND: Duration = Duration::from_secs(15);

/// The order in which resources go live: what is referred to stands before what refers to it.
const ORDER: [ResourceType; 7] = [
    ResourceType::LoadAssignment,
    ResourceType::Secret,
    ResourceType::FilterConfig,
    ResourceType::Cluster,
    ResourceType::VirtualHost,
    ResourceType::RouteConfiguration,
    ResourceType::Listener,
];

/// What is live, and what waits.
#[derive(Debug, Default)]
pub struct Warm {
    active: Snapshot,
    /// What waits, and until when at most.
    pending: BTreeMap<Key, Instant>,
    /// What goes as soon as nothing live that is about to change needs it.
    leaving: BTreeSet<Key>,
}

impl Warm {
    /// Live resources.
    pub fn active(&self) -> &Snapshot {
        &self.active
    }

    /// What waits for something.
    pub fn pending(&self) -> impl Iterator<Item = &Key> {
        self.pending.keys()
    }

    /// When [`Warm::expire`] has something to do, if nothing arrives before.
    pub fn deadline(&self) -> Option<Instant> {
        self.pending.values().min().copied()
    }

    /// Makes all of a stored world live at once.
    pub fn restore(&mut self, world: &Snapshot) -> Delta {
        let mut delta = Delta::default();
        for kind in ORDER {
            for resource in world.of(kind) {
                self.activate(resource, &mut delta);
            }
        }
        delta
    }

    /// Takes in what a response changed, and says what changes for requests.
    pub fn receive(&mut self, received: Received<'_>, change: &Change, now: Instant) -> Delta {
        let mut delta = Delta::default();
        for key in &change.removed {
            self.pending.remove(key);
            if matches!(key.0, ResourceType::Cluster | ResourceType::LoadAssignment) {
                self.leaving.insert(key.clone());
            } else {
                self.deactivate(key, &mut delta);
            }
        }
        for key in &change.released {
            self.pending.remove(key);
            self.leaving.insert(key.clone());
        }
        for resource in &change.upserts {
            let key = (resource.kind(), resource.name().to_owned());
            self.leaving.remove(&key);
            if self.active.get(key.0, &key.1).as_ref() == Some(resource) {
                self.pending.remove(&key);
            } else {
                // A newer version does not wait anew, or churn would keep it waiting for ever.
                self.pending.entry(key).or_insert(now + BOUND);
            }
        }
        self.settle(received, now, &mut delta);
        delta
    }

    /// Makes live what has waited long enough.
    pub fn expire(&mut self, received: Received<'_>, now: Instant) -> Delta {
        let mut delta = Delta::default();
        self.settle(received, now, &mut delta);
        delta
    }

    /// Makes live what can be, then lets go what is not needed any more.
    fn settle(&mut self, received: Received<'_>, now: Instant, delta: &mut Delta) {
        for kind in ORDER {
            let waiting: Vec<_> = of_kind(&self.pending, kind).map(|(key, until)| (key.clone(), *until)).collect();
            for (key, until) in waiting {
                match received.world.get(kind, &key.1) {
                    Some(resource) if until <= now || self.ready(&resource, received) => {
                        self.pending.remove(&key);
                        self.activate(resource, delta);
                    }
                    Some(_) => {}
                    None => {
                        self.pending.remove(&key);
                    }
                }
            }
        }
        self.let_go(delta);
    }

    /// Whether everything that a resource newly refers to is there.
    fn ready(&self, resource: &Resource, received: Received<'_>) -> bool {
        let before: BTreeSet<Key> = self
            .active
            .get(resource.kind(), resource.name())
            .map(|r| references(&r))
            .unwrap_or_default()
            .into_iter()
            .collect();
        references(resource).iter().filter(|key| !before.contains(*key)).all(|key| self.there(key, received))
    }

    /// Whether what is referred to by `key` is live, or known not to exist.
    fn there(&self, key: &Key, received: Received<'_>) -> bool {
        let (kind, name) = key;
        match kind {
            ResourceType::Cluster => self.active.clusters.contains_key(name),
            ResourceType::Secret if received.held.left_out(name) => true,
            ResourceType::VirtualHost => received.answered.contains(key) && !self.hosts_wait(name),
            _ => {
                self.active.get(*kind, name).is_some()
                    || (received.answered.contains(key) && !self.pending.contains_key(key))
            }
        }
    }

    /// Whether a virtual host of this route configuration waits.
    fn hosts_wait(&self, routes: &str) -> bool {
        let prefix = format!("{routes}/");
        let from = (ResourceType::VirtualHost, prefix.clone());
        let mut hosts = self
            .pending
            .range(from..)
            .take_while(|((kind, name), _)| *kind == ResourceType::VirtualHost && name.starts_with(&prefix));
        hosts.any(|((_, name), _)| split_virtual_host(name).is_some_and(|(r, _)| r == routes))
    }

    /// Lets go of what is leaving, unless something live that is about to change or to go needs it.
    fn let_go(&mut self, delta: &mut Delta) {
        while !self.leaving.is_empty() {
            let about_to_change = self.pending.keys().chain(&self.leaving);
            let needed: BTreeSet<Key> = about_to_change
                .filter_map(|(kind, name)| self.active.get(*kind, name))
                .flat_map(|r| references(&r))
                .collect();
            let free: Vec<Key> =
                self.leaving.iter().filter(|key| !needed.contains(&referred_as(key))).cloned().collect();
            if free.is_empty() {
                return;
            }
            for key in free {
                self.leaving.remove(&key);
                self.deactivate(&key, delta);
            }
        }
    }

    fn activate(&mut self, resource: Resource, delta: &mut Delta) {
        self.active.insert(resource.clone());
        delta.upserts.push(resource);
    }

    fn deactivate(&mut self, key: &Key, delta: &mut Delta) {
        if self.active.remove(key.0, &key.1) {
            delta.removals.push(key.clone());
        }
    }
}

/// How others refer to a resource: to a virtual host by its route configuration.
fn referred_as(key: &Key) -> Key {
    match key {
        (ResourceType::VirtualHost, name) => {
            (ResourceType::VirtualHost, split_virtual_host(name).map_or(name.as_str(), |(routes, _)| routes).to_owned())
        }
        other => other.clone(),
    }
}

/// The entries of one type.
fn of_kind(pending: &BTreeMap<Key, Instant>, kind: ResourceType) -> impl Iterator<Item = (&Key, &Instant)> {
    pending.range((kind, String::new())..).take_while(move |((k, _), _)| *k == kind)
}
