//! The delta ADS client as a state machine: messages in, what changed and messages out. No I/O, no
//! async, no clock.
//!
//! Clusters and listeners are asked for as a whole (wildcard); everything else by the names that
//! accepted resources refer to, and virtual hosts by the name of their route configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource as Wire};
use weir_config::FieldError;
use weir_config::model::name::split_virtual_host;
use weir_config::model::{Listener, Resource, ResourceType, Snapshot};
use weir_config::xds::decode;

mod secrets;

use super::Admit;
use super::change::{Change, Received};
use super::held::{Asking, Held};
use super::message;
use super::refs::{Key, Refs, wildcard};

/// Longest name of a resource, in bytes.
const MAX_NAME: usize = 4096;

/// What follows from a response.
#[derive(Debug, Default)]
pub struct Step {
    /// What changed.
    pub change: Change,
    /// What to send: the acknowledgement or refusal first, then changed subscriptions.
    pub replies: Vec<DeltaDiscoveryRequest>,
}

/// State of one type of resource.
#[derive(Debug, Default)]
struct Subscription {
    /// Versions of accepted resources.
    versions: BTreeMap<String, String>,
    /// What was refused since it was last accepted, and why.
    rejected: BTreeMap<String, Vec<FieldError>>,
    /// Whether the type was asked for on this stream.
    opened: bool,
    /// Whether the server ever said anything of the type.
    told: bool,
}

/// The client.
pub struct Client {
    node: Node,
    admit: Arc<dyn Admit>,
    world: Snapshot,
    refs: Refs,
    types: BTreeMap<ResourceType, Subscription>,
    /// Names about which the server has said something: what they hold, that there is nothing, or
    /// something that was refused. For virtual hosts, the names of their route configurations.
    answered: BTreeSet<Key>,
    held: Held,
}

impl Client {
    /// A client that has nothing yet, of this node id and cluster.
    pub fn new(id: &str, cluster: &str, admit: Arc<dyn Admit>) -> Self {
        Self {
            node: message::node(id, cluster),
            admit,
            world: Snapshot::default(),
            refs: Refs::default(),
            types: ResourceType::ALL.iter().map(|kind| (*kind, Subscription::default())).collect(),
            answered: BTreeSet::new(),
            held: Held::new(usize::MAX),
        }
    }

    /// The same, which asks for so many secrets of listeners at a time, at least one, before it has anything.
    #[must_use]
    pub fn with_secrets(self, most: usize) -> Self {
        Self { held: Held::new(most), ..self }
    }

    /// Accepted resources.
    pub fn world(&self) -> &Snapshot {
        &self.world
    }

    /// What was accepted, as warming sees it.
    pub fn received(&self) -> Received<'_> {
        Received { world: &self.world, answered: &self.answered, held: &self.held }
    }

    /// Version of an accepted resource.
    pub fn version(&self, kind: ResourceType, name: &str) -> Option<&str> {
        self.types.get(&kind)?.versions.get(name).map(String::as_str)
    }

    /// What was refused since it was last accepted, and why.
    pub fn rejected(&self) -> impl Iterator<Item = (ResourceType, &str, &[FieldError])> {
        self.types.iter().flat_map(|(kind, s)| s.rejected.iter().map(|(name, e)| (*kind, name.as_str(), e.as_slice())))
    }

    /// Whether the server has said, at least once, which clusters and listeners there are.
    pub fn told(&self) -> bool {
        self.types.iter().all(|(kind, s)| s.told || !wildcard(*kind))
    }

    /// Takes over stored resources with their versions, before the first stream. What can no longer
    /// be served is left out, and so is asked for again.
    pub fn restore(&mut self, stored: impl IntoIterator<Item = (Resource, String)>) {
        let mut touched = BTreeSet::new();
        for (resource, version) in stored {
            if self.admit.admit(&resource).is_ok() {
                self.keep(resource, version, &mut touched);
            }
        }
        self.restore_secrets(touched);
    }

    /// The first messages of a new stream: every type that is wanted, with the versions that are
    /// held. A refused resource is not among them, or it would never be sent again.
    pub fn open(&mut self) -> Vec<DeltaDiscoveryRequest> {
        for subscription in self.types.values_mut() {
            subscription.opened = false;
        }
        let mut requests: Vec<_> = ResourceType::ALL
            .iter()
            .filter_map(|kind| {
                // A type that is asked for as a whole is asked for by no name, or only those names would come.
                let names: Vec<String> = match wildcard(*kind) {
                    true => Vec::new(),
                    false if *kind == ResourceType::Secret => self.held.names().map(str::to_owned).collect(),
                    false => self.refs.names(*kind).map(str::to_owned).collect(),
                };
                (wildcard(*kind) || !names.is_empty()).then(|| self.first(*kind, names))
            })
            .collect();
        if let Some(first) = requests.first_mut() {
            first.node = Some(self.node.clone());
        }
        requests
    }

    /// Takes a response in. Good resources are used although others of the same response are refused (gRFC A46).
    pub fn receive(&mut self, response: DeltaDiscoveryResponse) -> Step {
        let Some(kind) = ResourceType::from_url(&response.type_url) else {
            let text = format!("resources of type `{}` are not known here", response.type_url);
            return Step { replies: vec![reply(response.type_url, response.nonce, Some(text))], ..Step::default() };
        };
        let mut change = Change::default();
        let mut touched = BTreeSet::new();
        let removed = response.removed_resources.iter().map(String::as_str);
        let removed: BTreeSet<&str> =
            removed.chain(response.removed_resource_names.iter().map(|n| n.name.as_str())).collect();
        let mut bad = repeated(&response.resources, &removed);
        self.subscription(kind).told = true;
        self.note_answers(kind, &response, &removed);
        for wire in &response.resources {
            if bad.contains_key(&wire.name) || !self.wanted(kind, &wire.name) {
                continue;
            }
            match self.read(kind, wire).and_then(|resource| self.address_is_free(resource, &removed)) {
                Ok(Some(resource)) => {
                    if self.world.get(kind, &wire.name).as_ref() != Some(&resource) {
                        change.upserts.push(resource.clone());
                    }
                    self.keep(resource, wire.version.clone(), &mut touched);
                }
                Ok(None) => self.drop_removed(kind, &wire.name, &mut change, &mut touched),
                Err(errors) => {
                    bad.insert(wire.name.clone(), errors);
                }
            }
        }
        for name in &removed {
            let name = *name;
            if !bad.contains_key(name) {
                self.drop_removed(kind, name, &mut change, &mut touched);
            }
        }
        let mut replies = vec![reply(response.type_url, response.nonce, None)];
        if kind == ResourceType::Secret {
            let none = |name: &&str| !self.world.secrets.contains_key(*name);
            change.absent =
                removed.iter().copied().chain(bad.keys().map(String::as_str)).filter(none).map(str::to_owned).collect();
        }
        if !bad.is_empty() {
            replies[0].error_detail = Some(message::refusal(kind, &bad));
            self.subscription(kind).rejected.extend(bad);
        }
        replies.extend(self.resubscribe(touched, &mut change));
        Step { change, replies }
    }

    /// Decodes and judges one resource. Without a body it says that there is none of that name (VHDS).
    fn read(&self, kind: ResourceType, wire: &Wire) -> Result<Option<Resource>, Vec<FieldError>> {
        let one = |error| vec![error];
        if wire.name.is_empty() || wire.name.len() > MAX_NAME {
            return Err(one(FieldError::new("name", format!("must have from 1 to {MAX_NAME} bytes"))));
        }
        let Some(body) = &wire.resource else { return Ok(None) };
        if body.type_url != kind.url() {
            return Err(one(FieldError::new("resource", format!("is a `{}`", body.type_url))));
        }
        let mut resource = decode(kind, &body.value)?;
        match &mut resource {
            // VHDS identifies a virtual host by the name in the envelope alone.
            Resource::VirtualHost(host) => Arc::make_mut(host).name.clone_from(&wire.name),
            other if other.name() != wire.name => {
                return Err(one(FieldError::new("name", format!("is `{}` within", other.name()))));
            }
            _ => {}
        }
        self.admit.admit(&resource)?;
        Ok(Some(resource))
    }

    /// Refuses a listener at an address that another one has, as Envoy does.
    fn address_is_free(
        &self,
        resource: Option<Resource>,
        removed: &BTreeSet<&str>,
    ) -> Result<Option<Resource>, Vec<FieldError>> {
        if let Some(Resource::Listener(new)) = &resource {
            let mut others = self.world.listeners.values();
            // One number may be TCP's and UDP's.
            let bound = |listener: &Listener| (listener.address, listener.udp.is_some());
            let taken =
                others.find(|old| bound(old) == bound(new) && old.name != new.name && !removed.contains(&*old.name));
            if let Some(old) = taken.filter(|_| new.address.port() != 0) {
                return Err(vec![FieldError::new(
                    "address",
                    format!("{} is that of listener `{}`", new.address, old.name),
                )]);
            }
        }
        Ok(resource)
    }

    /// Puts an accepted resource in the world.
    fn keep(&mut self, resource: Resource, version: String, touched: &mut BTreeSet<Key>) {
        let (kind, name) = (resource.kind(), resource.name().to_owned());
        touched.extend(self.refs.replace(self.world.get(kind, &name).as_ref(), Some(&resource)));
        self.world.insert(resource);
        let subscription = self.subscription(kind);
        subscription.rejected.remove(&name);
        subscription.versions.insert(name, version);
    }

    /// Takes a resource out of the world; true if it was there.
    fn drop_accepted(&mut self, kind: ResourceType, name: &str, touched: &mut BTreeSet<Key>) -> bool {
        let subscription = self.subscription(kind);
        subscription.rejected.remove(name);
        subscription.versions.remove(name);
        let Some(old) = self.world.get(kind, name) else { return false };
        touched.extend(self.refs.replace(Some(&old), None));
        self.world.remove(kind, name)
    }

    /// Takes a resource out by the server's word.
    fn drop_removed(&mut self, kind: ResourceType, name: &str, change: &mut Change, touched: &mut BTreeSet<Key>) {
        if self.drop_accepted(kind, name, touched) {
            change.removed.push((kind, name.to_owned()));
        }
    }

    /// Whether a resource of that name was asked for. Others, such as those under way when a name
    /// was given up, are passed over.
    fn wanted(&self, kind: ResourceType, name: &str) -> bool {
        match kind {
            _ if wildcard(kind) => true,
            ResourceType::VirtualHost => {
                split_virtual_host(name).is_some_and(|(routes, _)| self.refs.contains(&(kind, routes.to_owned())))
            }
            ResourceType::Secret => self.held.asked(name),
            _ => self.refs.contains(&(kind, name.to_owned())),
        }
    }

    /// Notes which names a response is an answer for.
    fn note_answers(&mut self, kind: ResourceType, response: &DeltaDiscoveryResponse, removed: &BTreeSet<&str>) {
        let failed = response.resource_errors.iter().filter_map(|e| e.resource_name.as_ref()).map(|n| n.name.as_str());
        let names = response.resources.iter().map(|r| r.name.as_str()).chain(removed.iter().copied()).chain(failed);
        let mut answers: BTreeSet<Key> = names.map(|name| (kind, name.to_owned())).collect();
        if kind == ResourceType::VirtualHost {
            // A host answers for its route configuration; nothing at all answers for every one.
            let routes =
                answers.iter().filter_map(|(_, name)| split_virtual_host(name)).map(|(r, _)| (kind, r.to_owned()));
            let routes: Vec<_> = routes.collect();
            answers.extend(routes);
            if response.resources.is_empty() && removed.is_empty() {
                answers.extend(self.refs.names(kind).map(|name| (kind, name.to_owned())));
            }
        }
        answers.retain(|key| match key.0 {
            ResourceType::Secret => self.held.asked(&key.1),
            _ => self.refs.contains(key),
        });
        self.answered.extend(answers);
    }

    /// Gives up what nothing refers to any more, and says what to ask for and what not.
    fn resubscribe(&mut self, mut touched: BTreeSet<Key>, change: &mut Change) -> Vec<DeltaDiscoveryRequest> {
        let mut changed = BTreeSet::new();
        while let Some(key) = touched.pop_last() {
            if key.0 == ResourceType::Secret {
                self.held.need(&key.1, self.refs.need(&key.1));
                continue;
            }
            if !self.refs.contains(&key) {
                self.answered.remove(&key);
                for held in self.held_for(key.0, &key.1) {
                    if self.drop_accepted(key.0, &held, &mut touched) {
                        change.released.push((key.0, held));
                    }
                }
            }
            changed.insert(key);
        }
        let mut names: BTreeMap<ResourceType, (Vec<String>, Vec<String>)> = BTreeMap::new();
        for key in changed {
            let wanted = self.refs.contains(&key);
            let (more, less) = names.entry(key.0).or_default();
            if wanted { more.push(key.1) } else { less.push(key.1) }
        }
        let asking = self.ask_for_secrets(change);
        if asking != Asking::default() {
            names.insert(ResourceType::Secret, (asking.more, asking.less));
        }
        names.into_iter().filter_map(|(kind, (more, less))| self.request(kind, more, less)).collect()
    }

    /// What is held under a name that was asked for.
    fn held_for(&self, kind: ResourceType, name: &str) -> Vec<String> {
        if kind != ResourceType::VirtualHost {
            return vec![name.to_owned()];
        }
        let prefix = format!("{name}/");
        let hosts = self.world.virtual_hosts.range(prefix.clone()..).map(|(host, _)| host);
        let under = hosts.take_while(|host| host.starts_with(&prefix));
        under.filter(|host| split_virtual_host(host).is_some_and(|(routes, _)| routes == name)).cloned().collect()
    }

    /// A change of subscriptions; none where nothing needs to be said.
    fn request(&mut self, kind: ResourceType, more: Vec<String>, less: Vec<String>) -> Option<DeltaDiscoveryRequest> {
        if !self.subscription(kind).opened {
            // Before the first request of a type there is nothing to give up, and a first request
            // without names would ask for everything.
            return (!more.is_empty()).then(|| self.first(kind, more));
        }
        Some(DeltaDiscoveryRequest {
            type_url: kind.url().to_owned(),
            resource_names_subscribe: more,
            resource_names_unsubscribe: less,
            ..DeltaDiscoveryRequest::default()
        })
    }

    /// The first request of a type on a stream.
    fn first(&mut self, kind: ResourceType, names: Vec<String>) -> DeltaDiscoveryRequest {
        let subscription = self.subscription(kind);
        subscription.opened = true;
        DeltaDiscoveryRequest {
            type_url: kind.url().to_owned(),
            resource_names_subscribe: names,
            initial_resource_versions: subscription.versions.clone().into_iter().collect(),
            ..DeltaDiscoveryRequest::default()
        }
    }

    fn subscription(&mut self, kind: ResourceType) -> &mut Subscription {
        self.types.entry(kind).or_default()
    }
}

/// Names that stand in a response more than once: nobody can say which one is meant.
fn repeated(resources: &[Wire], removed: &BTreeSet<&str>) -> BTreeMap<String, Vec<FieldError>> {
    let mut seen = BTreeSet::new();
    let twice = resources.iter().filter(|r| !seen.insert(r.name.as_str()) || removed.contains(r.name.as_str()));
    twice.map(|r| (r.name.clone(), vec![FieldError::new("", "stands in the response more than once")])).collect()
}

/// An acknowledgement, or with a text a refusal.
fn reply(type_url: String, nonce: String, refusal: Option<String>) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url,
        response_nonce: nonce,
        error_detail: refusal.map(message::status),
        ..DeltaDiscoveryRequest::default()
    }
}
