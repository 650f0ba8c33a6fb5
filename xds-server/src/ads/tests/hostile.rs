//! A client that means no good, or is broken: nonsense in any order ends the stream or is borne,
//! what the stream keeps stays within bounds, and nothing outside its scope is ever sent.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use weir_config::model::ResourceType;
use weir_config::testing::soak;

use super::client::item_name;
use super::forms::reporting;
use super::world::{World, visible};
use crate::ads::subscription::{
    Excess, Item, MAX_BYTES, MAX_NAME, MAX_NAMES, Mode, Request, Response, Subscriptions, Variant, WorldRequest,
};
use crate::ads::{Form, Hosts, Resources, Store, Version, View};
use crate::scope::Scope;

/// A name: of something that is there, of something like it, or nonsense.
fn name(rng: &mut StdRng) -> String {
    match rng.random_range(0..12) {
        0 => "*".into(),
        1 => String::new(),
        2 => "x".repeat(rng.random_range(0..=MAX_NAME)),
        3 => "/".repeat(rng.random_range(1..4)),
        4 => format!("x{}/rc/", rng.random_range(0..3)),
        5 => format!("x{}/rc/h{}/h0", rng.random_range(0..3), rng.random_range(0..4)),
        6 => format!("x{}/rc/h{}", rng.random_range(0..3), rng.random_range(0..4)),
        7 => format!("x{}/rc", rng.random_range(0..3)),
        8 => format!("t{}/c{}", rng.random_range(0..2), rng.random_range(0..8)),
        9 => format!("e{}", rng.random_range(0..4)),
        10 => format!("x{}/l", rng.random_range(0..3)),
        _ => format!("\u{0}é\n{}", rng.random_range(0..5)),
    }
}

fn names(rng: &mut StdRng) -> Vec<String> {
    let count = if rng.random_bool(0.05) { 500 } else { rng.random_range(0..4) };
    (0..count).map(|_| name(rng)).collect()
}

fn request(rng: &mut StdRng, last: &str) -> Request {
    let kind = ResourceType::ALL[rng.random_range(0..ResourceType::ALL.len())];
    let versions = ["", "0", "zz", "0123456789abcdef", "\u{0}"];
    let initial = names(rng).into_iter().map(|name| (name, versions[rng.random_range(0..versions.len())].to_owned()));
    Request {
        initial: initial.collect(),
        subscribe: names(rng),
        unsubscribe: names(rng),
        nonce: match rng.random_range(0..6) {
            0..=2 => last.to_owned(),
            3 => String::new(),
            4 => "18446744073709551616".into(),
            _ => rng.random_range(0..20u32).to_string(),
        },
        error: rng.random_bool(0.3).then(|| name(rng)),
        kind,
    }
}

/// What a state-of-the-world client wants, by type: its last request says it all.
#[derive(Default)]
struct Wanted {
    named: bool,
    names: BTreeSet<String>,
    wildcard: bool,
}

/// A request of either variant, from the same nonsense.
fn say(
    rng: &mut StdRng,
    last: &str,
    (stream, wanted): (&mut Subscriptions, &mut BTreeMap<ResourceType, Wanted>),
    (mode, view, now): (Mode, &View<'_>, Instant),
) {
    let request = request(rng, last);
    if mode.is_delta() {
        stream.request(&request, view, now).unwrap();
        return;
    }
    let Request { kind, subscribe: names, nonce, error, .. } = request;
    if kind == ResourceType::VirtualHost {
        return;
    }
    let all = matches!(kind, ResourceType::Cluster | ResourceType::Listener);
    let wanted = wanted.entry(kind).or_default();
    wanted.named |= !names.is_empty();
    wanted.names = names.iter().cloned().collect();
    wanted.wildcard = wanted.names.contains("*") || (all && !wanted.named);
    let version = if rng.random_bool(0.5) { String::new() } else { name(rng) };
    stream.request_world(&WorldRequest { kind, version, names, nonce, error }, view, now).unwrap();
}

/// A state-of-the-world response holds nothing that was not asked for, and each name once.
fn check(response: &Response, wanted: &BTreeMap<ResourceType, Wanted>) {
    let wanted = &wanted[&response.kind];
    let names: Vec<&str> = response.items.iter().map(item_name).collect();
    assert!(names.iter().all(|name| wanted.wildcard || wanted.names.contains(*name)), "{names:?}");
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    assert!(response.removed.is_empty() && response.version.is_some());
}

#[test]
fn soak_nonsense_is_borne() {
    soak::seeds(|seed| {
        let rng = &mut StdRng::seed_from_u64(seed);
        let variant = if rng.random_bool(0.4) { Variant::World } else { Variant::Delta };
        let mode = Mode { variant, alone: rng.random_bool(0.2) };
        let demand = Form { hosts: Hosts::OnDemand, ..Form::default() };
        let forms = [Form::default(), reporting(), Form::STORED, demand];
        let form = forms[rng.random_range(0..if mode.is_delta() { 4 } else { 2 })];
        let mut wanted = BTreeMap::new();
        let mut shown: BTreeSet<((ResourceType, String), Version)> = BTreeSet::new();
        let store = std::sync::Arc::new(Store::new());
        let scopes = [Scope::Everything, Scope::Edge("x0".into()), Scope::Tenant("t0".into()), Scope::Nothing];
        let interest = store.enter(form, scopes[rng.random_range(0..scopes.len())].clone());
        let (mut world, mut published) = (World::new(), Default::default());
        let mut now = Instant::now();
        let mut stream = Subscriptions::new(mode, now);
        let (mut seen, mut last) = (store.read().sequence(), String::new());
        for _ in 0..rng.random_range(1..120) {
            now += Duration::from_millis(rng.random_range(0..2000));
            if rng.random_bool(0.2) {
                world.edit(rng, true);
                world.publish(&published, &store);
                published = world.resources();
            }
            let resources = store.read();
            let view = interest.view(&resources);
            match view.changes_since(seen) {
                Some(changes) => changes.iter().for_each(|changes| stream.changed(changes, &view, now)),
                None => stream.compare(&view, now),
            }
            seen = view.sequence();
            say(rng, &last, (&mut stream, &mut wanted), (mode, &view, now));
            for _ in 0..rng.random_range(0..4) {
                let Some(response) = stream.poll(&view, now) else { break };
                assert!(response.items.len() + response.removed.len() <= 20_000);
                for item in &response.items {
                    let Item::Present(resource) = item else { continue };
                    let key = (resource.kind, resource.name.to_string());
                    // A whole set goes on holding what the client has and may not lose yet.
                    let has = !shown.insert((key.clone(), resource.version)) && !mode.is_delta();
                    let seen = visible(&published, interest.scope());
                    assert!(has || seen.contains(&key), "{key:?} is outside the scope");
                }
                if !mode.is_delta() {
                    check(&response, &wanted);
                }
                last = response.nonce;
            }
            drop(stream.statuses(&view, &[], None, 100));
            assert!(stream.deadline(now).is_none_or(|at| at > now), "it would spin");
            drop(stream.report());
        }
    });
}

fn all(resources: &Resources) -> View<'_> {
    View::new(resources, Form::STORED, &Scope::Everything)
}

#[test]
fn what_is_too_much_ends_the_stream() {
    let (store, now) = (Store::new(), Instant::now());
    let ask = |subscribe: Vec<String>| {
        let mut stream = Subscriptions::new(Mode::DELTA, now);
        let request = Request { subscribe, ..Request::new(ResourceType::LoadAssignment) };
        stream.request(&request, &all(&store.read()), now)
    };
    assert_eq!(ask(vec!["x".repeat(MAX_NAME + 1)]), Err(Excess::Name));
    assert_eq!(ask(vec![String::new(); MAX_NAMES + 1]), Err(Excess::Names));
    assert_eq!(ask(vec!["x".repeat(MAX_NAME); MAX_BYTES / MAX_NAME + 1]), Err(Excess::Bytes));

    let mut stream = Subscriptions::new(Mode::DELTA, now);
    let unsubscribe = vec![String::new(); MAX_NAMES + 1];
    let request = Request { unsubscribe, ..Request::new(ResourceType::Cluster) };
    assert_eq!(stream.request(&request, &all(&store.read()), now), Err(Excess::Names));
}

/// Bytes are counted over requests, and given back.
#[test]
fn names_that_are_left_make_room() {
    let (store, now) = (Store::new(), Instant::now());
    let mut stream = Subscriptions::new(Mode::DELTA, now);
    let names = |from: usize| (0..8000).map(|n| format!("{:0>4000}", from + n)).collect::<Vec<_>>();
    let mut send = |subscribe, unsubscribe| {
        let request = Request { subscribe, unsubscribe, ..Request::new(ResourceType::LoadAssignment) };
        stream.request(&request, &all(&store.read()), now)
    };
    for round in 0..8 {
        send(names(round * 8000), Vec::new()).unwrap();
        send(Vec::new(), names(round * 8000)).unwrap();
    }
    for round in 0..4 {
        send(names(round * 8000), Vec::new()).unwrap();
    }
    assert_eq!(send(names(4 * 8000), Vec::new()), Err(Excess::Bytes));
}

/// An Envoy that loses many clusters leaves their endpoints in one request.
#[test]
fn many_names_are_left_at_once_in_good_time() {
    let (store, now) = (Store::new(), Instant::now());
    let mut stream = Subscriptions::new(Mode::DELTA, now);
    for kind in [ResourceType::LoadAssignment, ResourceType::Secret] {
        let names: Vec<_> = (0..100_000).map(|n| n.to_string()).collect();
        let mut request = Request { subscribe: names.clone(), ..Request::new(kind) };
        stream.request(&request, &all(&store.read()), now).unwrap();
        (request.subscribe, request.unsubscribe) = (Vec::new(), names);
        let begun = Instant::now();
        stream.request(&request, &all(&store.read()), now).unwrap();
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }
}

#[test]
fn a_key_is_not_in_what_a_store_shows_of_itself() {
    use weir_config::model::{Delta, PrivateKey, Secret, TlsCertificate};
    let store = Store::new();
    let certificate = TlsCertificate { chain: "CHAIN".into(), key: PrivateKey("hushhush".into()) };
    let secret = Secret { name: "shop/cert".into(), certificate };
    assert!(store.publish(&Delta { upserts: vec![secret.into()], ..Delta::default() }));
    let shown = format!("{store:?}");
    assert!(shown.contains("shop/cert") && !shown.contains("hushhush"), "{shown}");
}
