//! What a hostile tenant may try, each attempt with its outcome: it is told no, and nothing of the other tenant's is
//! another thing than before, nor reached by the first one's resources.

mod support;

use std::collections::BTreeMap;

use weir_config::kinds::{Kind, ObjectKey};
use weir_config::model::{Resource, ResourceType};
use weir_xds_server::status::{Condition, ObjectStatus};
use weir_xds_server::translate::{Settings, World};

/// The platform's Gateway, and the victim: globex with a name, a Service, a Secret, a ConfigMap and a ListenerSet.
const BASE: &str = "
kind: GatewayClass
metadata: {name: weir}
spec: {controllerName: weir.dev/gateway-controller}
---
kind: Plan
metadata: {name: pro}
spec: {}
---
kind: Tenant
metadata: {name: acme}
spec: {plan: pro, hostnames: ['*.acme.test']}
---
kind: Tenant
metadata: {name: globex}
spec: {plan: pro, hostnames: ['*.globex.test']}
---
kind: Namespace
metadata: {name: acme, labels: {weir.dev/tenant: acme}}
---
kind: Namespace
metadata: {name: globex, labels: {weir.dev/tenant: globex}}
---
kind: Service
metadata: {namespace: acme, name: web}
spec: {ports: [{port: 80}]}
---
kind: Service
metadata: {namespace: globex, name: web}
spec: {ports: [{port: 80}]}
---
kind: Gateway
metadata: {namespace: weir-system, name: public}
spec:
  gatewayClassName: weir
  allowedListeners: {namespaces: {from: All}}
  listeners:
  - {name: http, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}
  - {name: tls, port: 8443, protocol: TLS, tls: {mode: Passthrough}, allowedRoutes: {namespaces: {from: All}}}
  - {name: tcp, port: 9000, protocol: TCP}
  - {name: udp, port: 9000, protocol: UDP}
---
kind: ListenerSet
metadata: {namespace: globex, name: set}
spec:
  parentRef: {namespace: weir-system, name: public}
  listeners: [{name: https, port: 443, protocol: HTTPS, hostname: shop.globex.test, tls: {certificateRefs: [{name: cert}]}}]
---
kind: HTTPRoute
metadata: {namespace: globex, name: shop}
spec:
  parentRefs: [{namespace: weir-system, name: public}, {kind: ListenerSet, name: set}]
  hostnames: [shop.globex.test]
  rules: [{backendRefs: [{name: web, port: 80}]}]
---
kind: TLSRoute
metadata: {namespace: globex, name: shop}
spec:
  parentRefs: [{namespace: weir-system, name: public}]
  hostnames: [shop.globex.test]
  rules: [{backendRefs: [{name: web, port: 80}]}]
---
kind: ConfigMap
metadata: {namespace: globex, name: ca}
data: {ca.crt: 'not read in this test'}
";

fn world() -> World {
    let secret = include_str!("../../config/examples/quickstart/certificate.yaml")
        .replace("shop-acme-test", "cert")
        .replace("namespace: weir-system", "namespace: globex");
    let mut world = World::new(Settings::default());
    world.apply(&support::applied(&support::objects(&format!("{BASE}\n---\n{secret}"))));
    world
}

/// What is globex's.
fn of_globex(world: &World) -> BTreeMap<(ResourceType, String), Resource> {
    let mine = |resource: &Resource| match resource {
        Resource::VirtualHost(host) => host.owner.as_ref().is_some_and(|owner| owner.tenant == "globex"),
        Resource::Listener(_) | Resource::FilterConfig(_) => false,
        other => other.name().contains("globex"),
    };
    world.snapshot().all().filter(mine).map(|one| ((one.kind(), one.name().to_owned()), one)).collect()
}

fn route(kind: &str, parent: &str, more: &str, rule: &str) -> String {
    format!(
        "kind: {kind}\nmetadata: {{namespace: acme, name: bad, creationTimestamp: '2000-01-01T00:00:00Z'}}\nspec: {{{more}parentRefs: [{{{parent}}}], rules: [{rule}]}}"
    )
}

const PUBLIC: &str = "namespace: weir-system, name: public";
const OWN: &str = "{backendRefs: [{name: web, port: 80}]}";
const THEIRS: &str = "{backendRefs: [{namespace: globex, name: web, port: 80}]}";

/// What every condition says that is not as one would have it: `type: reason`.
fn told(status: Option<&ObjectStatus>) -> Vec<String> {
    let Some(status) = status else { return Vec::new() };
    let of_parents = status.parents.iter().flat_map(|parent| &parent.conditions);
    let of_listeners = status.listeners.iter().flat_map(|listener| &listener.conditions);
    let of_ancestors = status.ancestors.iter().flat_map(|ancestor| &ancestor.conditions);
    let all = status.conditions.iter().chain(of_parents).chain(of_listeners).chain(of_ancestors);
    let bad = |condition: &&Condition| condition.status == (condition.type_ == "Conflicted");
    all.filter(bad).map(|condition| format!("{}: {}", condition.type_, condition.reason)).collect()
}

/// Tries, and wants one of the answers to be `told`; nothing of globex's is changed or reached.
fn attempt(what: &str, kind: Kind, manifest: &str, wanted: &str) {
    let mut world = world();
    let before = of_globex(&world);
    assert!(before.len() > 5, "{before:?}");
    world.apply(&support::applied(&support::objects(manifest)));
    assert_eq!(of_globex(&world), before, "{what}: globex has another thing");
    let name = if manifest.contains("name: public}\nspec: {targetRefs") { "public" } else { "bad" };
    let told = told(world.statuses().get(&ObjectKey::new(kind, "acme", name)));
    match wanted {
        "" => assert_eq!(told, Vec::<String>::new(), "{what}"),
        wanted => assert!(told.iter().any(|said| said == wanted), "{what}: {told:?}"),
    }
    for cluster in world.snapshot().clusters.keys() {
        assert!(!cluster.starts_with("acme/globex/"), "{what}: {cluster}");
    }
    for listener in world.snapshot().listeners.values() {
        for chain in &listener.chains {
            let shows = chain.tls.iter().flat_map(|tls| &tls.secrets).any(|secret| secret.starts_with("globex/"));
            assert!(!shows || chain.name.contains("/globex/"), "{what}: {} shows globex's certificate", chain.name);
        }
    }
}

#[test]
fn names_of_others_are_not_served() {
    let names = "hostnames: [shop.globex.test], ";
    for kind in [Kind::HTTPRoute, Kind::GRPCRoute, Kind::TLSRoute] {
        attempt("a route on another's name", kind, &route(kind.name(), PUBLIC, names, OWN), "Accepted: NotAllowed");
    }
    let set = |listener: &str| {
        format!(
            "kind: ListenerSet\nmetadata: {{namespace: acme, name: bad}}\nspec: {{parentRef: {{{PUBLIC}}}, listeners: [{listener}]}}"
        )
    };
    let https =
        "{name: l, port: 443, protocol: HTTPS, hostname: shop.globex.test, tls: {certificateRefs: [{name: cert}]}}";
    attempt("a listener of another's name", Kind::ListenerSet, &set(https), "Accepted: NotAllowed");
    let tls = "{name: l, port: 8443, protocol: TLS, hostname: shop.globex.test, tls: {mode: Passthrough}}";
    attempt("a TLS listener of another's name", Kind::ListenerSet, &set(tls), "Accepted: NotAllowed");
    let theirs = "{name: l, port: 443, protocol: HTTPS, hostname: x.acme.test, tls: {certificateRefs: [{namespace: globex, name: cert}]}}";
    attempt("another's certificate", Kind::ListenerSet, &set(theirs), "ResolvedRefs: RefNotPermitted");
    let foreign_set = route("HTTPRoute", "kind: ListenerSet, namespace: globex, name: set", "", OWN);
    attempt("another's ListenerSet", Kind::HTTPRoute, &foreign_set, "Accepted: NotAllowedByListeners");
}

#[test]
fn what_is_in_others_namespaces_is_not_reached() {
    for kind in [Kind::HTTPRoute, Kind::GRPCRoute] {
        attempt("a backend", kind, &route(kind.name(), PUBLIC, "", THEIRS), "ResolvedRefs: RefNotPermitted");
        let mirror = "{filters: [{type: RequestMirror, requestMirror: {backendRef: {namespace: globex, name: web, port: 80}}}], backendRefs: [{name: web, port: 80}]}";
        attempt("a copy", kind, &route(kind.name(), PUBLIC, "", mirror), "ResolvedRefs: RefNotPermitted");
    }
    let names = "hostnames: [x.acme.test], ";
    attempt(
        "a TLS backend",
        Kind::TLSRoute,
        &route("TLSRoute", PUBLIC, names, THEIRS),
        "ResolvedRefs: RefNotPermitted",
    );
    let gateway = |more: &str, tls: &str| {
        format!(
            "kind: Gateway\nmetadata: {{namespace: acme, name: bad}}\nspec: {{gatewayClassName: weir, {more}listeners: [{{name: l, port: 443, protocol: HTTPS, hostname: x.acme.test, {tls}}}]}}"
        )
    };
    let theirs = "tls: {certificateRefs: [{namespace: globex, name: cert}]}";
    attempt("a certificate", Kind::Gateway, &gateway("", theirs), "ResolvedRefs: RefNotPermitted");
    let shown = "tls: {backend: {clientCertificateRef: {namespace: globex, name: cert}}}, ";
    let own = "tls: {certificateRefs: [{name: cert}]}";
    attempt("a client's certificate", Kind::Gateway, &gateway(shown, own), "ResolvedRefs: RefNotPermitted");
    // A ConfigMap has no namespace in a reference: it is looked for beside the policy.
    let policy = format!(
        "kind: BackendTLSPolicy\nmetadata: {{namespace: acme, name: bad}}\nspec: {{targetRefs: [{{group: '', kind: Service, name: web}}], validation: {{hostname: x, caCertificateRefs: [{{group: '', kind: ConfigMap, name: ca}}]}}}}\n---\n{}",
        route("HTTPRoute", PUBLIC, "", OWN)
    );
    attempt("a CA", Kind::BackendTLSPolicy, &policy, "ResolvedRefs: InvalidCACertificateRef");
}

#[test]
fn the_platforms_ports_and_gateways_stay_its_own() {
    for kind in [Kind::TCPRoute, Kind::UDPRoute] {
        let bad = route(kind.name(), PUBLIC, "", OWN);
        attempt("the platform's port", kind, &bad, "Accepted: NotAllowedByListeners");
    }
    let gateway = "kind: Gateway\nmetadata: {namespace: acme, name: bad, creationTimestamp: '2000-01-01T00:00:00Z'}\nspec: {gatewayClassName: weir, listeners: [{name: l, port: 9000, protocol: TCP}]}";
    attempt("an older Gateway on the platform's port", Kind::Gateway, gateway, "Conflicted: HostnameConflict");
    // Targets have no namespace: this is acme's own Gateway of that name, which there is not.
    let policy = "kind: TrafficPolicy\nmetadata: {namespace: acme, name: public}\nspec: {targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: public}, {group: gateway.networking.k8s.io, kind: HTTPRoute, name: shop}], timeouts: {request: 1ms}}";
    attempt("a policy on the platform's Gateway and another's route", Kind::TrafficPolicy, policy, "");
}
