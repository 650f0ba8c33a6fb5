//! A cluster that changes, and watches of it that are cut, repeat themselves, expire and read lists that are
//! already old, each at its own pace: whatever happens on the way, what is served in the end is what one list
//! of the end would give. The code under test is the server's own, from the API server's bytes to the resources.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};
use weir_config::kinds::Kind;
use weir_config::testing::soak;

use crate::translate::{Settings, World};
use crate::watch::kubernetes::gather::{Gather, Report};
use crate::watch::kubernetes::target::{Target, targets};
use crate::watch::kubernetes::wire::{Told, line, page};
use crate::watch::{Batch, Event};

/// Something that happens.
#[derive(Clone, Debug)]
enum Step {
    /// Somebody writes variant `variant` of object `object`; variant 0 deletes it.
    Write { object: usize, variant: usize },
    /// A watch hears the next so many events.
    Hear { watch: usize, events: usize },
    /// A watch is cut and begun again so many events earlier: some of what it had heard comes again.
    Repeat { watch: usize, events: usize, again: usize },
    /// A watch expired: it lists again what was there so many events ago, in pages of some size.
    Relist { watch: usize, behind: usize, page: usize },
    /// The API server says that it is in trouble.
    Fail { watch: usize, code: u16 },
    /// What was reported becomes a batch.
    Batch,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Some objects change often, so that what happens to their watches concerns several of their versions.
    let any = prop_oneof![0usize..64, 2usize..5].boxed();
    let (few, many) = (0usize..5, 0usize..24);
    let step = prop_oneof![
        6 => (any.clone(), 0usize..4).prop_map(|(object, variant)| Step::Write { object, variant }),
        6 => (any.clone(), many.clone()).prop_map(|(watch, events)| Step::Hear { watch, events }),
        2 => (any.clone(), many.clone(), many.clone()).prop_map(|(watch, events, again)| Step::Repeat { watch, events, again }),
        2 => (any.clone(), few.clone(), 1usize..4).prop_map(|(watch, behind, page)| Step::Relist { watch, behind, page }),
        1 => (any, prop::sample::select(vec![403u16, 410, 429, 500])).prop_map(|(watch, code)| Step::Fail { watch, code }),
        3 => Just(Step::Batch),
    ];
    prop::collection::vec(step, 0..120)
}

/// Objects that are written, each in variants: what is said, and something that cannot be used.
fn objects() -> Vec<(Kind, &'static str, &'static str, [Value; 3])> {
    let backend = |name: &str| json!({"rules": [{"backendRefs": [{"name": name, "port": 80}]}]});
    let route = |hostname: &str, service: &str| {
        let mut spec = backend(service);
        spec["parentRefs"] = json!([{"name": "web", "namespace": "weir-system"}]);
        spec["hostnames"] = json!([hostname]);
        json!({"spec": spec})
    };
    let listener = |port: u16| json!({"name": "http", "port": port, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "All"}}});
    let slice = |address: &str| {
        json!({"metadata": {"labels": {"kubernetes.io/service-name": "shop"}}, "addressType": "IPv4",
            "ports": [{"port": 8080}], "endpoints": [{"addresses": [address], "nodeName": "n"}]})
    };
    let namespace = |tenant: &str| json!({"metadata": {"labels": {"weir.dev/tenant": tenant}}});
    let class = |controller: &str| json!({"spec": {"controllerName": controller}});
    let grant = |kind: &str| {
        json!({"spec": {"from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "acme"}],
            "to": [{"group": "", "kind": kind}]}})
    };
    let secret = |text: &str| json!({"type": "kubernetes.io/tls", "data": {"tls.crt": text, "tls.key": "YQ=="}});
    let bad = json!({"spec": 7});
    vec![
        (Kind::GatewayClass, "", "weir", [class("weir.dev/gateway-controller"), class("other"), bad.clone()]),
        (
            Kind::Gateway,
            "weir-system",
            "web",
            [
                json!({"spec": {"gatewayClassName": "weir", "listeners": [listener(80)]}}),
                json!({"spec": {"gatewayClassName": "weir", "listeners": [listener(80), {"name": "b", "port": 81, "protocol": "HTTP"}]}}),
                bad.clone(),
            ],
        ),
        (
            Kind::Plan,
            "",
            "pro",
            [json!({"spec": {"weight": 1}}), json!({"spec": {"requests": {"perSecond": 9}}}), bad.clone()],
        ),
        (
            Kind::Tenant,
            "",
            "acme",
            [
                json!({"spec": {"plan": "pro", "hostnames": ["acme.test", "*.acme.test"]}}),
                json!({"spec": {"plan": "pro", "hostnames": ["acme.test"], "state": "Suspended"}}),
                bad.clone(),
            ],
        ),
        (
            Kind::Tenant,
            "",
            "globex",
            [
                json!({"spec": {"plan": "pro", "hostnames": ["acme.test"]}}),
                json!({"spec": {"plan": "none", "hostnames": ["www.globex.test"]}}),
                bad.clone(),
            ],
        ),
        (Kind::Namespace, "", "acme", [namespace("acme"), namespace("globex"), json!({"metadata": {"labels": 7}})]),
        (Kind::Namespace, "", "globex", [namespace("globex"), namespace("acme"), json!({"metadata": {"labels": 7}})]),
        (
            Kind::HTTPRoute,
            "acme",
            "front",
            [
                route("acme.test", "shop"),
                route("a.acme.test", "shop"),
                json!({"spec": {"rules": [{"matches": [{"path": {"value": "no"}}]}]}}),
            ],
        ),
        (
            Kind::HTTPRoute,
            "globex",
            "front",
            [route("acme.test", "shop"), route("www.globex.test", "shop"), bad.clone()],
        ),
        (
            Kind::Service,
            "acme",
            "shop",
            [json!({"spec": {"ports": [{"port": 80}]}}), json!({"spec": {"ports": [{"port": 81}]}}), bad.clone()],
        ),
        (Kind::EndpointSlice, "acme", "shop-1", [slice("10.0.0.1"), slice("10.0.0.2"), slice("no")]),
        (Kind::EndpointSlice, "acme", "shop-2", [slice("10.0.0.1"), slice("10.0.0.3"), slice("no")]),
        (Kind::ReferenceGrant, "globex", "g", [grant("Service"), grant("Secret"), bad]),
        (Kind::Secret, "weir-system", "tls", [secret("YQ=="), secret("Yg=="), json!({"type": "kubernetes.io/tls"})]),
    ]
}

/// What is told of an object by a list or an event.
fn shown(kind: Kind, (namespace, name): (&str, &str), variant: &Value, version: usize) -> Value {
    let mut object = variant.clone();
    object["metadata"]["name"] = name.into();
    if kind.namespaced() {
        object["metadata"]["namespace"] = namespace.into();
    }
    object["metadata"]["resourceVersion"] = version.to_string().into();
    object["metadata"]["managedFields"] = json!([{"manager": "someone"}]);
    object
}

/// One write, with its version: its place in the history, from 1.
struct Write {
    object: usize,
    variant: usize,
}

struct Simulation {
    objects: Vec<(Kind, &'static str, &'static str, [Value; 3])>,
    targets: Vec<Target>,
    history: Vec<Write>,
    /// Version up to which each watch has heard; none: it has not listed yet.
    heard: Vec<Option<usize>>,
    gather: Gather,
    world: World,
    ready: bool,
}

impl Simulation {
    fn new() -> Self {
        let targets = targets(&Default::default());
        let heard = vec![None; targets.len()];
        let gather = Gather::new(targets.clone());
        let world = World::new(Settings::default());
        Self { objects: objects(), targets, history: Vec::new(), heard, gather, world, ready: false }
    }

    /// The watch that tells of an object.
    fn watch_of(&self, object: usize) -> usize {
        let kind = self.objects[object % self.objects.len()].0;
        self.targets.iter().position(|target| target.kind == kind).unwrap()
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Write { object, variant } => {
                self.history.push(Write { object: object % self.objects.len(), variant });
            }
            Step::Hear { watch, events } => {
                let watch = self.watch_of(watch);
                if let Some(heard) = self.heard[watch] {
                    self.hear(watch, heard, (heard + events).min(self.history.len()));
                }
            }
            Step::Repeat { watch, events, again } => {
                let watch = self.watch_of(watch);
                if let Some(heard) = self.heard[watch] {
                    let from = heard.saturating_sub(events);
                    self.hear(watch, from, (from + again).min(heard));
                }
            }
            Step::Relist { watch, behind, page } => {
                self.list(self.watch_of(watch), self.history.len().saturating_sub(behind), page);
            }
            Step::Fail { watch, code } => {
                let watch = self.watch_of(watch);
                let status = json!({"type": "ERROR", "object": {"code": code, "reason": "", "message": "no"}});
                let Told::Failed(failure) = line(self.targets[watch].kind, status.to_string().as_bytes()).unwrap()
                else {
                    panic!("an error is a failure");
                };
                self.gather.take(watch, Report::Failing(failure));
            }
            Step::Batch => self.batch(),
        }
    }

    /// What there is of a watch's kind at a version, by object.
    fn state(&self, kind: Kind, version: usize) -> BTreeMap<usize, (usize, usize)> {
        let mut state = BTreeMap::new();
        for (place, write) in self.history[..version].iter().enumerate() {
            if self.objects[write.object].0 == kind {
                match write.variant {
                    0 => drop(state.remove(&write.object)),
                    variant => drop(state.insert(write.object, (variant - 1, place + 1))),
                }
            }
        }
        state
    }

    fn list(&mut self, watch: usize, version: usize, size: usize) {
        let kind = self.targets[watch].kind;
        let all: Vec<Value> = self
            .state(kind, version)
            .iter()
            .map(|(object, (variant, version))| {
                let (kind, namespace, name, variants) = &self.objects[*object];
                shown(*kind, (namespace, name), &variants[*variant], *version)
            })
            .collect();
        let mut items = Vec::new();
        for part in all.chunks(size.max(1)) {
            let text = json!({"metadata": {"resourceVersion": version.to_string()}, "items": part}).to_string();
            items.extend(page(kind, text.as_bytes()).unwrap().items);
        }
        self.gather.take(watch, Report::Listed(items, version.to_string()));
        self.heard[watch] = Some(version);
    }

    /// Events after `from` up to `to`, and then perhaps a bookmark.
    fn hear(&mut self, watch: usize, from: usize, to: usize) {
        let kind = self.targets[watch].kind;
        for version in from + 1..=to {
            let write = &self.history[version - 1];
            let (of, namespace, name, variants) = &self.objects[write.object];
            if *of != kind {
                continue;
            }
            let event = match write.variant {
                0 => json!({"type": "DELETED", "object": shown(kind, (namespace, name), &variants[0], version)}),
                n => json!({"type": "MODIFIED", "object": shown(kind, (namespace, name), &variants[n - 1], version)}),
            };
            self.gather.take(watch, report(kind, &event));
        }
        let bookmark = json!({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": to.to_string()}}});
        self.gather.take(watch, report(kind, &bookmark));
        self.heard[watch] = self.heard[watch].max(Some(to));
    }

    fn batch(&mut self) {
        if let Some(Batch { events, waiting, .. }) = self.gather.batch() {
            assert!(!(self.ready && waiting), "ready once is ready for ever");
            assert!(!waiting || events.is_empty());
            if !waiting && !self.ready {
                assert!(self.heard.iter().all(Option::is_some), "the first batch is everything");
                self.ready = true;
            }
            self.world.apply(&events);
        }
    }

    /// Every watch hears all there is: what was lost comes by a list, or by the events since.
    fn settle(&mut self) {
        for watch in 0..self.targets.len() {
            match self.heard[watch] {
                Some(heard) => self.hear(watch, heard, self.history.len()),
                None => self.list(watch, self.history.len(), 500),
            }
        }
        self.batch();
    }
}

fn report(kind: Kind, event: &Value) -> Report {
    match line(kind, event.to_string().as_bytes()).unwrap() {
        Told::Put(item) => Report::Changed(item),
        Told::Gone(key, version) => Report::Gone(key, version),
        Told::Bookmark(version) => Report::Bookmark(version),
        told => panic!("{told:?}"),
    }
}

fn check(steps: &[Step]) -> Result<(), TestCaseError> {
    let mut simulation = Simulation::new();
    // Secrets that are forbidden before they were ever listed are another world, which has a test of its own.
    let secrets = simulation.targets.iter().position(|target| target.kind == Kind::Secret).unwrap();
    for step in steps {
        let forbids = matches!(step, Step::Fail { watch, code: 403 } if simulation.watch_of(*watch) == secrets);
        if !forbids {
            simulation.step(step);
        }
    }
    simulation.settle();

    let mut fresh = Simulation::new();
    fresh.history = std::mem::take(&mut simulation.history);
    fresh.settle();
    prop_assert!(simulation.ready && fresh.ready);
    prop_assert_eq!(simulation.world.snapshot(), fresh.world.snapshot());
    prop_assert_eq!(simulation.world.statuses(), fresh.world.statuses());
    Ok(())
}

#[test]
fn soak_whatever_happens_to_watches_the_resources_are_those_of_one_list() {
    soak::property(&steps(), |steps| check(&steps));
}

/// The objects of the simulation do become resources, or it would show nothing.
#[test]
fn the_simulated_cluster_serves() {
    let mut simulation = Simulation::new();
    for object in 0..simulation.objects.len() {
        simulation.step(&Step::Write { object, variant: 1 });
    }
    simulation.settle();
    let snapshot = simulation.world.snapshot();
    assert_eq!((snapshot.listeners.len(), snapshot.clusters.len(), snapshot.endpoints.len()), (1, 1, 1));
    assert!(!snapshot.virtual_hosts.is_empty());
    let changed = simulation.world.apply(&[Event::SecretsRead(Default::default())]);
    assert!(changed.is_empty(), "what is no news changes nothing");
}
