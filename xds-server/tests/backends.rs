//! What backends become, on the level of the model.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;

use weir_config::kinds::{Kind, ObjectKey};
use weir_config::model::{Cluster, Resource, ResourceType, Roots, SubjectName, UpstreamProtocol};
use weir_xds_server::translate::{Settings, World};
use weir_xds_server::watch::Event;

/// The world of the golden cases' platform, with more.
fn world(manifests: &str) -> World {
    let mut world = World::new(Settings::default());
    let base = include_str!("golden/with/platform.yaml");
    world.apply(&support::applied(&support::objects(&format!("{base}\n---\n{manifests}"))));
    world
}

fn cluster(world: &World, name: &str) -> Option<Cluster> {
    let resource = world.snapshot().get(ResourceType::Cluster, name)?;
    Some(match resource {
        Resource::Cluster(cluster) => (*cluster).clone(),
        other => panic!("{other:?}"),
    })
}

/// Manifests of a golden case, without what they become.
fn manifests(case: &'static str) -> &'static str {
    case.split("# ---- resources").next().unwrap()
}

#[test]
fn an_app_protocol_says_what_endpoints_speak() {
    let world = world(manifests(include_str!("golden/backends_app_protocol.yaml")));
    let protocol = |port: u16| cluster(&world, &format!("acme/acme/app/{port}")).map(|cluster| cluster.protocol);
    assert_eq!(protocol(80), Some(UpstreamProtocol::Http1));
    assert_eq!(protocol(81), Some(UpstreamProtocol::Http2));
    assert_eq!(protocol(82), Some(UpstreamProtocol::Http1));
    assert_eq!(protocol(83), None, "TLS without knowing whom to trust");
    assert_eq!(protocol(84), Some(UpstreamProtocol::Http2));
    assert_eq!(protocol(85), None, "it is not known");
}

#[test]
fn a_policy_says_whom_to_trust() {
    let world = world(manifests(include_str!("golden/backend_tls.yaml")));
    let tls = |service: &str, port: u16| {
        let cluster = cluster(&world, &format!("acme/acme/{service}/{port}"));
        cluster.map(|cluster| *cluster.tls.expect("TLS"))
    };
    let sni = |service: &str, port: u16| tls(service, port).map(|tls| tls.sni);
    assert_eq!(sni("whole", 443).as_deref(), Some("whole.acme.test"));
    assert_eq!(sni("parts", 443).as_deref(), Some("a.acme.test"), "the policy of the port goes before that of all");
    assert_eq!(sni("parts", 8443).as_deref(), Some("all.acme.test"));
    assert_eq!(sni("contested", 443).as_deref(), Some("older.acme.test"));
    assert_eq!(sni("half", 443).as_deref(), Some("half.acme.test"), "one good CA is enough");
    for unusable in ["nothing", "kinds", "unknown"] {
        assert_eq!(sni(unusable, 443), None, "{unusable}: never in plain text");
    }
    let names = tls("names", 443).unwrap().names;
    assert_eq!(names, [SubjectName::Uri("spiffe://acme/names".into()), SubjectName::Dns("*.acme.test".into())]);
    let system = tls("system", 443).unwrap();
    assert_eq!((system.roots, system.names), (Roots::System, vec![SubjectName::Dns("public.example.com".into())]));
}

#[test]
fn a_ca_that_comes_late_is_used_and_costs_its_tenant_alone() {
    let text = manifests(include_str!("golden/backend_tls.yaml"));
    let mut world = world(text);
    let ca = support::objects(text).into_iter().find(|object| object.metadata().name.as_deref() == Some("ca")).unwrap();
    let mut late = (*ca).clone();
    late.metadata_mut().name = Some("away".into());
    world.apply(&[Event::Apply(Arc::new(late))]);
    assert_eq!((world.work().tenants, world.work().ports), (1, 0));
    assert!(cluster(&world, "acme/acme/nothing/443").is_some_and(|cluster| cluster.tls.is_some()));
    world.apply(&[Event::Delete(ObjectKey::new(Kind::ConfigMap, "acme", "away"))]);
    assert_eq!(cluster(&world, "acme/acme/nothing/443"), None);
    // Without its policy a Service is reached in plain text again.
    world.apply(&[Event::Delete(ObjectKey::new(Kind::BackendTLSPolicy, "acme", "whole"))]);
    assert!(cluster(&world, "acme/acme/whole/443").is_some_and(|cluster| cluster.tls.is_none()));
}

#[test]
fn a_gateway_shows_its_certificate_to_backends_over_tls_and_nobody_elses() {
    let text = manifests(include_str!("golden/gateway_client_certificates.yaml"));
    let mut world = world(text);
    let shown = |world: &World, name: &str| cluster(world, name).and_then(|cluster| cluster.tls?.certificate);
    let at_secure = "acme/acme/web/80/at/weir-system/secure";
    assert_eq!(shown(&world, at_secure).as_deref(), Some("weir-system/shop-acme-test"));
    assert!(cluster(&world, "acme/acme/web/80").is_some_and(|cluster| cluster.tls.unwrap().certificate.is_none()));
    assert!(cluster(&world, "acme/acme/canary/80").is_some(), "in plain text it is the same at every Gateway");
    assert_eq!(cluster(&world, "acme/acme/canary/80/at/weir-system/secure"), None);
    let secret = |world: &World| world.snapshot().get(ResourceType::Secret, "weir-system/shop-acme-test").is_some();
    assert!(secret(&world));

    // Without the Secret the Gateway says so, and its routes show nothing.
    world.apply(&[Event::Delete(ObjectKey::new(Kind::Secret, "weir-system", "shop-acme-test"))]);
    assert_eq!(cluster(&world, at_secure), None);
    let status = &world.statuses()[&ObjectKey::new(Kind::Gateway, "weir-system", "secure")];
    let resolved = status.conditions.iter().find(|condition| condition.type_ == "ResolvedRefs").unwrap();
    assert_eq!((resolved.status, resolved.reason.as_str()), (false, "InvalidClientCertificateRef"));
    assert!(!secret(&world));
}

#[test]
fn a_listener_asks_clients_for_what_its_gateway_says_of_the_port() {
    let text = manifests(include_str!("golden/gateway_client_certificates.yaml"));
    let mut world = world(text);
    let asked = |world: &World, port: u16| {
        let name = format!("edge/0.0.0.0/{port}/tcp");
        match world.snapshot().get(ResourceType::Listener, &name)? {
            Resource::Listener(listener) => {
                let clients = listener.chains[0].tls.as_ref().unwrap().clients.as_ref();
                Some(clients.map(|clients| (clients.required, clients.untrusted)))
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(asked(&world, 8443), Some(Some((true, false))));
    assert_eq!(asked(&world, 8444), Some(Some((false, true))));
    assert_eq!(asked(&world, 8445), Some(None), "a port without validation overrides the default");
    for port in [8446, 8447, 8448] {
        assert_eq!(asked(&world, port), None, "{port}: nobody is let in unchecked");
    }
    assert_eq!(asked(&world, 8449), Some(Some((true, false))), "one good CA is enough");
    world.apply(&[Event::Delete(ObjectKey::new(Kind::ConfigMap, "weir-system", "clients"))]);
    for port in [8443, 8444, 8449] {
        assert_eq!(asked(&world, port), None, "{port}");
    }
    assert_eq!(asked(&world, 8445), Some(None));
}
