//! TrafficPolicies, on the level of the model: what they make of routes and clusters, and what they cost.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use weir_config::kinds::{Kind, ObjectKey};
use weir_config::model::{Forward, Resource, ResourceType, Route, RouteAction, SessionPersistence};
use weir_xds_server::translate::{Settings, World};
use weir_xds_server::watch::Event;

fn world() -> World {
    let mut world = World::new(Settings::default());
    let case = include_str!("golden/traffic_policies.yaml").split("# ---- resources").next().unwrap();
    let text = format!("{}\n---\n{case}", include_str!("golden/with/platform.yaml"));
    world.apply(&support::applied(&support::objects(&text)));
    world
}

fn routes(world: &World) -> Vec<Route> {
    let name = "edge/0.0.0.0/80/http/shop.acme.com";
    match world.snapshot().get(ResourceType::VirtualHost, name).unwrap() {
        Resource::VirtualHost(host) => host.routes.clone(),
        other => panic!("{other:?}"),
    }
}

/// The route of the rule whose path begins so.
fn rule(world: &World, number: usize) -> (Route, Forward) {
    let routes = routes(world);
    let route = routes.iter().find(|route| route.name == format!("acme/web/{number}/0")).unwrap();
    match &route.action {
        RouteAction::Forward(forward) => (route.clone(), forward.clone()),
        other => panic!("{other:?}"),
    }
}

fn accepted(world: &World, namespace: &str, name: &str) -> (bool, String) {
    let status = &world.statuses()[&ObjectKey::new(Kind::TrafficPolicy, namespace, name)];
    let condition = &status.ancestors[0].conditions[0];
    (condition.status, condition.reason.clone())
}

#[test]
fn the_closest_counts_field_by_field() {
    let world = world();
    let (route, forward) = rule(&world, 0);
    assert_eq!(forward.timeout, Some(Duration::from_secs(120)), "of the rule's policy");
    let retry = forward.retry.unwrap();
    assert_eq!((retry.attempts, &retry.statuses[..]), (Some(3), &[503][..]), "of the route's");
    assert_eq!(retry.per_try_timeout, Some(Duration::from_secs(30)), "of the rule's again");
    assert_eq!(route.session.as_deref(), Some(&SessionPersistence::Header { name: "x-shop".into() }));

    let (route, forward) = rule(&world, 1);
    assert_eq!(forward.timeout, Some(Duration::from_secs(3)), "what a rule says itself goes before policies");
    let cookie = SessionPersistence::Cookie { name: "shop".into(), path: "/".into(), ttl: Duration::from_secs(2) };
    assert_eq!(route.session.as_deref(), Some(&cookie));

    let (_, forward) = rule(&world, 2);
    assert_eq!(forward.timeout, Some(Duration::from_secs(60)), "of the Gateway's");
}

#[test]
fn connections_have_a_time_of_the_service_or_else_of_the_route() {
    let world = world();
    let connect = |number: usize| {
        let (_, forward) = rule(&world, number);
        let cluster = forward.split.clusters().next().unwrap().to_owned();
        match world.snapshot().get(ResourceType::Cluster, &cluster).unwrap() {
            Resource::Cluster(cluster) => cluster.connect_timeout,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(connect(0), Some(Duration::from_secs(2)));
    assert_eq!(connect(2), Some(Duration::from_millis(500)));
}

#[test]
fn what_does_not_hold_says_so() {
    let mut world = world();
    let no = |reason: &str| (false, reason.to_owned());
    let yes = (true, "Accepted".to_owned());
    assert_eq!(accepted(&world, "weir-system", "all"), yes);
    assert_eq!(accepted(&world, "acme", "route"), yes);
    assert_eq!(accepted(&world, "acme", "service"), yes);
    assert_eq!(accepted(&world, "acme", "younger"), no("Conflicted"));
    assert_eq!(accepted(&world, "acme", "a-later-issue"), no("Unsupported"));
    assert_eq!(accepted(&world, "acme", "too-much"), no("Unsupported"));
    assert_eq!(accepted(&world, "acme", "no-such-rule"), no("TargetNotFound"));

    // What was in conflict holds as soon as the older is gone, and costs its tenant alone.
    world.apply(&[Event::Delete(ObjectKey::new(Kind::TrafficPolicy, "acme", "route"))]);
    assert_eq!((world.work().tenants, world.work().ports), (1, 0));
    assert_eq!(accepted(&world, "acme", "younger"), yes);
    assert_eq!(rule(&world, 2).1.timeout, Some(Duration::from_secs(1)));
}
