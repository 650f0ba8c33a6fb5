//! What is accepted serves, and what is not never does: over worlds of chance with routes of every kind, Gateways,
//! ListenerSets, tenants and grants. Every route has a Service of its own, so that "it serves" is read from resources
//! alone: some listener leads to that Service's cluster.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::sample::select;
use weir_config::kinds::{Kind, ObjectKey};
use weir_config::model::{Listener, Network, Proxied, RouteSource, VirtualHost};
use weir_config::testing::soak;
use weir_xds_server::translate::{Settings, World};

/// The last has no tenant.
const NAMESPACES: [&str; 4] = ["weir-system", "acme", "globex", "nobody"];
const KINDS: [Kind; 5] = [Kind::HTTPRoute, Kind::GRPCRoute, Kind::TLSRoute, Kind::TCPRoute, Kind::UDPRoute];
/// Parents: the platform's Gateway, a tenant's, one of another controller, one that does not exist, ListenerSets.
const PARENTS: [&str; 6] = [
    "namespace: weir-system, name: public",
    "namespace: acme, name: own",
    "namespace: weir-system, name: foreign",
    "namespace: weir-system, name: missing",
    "kind: ListenerSet, namespace: acme, name: set",
    "kind: ListenerSet, namespace: globex, name: set",
];
const HOSTS: [&str; 6] = ["a", "b.a", "*.a", "c.b.a", "*.b.a", "b"];

#[derive(Clone, Debug)]
struct Route {
    kind: usize,
    namespace: usize,
    parent: usize,
    section: Option<&'static str>,
    hostnames: Vec<&'static str>,
    /// The Service: its own, one that is missing, or one of another namespace.
    backend: usize,
    day: u8,
}

#[derive(Clone, Debug)]
struct Drawn {
    entries: Vec<Vec<&'static str>>,
    /// Hostname and `from` of each holder's listeners.
    listeners: Vec<(Option<&'static str>, &'static str)>,
    allowed: &'static str,
    granted: bool,
    routes: Vec<Route>,
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let some = |most: usize| prop::sample::subsequence(HOSTS.to_vec(), 0..most);
    let section = prop::option::weighted(0.4, select(vec!["http", "https", "tls", "tcp", "udp", "gone"]));
    let route = (0usize..5, 0usize..4, 0usize..6, section, some(3), 0usize..5, 1u8..5).prop_map(
        |(kind, namespace, parent, section, hostnames, backend, day)| Route {
            kind,
            namespace,
            parent,
            section,
            hostnames,
            backend,
            day,
        },
    );
    let listener = (prop::option::of(select(HOSTS.to_vec())), select(vec!["All", "All", "Same", "Selector"]));
    (
        prop::collection::vec(some(5), 2),
        prop::collection::vec(listener, 4),
        select(vec!["All", "None", "Same"]),
        any::<bool>(),
        prop::collection::vec(route, 1..12),
    )
        .prop_map(|(entries, listeners, allowed, granted, routes)| Drawn {
            entries,
            listeners,
            allowed,
            granted,
            routes,
        })
}

fn listeners(drawn: &Drawn, holder: usize) -> String {
    let (hostname, from) = drawn.listeners[holder];
    let hostname = hostname.map(|name| format!("hostname: '{name}', ")).unwrap_or_default();
    let selector = if from == "Selector" { ", selector: {matchLabels: {weir.dev/tenant: acme}}" } else { "" };
    let takes = format!("allowedRoutes: {{namespaces: {{from: {from}{selector}}}}}");
    format!(
        "[{{name: http, port: 80, protocol: HTTP, {hostname}{takes}}}, \
          {{name: https, port: 443, protocol: HTTPS, {hostname}tls: {{certificateRefs: [{{name: cert}}]}}, {takes}}}, \
          {{name: tls, port: 8443, protocol: TLS, {hostname}tls: {{mode: Passthrough}}, {takes}}}, \
          {{name: tcp, port: 90{holder}0, protocol: TCP, {takes}}}, {{name: udp, port: 9000, protocol: UDP, {takes}}}]"
    )
}

fn service(number: usize) -> String {
    format!("service-{number}")
}

fn manifests(drawn: &Drawn) -> String {
    let mut text = "kind: GatewayClass\nmetadata: {name: weir}\nspec: {controllerName: weir.dev/gateway-controller}\n---\nkind: GatewayClass\nmetadata: {name: foreign}\nspec: {controllerName: example.com/other}\n---\nkind: Plan\nmetadata: {name: pro}\nspec: {}".to_owned();
    for (at, namespace) in NAMESPACES.iter().enumerate().filter(|(at, _)| *at > 0) {
        let tenant = drawn.entries.get(at - 1);
        let label = if tenant.is_some() { format!("weir.dev/tenant: {namespace}") } else { String::new() };
        write!(text, "\n---\nkind: Namespace\nmetadata: {{name: {namespace}, labels: {{{label}}}}}").unwrap();
        if let Some(entries) = tenant {
            write!(
                text,
                "\n---\nkind: Tenant\nmetadata: {{name: {namespace}}}\nspec: {{plan: pro, hostnames: {entries:?}}}"
            )
            .unwrap();
        }
    }
    for namespace in &NAMESPACES[..3] {
        let secret = include_str!("../../config/examples/quickstart/certificate.yaml")
            .replace("shop-acme-test", "cert")
            .replace("namespace: weir-system", &format!("namespace: {namespace}"));
        write!(text, "\n---\n{secret}").unwrap();
    }
    for (holder, (namespace, name, class)) in
        [("weir-system", "public", "weir"), ("acme", "own", "weir"), ("weir-system", "foreign", "foreign")]
            .into_iter()
            .enumerate()
    {
        let allowed = format!("allowedListeners: {{namespaces: {{from: {}}}}}", drawn.allowed);
        let all = listeners(drawn, holder.min(1));
        write!(text, "\n---\nkind: Gateway\nmetadata: {{namespace: {namespace}, name: {name}}}\nspec: {{gatewayClassName: {class}, {allowed}, listeners: {all}}}").unwrap();
    }
    for (holder, namespace) in [(2, "acme"), (3, "globex")] {
        let all = listeners(drawn, holder);
        write!(text, "\n---\nkind: ListenerSet\nmetadata: {{namespace: {namespace}, name: set}}\nspec: {{parentRef: {{namespace: weir-system, name: public}}, listeners: {all}}}").unwrap();
    }
    if drawn.granted {
        let from: Vec<String> = KINDS
            .iter()
            .map(|kind| format!("{{group: gateway.networking.k8s.io, kind: {}, namespace: acme}}", kind.name()))
            .collect();
        write!(text, "\n---\nkind: ReferenceGrant\nmetadata: {{namespace: globex, name: g}}\nspec: {{from: [{}], to: [{{group: '', kind: Service}}]}}", from.join(", ")).unwrap();
    }
    for (number, route) in drawn.routes.iter().enumerate() {
        write!(text, "\n---\n{}", manifest(number, route)).unwrap();
    }
    text
}

fn manifest(number: usize, route: &Route) -> String {
    let (kind, namespace, own) = (KINDS[route.kind], NAMESPACES[route.namespace], service(number));
    let of = if route.backend == 1 { "globex" } else { namespace };
    let there = format!(
        "\n---\nkind: Service\nmetadata: {{namespace: {of}, name: {own}}}\nspec: {{ports: [{{name: t, port: 80}}, {{name: u, port: 80, protocol: UDP}}]}}"
    );
    let there = if route.backend == 0 { String::new() } else { there };
    let section = route.section.map(|section| format!(", sectionName: {section}")).unwrap_or_default();
    let matches = match kind {
        // Of its own, so that no other route of the name takes its requests.
        Kind::HTTPRoute => format!("matches: [{{path: {{value: /{number}}}}}], "),
        Kind::GRPCRoute => format!("matches: [{{method: {{service: s{number}}}}}], "),
        _ => String::new(),
    };
    let hostnames = match kind {
        Kind::TCPRoute | Kind::UDPRoute => String::new(),
        _ => format!("hostnames: {:?}, ", route.hostnames),
    };
    format!(
        "kind: {}\nmetadata: {{namespace: {namespace}, name: r{number}, creationTimestamp: '2026-01-0{}T00:00:00Z'}}\nspec: {{{hostnames}parentRefs: [{{{}{section}}}], rules: [{{{matches}backendRefs: [{{namespace: {of}, name: {own}, port: 80}}]}}]}}{there}",
        kind.name(),
        route.day,
        PARENTS[route.parent],
    )
}

/// Whether a cluster is of the Service.
fn is_of(cluster: &str, service: &str) -> bool {
    cluster.split('/').nth(2) == Some(service)
}

/// Whether some connection or request is sent to the Service, as far as resources say.
fn leads(world: &World, service: &str) -> bool {
    let snapshot = world.snapshot();
    let passes = |proxied: &Proxied| proxied.split.clusters().any(|cluster| is_of(cluster, service));
    let host = |routes: &str, host: &VirtualHost| {
        host.name.rsplit_once('/').is_some_and(|(of, _)| of == routes)
            && host.routes.iter().flat_map(|route| route.clusters()).any(|cluster| is_of(cluster, service))
    };
    let listener = |listener: &Listener| {
        let chains = listener.chains.iter().any(|chain| match &chain.network {
            Network::Tcp(proxied) => passes(proxied),
            Network::Http(http) => match &http.routes {
                RouteSource::Rds(routes) => snapshot.virtual_hosts.values().any(|one| host(routes, one)),
                RouteSource::Inline(_) => false,
            },
        });
        chains || listener.udp.as_deref().is_some_and(passes)
    };
    snapshot.listeners.values().any(|one| listener(one))
}

fn check(drawn: &Drawn) -> Result<(), TestCaseError> {
    let mut world = World::new(Settings::default());
    world.apply(&support::applied(&support::objects(&manifests(drawn))));
    for (number, route) in drawn.routes.iter().enumerate() {
        let key = ObjectKey::new(KINDS[route.kind], NAMESPACES[route.namespace], format!("r{number}"));
        let parents = world.statuses().get(&key).map(|status| status.parents.as_slice()).unwrap_or_default();
        let told = |type_: &str| {
            let mut all = parents.iter().flat_map(|parent| &parent.conditions);
            all.find(|condition| condition.type_ == type_).map(|condition| condition.status)
        };
        let (accepted, resolved) = (told("Accepted"), told("ResolvedRefs"));
        let well = accepted == Some(true) && resolved == Some(true) && told("weir.dev/Programmed").is_none();
        prop_assert_eq!(leads(&world, &service(number)), well, "{}: {:?} {:?}", key, parents, route);
    }
    Ok(())
}

#[test]
fn soak_what_is_accepted_serves_and_what_is_not_never_does() {
    soak::property(&drawn(), |drawn| check(&drawn));
}
