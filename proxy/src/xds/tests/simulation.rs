//! Random worlds arrive in random order, in pieces; after each piece what is live is consistent,
//! and in the end it is the world, whatever the order was.

use std::time::Instant;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use weir_config::testing::soak;

use super::super::refs::references;
use super::super::warm::{BOUND, Warm};
use super::*;

/// A whole world: every name that is referred to is there.
fn world(rng: &mut StdRng) -> Snapshot {
    let mut world = Snapshot::default();
    let clusters: Vec<_> = (0..rng.random_range(1..6)).map(|n| format!("c{n}")).collect();
    for name in &clusters {
        world.insert(cluster(name));
        world.insert(endpoints(name, rng.random_range(1..4)));
    }
    for n in 0..rng.random_range(1..4) {
        let name = format!("r{n}");
        world.insert(listener(&format!("l{n}"), &name, &[]));
        world.insert(routes(&name, true));
        for domain in 0..rng.random_range(1..4) {
            let to = &clusters[rng.random_range(0..clusters.len())];
            world.insert(host(&name, &format!("d{domain}.test"), to));
        }
    }
    world
}

/// Everything that a server would send to go from what the client has to `target`, type by type in
/// random order, each type in pieces.
fn pieces(client: &Client, target: &Snapshot, rng: &mut StdRng) -> Vec<DeltaDiscoveryResponse> {
    let mut pieces = Vec::new();
    for kind in ResourceType::ALL {
        let mut changed: Vec<_> =
            target.of(*kind).into_iter().filter(|r| client.world().get(*kind, r.name()).as_ref() != Some(r)).collect();
        changed.shuffle(rng);
        for some in changed.chunks(rng.random_range(1..4)) {
            pieces.push(response(*kind, &some.iter().collect::<Vec<_>>(), &[]));
        }
        let gone: Vec<_> =
            client.world().of(*kind).into_iter().filter(|r| target.get(*kind, r.name()).is_none()).collect();
        for resource in gone {
            pieces.push(response(*kind, &[], &[resource.name()]));
        }
    }
    pieces.shuffle(rng);
    pieces
}

/// Nothing is live of which a reference was never there, before the bound.
fn consistent(warm: &Warm, applied: &Snapshot) {
    assert_eq!(warm.active(), applied, "the deltas tell all");
    for listener in warm.active().of(ResourceType::Listener) {
        for (kind, name) in references(&listener) {
            assert!(warm.active().get(kind, &name).is_some(), "{} is live without {kind:?} {name}", listener.name());
        }
    }
}

#[test]
fn soak_every_order_of_arrival_ends_in_the_same_live_snapshot() {
    soak::seeds(|seed| {
        let rng = &mut StdRng::seed_from_u64(seed);
        let (mut client, mut warm, mut applied) = (new_client(), Warm::default(), Snapshot::default());
        client.open();
        let now = Instant::now();
        for _ in 0..3 {
            let target = world(rng);
            // What was sent before it was asked for is passed over, so a server sends again until nothing differs.
            loop {
                let pieces = pieces(&client, &target, rng);
                if pieces.is_empty() {
                    break;
                }
                for piece in pieces {
                    let step = client.receive(piece);
                    assert!(step.replies[0].error_detail.is_none());
                    let delta = warm.receive(client.received(), &step.change, now);
                    applied.apply(&delta);
                    if step.change.removed.is_empty() && client.world() == &target {
                        consistent(&warm, &applied);
                    }
                }
            }
            assert_eq!(warm.active(), &target);
            assert_eq!(applied, target);
            assert_eq!(warm.deadline(), None);
        }
    });
}

#[test]
fn soak_a_listener_without_its_routes_is_never_live_before_the_bound() {
    soak::seeds(|seed| {
        let rng = &mut StdRng::seed_from_u64(seed);
        let (mut client, mut warm) = (new_client(), Warm::default());
        client.open();
        let now = Instant::now();
        let mut target = world(rng);
        target.routes.clear();
        let pieces = pieces(&client, &target, rng);
        for piece in pieces {
            let step = client.receive(piece);
            warm.receive(client.received(), &step.change, now);
            assert!(warm.active().listeners.is_empty());
        }
        warm.expire(client.received(), now + BOUND);
        assert_eq!(warm.active().listeners, target.listeners, "after the bound it goes live as it is");
    });
}
