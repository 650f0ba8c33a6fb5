//! From a response to live tables: client, warming, the compiler, the store. Everything but the
//! stream itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use weir_config::FieldError;
use weir_config::model::{Delta, Resource, ResourceType};

use super::change::Change;
use super::client::Client;
use super::persist::Store;
use super::refs::Key;
use super::warm::Warm;
use crate::clock;
use crate::tls::Wants;

/// How long additions wait before they are written, so that a burst is written once.
const DEBOUNCE: Duration = Duration::from_secs(1);
/// How long after a failure the store is written again.
const RETRY: Duration = Duration::from_secs(10);

/// Makes a change visible to requests: [`crate::live::Live::apply`].
pub type Apply = Box<dyn FnMut(&Delta) + Send>;

/// When a handshake last used the secret of this name: [`crate::live::Live::last_use`].
pub type LastUse = Box<dyn Fn(&str) -> u64 + Send>;

/// All of the proxy's configuration, and the way in.
pub struct Pipeline {
    client: Client,
    warm: Warm,
    apply: Apply,
    store: Option<Store>,
    max_staleness: Duration,
    /// When the store must be written.
    write_at: Option<Instant>,
    /// What changed since it was written.
    unwritten: BTreeSet<Key>,
    /// When a server last confirmed what is held.
    confirmed: SystemTime,
    /// Whether a server is connected.
    connected: bool,
    /// Whether a stored configuration was found.
    restored: bool,
    /// Messages received and refused.
    counts: Counts,
    wants: Arc<Wants>,
    last_use: LastUse,
    /// Secrets that handshakes need, and that must wait for others to come.
    later: Vec<String>,
}

/// What happened on the streams so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Streams opened.
    pub streams: u64,
    /// Responses taken in.
    pub responses: u64,
    /// Responses of which something was refused.
    pub refused: u64,
    /// Failures to write the store.
    pub store_failures: u64,
}

/// What an operator sees.
#[derive(Debug)]
pub struct State {
    /// Whether a server is connected.
    pub connected: bool,
    /// Live resources with their accepted versions.
    pub active: Vec<(Resource, String)>,
    /// What waits for something that it refers to.
    pub warming: Vec<(ResourceType, String)>,
    /// What was refused, and why.
    pub rejected: Vec<(ResourceType, String, Vec<FieldError>)>,
    /// What happened so far.
    pub counts: Counts,
}

/// The figures of a [`State`], without a copy of anything.
#[derive(Debug)]
pub struct Overview {
    /// Whether a server is connected.
    pub connected: bool,
    /// What happened so far.
    pub counts: Counts,
    /// How many live resources there are, by type.
    pub sizes: BTreeMap<ResourceType, usize>,
    /// How many wait.
    pub warming: usize,
    /// How many were refused.
    pub rejected: usize,
    /// Secrets that were fetched for handshakes.
    pub secrets_fetched: u64,
    /// Secrets that were given up for those.
    pub secrets_evicted: u64,
    /// How many changes are not in the store yet.
    pub unwritten: usize,
}

impl Pipeline {
    /// A pipeline that has nothing yet.
    pub fn new(client: Client, apply: Apply, store: Option<Store>, max_staleness: Duration) -> Self {
        Self {
            client,
            warm: Warm::default(),
            apply,
            store,
            max_staleness,
            write_at: None,
            unwritten: BTreeSet::new(),
            confirmed: SystemTime::UNIX_EPOCH,
            connected: false,
            restored: false,
            counts: Counts::default(),
            wants: Arc::default(),
            last_use: Box::new(|_| 0),
            later: Vec::new(),
        }
    }

    /// The same, which fetches secrets that handshakes want.
    #[must_use]
    pub fn on_demand(self, wants: Arc<Wants>, last_use: LastUse) -> Self {
        Self { wants, last_use, ..self }
    }

    /// What handshakes want.
    pub fn wants(&self) -> Arc<Wants> {
        self.wants.clone()
    }

    /// Makes the last good configuration live. Returns whether there was one.
    pub fn restore(&mut self, now: SystemTime) -> bool {
        let stored = self.store.as_ref().map(|store| store.load(now, self.max_staleness)).unwrap_or_default();
        if stored.is_empty() {
            return false;
        }
        tracing::info!(resources = stored.len(), "serving the last good configuration until a server is there");
        self.restored = true;
        self.client.restore(stored);
        let delta = self.warm.restore(self.client.world());
        (self.apply)(&delta);
        true
    }

    /// What to send first on a new stream.
    pub fn open(&mut self) -> Vec<DeltaDiscoveryRequest> {
        self.client.open()
    }

    /// The server has taken the stream.
    pub fn opened(&mut self, now: Instant, wall: SystemTime) {
        self.connected = true;
        self.confirmed = wall;
        self.counts.streams += 1;
        self.schedule(&Change::default(), now);
    }

    /// The stream is gone.
    pub fn close(&mut self) {
        self.connected = false;
    }

    /// Takes a response in, makes what can be live, and returns what to send. What the server took
    /// away is written to the store before it is acknowledged.
    pub fn receive(
        &mut self,
        response: DeltaDiscoveryResponse,
        now: Instant,
        wall: SystemTime,
    ) -> Vec<DeltaDiscoveryRequest> {
        let secrets = response.type_url == ResourceType::Secret.url();
        let step = self.client.receive(response);
        self.counts.responses += 1;
        self.confirmed = wall;
        if let Some(refusal) = step.replies.iter().find_map(|reply| reply.error_detail.as_ref()) {
            self.counts.refused += 1;
            tracing::warn!(problem = refusal.message, "resources refused");
        }
        self.take_in(&step.change, now);
        if !step.change.removed.is_empty() {
            self.write(now);
        }
        let mut replies = step.replies;
        if secrets && !self.later.is_empty() {
            let names = std::mem::take(&mut self.later);
            replies.extend(self.fetch(names, now));
        }
        replies
    }

    /// Asks for the secrets that handshakes want, and returns what to send.
    pub fn demand(&mut self, now: Instant) -> Vec<DeltaDiscoveryRequest> {
        let names = self.wants.take();
        if names.is_empty() { Vec::new() } else { self.fetch(names, now) }
    }

    fn fetch(&mut self, names: Vec<String>, now: Instant) -> Vec<DeltaDiscoveryRequest> {
        let (step, later) = self.client.demand(names, clock::at(now), &self.last_use);
        self.later.extend(later);
        self.take_in(&step.change, now);
        step.replies
    }

    /// Makes live what can be, and notes what must be written.
    fn take_in(&mut self, change: &Change, now: Instant) {
        let Change { upserts, removed, released, absent } = change;
        self.unwritten.extend(upserts.iter().map(|resource| (resource.kind(), resource.name().to_owned())));
        self.unwritten.extend(removed.iter().chain(released).cloned());
        let mut delta = self.warm.receive(self.client.received(), change, now);
        // Who waits for one of these need not wait.
        delta.removals.extend(absent.iter().map(|name| (ResourceType::Secret, name.clone())));
        self.make_live(&delta);
        self.schedule(change, now);
    }

    /// When [`Pipeline::tick`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.warm.deadline().into_iter().chain(self.write_at).min()
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Instant, wall: SystemTime) {
        let received = self.client.received();
        let delta = self.warm.expire(received, now);
        self.make_live(&delta);
        if self.connected {
            // A stream that lives confirms what is held; keepalive ends one that does not.
            self.confirmed = wall;
        }
        if self.write_at.is_some_and(|at| at <= now) {
            self.write(now);
        }
    }

    /// Writes what is not written yet, at the end.
    pub fn finish(&mut self, now: Instant) {
        if self.write_at.is_some() {
            self.write(now);
        }
    }

    /// What an operator sees.
    pub fn state(&self) -> State {
        let active = self.warm.active();
        let version = |r: &Resource| self.client.version(r.kind(), r.name()).unwrap_or_default().to_owned();
        let rejected = self.client.rejected().map(|(kind, name, errors)| (kind, name.to_owned(), errors.to_vec()));
        State {
            connected: self.connected,
            active: active
                .all()
                .map(|r| {
                    let v = version(&r);
                    (r, v)
                })
                .collect(),
            warming: self.warm.pending().cloned().collect(),
            rejected: rejected.collect(),
            counts: self.counts,
        }
    }

    /// The figures alone.
    pub fn overview(&self) -> Overview {
        let (secrets_fetched, secrets_evicted) = self.client.fetched();
        Overview {
            secrets_fetched,
            secrets_evicted,
            connected: self.connected,
            counts: self.counts,
            sizes: ResourceType::ALL.iter().map(|kind| (*kind, self.warm.active().count(*kind))).collect(),
            warming: self.warm.pending().count(),
            rejected: self.client.rejected().count(),
            unwritten: self.unwritten.len(),
        }
    }

    /// Whether a first configuration is live: the stored one, or what the server said, with no
    /// listener waiting.
    pub fn initialized(&self) -> bool {
        let listeners_wait = || self.warm.pending().any(|(kind, _)| *kind == ResourceType::Listener);
        self.restored || (self.client.told() && !listeners_wait())
    }

    fn make_live(&mut self, delta: &Delta) {
        if !delta.is_empty() {
            (self.apply)(delta);
        }
    }

    /// Sets when the store is written next.
    fn schedule(&mut self, change: &Change, now: Instant) {
        let delay = if change.upserts.is_empty() && change.released.is_empty() { self.refresh() } else { DEBOUNCE };
        let at = now + delay;
        self.write_at = Some(self.write_at.map_or(at, |before| before.min(at)));
    }

    /// How often an unchanged configuration is written anew, so that it does not look stale.
    fn refresh(&self) -> Duration {
        (self.max_staleness / 24).max(DEBOUNCE)
    }

    /// Writes the store, and sets when it is written again: sooner after a failure, later to stay fresh. Costs what
    /// changed since the last time, but for the first write and now and then one of everything.
    fn write(&mut self, now: Instant) {
        self.write_at = self.connected.then(|| now + self.refresh());
        let unwritten = std::mem::take(&mut self.unwritten);
        let Some(store) = &mut self.store else { return };
        let (client, world) = (&self.client, self.client.world());
        let with_version = |resource: Resource| {
            let version = client.version(resource.kind(), resource.name()).unwrap_or_default();
            (resource, version)
        };
        let written = if store.wants_all() {
            store.save(world.all().map(with_version), self.confirmed)
        } else {
            let changed = |key: Key| {
                let resource = world.get(key.0, &key.1);
                (key, resource.map(with_version))
            };
            store.append(unwritten.into_iter().map(changed), self.confirmed)
        };
        if let Err(error) = written {
            self.counts.store_failures += 1;
            self.write_at = Some(now + RETRY);
            tracing::error!(%error, "the last good configuration cannot be written");
        }
    }
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline")
            .field("connected", &self.connected)
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}
