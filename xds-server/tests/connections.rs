//! Routes of whole connections: who is behind whom and is told so, and what TrafficPolicies mean for them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use weir_config::kinds::{Kind, ObjectKey};
use weir_config::model::Network;
use weir_xds_server::status::Condition;
use weir_xds_server::translate::{Settings, World};
use weir_xds_server::watch::Event;

const BASE: &str = "
kind: GatewayClass
metadata: {name: weir}
spec: {controllerName: weir.dev/gateway-controller}
---
kind: Plan
metadata: {name: pro}
spec: {}
---
kind: Gateway
metadata: {namespace: weir-system, name: public}
spec:
  gatewayClassName: weir
  listeners:
  - {name: tcp, port: 9000, protocol: TCP, allowedRoutes: {namespaces: {from: All}}}
  - {name: udp, port: 9000, protocol: UDP, allowedRoutes: {namespaces: {from: All}}}
  - {name: tls, port: 8443, protocol: TLS, tls: {mode: Passthrough}, allowedRoutes: {namespaces: {from: All}}}";

/// Two tenants with a Service each.
fn world() -> World {
    let mut text = BASE.to_owned();
    for tenant in ["acme", "globex"] {
        text += &format!(
            "
---
kind: Tenant
metadata: {{name: {tenant}}}
spec: {{plan: pro, hostnames: ['*.{tenant}.test']}}
---
kind: Namespace
metadata: {{name: {tenant}, labels: {{weir.dev/tenant: {tenant}}}}}
---
kind: Service
metadata: {{namespace: {tenant}, name: web}}
spec: {{ports: [{{name: t, port: 80}}, {{name: u, port: 80, protocol: UDP}}]}}"
        );
    }
    let mut world = World::new(Settings::default());
    apply(&mut world, &text);
    world
}

fn apply(world: &mut World, text: &str) {
    world.apply(&support::applied(&support::objects(text)));
}

fn delete(world: &mut World, kind: Kind, namespace: &str, name: &str) {
    world.apply(&[Event::Delete(ObjectKey::new(kind, namespace, name))]);
}

fn route(kind: &str, namespace: &str, name: &str, day: u8, more: &str) -> String {
    let section = match kind {
        "TCPRoute" => "tcp",
        "UDPRoute" => "udp",
        _ => "tls",
    };
    format!(
        "kind: {kind}\nmetadata: {{namespace: {namespace}, name: {name}, creationTimestamp: '2026-01-0{day}T00:00:00Z'}}\nspec: {{{more}parentRefs: [{{namespace: weir-system, name: public, sectionName: {section}}}], rules: [{{backendRefs: [{{name: web, port: 80}}]}}]}}"
    )
}

fn conditions<'w>(world: &'w World, kind: Kind, namespace: &str, name: &str) -> &'w [Condition] {
    &world.statuses()[&ObjectKey::new(kind, namespace, name)].parents[0].conditions
}

/// What is said of a route that is behind another; none: it is not. It is accepted all the same.
fn behind(world: &World, kind: Kind, namespace: &str, name: &str) -> Option<String> {
    let conditions = conditions(world, kind, namespace, name);
    assert!(conditions.iter().any(|condition| condition.type_ == "Accepted" && condition.status), "{conditions:?}");
    let found = conditions.iter().find(|condition| condition.type_ == "weir.dev/Programmed")?;
    assert_eq!((found.status, found.reason.as_str()), (false, "RouteConflict"));
    Some(found.message.clone())
}

#[test]
fn the_younger_route_of_a_port_is_told_who_has_it() {
    for kind in [Kind::TCPRoute, Kind::UDPRoute] {
        let mut world = world();
        apply(&mut world, &route(kind.name(), "acme", "young", 3, ""));
        assert_eq!(behind(&world, kind, "acme", "young"), None, "while it is alone");
        apply(&mut world, &route(kind.name(), "acme", "old", 2, ""));
        let told = behind(&world, kind, "acme", "young").unwrap();
        assert!(told.contains(&format!("{} acme/old is older and has port 9000", kind.name())), "{told}");
        assert_eq!(behind(&world, kind, "acme", "old"), None);
        // Of another tenant's route no more is told than whose it is.
        apply(&mut world, &route(kind.name(), "globex", "secret", 1, ""));
        for name in ["old", "young"] {
            let told = behind(&world, kind, "acme", name).unwrap();
            assert!(told.contains(&format!("a {} of tenant globex is older", kind.name())), "{told}");
            assert!(!told.contains("secret"), "{told}");
        }
        delete(&mut world, kind, "globex", "secret");
        assert_eq!(behind(&world, kind, "acme", "old"), None, "it has the port again");
        assert!(behind(&world, kind, "acme", "young").unwrap().contains("acme/old"));
        delete(&mut world, kind, "acme", "old");
        assert_eq!(behind(&world, kind, "acme", "young"), None);
    }
}

#[test]
fn a_name_is_behind_only_where_all_of_it_is_another_s() {
    let mut world = world();
    apply(&mut world, &route("TLSRoute", "acme", "one", 1, "hostnames: [a.acme.test], "));
    apply(&mut world, &route("TLSRoute", "acme", "both", 2, "hostnames: [a.acme.test, b.acme.test], "));
    apply(&mut world, &route("TLSRoute", "acme", "late", 3, "hostnames: [a.acme.test], "));
    assert_eq!(behind(&world, Kind::TLSRoute, "acme", "one"), None);
    assert_eq!(behind(&world, Kind::TLSRoute, "acme", "both"), None, "it has b.acme.test");
    let told = behind(&world, Kind::TLSRoute, "acme", "late").unwrap();
    assert!(told.contains("TLSRoute acme/one is older and has `a.acme.test`"), "{told}");
}

#[test]
fn a_listener_in_conflict_is_told_who_has_the_port() {
    let mut world = world();
    apply(
        &mut world,
        "kind: Gateway\nmetadata: {namespace: weir-system, name: second}\nspec: {gatewayClassName: weir, listeners: [{name: tcp, port: 9000, protocol: TCP}]}",
    );
    let status = &world.statuses()[&ObjectKey::new(Kind::Gateway, "weir-system", "second")];
    let conflicted = status.listeners[0].conditions.iter().find(|condition| condition.type_ == "Conflicted").unwrap();
    assert!(conflicted.message.ends_with("tcp of Gateway weir-system/public"), "{}", conflicted.message);
}

fn policy(name: &str, target: &str, spec: &str) -> String {
    let (kind, object) = target.split_once('/').unwrap();
    let group = if kind == "Service" { "" } else { "gateway.networking.k8s.io" };
    format!(
        "kind: TrafficPolicy\nmetadata: {{namespace: acme, name: {name}}}\nspec: {{targetRefs: [{{group: '{group}', kind: {kind}, name: {object}}}], {spec}}}"
    )
}

/// The connect timeout of the cluster to which the TCP listener sends.
fn connect(world: &World) -> Option<Duration> {
    let listener = &world.snapshot().listeners["edge/0.0.0.0/9000/tcp"];
    let Network::Tcp(proxied) = &listener.chains[0].network else { panic!("{listener:?}") };
    world.snapshot().clusters[proxied.split.clusters().next().unwrap()].connect_timeout
}

fn accepted(world: &World, name: &str) -> (bool, String) {
    let status = &world.statuses()[&ObjectKey::new(Kind::TrafficPolicy, "acme", name)];
    let condition = &status.ancestors[0].conditions[0];
    (condition.status, condition.reason.clone())
}

#[test]
fn a_policy_holds_for_connections_as_far_as_it_means_anything_there() {
    let mut world = world();
    for kind in ["TCPRoute", "UDPRoute"] {
        apply(&mut world, &route(kind, "acme", "db", 1, ""));
    }
    assert_eq!(connect(&world), None);
    apply(&mut world, &policy("p", "TCPRoute/db", "timeouts: {connect: 2s}"));
    assert_eq!((connect(&world), accepted(&world, "p")), (Some(Duration::from_secs(2)), (true, "Accepted".into())));
    // A Service's goes before a route's.
    apply(&mut world, &policy("s", "Service/web", "timeouts: {connect: 1s}"));
    assert_eq!((connect(&world), accepted(&world, "s")), (Some(Duration::from_secs(1)), (true, "Accepted".into())));
    delete(&mut world, Kind::TrafficPolicy, "acme", "s");
    // What is about requests is refused, and then nothing of it holds.
    apply(&mut world, &policy("p", "TCPRoute/db", "timeouts: {connect: 2s, request: 1s}"));
    assert_eq!((connect(&world), accepted(&world, "p")), (None, (false, "Unsupported".into())));
    apply(&mut world, &policy("u", "UDPRoute/db", "timeouts: {connect: 2s}"));
    assert_eq!(accepted(&world, "u"), (false, "Unsupported".into()));
}
