//! What ListenerSets cost, and in which order they count.

mod support;

use std::fmt::Write as _;

use weir_config::kinds::{Kind, ObjectKey};
use weir_config::model::ResourceType;
use weir_xds_server::status::ObjectStatus;
use weir_xds_server::translate::{Settings, World};
use weir_xds_server::watch::Event;

const TENANTS: usize = 40;

fn gateway(allowed: &str) -> String {
    format!(
        "{}\n---\nkind: Gateway\nmetadata: {{namespace: weir-system, name: shared}}\nspec: {{gatewayClassName: weir, \
         allowedListeners: {{namespaces: {allowed}}}, listeners: [{{name: own, port: \
         8080, protocol: HTTP, hostname: platform.test, allowedRoutes: {{namespaces: {{from: All}}}}}}]}}",
        include_str!("golden/with/platform.yaml")
    )
}

fn tenant(index: usize) -> String {
    format!(
        "\n---\nkind: Tenant\nmetadata: {{name: t{index}}}\nspec: {{plan: pro, hostnames: [t{index}.example, \
         '*.t{index}.example']}}\n---\nkind: Namespace\nmetadata: {{name: n{index}, labels: {{weir.dev/tenant: \
         t{index}}}}}\n---\nkind: HTTPRoute\nmetadata: {{namespace: n{index}, name: web}}\nspec: {{parentRefs: [{{kind: \
         ListenerSet, name: own}}], rules: [{{matches: [{{path: {{value: /}}}}]}}]}}\n{}",
        set(index, &format!("t{index}.example"))
    )
}

fn set(index: usize, host: &str) -> String {
    format!(
        "---\nkind: ListenerSet\nmetadata: {{namespace: n{index}, name: own}}\nspec: {{parentRef: {{namespace: \
         weir-system, name: shared}}, listeners: [{{name: http, port: 8080, protocol: HTTP, hostname: {host}}}]}}\n"
    )
}

fn apply(world: &mut World, text: &str) {
    world.apply(&support::applied(&support::objects(text)));
}

fn fleet() -> World {
    let mut text = gateway("{from: All}");
    for index in 0..TENANTS {
        let _ = write!(text, "{}", tenant(index));
    }
    let mut world = World::new(Settings::default());
    apply(&mut world, &text);
    world
}

fn status(world: &World, kind: Kind, namespace: &str, name: &str) -> ObjectStatus {
    world.statuses().get(&ObjectKey::new(kind, namespace, name)).cloned().unwrap_or_default()
}

fn serves(world: &World, host: &str) -> bool {
    world.snapshot().get(ResourceType::VirtualHost, &format!("edge/0.0.0.0/8080/http/{host}")).is_some()
}

#[test]
fn an_edit_of_one_costs_its_tenant_and_its_port() {
    let mut world = fleet();
    assert_eq!(status(&world, Kind::Gateway, "weir-system", "shared").attached_listener_sets, Some(40));
    assert!((0..TENANTS).all(|index| serves(&world, &format!("t{index}.example"))));
    apply(&mut world, &set(7, "'*.t7.example'"));
    assert_eq!((world.work().ports, world.work().tenants), (1, 1));
    assert!(!serves(&world, "t7.example") && serves(&world, "*.t7.example") && serves(&world, "t8.example"));
    world.apply(&[Event::Delete(ObjectKey::new(Kind::ListenerSet, "n7", "own"))]);
    assert_eq!((world.work().ports, world.work().tenants), (1, 1));
    assert!(!serves(&world, "*.t7.example"));
    assert_eq!(status(&world, Kind::Gateway, "weir-system", "shared").attached_listener_sets, Some(39));
}

#[test]
fn what_a_gateway_allows_counts_at_once() {
    let mut world = fleet();
    for (allowed, served, sets) in [
        ("{from: None}", false, 0),
        ("{from: All}", true, 40),
        ("{from: Same}", false, 0),
        ("{from: Selector, selector: {matchLabels: {weir.dev/tenant: t3}}}", true, 1),
    ] {
        apply(&mut world, &gateway(allowed));
        assert_eq!(serves(&world, "t3.example"), served, "{allowed}");
        assert_eq!(
            status(&world, Kind::Gateway, "weir-system", "shared").attached_listener_sets,
            Some(sets),
            "{allowed}"
        );
        let set = status(&world, Kind::ListenerSet, "n3", "own");
        let reason = if served { "Accepted" } else { "NotAllowed" };
        assert_eq!(set.conditions.iter().map(|c| (c.status, c.reason.as_str())).next().unwrap(), (served, reason));
    }
    assert!(!serves(&world, "t4.example"), "its namespace is not selected");
    // A label that comes is enough.
    apply(&mut world, "kind: Namespace\nmetadata: {name: n3, labels: {weir.dev/tenant: t4}}");
    assert!(!serves(&world, "t3.example"), "it is another tenant's now, whose name it is not");
}

#[test]
fn the_worlds_of_any_order_are_equal() {
    let mut text: Vec<String> = vec![gateway("{from: All}")];
    text.extend((0..6).map(tenant));
    let mut objects = support::objects(&text.join("\n---\n"));
    let whole = {
        let mut world = World::new(Settings::default());
        world.apply(&support::applied(&objects));
        world
    };
    for turn in 0..objects.len() {
        objects.rotate_left(1);
        let mut world = World::new(Settings::default());
        for object in support::applied(&objects) {
            world.apply(&[object]);
        }
        assert_eq!(world.snapshot(), whole.snapshot(), "rotated by {}", turn + 1);
        assert_eq!(world.statuses(), whole.statuses(), "rotated by {}", turn + 1);
    }
}
