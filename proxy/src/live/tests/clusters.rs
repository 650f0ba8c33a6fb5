use weir_config::model::HealthStatus::{Degraded, Draining, Healthy, Unhealthy, Unknown};

use super::*;
use crate::balance;
use crate::request::cluster::ClusterSlot;

fn world(resources: Vec<Resource>) -> World {
    let mut all = vec![edge(), routes(vec![host("a", "acme", to("web"))]).into()];
    all.extend(resources);
    World::new(all)
}

fn slot(world: &World) -> Arc<ClusterSlot> {
    let chain = world.chain();
    let hosts = chain.http.routes.load();
    let headers: &[httparse::Header<'_>] = &[];
    let head = Head { method: "GET", host: "a", path: "/", query: None, headers };
    match decide(&chain.http, &hosts, &head, 0) {
        Decision::Forward { cluster, .. } => cluster.clone(),
        other => panic!("{other:?}"),
    }
}

/// Ports to choose from.
fn ports(world: &World) -> Vec<u16> {
    slot(world).state.load().endpoints.iter().map(|e| e.address.port()).collect()
}

#[test]
fn a_cluster_and_its_endpoints_come_in_any_order() {
    let parts = [cluster("web", "web"), assignment("web", &[(0, 1, Unknown, 1)]).into()];
    for order in [[0, 1], [1, 0]] {
        let mut world = world(Vec::new());
        assert_eq!(world.ask("a", "/"), "acme -> web?");
        for at in order {
            world.set(vec![parts[at].clone()]);
        }
        assert_eq!((world.ask("a", "/"), ports(&world)), ("acme -> web".into(), vec![1]));
    }
}

#[test]
fn endpoints_swap_under_open_connections_and_the_pools_key_stays() {
    let mut world = world(vec![cluster("web", "web"), assignment("web", &[(0, 1, Unknown, 1)]).into()]);
    let slot = slot(&world);
    world.set(vec![assignment("web", &[(0, 2, Unknown, 1)]).into(), cluster("web", "web")]);
    assert_eq!(balance::pick(&slot, &slot.state.load(), &balance::Tries::default()).unwrap().address, address(2));
    assert!(Arc::ptr_eq(&slot, &self::slot(&world)));
    world.remove(ResourceType::LoadAssignment, "web");
    assert_eq!((world.ask("a", "/"), ports(&world)), ("acme -> web".into(), vec![]));
    world.remove(ResourceType::Cluster, "web");
    assert_eq!(world.ask("a", "/"), "acme -> web?");
    world.set(vec![assignment("web", &[(0, 3, Unknown, 1)]).into(), cluster("web", "web")]);
    assert_eq!(ports(&world), [3]);
}

#[test]
fn clusters_share_endpoints_and_may_change_them() {
    let mut world = world(vec![
        cluster("web", "one"),
        cluster("other", "one"),
        assignment("one", &[(0, 1, Unknown, 1)]).into(),
        assignment("two", &[(0, 2, Unknown, 1)]).into(),
    ]);
    assert_eq!(ports(&world), [1]);
    world.set(vec![cluster("web", "two")]);
    assert_eq!(ports(&world), [2]);
    world.set(vec![assignment("one", &[(0, 9, Unknown, 1)]).into()]);
    assert_eq!(ports(&world), [2]);
    world.set(vec![assignment("two", &[(0, 3, Unknown, 1), (0, 4, Unknown, 1)]).into()]);
    assert_eq!(ports(&world), [3, 4]);
    let fixed = EndpointSource::Static(assignment("", &[(0, 7, Unknown, 1)]));
    world.set(vec![Cluster::new("web", fixed).into()]);
    assert_eq!(ports(&world), [7]);
    assert_eq!(slot(&world).state.load().connect_timeout, Duration::from_secs(5));
}

#[test]
fn a_name_that_comes_and_goes_in_one_change_is_there() {
    let mut world = world(vec![cluster("web", "web")]);
    let removals = vec![(ResourceType::Cluster, "web".to_owned())];
    world.live.apply(&Delta { upserts: vec![cluster("web", "next")], removals });
    assert_eq!(world.ask("a", "/"), "acme -> web");
}

#[test]
fn the_best_that_take_requests_are_chosen_from() {
    type Case<'c> = (&'c [(u32, u16, HealthStatus, u32)], &'c [u16]);
    let cases: [Case<'_>; 7] = [
        (&[(0, 1, Unknown, 1), (0, 2, Healthy, 1), (1, 3, Healthy, 1)], &[1, 2]),
        (&[(0, 1, Unhealthy, 1), (1, 3, Healthy, 1), (2, 4, Healthy, 1)], &[3]),
        (&[(0, 1, Draining, 1), (0, 2, Healthy, 1)], &[2]),
        (&[(0, 1, Degraded, 1), (0, 2, Healthy, 1)], &[2]),
        (&[(0, 1, Degraded, 1), (1, 2, Healthy, 1)], &[2]),
        (&[(0, 1, Unhealthy, 1), (1, 2, Degraded, 1), (1, 3, Draining, 1)], &[2]),
        (&[(0, 1, Unhealthy, 1), (0, 2, Draining, 1)], &[]),
    ];
    for (endpoints, expected) in cases {
        let world = world(vec![cluster("web", "web"), assignment("web", endpoints).into()]);
        assert_eq!(ports(&world), expected, "{endpoints:?}");
    }
}

#[test]
fn weights_of_endpoints_are_exact() {
    let world = world(vec![
        cluster("web", "web"),
        assignment("web", &[(0, 1, Unknown, 3), (0, 2, Unknown, 1), (0, 3, Unknown, 0)]).into(),
    ]);
    let slot = slot(&world);
    let mut counts = [0; 3];
    for _ in 0..50 {
        let port = balance::pick(&slot, &slot.state.load(), &balance::Tries::default()).unwrap().address.port();
        counts[usize::from(port) - 1] += 1;
    }
    assert_eq!(counts, [30, 10, 10], "a weight is at least 1");
}

#[test]
fn a_cluster_that_nobody_sends_or_names_is_forgotten() {
    let mut world = world(vec![cluster("web", "web")]);
    let id = slot(&world).id;
    world.remove(ResourceType::Cluster, "web");
    assert_eq!(slot(&world).id, id, "a route names it");
    world.set(vec![routes(Vec::new()).into()]);
    world.set(vec![routes(vec![host("a", "acme", to("web"))]).into()]);
    assert_ne!(slot(&world).id, id);
}
