//! A model of an xDS client, after Envoy: it subscribes to what it holds refers to, warms
//! clusters, drops what it unsubscribes from, and refuses what is bad by name.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use weir_config::model::ResourceType;

use crate::ads::subscription::{Item, Request, Response, WorldRequest};
use crate::ads::{Encoded, Form, Hosts, Version};

/// What the client says.
#[derive(Clone, Debug)]
pub(super) enum Word {
    Delta(Request),
    World(WorldRequest),
}

/// What the client has of one type.
#[derive(Debug, Default)]
pub(super) struct Kind {
    pub(super) wildcard: bool,
    pub(super) names: BTreeSet<String>,
    pub(super) held: BTreeMap<String, Arc<Encoded>>,
    /// Names of which it was told that there is nothing.
    pub(super) absent: BTreeSet<String>,
    /// Versions that it refused on this stream.
    pub(super) refused: BTreeMap<String, Version>,
    /// Names that it asked for anew and not heard of since.
    pub(super) asked_again: BTreeSet<String>,
    /// Names that it left or asked for anew on this stream: what it refused of them may come again.
    left: BTreeSet<String>,
    /// Requests under way to the server, in order.
    pub(super) outbox: VecDeque<Word>,
    /// Of a state-of-the-world client: whether it writes `*`, the newest nonce, the version accepted last.
    star: bool,
    nonce: String,
    version: String,
    /// Whether it was told anything on this stream.
    told: bool,
}

impl Kind {
    /// All that it wants, with this answer if any.
    fn world(&self, kind: ResourceType, error: Option<String>) -> Word {
        let star = self.star.then(|| "*".to_owned());
        let names = self.names.iter().cloned().chain(star).collect();
        let (version, nonce) = (self.version.clone(), self.nonce.clone());
        Word::World(WorldRequest { names, version, nonce, error, ..WorldRequest::new(kind) })
    }

    /// Whether it asks for this name, by itself or as a host of a RouteConfiguration.
    pub(super) fn covers(&self, name: &str) -> bool {
        self.wildcard || names_it(&self.names, name)
    }
}

fn names_it(names: &BTreeSet<String>, name: &str) -> bool {
    names.contains(name) || name.rsplit_once('/').is_some_and(|(routes, _)| names.contains(routes))
}

/// The client.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) form: Form,
    /// Whether it speaks state of the world.
    pub(super) world: bool,
    pub(super) kinds: BTreeMap<ResourceType, Kind>,
    /// Clusters that had their endpoints since they came, in some version: they take requests.
    pub(super) active: BTreeSet<String>,
    /// Clusters whose newest version waits for endpoints.
    pub(super) warming: BTreeSet<String>,
    /// Clusters that it refused and that never took requests since: the server does not wait for them.
    excused: BTreeSet<String>,
    /// Resources and removals heard of since last asked.
    pub(super) heard: usize,
}

impl Client {
    pub(super) fn new(form: Form, world: bool) -> Self {
        let kinds = ResourceType::ALL.iter().map(|kind| (*kind, Kind::default())).collect();
        let (active, warming, excused) = Default::default();
        Self { form, world, kinds, active, warming, excused, heard: 0 }
    }

    pub(super) fn kind(&mut self, kind: ResourceType) -> &mut Kind {
        self.kinds.get_mut(&kind).unwrap()
    }

    /// The first requests of a stream: wildcard for clusters and listeners, the rest by name.
    pub(super) fn connect(&mut self, explicit: bool) {
        // What was still warming is used with the endpoints of before.
        self.active.append(&mut self.warming);
        for (kind, state) in &mut self.kinds {
            state.outbox.clear();
            state.refused.clear();
            state.asked_again.clear();
            state.absent.clear();
            state.left.clear();
            state.wildcard = matches!(kind, ResourceType::Cluster | ResourceType::Listener);
            (state.star, state.told) = (explicit && state.wildcard, false);
            state.nonce.clear();
            if self.world {
                if state.wildcard || !state.names.is_empty() {
                    let word = state.world(*kind, None);
                    state.outbox.push_back(word);
                }
                continue;
            }
            let mut request = Request::new(*kind);
            request.initial = state.held.iter().map(|(name, r)| (name.clone(), r.version.to_string())).collect();
            request.subscribe = state.names.iter().cloned().collect();
            if state.wildcard && (explicit || !state.names.is_empty()) {
                request.subscribe.push("*".into());
            }
            if state.wildcard || !state.names.is_empty() {
                state.outbox.push_back(Word::Delta(request));
            }
        }
        self.follow();
    }

    /// Takes a response in and answers it.
    pub(super) fn receive(&mut self, response: Response) {
        let kind = response.kind;
        let mut errors = Vec::new();
        if self.world {
            self.leave_out(&response);
        }
        for item in response.items {
            self.heard += 1;
            match item {
                Item::Present(resource) => {
                    let world = self.world;
                    let state = self.kind(kind);
                    if !state.covers(&resource.name) {
                        continue;
                    }
                    let has = state.held.get(&*resource.name).is_some_and(|had| had.version == resource.version);
                    if has && world && state.wildcard {
                        continue;
                    }
                    state.asked_again.remove(&*resource.name);
                    state.absent.remove(&*resource.name);
                    if resource.body.windows(3).any(|window| window == b"bad") {
                        let again = state.refused.insert(resource.name.to_string(), resource.version);
                        let asked = names_it(&state.left, &resource.name);
                        assert!(asked || again != Some(resource.version), "{} came again after a NACK", resource.name);
                        errors.push(format!("{}: it is bad", resource.name));
                        if kind == ResourceType::Cluster {
                            self.excused.insert(resource.name.to_string());
                        }
                    } else {
                        self.take(resource);
                    }
                }
                Item::Absent(name) => self.lose(kind, &name),
            }
        }
        for name in response.removed {
            self.heard += 1;
            self.lose(kind, &name);
        }
        let world = self.world;
        let state = self.kind(kind);
        let error = (!errors.is_empty()).then(|| errors.join("; "));
        if world {
            state.told = true;
            state.nonce = response.nonce;
            if error.is_none() {
                state.version = response.version.unwrap().to_string();
            }
            let word = state.world(kind, error);
            state.outbox.push_back(word);
        } else {
            let answer = Request { nonce: response.nonce, error, ..Request::new(kind) };
            state.outbox.push_back(Word::Delta(answer));
        }
        self.follow();
    }

    /// What a whole set leaves out is gone. What a new stream takes away at once, for nobody knows any more that
    /// the client had it, may leave routes behind for a moment.
    fn leave_out(&mut self, response: &Response) {
        let kind = response.kind;
        if !self.kinds[&kind].wildcard {
            return;
        }
        let there: BTreeSet<&str> = response.items.iter().map(item_name).collect();
        let gone: Vec<String> =
            self.kinds[&kind].held.keys().filter(|name| !there.contains(name.as_str())).cloned().collect();
        for name in gone {
            if !self.kinds[&kind].told {
                self.excused.insert(name.clone());
            }
            self.lose(kind, &name);
        }
    }

    fn take(&mut self, resource: Arc<Encoded>) {
        let name = resource.name.to_string();
        match resource.kind {
            ResourceType::Cluster => drop(self.warming.insert(name.clone())),
            ResourceType::LoadAssignment => {
                let of = |cluster: &Encoded| cluster.references.iter().any(|(_, endpoints)| **endpoints == *name);
                let clusters = &self.kinds[&ResourceType::Cluster].held;
                let (warm, cold): (BTreeSet<String>, _) =
                    std::mem::take(&mut self.warming).into_iter().partition(|c| of(&clusters[c]));
                self.warming = cold;
                self.excused.retain(|cluster| !BTreeSet::contains(&warm, cluster));
                self.active.extend::<BTreeSet<String>>(warm);
            }
            _ => {}
        }
        let state = self.kind(resource.kind);
        state.refused.remove(&name);
        state.held.insert(name, resource);
    }

    fn lose(&mut self, kind: ResourceType, name: &str) {
        let state = self.kind(kind);
        state.held.remove(name);
        state.refused.remove(name);
        state.asked_again.remove(name);
        state.absent.insert(name.to_owned());
        if kind == ResourceType::Cluster {
            self.active.remove(name);
            self.warming.remove(name);
        }
    }

    /// Subscribes to what the client's resources refer to, and to nothing else.
    fn follow(&mut self) {
        let mut wanted: BTreeMap<ResourceType, BTreeSet<String>> = BTreeMap::new();
        for kind in [ResourceType::Cluster, ResourceType::Listener] {
            for (kind, name) in self.kinds[&kind].held.values().flat_map(|resource| resource.references.iter()) {
                wanted.entry(*kind).or_default().insert(name.to_string());
            }
        }
        if self.form.hosts == Hosts::Each {
            let routes = self.kinds[&ResourceType::RouteConfiguration].held.keys().cloned().collect();
            wanted.insert(ResourceType::VirtualHost, routes);
        }
        for kind in ResourceType::ALL {
            if self.kinds[kind].wildcard {
                continue;
            }
            let wanted = wanted.remove(kind).unwrap_or_default();
            let world = self.world;
            let state = self.kind(*kind);
            let mut request = Request::new(*kind);
            request.subscribe = wanted.difference(&state.names).cloned().collect();
            request.unsubscribe = state.names.difference(&wanted).cloned().collect();
            if request.subscribe.is_empty() && request.unsubscribe.is_empty() {
                continue;
            }
            for name in &request.unsubscribe {
                state.left.insert(name.clone());
                let hosts = format!("{name}/");
                state.held.retain(|held, _| held != name && !held.starts_with(&hosts));
                state.refused.retain(|held, _| held != name && !held.starts_with(&hosts));
                state.absent.remove(name);
                state.asked_again.remove(name);
            }
            state.names = wanted;
            let word = if world { state.world(*kind, None) } else { Word::Delta(request) };
            state.outbox.push_back(word);
        }
    }

    /// Asks anew for something that it has, with a nonce that says nothing. Who names all that it wants each time
    /// cannot.
    pub(super) fn ask_again(&mut self, kind: ResourceType) {
        if self.world {
            return;
        }
        let state = self.kind(kind);
        let Some(name) = state.names.iter().find(|name| state.held.contains_key(*name)).cloned() else { return };
        let mut request = Request::new(kind);
        request.subscribe.push(name.clone());
        request.nonce = "stale".into();
        state.left.insert(name.clone());
        state.asked_again.insert(name);
        state.outbox.push_back(Word::Delta(request));
    }

    /// Every route's clusters take requests, but for those that the client itself refused.
    pub(super) fn check_routes(&self) {
        for kind in [ResourceType::RouteConfiguration, ResourceType::VirtualHost] {
            for resource in self.kinds[&kind].held.values() {
                for (_, cluster) in resource.references.iter().filter(|(kind, _)| *kind == ResourceType::Cluster) {
                    let fine = self.active.contains(&**cluster) || self.excused.contains(&**cluster);
                    assert!(fine, "{} needs {cluster}, which is not there", resource.name);
                }
            }
        }
    }
}

pub(super) fn item_name(item: &Item) -> &str {
    match item {
        Item::Present(resource) => &resource.name,
        Item::Absent(name) => name,
    }
}
