//! The world is a function of the set of objects: any order, repetition and deletion of events
//! ends in the snapshot and the conditions of one list of what is left.

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use proptest::prelude::*;
use weir_config::kinds::{Object, ObjectKey};
use weir_config::model::Snapshot;
use weir_config::testing::soak;
use weir_xds_server::translate::{Settings, World};
use weir_xds_server::watch::Event;

/// Objects in several versions each, made to get in each other's way; of each the first is good.
fn pool() -> &'static [Arc<Object>] {
    static POOL: OnceLock<Vec<Arc<Object>>> = OnceLock::new();
    POOL.get_or_init(read_pool)
}

fn read_pool() -> Vec<Arc<Object>> {
    let mut text = include_str!("golden/with/platform.yaml").to_owned();
    text += "\n---\n";
    text += include_str!("../../config/examples/quickstart/certificate.yaml");
    for (name, hosts) in [
        ("acme", "[]"),
        ("acme", r#"["*"]"#),
        ("acme", r#"["*.x.test", a.y.test]"#),
        ("acme", r#"["*.x.test", a.b.x.test], state: Suspended"#),
        ("globex", r#"["*.b.x.test", a.y.test]"#),
        ("globex", r#"["*.b.x.test"], limits: {requests: {perSecond: 3}}"#),
        ("globex", r#"["*.x.test"], namespaceSelector: {matchLabels: {team: red}}"#),
        ("globex", r#"[z.test], namespaceSelector: {}"#),
    ] {
        text += &format!("\n---\nkind: Tenant\nmetadata: {{name: {name}}}\nspec: {{plan: pro, hostnames: {hosts}}}\n");
    }
    text += "\n---\nkind: Tenant\nmetadata: {name: system}\nspec: {plan: free, hostnames: [\"*\"]}\n";
    for labels in ["weir.dev/tenant: acme", "weir.dev/tenant: globex", "team: red, weir.dev/tenant: acme", ""] {
        for name in ["acme", "other", "weir-system"] {
            text += &format!("\n---\nkind: Namespace\nmetadata: {{name: {name}, labels: {{{labels}}}}}\n");
        }
    }
    for class in ["weir.dev/gateway-controller", "example.com/other"] {
        text += &format!("\n---\nkind: GatewayClass\nmetadata: {{name: weir}}\nspec: {{controllerName: {class}}}\n");
    }
    let all = "allowedRoutes: {namespaces: {from: All}}";
    let tls = "tls: {certificateRefs: [{namespace: weir-system, name: shop-acme-test}]}";
    for (namespace, name, listeners) in [
        ("weir-system", "public", format!("{{name: http, port: 80, protocol: HTTP, {all}}}")),
        (
            "weir-system",
            "public",
            format!(
                "{{name: wild, port: 80, protocol: HTTP, hostname: '*.x.test', {all}}}, {{name: http, port: 80, protocol: HTTP, {all}}}"
            ),
        ),
        (
            "weir-system",
            "public",
            format!(
                "{{name: tls, port: 443, protocol: HTTPS, {tls}, {all}}}, {{name: http, port: 80, protocol: HTTP, hostname: a.y.test, {all}}}"
            ),
        ),
        ("weir-system", "second", format!("{{name: exact, port: 80, protocol: HTTP, hostname: a.b.x.test, {all}}}")),
        (
            "weir-system",
            "second",
            format!(
                "{{name: tls, port: 443, protocol: HTTPS, hostname: '*.x.test', {tls}, {all}}}, {{name: p, port: 80, protocol: HTTPS, {tls}}}"
            ),
        ),
        (
            "acme",
            "own",
            format!(
                "{{name: http, port: 80, protocol: HTTP}}, {{name: tls, port: 443, protocol: HTTPS, {tls}, {all}}}"
            ),
        ),
        ("acme", "own", "{name: http, port: 80, protocol: HTTP, hostname: '*.x.test'}".to_owned()),
    ] {
        text += &format!(
            "\n---\nkind: Gateway\nmetadata: {{namespace: {namespace}, name: {name}}}\nspec: {{gatewayClassName: weir, listeners: [{listeners}]}}\n"
        );
    }
    text += &listener_sets();
    text += &backend_tls();
    text += &traffic_policies();
    for namespace in ["acme", "other", "weir-system"] {
        for (hosts, parent) in [
            ("[]", "{namespace: weir-system, name: public}"),
            ("['*.x.test']", "{namespace: weir-system, name: public, sectionName: http}"),
            (
                "[a.b.x.test, a.y.test, z.test]",
                "{namespace: weir-system, name: second}, {namespace: weir-system, name: public}",
            ),
            ("[]", "{namespace: acme, name: own}"),
            ("['*.x.test']", "{kind: ListenerSet, namespace: acme, name: set}, {namespace: weir-system, name: public}"),
        ] {
            for name in ["r", "s"] {
                text += &format!(
                    "\n---\nkind: HTTPRoute\nmetadata: {{namespace: {namespace}, name: {name}}}\nspec: {{hostnames: {hosts}, parentRefs: [{parent}], rules: [{{backendRefs: [{{namespace: acme, name: web, port: 80}}, {{name: web, port: 80}}]}}]}}\n"
                );
            }
        }
        for port in [80, 81] {
            text += &format!(
                "\n---\nkind: Service\nmetadata: {{namespace: {namespace}, name: web}}\nspec: {{ports: [{{port: {port}}}]}}\n"
            );
            text += &format!(
                "\n---\nkind: EndpointSlice\nmetadata: {{namespace: {namespace}, name: w, labels: {{kubernetes.io/service-name: web}}}}\naddressType: IPv4\nports: [{{port: {port}}}]\nendpoints: [{{addresses: [10.0.0.1]}}]\n"
            );
        }
    }
    for (namespace, from, to) in
        [("acme", "HTTPRoute", "Service"), ("weir-system", "Gateway", "Secret"), ("weir-system", "Gateway", "Service")]
    {
        for who in ["acme", "other"] {
            text += &format!(
                "\n---\nkind: ReferenceGrant\nmetadata: {{namespace: {namespace}, name: g}}\nspec: {{from: [{{group: gateway.networking.k8s.io, kind: {from}, namespace: {who}}}], to: [{{group: '', kind: {to}}}]}}\n"
            );
        }
    }
    text += "\n---\nkind: Secret\nmetadata: {namespace: weir-system, name: shop-acme-test}\ntype: Opaque\n";
    support::objects(&text)
}

/// ListenerSets in each other's and in Gateways' way, and Gateways that allow some of them.
fn listener_sets() -> String {
    let mut text = String::new();
    for allowed in ["{from: All}", "{from: Same}", "{from: Selector, selector: {matchLabels: {team: red}}}"] {
        text += &format!(
            "\n---\nkind: Gateway\nmetadata: {{namespace: weir-system, name: public}}\nspec: {{gatewayClassName: weir, allowedListeners: {{namespaces: {allowed}}}, listeners: [{{name: http, port: 80, protocol: HTTP, hostname: a.y.test}}]}}\n"
        );
    }
    for tls in
        ["backend: {clientCertificateRef: {name: shop-acme-test}}", "backend: {clientCertificateRef: {name: away}}"]
    {
        text += &format!(
            "\n---\nkind: Gateway\nmetadata: {{namespace: weir-system, name: second}}\nspec: {{gatewayClassName: weir, tls: {{{tls}}}, listeners: [{{name: exact, port: 80, protocol: HTTP, hostname: a.b.x.test, allowedRoutes: {{namespaces: {{from: All}}}}}}]}}\n"
        );
    }
    for (gateway, listeners) in [
        ("public", "{name: http, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}"),
        (
            "public",
            "{name: tls, port: 443, protocol: HTTPS, hostname: '*.x.test', tls: {certificateRefs: [{namespace: weir-system, name: shop-acme-test}]}}",
        ),
        (
            "second",
            "{name: http, port: 80, protocol: HTTP, hostname: a.b.x.test}, {name: other, port: 81, protocol: HTTP}",
        ),
    ] {
        for namespace in ["acme", "other", "weir-system"] {
            text += &format!(
                "\n---\nkind: ListenerSet\nmetadata: {{namespace: {namespace}, name: set}}\nspec: {{parentRef: {{namespace: weir-system, name: {gateway}}}, listeners: [{listeners}]}}\n"
            );
        }
    }
    text
}

/// TrafficPolicies for what may be there.
fn traffic_policies() -> String {
    let mut text = String::new();
    for (namespace, name, target) in [
        ("acme", "a", "{group: gateway.networking.k8s.io, kind: HTTPRoute, name: r}"),
        ("acme", "b", "{group: gateway.networking.k8s.io, kind: HTTPRoute, name: r}"),
        ("acme", "b", "{group: '', kind: Service, name: web}"),
        ("weir-system", "a", "{group: gateway.networking.k8s.io, kind: Gateway, name: public}"),
        ("weir-system", "a", "{group: gateway.networking.k8s.io, kind: Gateway, name: second, sectionName: exact}"),
    ] {
        text += &format!(
            "\n---\nkind: TrafficPolicy\nmetadata: {{namespace: {namespace}, name: {name}}}\nspec: {{targetRefs: [{target}], timeouts: {{connect: 1s}}}}\n"
        );
    }
    text
}

/// BackendTLSPolicies, and what they refer to.
fn backend_tls() -> String {
    let mut text = String::new();
    for (name, validation) in [
        ("a", "{wellKnownCACertificates: System, hostname: a.test}"),
        ("a", "{caCertificateRefs: [{group: '', kind: ConfigMap, name: ca}], hostname: b.test}"),
        ("b", "{wellKnownCACertificates: System, hostname: c.test}"),
    ] {
        for target in ["web", "away"] {
            text += &format!(
                "\n---\nkind: BackendTLSPolicy\nmetadata: {{namespace: acme, name: {name}}}\nspec: {{targetRefs: [{{group: '', kind: Service, name: {target}}}], validation: {validation}}}\n"
            );
        }
    }
    let certificate = include_str!("golden/backend_tls.yaml").split("  ca.crt: |\n").nth(1).unwrap_or_default();
    let certificate = certificate.split("---\n").next().unwrap_or_default();
    text +=
        &format!("\n---\nkind: ConfigMap\nmetadata: {{namespace: acme, name: ca}}\ndata:\n  ca.crt: |\n{certificate}");
    text + "\n---\nkind: ConfigMap\nmetadata: {namespace: acme, name: ca}\n"
}

fn check(events: &[(usize, bool)], cuts: &[usize], unassigned: bool) -> Result<(), TestCaseError> {
    let pool = pool();
    let settings = Settings { unassigned_is_system: unassigned, ..Settings::default() };
    let mut world = World::new(settings.clone());
    let mut replayed = Snapshot::default();
    let mut told = BTreeMap::new();
    let mut apply = |world: &mut World, batch: &[Event]| {
        replayed.apply(&world.apply(batch));
        for key in world.changed() {
            match world.statuses().get(key) {
                Some(status) => told.insert(key.clone(), status.clone()),
                None => told.remove(key),
            };
        }
    };
    let mut left: BTreeMap<ObjectKey, Arc<Object>> = BTreeMap::new();
    let mut batch = Vec::new();
    // Begin with the first version of everything, so that there is something to disturb.
    for object in pool.iter().rev() {
        left.insert(object.key(), object.clone());
        batch.push(Event::Apply(object.clone()));
    }
    for (place, (index, keep)) in events.iter().enumerate() {
        let object = &pool[index % pool.len()];
        batch.push(if *keep {
            left.insert(object.key(), object.clone());
            Event::Apply(object.clone())
        } else {
            left.remove(&object.key());
            Event::Delete(object.key())
        });
        if cuts.contains(&place) {
            apply(&mut world, &std::mem::take(&mut batch));
        }
    }
    apply(&mut world, &batch);

    let mut fresh = World::new(settings);
    let list = support::applied(&left.into_values().collect::<Vec<_>>());
    fresh.apply(&list);
    prop_assert_eq!(world.snapshot(), fresh.snapshot());
    prop_assert_eq!(world.statuses(), fresh.statuses());
    prop_assert_eq!(&replayed, world.snapshot());
    prop_assert_eq!(&told, world.statuses());
    prop_assert!(world.apply(&list).is_empty());
    Ok(())
}

#[test]
fn soak_the_order_of_events_does_not_matter() {
    let events = prop::collection::vec((0usize..2000, prop::bool::weighted(0.8)), 1..60);
    let cuts = prop::collection::vec(0usize..60, 0..60);
    let all = (events, cuts, any::<bool>());
    soak::property(&all, |(events, cuts, unassigned)| check(events.as_slice(), cuts.as_slice(), unassigned));
}
