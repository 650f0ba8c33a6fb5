//! Random schedules of one stream between a store and a model client, whatever the stream may see.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use weir_config::model::ResourceType;
use weir_config::testing::soak;

use super::client::{Client, Word, item_name};
use super::forms::reporting;
use super::world::{Key, World, visible};
use crate::ads::subscription::{Item, Mode, Response, Subscriptions, Variant};
use crate::ads::{Encoded, Form, Interest, Store, Version};
use crate::scope::Scope;

/// What the server was asked for, kept in the most naive way.
#[derive(Default)]
struct Asked {
    wildcard: bool,
    named: bool,
    names: BTreeSet<String>,
    in_flight: Option<String>,
}

fn mode(world: bool) -> Mode {
    let variant = if world { Variant::World } else { Variant::Delta };
    Mode { variant, alone: false }
}

struct Simulation {
    rng: StdRng,
    world: World,
    published: BTreeMap<Key, Encoded>,
    store: Arc<Store>,
    server: Subscriptions,
    asked: BTreeMap<ResourceType, Asked>,
    seen: u64,
    client: Client,
    inbox: VecDeque<Response>,
    /// What was sent on this stream.
    shown: BTreeSet<(Key, Version)>,
    now: Instant,
    bad: bool,
    scope: Scope,
    interest: Option<Interest>,
    /// Streams that see something else.
    _others: Vec<Interest>,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let world = rng.random_bool(0.3);
        let form = if !world && rng.random_bool(0.7) {
            Form::STORED
        } else if rng.random_bool(0.5) {
            Form::default()
        } else {
            reporting()
        };
        let bad = rng.random_bool(0.3);
        let store = Arc::new(Store::new());
        let now = Instant::now();
        let scopes = [
            Scope::Everything,
            Scope::Edge("x0".into()),
            Scope::Edge("x1".into()),
            Scope::Tenant("t0".into()),
            Scope::Tenant("t1".into()),
            Scope::Nothing,
        ];
        let scope = scopes[if rng.random_bool(0.4) { 0 } else { rng.random_range(0..scopes.len()) }].clone();
        let others = scopes.into_iter().filter(|other| rng.random_bool(0.3) && *other != scope);
        let others = others.map(|other| store.enter(form, other)).collect();
        let mut simulation = Self {
            world: World::new(),
            published: BTreeMap::new(),
            store,
            server: Subscriptions::new(mode(world), now),
            asked: BTreeMap::new(),
            seen: 0,
            client: Client::new(form, world),
            inbox: VecDeque::new(),
            shown: BTreeSet::new(),
            now,
            bad,
            rng,
            interest: None,
            scope,
            _others: others,
        };
        simulation.publish();
        simulation.connect();
        simulation
    }

    fn publish(&mut self) -> bool {
        let changed = self.world.publish(&self.published, &self.store);
        self.published = self.world.resources();
        changed
    }

    /// The stream is lost with all that was under way, and there is another.
    fn connect(&mut self) {
        // What the scope holds is kept on, or made anew.
        if self.rng.random_bool(0.5) {
            self.interest = None;
        }
        self.interest.get_or_insert_with(|| self.store.enter(self.client.form, self.scope.clone()));
        self.server = Subscriptions::new(mode(self.client.world), self.now);
        self.shown.clear();
        self.asked.clear();
        self.inbox.clear();
        self.seen = self.store.read().sequence();
        let explicit = self.rng.random_bool(0.5);
        self.client.connect(explicit);
    }

    fn step(&mut self) {
        self.now += Duration::from_millis(1);
        match self.rng.random_range(0..20) {
            0 | 1 => {
                self.world.edit(&mut self.rng, self.bad);
                self.publish();
            }
            2 if self.rng.random_bool(0.1) => self.connect(),
            3 if self.rng.random_bool(0.3) => {
                let kinds = [ResourceType::LoadAssignment, ResourceType::Secret, ResourceType::RouteConfiguration];
                self.client.ask_again(kinds[self.rng.random_range(0..kinds.len())]);
            }
            4..=8 => self.server_sends(),
            9..=13 => self.client_hears(),
            _ => self.server_hears(),
        }
    }

    fn server_sends(&mut self) {
        let resources = self.store.read();
        let view = self.interest.as_ref().unwrap().view(&resources);
        // Sometimes a stream is so late that the log of changes does not help.
        match view.changes_since(self.seen).filter(|_| !self.rng.random_bool(0.05)) {
            Some(changes) => changes.iter().for_each(|changes| self.server.changed(changes, &view, self.now)),
            None => self.server.compare(&view, self.now),
        }
        self.seen = view.sequence();
        if let Some(response) = self.server.poll(&view, self.now) {
            let seen = visible(&self.published, &self.scope);
            for item in &response.items {
                if let Item::Present(resource) = item {
                    let key = (resource.kind, resource.name.to_string());
                    // A whole set goes on holding what the client has and may not lose yet.
                    let has = !self.shown.insert((key.clone(), resource.version)) && self.client.world;
                    assert!(has || seen.contains(&key), "{key:?} is outside {:?}", self.scope);
                }
            }
            let asked = self.asked.entry(response.kind).or_default();
            assert!(asked.in_flight.replace(response.nonce.clone()).is_none(), "two responses of a type under way");
            for name in response.items.iter().map(item_name).chain(response.removed.iter().map(|name| &**name)) {
                let parent = name.rsplit_once('/').is_some_and(|(routes, _)| asked.names.contains(routes));
                assert!(asked.wildcard || parent || asked.names.contains(name), "{name} was not asked for");
            }
            assert!(!self.client.world || response.removed.is_empty());
            self.inbox.push_back(response);
        }
    }

    fn client_hears(&mut self) {
        if let Some(response) = self.inbox.pop_front() {
            self.client.receive(response);
            self.client.check_routes();
        }
    }

    /// One request of any type arrives: within a type they stay in order.
    fn server_hears(&mut self) {
        let waiting: Vec<ResourceType> =
            self.client.kinds.iter().filter(|(_, state)| !state.outbox.is_empty()).map(|(kind, _)| *kind).collect();
        if waiting.is_empty() {
            return;
        }
        let kind = waiting[self.rng.random_range(0..waiting.len())];
        let Some(request) = self.client.kind(kind).outbox.pop_front() else { return };
        self.note(kind, &request);
        let resources = self.store.read();
        let view = self.interest.as_ref().unwrap().view(&resources);
        match &request {
            Word::Delta(request) => self.server.request(request, &view, self.now).unwrap(),
            Word::World(request) => self.server.request_world(request, &view, self.now).unwrap(),
        };
    }

    fn note(&mut self, kind: ResourceType, word: &Word) {
        let asked = self.asked.entry(kind).or_default();
        let legacy = matches!(kind, ResourceType::Cluster | ResourceType::Listener);
        let star = |names: &[String]| names.iter().any(|name| name == "*");
        let answers = match word {
            Word::Delta(request) => {
                asked.wildcard |= legacy || star(&request.subscribe);
                asked.names.extend(request.subscribe.iter().cloned());
                asked.names.retain(|name| !request.unsubscribe.contains(name));
                &request.nonce
            }
            Word::World(request) => {
                asked.named |= !request.names.is_empty();
                asked.wildcard = (legacy && !asked.named) || star(&request.names);
                asked.names = request.names.iter().cloned().collect();
                &request.nonce
            }
        };
        asked.in_flight.take_if(|nonce| nonce == answers);
    }

    /// Runs without edits until nothing moves, nor would at a later time.
    fn settle(&mut self) {
        for _ in 0..2000 {
            let before = (self.inbox.len(), self.client.heard);
            self.server_sends();
            self.client_hears();
            let quiet = self.client.kinds.values().all(|state| state.outbox.is_empty());
            if quiet && self.inbox.is_empty() && before == (0, self.client.heard) {
                let Some(deadline) = self.server.deadline(self.now) else { return };
                self.now = deadline;
            }
            self.server_hears();
        }
        panic!("it does not come to rest");
    }

    /// The client has what the store has of what it asked for, and no more.
    fn check_settled(&self) {
        let resources = self.store.read();
        let seen = visible(&self.published, &self.scope);
        for (kind, state) in &self.client.kinds {
            let wanted = seen.iter().filter(|(of, name)| of == kind && state.covers(name));
            let get = |name: &str| resources.get(*kind, self.client.form, name).unwrap().version;
            let wanted: BTreeMap<_, _> = wanted.map(|(_, name)| (name.clone(), get(name))).collect();
            let held: BTreeMap<_, _> = state.held.iter().map(|(name, r)| (name.clone(), r.version)).collect();
            assert_eq!(held, wanted, "{kind:?}");
            assert!(state.asked_again.is_empty(), "asked again and not answered: {:?}", state.asked_again);
            let answered = |name: &String| wanted.contains_key(name) || state.absent.contains(name);
            // Of most types state of the world cannot say that there is nothing.
            let silent = *kind == ResourceType::VirtualHost || self.client.world && !state.wildcard;
            assert!(silent || state.names.iter().all(answered), "a name without an answer: {kind:?}");
        }
        assert!(self.client.warming.is_empty(), "clusters that wait for endpoints: {:?}", self.client.warming);
    }

    /// Once all is well again, everything is where it should be, and only changes move.
    fn finish(mut self) {
        self.settle();
        self.world.heal();
        self.publish();
        self.settle();
        self.check_settled();

        self.client.heard = 0;
        assert!(!self.publish(), "a no-op edit is a change");
        self.settle();
        assert_eq!(self.client.heard, 0, "a no-op edit sends nothing");

        if let Some(host) = self.world.touch_host() {
            self.publish();
            self.settle();
            let mine = visible(&self.published, &self.scope).contains(&(ResourceType::VirtualHost, host.clone()));
            assert_eq!(self.client.heard, usize::from(mine), "one edited host ({host}) sends one resource");
        }
        self.check_settled();
    }
}

#[test]
fn soak_a_client_always_converges_to_its_scope_and_never_has_a_route_without_its_cluster() {
    soak::seeds(|seed| {
        let mut simulation = Simulation::new(seed);
        let steps = simulation.rng.random_range(20..300);
        for _ in 0..steps {
            simulation.step();
        }
        simulation.finish();
    });
}
