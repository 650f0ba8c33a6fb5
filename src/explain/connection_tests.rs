//! Over worlds of chance: what is explained of a connection is what all the resources say of it.

use std::fmt::Write as _;
use std::sync::Arc;

use proptest::prelude::*;
use weir_config::kinds::manifest;
use weir_config::model::Delta;
use weir_config::testing::soak;
use weir_proxy::live::Live;
use weir_proxy::meter::Meter;
use weir_xds_server::explain::{Scene, scene};
use weir_xds_server::translate::{Settings, World};
use weir_xds_server::watch::Event;

use super::answer::{Answer, Kind, Reason};
use super::judge::judge;
use super::request::Asked;

const TENANTS: [&str; 3] = ["acme", "globex", "weir-system"];
const NAMES: [&str; 7] = ["a", "b.a", "*.a", "c.b.a", "*.b.a", "b", "*"];

#[derive(Clone, Debug)]
struct Route {
    kind: usize,
    of: usize,
    hostnames: Vec<&'static str>,
    /// A listener by number, or all.
    listener: Option<usize>,
    backend: &'static str,
    created: u8,
}

#[derive(Clone, Debug)]
struct Drawn {
    entries: Vec<Vec<&'static str>>,
    states: Vec<bool>,
    /// Protocol and hostname of each.
    listeners: Vec<(usize, Option<&'static str>)>,
    routes: Vec<Route>,
}

const KINDS: [&str; 4] = ["HTTPRoute", "TLSRoute", "TCPRoute", "UDPRoute"];

fn drawn() -> impl Strategy<Value = Drawn> {
    let some = |most: usize| prop::sample::subsequence(NAMES[..6].to_vec(), 0..most);
    let route = (1usize..4, 0usize..3, some(3), prop::option::of(0usize..4), 0usize..3, 1u8..4).prop_map(
        |(kind, of, hostnames, listener, backend, created)| Route {
            kind,
            of,
            hostnames,
            listener,
            backend: ["web", "web", "gone"][backend],
            created,
        },
    );
    (
        prop::collection::vec(some(4), 2),
        prop::collection::vec(prop::bool::weighted(0.8), 2),
        prop::collection::vec((0usize..3, prop::option::of(prop::sample::select(NAMES[..6].to_vec()))), 1..4),
        prop::collection::vec(route, 1..8),
    )
        .prop_map(|(entries, states, listeners, routes)| Drawn { entries, states, listeners, routes })
}

fn manifests(drawn: &Drawn) -> String {
    let gateway = "apiVersion: gateway.networking.k8s.io/v1\n";
    let weir = "apiVersion: weir.dev/v1alpha1\n";
    let mut text = format!(
        "{gateway}kind: GatewayClass\nmetadata: {{name: weir}}\nspec: {{controllerName: weir.dev/gateway-controller}}\n---\n\
         {weir}kind: Plan\nmetadata: {{name: pro}}\nspec: {{}}\n---\n"
    );
    text += include_str!("../../config/examples/quickstart/certificate.yaml");
    for (at, tenant) in TENANTS.iter().enumerate() {
        if let (Some(entries), Some(well)) = (drawn.entries.get(at), drawn.states.get(at)) {
            let state = if *well { "Active" } else { "Suspended" };
            write!(text, "\n---\n{weir}kind: Tenant\nmetadata: {{name: {tenant}}}\nspec: {{plan: pro, hostnames: {entries:?}, state: {state}}}\n---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: {tenant}, labels: {{weir.dev/tenant: {tenant}}}}}").unwrap();
        }
        write!(
            text,
            "\n---\napiVersion: v1\nkind: Service\nmetadata: {{namespace: {tenant}, name: web}}\nspec: {{ports: [{{port: 80, name: t}}, {{port: 80, name: u, protocol: UDP}}]}}\n\
             ---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{namespace: {tenant}, name: web, labels: {{kubernetes.io/service-name: web}}}}\naddressType: IPv4\nports: [{{port: 80, name: t}}, {{port: 80, name: u, protocol: UDP}}]\nendpoints: [{{addresses: [10.0.0.1]}}]"
        )
        .unwrap();
    }
    let tls = |(at, (kind, hostname)): (usize, &(usize, Option<&str>))| {
        let hostname = hostname.map(|name| format!("hostname: '{name}', ")).unwrap_or_default();
        let certificate = "certificateRefs: [{namespace: weir-system, name: shop-acme-test}]";
        let protocol = match kind {
            0 => "protocol: TLS, tls: {mode: Passthrough}".to_owned(),
            1 => format!("protocol: TLS, tls: {{mode: Terminate, {certificate}}}"),
            _ => format!("protocol: HTTPS, tls: {{{certificate}}}"),
        };
        format!("{{name: l{at}, port: 443, {hostname}{protocol}, allowedRoutes: {{namespaces: {{from: All}}}}}}")
    };
    let mut seen = std::collections::BTreeSet::new();
    let different = drawn.listeners.iter().enumerate().filter(|(_, (_, hostname))| seen.insert(*hostname));
    let mut listeners: Vec<String> = different.map(tls).collect();
    for protocol in ["TCP", "UDP"] {
        listeners.push(format!(
            "{{name: {protocol}, port: 53, protocol: {protocol}, allowedRoutes: {{namespaces: {{from: All}}}}}}"
        ));
    }
    let all = listeners.join(", ").replace("name: TCP", "name: tcp").replace("name: UDP", "name: udp");
    write!(text, "\n---\n{gateway}kind: Gateway\nmetadata: {{namespace: weir-system, name: public}}\nspec: {{gatewayClassName: weir, listeners: [{all}]}}").unwrap();
    for (at, route) in drawn.routes.iter().enumerate() {
        let (kind, namespace) = (KINDS[route.kind], TENANTS[route.of]);
        let section = route.listener.map(|at| format!(", sectionName: l{at}")).unwrap_or_default();
        let section = if route.kind == 1 { section } else { String::new() };
        let hostnames = if route.kind == 1 { format!("hostnames: {:?}, ", route.hostnames) } else { String::new() };
        // The API wants a TLSRoute to have a hostname.
        if route.kind == 1 && route.hostnames.is_empty() {
            continue;
        }
        write!(text, "\n---\n{gateway}kind: {kind}\nmetadata: {{namespace: {namespace}, name: r{at}, creationTimestamp: '2026-01-0{}T00:00:00Z'}}\nspec: {{{hostnames}parentRefs: [{{namespace: weir-system, name: public{section}}}], rules: [{{backendRefs: [{{name: {}, port: 80}}]}}]}}", route.created, route.backend).unwrap();
    }
    text
}

fn check(drawn: &Drawn) -> Result<(), TestCaseError> {
    let objects = manifest::objects(&manifests(drawn)).unwrap_or_else(|problems| panic!("{problems:?}"));
    let mut world = World::new(Settings::default());
    world.apply(&objects.into_iter().map(Event::Apply).collect::<Vec<_>>());
    let mut live = Live::new(Arc::new(Meter::new(1))).unwrap();
    live.apply(&Delta { upserts: world.snapshot().all().collect(), removals: Vec::new() });
    let listeners = live.listeners().borrow().clone();
    let explain = |url: &str| -> Answer {
        let asked = Asked::read(url, "GET", &[], None).unwrap();
        let scene = scene(&world, &asked.question(None).check().unwrap());
        let scene: Scene = serde_json::from_str(&serde_json::to_string(&scene).unwrap()).unwrap();
        judge(&scene, &asked).unwrap()
    };
    for name in ["a", "b.a", "c.b.a", "d.a", "d.b.a", "b", "x"] {
        let answer = explain(&format!("tls://{name}"));
        let chain = listeners.get("edge/0.0.0.0/443/tcp").and_then(|table| table.chain(Some(name)));
        match chain {
            None => prop_assert_eq!(answer.result.kind, Kind::NoConnection, "{}", name),
            Some(chain) if chain.tcp.is_none() => {
                prop_assert_eq!(answer.result.kind, Kind::OtherProtocol, "{}", name);
            }
            Some(chain) => passed(&answer, &chain.name, chain.tcp.as_ref().unwrap(), name)?,
        }
    }
    for (scheme, listener) in [("tcp", "edge/0.0.0.0/53/tcp"), ("udp", "edge/0.0.0.0/53/udp")] {
        let answer = explain(&format!("{scheme}://127.0.0.1:53"));
        let table = listeners.get(listener).unwrap();
        let (chain, to) = match &table.udp {
            Some(to) => {
                let model = world.snapshot().listeners.get(listener).unwrap();
                (model.udp.as_ref().unwrap().stat_prefix.clone(), Arc::clone(to))
            }
            None => (table.chains[0].name.clone(), Arc::clone(table.chains[0].tcp.as_ref().unwrap())),
        };
        passed(&answer, &chain, &to, scheme)?;
    }
    Ok(())
}

/// The route that is said to have the connection is the one whose chain takes it, and it is charged to its tenant.
fn passed(
    answer: &Answer,
    chain: &str,
    to: &weir_proxy::request::table::ProxiedTable,
    asked: &str,
) -> Result<(), TestCaseError> {
    match &answer.route {
        Some(route) => {
            let own = format!("/{}/{}", route.namespace, route.name);
            prop_assert!(chain.trim_end_matches("/any").ends_with(&own), "{}: {} is said to be {}", asked, chain, own);
            let tenant = answer.tenant.as_ref().map(|tenant| tenant.name.as_str());
            prop_assert_eq!(tenant, Some(&**to.tenant.name()), "{}", asked);
        }
        None => prop_assert!(chain.trim_end_matches("/any").ends_with("/none"), "{}: nobody has {}", asked, chain),
    }
    let sent = to.clusters.iter().any(|cluster| !cluster.state.load().endpoints.is_empty());
    prop_assert_eq!(answer.well, sent, "{}: {:?}", asked, answer.result);
    let behind = answer.candidates.iter().filter(|lost| lost.reason == Reason::Precedence);
    prop_assert!(answer.route.is_some() || behind.count() == 0, "{}: {:?}", asked, answer.candidates);
    Ok(())
}

#[test]
fn soak_connections_are_explained_as_they_are_passed_on() {
    soak::property(&drawn(), |drawn| check(&drawn));
}
