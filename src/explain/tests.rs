//! Over worlds and requests of chance: what is explained, from one host's share of the resources, is what
//! the proxy's decision is over all of them; and each reason that is given is true.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use proptest::prelude::*;
use weir_config::kinds::manifest;
use weir_config::model::{Delta, ResourceType};
use weir_config::testing::soak;
use weir_proxy::live::Live;
use weir_proxy::meter::Meter;
use weir_proxy::request::matcher::Matcher;
use weir_proxy::request::{Decision, decide};
use weir_xds_server::explain::{Scene, scene};
use weir_xds_server::translate::{Settings, World};
use weir_xds_server::watch::Event;

use super::answer::{Answer, Kind, Reason};
use super::judge::judge;
use super::request::Asked;
use super::tables::with_head;

const TENANTS: [&str; 3] = ["acme", "globex", "initech"];

/// A hostname over a small alphabet, so that everything overlaps.
fn hostname() -> impl Strategy<Value = String> {
    let label = || prop::sample::select(vec!["a", "b"]);
    let name = prop::collection::vec(label(), 1..=3).prop_map(|labels| labels.join("."));
    prop_oneof![name.clone(), name.prop_map(|name| format!("*.{name}"))]
}

/// What a Tenant may claim: `*` too.
fn entry() -> impl Strategy<Value = String> {
    prop_oneof![8 => hostname(), 1 => Just("*".to_owned())]
}

/// Fewer than `most`, each once, as the API wants it.
fn several(of: impl Strategy<Value = String>, most: usize) -> impl Strategy<Value = Vec<String>> {
    prop::collection::btree_set(of, 0..most).prop_map(|set| set.into_iter().collect())
}

fn matches() -> impl Strategy<Value = String> {
    let path = prop::sample::select(vec![
        "",
        "path: {value: /a}",
        "path: {value: /a/b}",
        "path: {type: Exact, value: /a/b}",
        "path: {type: Exact, value: /a}",
        "path: {type: RegularExpression, value: '/[ab]/b'}",
    ]);
    let method = prop::sample::select(vec!["", "method: GET", "method: POST"]);
    let headers = prop::sample::select(vec![
        "",
        "headers: [{name: x-a, value: '1'}]",
        "headers: [{name: x-a, value: '1'}, {name: X-B, type: RegularExpression, value: '2|3'}]",
    ]);
    let query = prop::sample::select(vec!["", "queryParams: [{name: q, value: '1'}]"]);
    (path, method, headers, query).prop_map(|(path, method, headers, query)| {
        let parts: Vec<&str> = [path, method, headers, query].into_iter().filter(|part| !part.is_empty()).collect();
        format!("{{{}}}", parts.join(", "))
    })
}

#[derive(Clone, Debug)]
struct RouteSpec {
    /// A tenant, the platform (3) or nobody (4).
    of: usize,
    hostnames: Vec<String>,
    listener: Option<usize>,
    rules: Vec<(Vec<String>, usize)>,
    /// Of a GRPCRoute: a match of each rule, in place of `rules`.
    calls: Option<Vec<&'static str>>,
    created: Option<u8>,
}

#[derive(Clone, Debug)]
struct Arrangement {
    entries: Vec<(Vec<String>, u8)>,
    listeners: Vec<(Option<String>, bool)>,
    own: Option<Option<String>>,
    routes: Vec<RouteSpec>,
    tls: bool,
    asks: Vec<(Vec<&'static str>, &'static str, &'static str, Vec<&'static str>)>,
}

fn calls() -> impl Strategy<Value = Vec<&'static str>> {
    let call = prop::sample::select(vec![
        "",
        "method: {service: a.S}",
        "method: {service: a.S, method: M}",
        "method: {method: M}",
        "method: {type: RegularExpression, service: 'a[.].', method: '.'}",
        "method: {service: a.S}, headers: [{name: x-a, value: '1'}]",
    ]);
    prop::collection::vec(call, 1..4)
}

fn arrangement() -> impl Strategy<Value = Arrangement> {
    let rule = (prop::collection::vec(matches(), 0..3), 0usize..5);
    let route = (
        0usize..5,
        several(hostname(), 3),
        prop::option::of(0usize..3),
        prop::collection::vec(rule, 1..4),
        prop::option::weighted(0.3, calls()),
        prop::option::of(1u8..4),
    )
        .prop_map(|(of, hostnames, listener, rules, calls, created)| RouteSpec {
            of,
            hostnames,
            listener,
            rules,
            calls,
            created,
        });
    let ask = (
        prop::collection::vec(prop::sample::select(vec!["a", "b"]), 1..=4),
        prop::sample::select(vec![
            "/", "/a", "/a/b", "/a/b/c", "/b/b?q=1", "/a?q=1&r", "/ab", "/x/../a", "/a.S/M", "/a.S/N",
        ]),
        prop::sample::select(vec!["GET", "POST"]),
        prop::sample::subsequence(vec!["x-a: 1", "x-b: 2", "x-b: 4"], 0..=3),
    );
    (
        prop::collection::vec((several(entry(), 4), 0u8..6), 3),
        prop::collection::vec((prop::option::of(hostname()), prop::bool::weighted(0.8)), 1..4),
        prop::option::of(prop::option::of(hostname())),
        prop::collection::vec(route, 1..7),
        any::<bool>(),
        prop::collection::vec(ask, 8),
    )
        .prop_map(|(entries, listeners, own, routes, tls, asks)| Arrangement {
            entries,
            listeners,
            own,
            routes,
            tls,
            asks,
        })
}

fn manifests(arrangement: &Arrangement) -> String {
    let weir = "apiVersion: weir.dev/v1alpha1\n";
    let gateway = "apiVersion: gateway.networking.k8s.io/v1\n";
    let mut text = format!(
        "{gateway}kind: GatewayClass\nmetadata: {{name: weir}}\nspec: {{controllerName: weir.dev/gateway-controller}}\n---\n\
         {weir}kind: Plan\nmetadata: {{name: pro}}\nspec: {{requests: {{perSecond: 5}}}}\n---\n"
    );
    text += include_str!("../../config/examples/quickstart/certificate.yaml");
    for (tenant, (entries, state)) in TENANTS.iter().zip(&arrangement.entries) {
        let (plan, state) = match state {
            0 => ("pro", ", state: Suspended"),
            1 => ("gone", ""),
            _ => ("pro", ""),
        };
        write!(
            text,
            "\n---\n{weir}kind: Tenant\nmetadata: {{name: {tenant}}}\nspec: {{plan: {plan}, hostnames: {entries:?}{state}}}\n\
             ---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: {tenant}, labels: {{weir.dev/tenant: {tenant}}}}}\n\
             ---\napiVersion: v1\nkind: Service\nmetadata: {{namespace: {tenant}, name: web}}\nspec: {{ports: [{{port: 80}}]}}\n\
             ---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{namespace: {tenant}, name: web, labels: {{kubernetes.io/service-name: web}}}}\naddressType: IPv4\nports: [{{port: 80}}]\nendpoints: [{{addresses: [10.0.0.1]}}]\n"
        )
        .unwrap();
    }
    let kind = if arrangement.tls {
        "protocol: HTTPS, tls: {certificateRefs: [{namespace: weir-system, name: shop-acme-test}]}"
    } else {
        "protocol: HTTP"
    };
    let listener = |place: usize, hostname: &Option<String>, all: bool| {
        let hostname = hostname.as_ref().map(|hostname| format!("hostname: '{hostname}', ")).unwrap_or_default();
        let from = if all { "All" } else { "Same" };
        format!("{{name: l{place}, port: 80, {hostname}{kind}, allowedRoutes: {{namespaces: {{from: {from}}}}}}}")
    };
    // Two of a Gateway with one hostname are refused by the API.
    let mut hostnames = BTreeSet::new();
    let different = arrangement.listeners.iter().enumerate().filter(|(_, (hostname, _))| hostnames.insert(hostname));
    let listeners: Vec<String> = different.map(|(n, (hostname, all))| listener(n, hostname, *all)).collect();
    write!(text, "\n---\n{gateway}kind: Gateway\nmetadata: {{namespace: weir-system, name: public}}\nspec: {{gatewayClassName: weir, listeners: [{}]}}\n", listeners.join(", ")).unwrap();
    text += "\n---\napiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\nmetadata: {namespace: weir-system, name: g}\nspec: {from: [{group: gateway.networking.k8s.io, kind: Gateway, namespace: acme}], to: [{group: '', kind: Secret}]}\n";
    if let Some(hostname) = &arrangement.own {
        write!(text, "\n---\n{gateway}kind: Gateway\nmetadata: {{namespace: acme, name: own}}\nspec: {{gatewayClassName: weir, listeners: [{}]}}\n", listener(9, hostname, true)).unwrap();
    }
    for (index, route) in arrangement.routes.iter().enumerate() {
        let namespace = [&TENANTS[..], &["weir-system", "nobody"]].concat()[route.of];
        let section = route.listener.map(|place| format!(", sectionName: l{place}")).unwrap_or_default();
        let created = route.created.map(|day| format!(", creationTimestamp: '2026-01-0{day}T00:00:00Z'"));
        let rules: Vec<String> = route
            .rules
            .iter()
            .map(|(matches, backends)| {
                let web = "{name: web, port: 80}";
                let gone = "{name: gone, port: 80, weight: 3}";
                let refs = [web.to_owned(), format!("{web}, {gone}"), gone.to_owned(), String::new(), web.to_owned()];
                format!("{{matches: [{}], backendRefs: [{}]}}", matches.join(", "), refs[*backends])
            })
            .collect();
        let calls = route.calls.iter().flatten();
        let calls: Vec<String> =
            calls.map(|call| format!("{{matches: [{{{call}}}], backendRefs: [{{name: web, port: 80}}]}}")).collect();
        let (kind, rules) = match route.calls {
            Some(_) => ("GRPCRoute", calls),
            None => ("HTTPRoute", rules),
        };
        write!(
            text,
            "\n---\n{gateway}kind: {kind}\nmetadata: {{namespace: {namespace}, name: r{index}{}}}\nspec: {{hostnames: {:?}, parentRefs: [{{namespace: weir-system, name: public{section}}}, {{namespace: acme, name: own}}], rules: [{}]}}\n",
            created.unwrap_or_default(),
            route.hostnames,
            rules.join(", ")
        )
        .unwrap();
    }
    text
}

/// What a proxy that has all resources does: host, route, status where it is its own.
fn served(live: &Live, asked: &Asked) -> Option<(Option<String>, Option<String>, String)> {
    let listeners = live.listeners().borrow().clone();
    let table = listeners.get("edge/0.0.0.0/80/tcp")?;
    let chain = if asked.tls { table.chain(asked.sni().as_deref()) } else { table.plain_chain() }?;
    let hosts = chain.http.routes.load();
    with_head(asked, |head| {
        let head = head.unwrap();
        let host = hosts.find(head.host).map(|host| host.name.to_string());
        Some(match decide(&chain.http, &hosts, head, 0) {
            Decision::Forward { route, .. } => (host, Some(route.name.to_string()), "forward".to_owned()),
            Decision::Redirect { route, to, .. } => (host, Some(route.name.to_string()), to.status.to_string()),
            Decision::Direct { route, status, .. } => (host, Some(route.name.to_string()), status.to_string()),
            Decision::Refuse { refusal, .. } => (host, None, format!("{refusal:?}")),
        })
    })
}

fn route_name(answer: &Answer) -> Option<String> {
    let route = answer.route.as_ref()?;
    Some(match route.kind.as_str() {
        "" => route.name.clone(),
        kind => prefix(kind) + &format!("{}/{}/{}/{}", route.namespace, route.name, route.rule, route.index),
    })
}

/// What names of a kind's routes begin with.
fn prefix(kind: &str) -> String {
    if kind == "GRPCRoute" { "GRPCRoute/".to_owned() } else { String::new() }
}

fn check(arrangement: &Arrangement) -> Result<(), TestCaseError> {
    let objects = manifest::objects(&manifests(arrangement)).unwrap_or_else(|problems| panic!("{problems:?}"));
    let mut world = World::new(Settings::default());
    world.apply(&objects.into_iter().map(Event::Apply).collect::<Vec<_>>());
    let mut live = Live::new(Arc::new(Meter::new(1))).unwrap();
    // Without limits: eight requests would spend a small budget.
    let unlimited = world.snapshot().all().filter(|resource| resource.kind() != ResourceType::FilterConfig);
    live.apply(&Delta { upserts: unlimited.collect(), removals: Vec::new() });
    for (labels, target, method, headers) in &arrangement.asks {
        let scheme = if arrangement.tls { "https" } else { "http" };
        let url = format!("{scheme}://{}:80{target}", labels.join("."));
        let headers: Vec<String> = headers.iter().map(|header| (*header).to_owned()).collect();
        let asked = Asked::read(&url, method, &headers, None).unwrap();
        let scene = scene(&world, &asked.question(None).check().unwrap());
        // As it travels from a server.
        let scene: Scene = serde_json::from_str(&serde_json::to_string(&scene).unwrap()).unwrap();
        let answer = judge(&scene, &asked).unwrap();
        match served(&live, &asked) {
            None => prop_assert_eq!(answer.result.kind, Kind::NoConnection, "{}", url),
            Some((host, route, what)) => {
                prop_assert_eq!(answer.virtual_host.as_ref().map(|host| host.name.clone()), host.clone(), "{}", url);
                prop_assert_eq!(route_name(&answer), route.clone(), "{}", url);
                let status = answer.result.status.map(|status| status.to_string());
                match what.as_str() {
                    "forward" => prop_assert!(answer.virtual_host.is_some(), "{}", url),
                    "NoHost" | "NoRoute" => prop_assert_eq!(status.as_deref(), Some("404"), "{}", url),
                    own => prop_assert_eq!(status.as_deref(), Some(own), "{}", url),
                }
                reasons(&world, &asked, &answer, host.as_deref(), route.as_deref())?;
            }
        }
    }
    Ok(())
}

/// Every reason is true of the virtual host as it was sent.
fn reasons(
    world: &World,
    asked: &Asked,
    answer: &Answer,
    host: Option<&str>,
    route: Option<&str>,
) -> Result<(), TestCaseError> {
    let model = host.and_then(|host| world.snapshot().virtual_hosts.get(host));
    let routes = model.map(|model| model.routes.as_slice()).unwrap_or_default();
    let place = |name: &str| routes.iter().position(|route| route.name == name);
    let mut told = 0;
    for part in &answer.candidates {
        let (Some(rule), Some(index)) = (part.rule, part.index) else {
            prop_assert!(!matches!(part.reason, Reason::Precedence | Reason::NoMatch), "{:?}", part);
            if matches!(part.reason, Reason::NotServed | Reason::OtherListener | Reason::LessSpecificHostname) {
                let of = format!("{}{}/{}/", prefix(&part.kind), part.namespace, part.name);
                prop_assert!(!routes.iter().any(|route| route.name.starts_with(&of)), "{:?} is in {:?}", part, host);
            }
            continue;
        };
        told += 1;
        let at = place(&format!("{}{}/{}/{rule}/{index}", prefix(&part.kind), part.namespace, part.name));
        let Some(at) = at else {
            return Err(TestCaseError::fail(format!("{part:?} is not in {host:?}")));
        };
        let matcher = Matcher::new(&routes[at].matches).unwrap();
        let matches = with_head(asked, |head| matcher.matches(head.unwrap()));
        prop_assert_eq!(part.reason == Reason::Precedence, matches, "{:?}", part);
        if matches {
            prop_assert!(route.and_then(place) < Some(at), "{:?} goes before the winner", part);
        }
    }
    // All that is in the virtual host is told of.
    let served = !routes.iter().any(|route| route.name == "suspended" || route.name == "without-plan");
    if served {
        prop_assert_eq!(told, routes.len() - usize::from(route.is_some()), "{:?}", host);
    }
    Ok(())
}

/// Each listener is asked as if it were the only one: no budget is spent on the way.
#[test]
fn every_listener_in_question_is_judged_by_itself() {
    let arrangement = Arrangement {
        entries: vec![(vec!["a".into()], 5), (Vec::new(), 5), (Vec::new(), 5)],
        listeners: vec![(None, true)],
        own: None,
        routes: vec![RouteSpec {
            of: 0,
            hostnames: Vec::new(),
            listener: None,
            rules: vec![(Vec::new(), 0)],
            calls: None,
            created: None,
        }],
        tls: false,
        asks: Vec::new(),
    };
    let addresses: Vec<String> = (1..=12).map(|n| format!("{{value: 127.0.0.{n}}}")).collect();
    let listeners = format!("addresses: [{}], listeners:", addresses.join(", "));
    let text = manifests(&arrangement).replace("listeners:", &listeners);
    let mut world = World::new(Settings::default());
    world.apply(&manifest::objects(&text).unwrap().into_iter().map(Event::Apply).collect::<Vec<_>>());
    let asked = Asked::read("http://a/", "GET", &[], None).unwrap();
    let answer = judge(&scene(&world, &asked.question(None)), &asked).unwrap();
    let kinds = answer.other_listeners.iter().map(|other| other.result.kind).chain([answer.result.kind]);
    assert!(answer.other_listeners.len() >= 8 && kinds.clone().all(|kind| kind == Kind::Forwarded), "{answer:?}");
}

#[test]
fn soak_what_is_explained_is_what_is_decided() {
    soak::property(&arrangement(), |arrangement| check(&arrangement));
}
