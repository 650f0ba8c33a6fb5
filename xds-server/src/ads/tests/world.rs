//! A small consistent world: listeners, routes, hosts, clusters that share endpoints; and edits. Each
//! listener is of an edge of its own, and each cluster of one of two tenants.

use std::collections::{BTreeMap, BTreeSet};

use rand::Rng;
use weir_config::model::ResourceType;

use crate::ads::{Encoded, Store};
use crate::scope::Scope;

const CLUSTERS: u8 = 6;
const ENDPOINTS: u8 = 3;

/// A host's revision and clusters.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Host {
    revision: u32,
    bad: bool,
    clusters: BTreeSet<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct World {
    /// Listener `x<n>/l` with its RouteConfiguration and secret, by number.
    listeners: BTreeSet<u8>,
    /// Host `x<listener>/rc/h<n>`.
    hosts: BTreeMap<(u8, u8), Host>,
    clusters: [u32; CLUSTERS as usize],
    bad_clusters: BTreeSet<u8>,
    endpoints: [u32; ENDPOINTS as usize],
    secret: u32,
}

/// Type and name.
pub(super) type Key = (ResourceType, String);

fn cluster_name(number: u8) -> String {
    format!("t{}/c{number}", number % 2)
}

/// What a scope may hold of these, worked out in the most naive way.
pub(super) fn visible(all: &BTreeMap<Key, Encoded>, scope: &Scope) -> BTreeSet<Key> {
    use ResourceType::{Cluster, FilterConfig, Listener, LoadAssignment, RouteConfiguration, Secret, VirtualHost};
    let (first, roots, others): (_, &[_], &[_]) = match scope {
        Scope::Everything => return all.keys().cloned().collect(),
        Scope::Nothing => return BTreeSet::new(),
        Scope::Edge(edge) => {
            let others = &[Cluster, LoadAssignment, Secret, FilterConfig];
            (edge, &[Listener, RouteConfiguration, VirtualHost], others)
        }
        Scope::Tenant(tenant) => (tenant, &[Cluster], &[LoadAssignment]),
    };
    let is_root = |(kind, name): &&Key| roots.contains(kind) && name.starts_with(&format!("{first}/"));
    let mut found: BTreeSet<Key> = all.keys().filter(is_root).cloned().collect();
    loop {
        let references = found.iter().flat_map(|key| all[key].references.iter());
        let wanted = references.map(|(kind, name)| (*kind, name.to_string()));
        let more: BTreeSet<Key> =
            wanted.filter(|key| others.contains(&key.0) && all.contains_key(key) && !found.contains(key)).collect();
        if more.is_empty() {
            return found;
        }
        found.extend(more);
    }
}

impl World {
    pub(super) fn new() -> Self {
        let mut world = Self { listeners: BTreeSet::from([0]), ..Self::default() };
        world.hosts.insert((0, 0), Host { revision: 0, bad: false, clusters: BTreeSet::from([0]) });
        world
    }

    /// One edit of any sort; `bad` ones make resources that the client refuses.
    pub(super) fn edit(&mut self, rng: &mut impl Rng, bad: bool) {
        let listener = rng.random_range(0..2);
        let cluster = rng.random_range(0..CLUSTERS);
        match rng.random_range(0..12) {
            0..=3 => {
                let clusters = (0..rng.random_range(1..3)).map(|_| rng.random_range(0..CLUSTERS)).collect();
                let revision = rng.random_range(0..4);
                let bad = bad && rng.random_bool(0.2);
                self.hosts.insert((listener, rng.random_range(0..3)), Host { revision, bad, clusters });
            }
            4 => drop(self.hosts.remove(&(listener, rng.random_range(0..3)))),
            5 => drop(self.listeners.insert(listener)),
            6 if rng.random_bool(0.5) => drop(self.listeners.remove(&listener)),
            7 => self.endpoints[usize::from(rng.random_range(0..ENDPOINTS))] += 1,
            8 => self.secret += 1,
            9 if bad => {
                if !self.bad_clusters.remove(&cluster) {
                    self.bad_clusters.insert(cluster);
                }
            }
            _ => self.clusters[usize::from(cluster)] += 1,
        }
    }

    /// Another revision of one host that is served, and nothing else; its name.
    pub(super) fn touch_host(&mut self) -> Option<String> {
        let listeners = &self.listeners;
        let ((listener, number), host) =
            self.hosts.iter_mut().find(|((listener, _), _)| listeners.contains(listener))?;
        host.revision += 1000;
        Some(format!("x{listener}/rc/h{number}"))
    }

    /// Nothing is bad any more.
    pub(super) fn heal(&mut self) {
        self.bad_clusters.clear();
        for host in self.hosts.values_mut() {
            host.bad = false;
        }
    }

    /// The resources.
    pub(super) fn resources(&self) -> BTreeMap<Key, Encoded> {
        let mut all = Vec::new();
        let mut clusters: BTreeSet<u8> = BTreeSet::new();
        for listener in &self.listeners {
            let (name, routes) = (format!("x{listener}/l"), format!("x{listener}/rc"));
            let secret = format!("s{listener}");
            let references = [(ResourceType::RouteConfiguration, routes.as_str()), (ResourceType::Secret, &secret)];
            all.push(Encoded::fake(ResourceType::Listener, &name, b"", &references));
            all.push(Encoded::fake(ResourceType::RouteConfiguration, &routes, b"", &[]));
            for ((_, number), host) in self.hosts.range((*listener, 0)..(listener + 1, 0)) {
                clusters.extend(&host.clusters);
                let names: Vec<String> = host.clusters.iter().map(|cluster| cluster_name(*cluster)).collect();
                let references: Vec<_> = names.iter().map(|name| (ResourceType::Cluster, name.as_str())).collect();
                let body = format!("{}{}{names:?}", if host.bad { "bad" } else { "" }, host.revision);
                let name = format!("{routes}/h{number}");
                all.push(Encoded::fake(ResourceType::VirtualHost, &name, body.as_bytes(), &references));
            }
        }
        for cluster in &clusters {
            let endpoints = format!("e{}", cluster % ENDPOINTS);
            let bad = if self.bad_clusters.contains(cluster) { "bad" } else { "" };
            let body = format!("{bad}{}", self.clusters[usize::from(*cluster)]);
            let references = [(ResourceType::LoadAssignment, endpoints.as_str())];
            all.push(Encoded::fake(ResourceType::Cluster, &cluster_name(*cluster), body.as_bytes(), &references));
        }
        for endpoints in clusters.iter().map(|cluster| cluster % ENDPOINTS).collect::<BTreeSet<_>>() {
            let body = self.endpoints[usize::from(endpoints)].to_string();
            all.push(Encoded::fake(ResourceType::LoadAssignment, &format!("e{endpoints}"), body.as_bytes(), &[]));
        }
        for listener in &self.listeners {
            let (name, body) = (format!("s{listener}"), self.secret.to_string());
            all.push(Encoded::fake(ResourceType::Secret, &name, body.as_bytes(), &[]));
        }
        all.into_iter().map(|resource| ((resource.kind, resource.name.to_string()), resource)).collect()
    }

    /// Publishes what is different from `before`; true if anything is.
    pub(super) fn publish(&self, before: &BTreeMap<Key, Encoded>, store: &Store) -> bool {
        let now = self.resources();
        let upserts =
            now.iter().filter(|(key, resource)| before.get(key).is_none_or(|b| b.version != resource.version));
        let removals: Vec<_> = before.keys().filter(|key| !now.contains_key(key)).collect();
        let removals: Vec<_> = removals.iter().map(|(kind, name)| (*kind, name.as_str())).collect();
        store.publish_encoded(upserts.map(|(_, resource)| resource.clone()).collect(), &removals)
    }
}
