//! No arrangement of objects lets one tenant serve another's hostname: what is served for a host is
//! compared with a naive owner, at every listener, for tenants', platform's and Gateways' names.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use proptest::prelude::*;
use weir_config::model::{Domain, RouteSource, ServerName, VirtualHost};
use weir_config::testing::soak;
use weir_xds_server::translate::{Settings, World};

const TENANTS: [&str; 3] = ["acme", "globex", "initech"];

/// A pattern over a small alphabet: so small that everything overlaps.
fn pattern() -> impl Strategy<Value = String> {
    let label = || prop::sample::select(vec!["a", "b"]);
    let name = prop::collection::vec(label(), 1..=3).prop_map(|labels| labels.join("."));
    prop_oneof![
        4 => name.clone(),
        4 => name.prop_map(|name| format!("*.{name}")),
        1 => Just("*".to_owned()),
    ]
}

/// Every name of up to four labels of the alphabet.
fn hosts() -> Vec<String> {
    let mut all = vec![String::new()];
    let mut hosts = Vec::new();
    for _ in 0..4 {
        all = all.iter().flat_map(|tail| ["a", "b"].map(|l| format!("{l}.{tail}"))).collect();
        hosts.extend(all.iter().map(|host| host.trim_end_matches('.').to_owned()));
    }
    hosts
}

/// A route: whose, its hostnames, and the listener by place, or all.
#[derive(Clone, Debug)]
struct RouteSpec {
    /// A tenant, or the platform (3).
    tenant: usize,
    hostnames: Vec<String>,
    listener: Option<usize>,
}

#[derive(Clone, Debug)]
struct Arrangement {
    entries: Vec<Vec<String>>,
    /// Hostnames of the platform's listeners on one port; none: any.
    listeners: Vec<Option<String>>,
    /// A Gateway of the first tenant on the same port.
    own: Option<Option<String>>,
    routes: Vec<RouteSpec>,
    tls: bool,
}

fn arrangement() -> impl Strategy<Value = Arrangement> {
    let route = (0usize..4, prop::collection::vec(pattern(), 0..3), prop::option::of(0usize..3))
        .prop_map(|(tenant, hostnames, listener)| RouteSpec { tenant, hostnames, listener });
    (
        prop::collection::vec(prop::collection::vec(pattern(), 0..4), 3),
        prop::collection::vec(prop::option::of(pattern()), 1..4),
        prop::option::of(prop::option::of(pattern())),
        prop::collection::vec(route, 1..7),
        any::<bool>(),
    )
        .prop_map(|(entries, listeners, own, routes, tls)| Arrangement { entries, listeners, own, routes, tls })
}

fn manifests(arrangement: &Arrangement) -> String {
    let mut text = "kind: GatewayClass\nmetadata: {name: weir}\nspec: {controllerName: weir.dev/gateway-controller}\n---\nkind: Plan\nmetadata: {name: pro}\nspec: {}\n---\n".to_owned();
    text += include_str!("../../config/examples/quickstart/certificate.yaml");
    for (tenant, entries) in TENANTS.iter().zip(&arrangement.entries) {
        write!(text, "\n---\nkind: Tenant\nmetadata: {{name: {tenant}}}\nspec: {{plan: pro, hostnames: {entries:?}}}\n---\nkind: Namespace\nmetadata: {{name: {tenant}, labels: {{weir.dev/tenant: {tenant}}}}}\n").unwrap();
    }
    let kind = if arrangement.tls {
        "protocol: HTTPS, tls: {certificateRefs: [{namespace: weir-system, name: shop-acme-test}]}"
    } else {
        "protocol: HTTP"
    };
    let listener = |place: usize, hostname: &Option<String>| {
        let hostname = hostname.as_ref().map(|hostname| format!("hostname: '{hostname}', ")).unwrap_or_default();
        format!("{{name: l{place}, port: 80, {hostname}{kind}, allowedRoutes: {{namespaces: {{from: All}}}}}}")
    };
    let mut listeners: Vec<String> = Vec::new();
    for (place, hostname) in arrangement.listeners.iter().enumerate() {
        listeners.push(listener(place, hostname));
    }
    write!(text, "\n---\nkind: Gateway\nmetadata: {{namespace: weir-system, name: public}}\nspec: {{gatewayClassName: weir, listeners: [{}]}}\n", listeners.join(", ")).unwrap();
    text += "\n---\nkind: ReferenceGrant\nmetadata: {namespace: weir-system, name: g}\nspec: {from: [{group: gateway.networking.k8s.io, kind: Gateway, namespace: acme}], to: [{group: '', kind: Secret}]}\n";
    if let Some(hostname) = &arrangement.own {
        write!(text, "\n---\nkind: Gateway\nmetadata: {{namespace: acme, name: own}}\nspec: {{gatewayClassName: weir, listeners: [{}]}}\n", listener(9, hostname)).unwrap();
    }
    for (index, route) in arrangement.routes.iter().enumerate() {
        let namespace = TENANTS.get(route.tenant).unwrap_or(&"weir-system");
        let section = route.listener.map(|place| format!(", sectionName: l{place}")).unwrap_or_default();
        write!(text, "\n---\nkind: HTTPRoute\nmetadata: {{namespace: {namespace}, name: r{index}}}\nspec: {{hostnames: {:?}, parentRefs: [{{namespace: weir-system, name: public{section}}}]}}\n", route.hostnames).unwrap();
    }
    text
}

/// Whether a pattern matches a host, by the words of the Gateway API.
fn matches(pattern: &str, host: &str) -> bool {
    pattern == "*"
        || pattern == host
        || pattern.strip_prefix('*').is_some_and(|suffix| host.len() > suffix.len() && host.ends_with(suffix))
}

fn most_specific<T>(of: impl Iterator<Item = (String, T)>, host: &str) -> Option<T> {
    of.filter(|(pattern, _)| matches(pattern, host))
        .max_by_key(|(p, _)| (!p.starts_with('*'), p.len()))
        .map(|(_, value)| value)
}

/// The tenant that owns a host; of equal entries that of the first name.
fn owner(arrangement: &Arrangement, host: &str) -> usize {
    let entries = arrangement.entries.iter().enumerate().rev();
    let all = entries.flat_map(|(tenant, entries)| entries.iter().map(move |entry| (entry.clone(), tenant)));
    let best = all
        .filter(|(pattern, _)| matches(pattern, host))
        .max_by_key(|(p, tenant)| (!p.starts_with('*'), p.len(), usize::MAX - tenant));
    best.map_or(TENANTS.len(), |(_, tenant)| tenant)
}

/// The platform's listener that a host belongs to; the first of equal hostnames counts.
fn listener(arrangement: &Arrangement, host: &str) -> Option<usize> {
    let mut seen = BTreeMap::new();
    for (place, hostname) in arrangement.listeners.iter().enumerate() {
        seen.entry(hostname.clone().unwrap_or_else(|| "*".into())).or_insert(place);
    }
    most_specific(seen.into_iter(), host)
}

/// The virtual host of a RouteConfiguration that answers for a host, as Envoy picks it.
fn answer<'a>(world: &'a World, table: &str, host: &str) -> Option<&'a VirtualHost> {
    let hosts = world.snapshot().virtual_hosts.values().filter(|v| v.name.rsplit_once('/').unwrap().0 == table);
    let domains = hosts.flat_map(|v| {
        v.domains.iter().map(move |domain| {
            let text = match domain {
                Domain::Exact(name) => name.clone(),
                Domain::Suffix(suffix) => format!("*.{suffix}"),
                Domain::Any => "*".to_owned(),
            };
            (text, &**v)
        })
    });
    most_specific(domains, host)
}

/// The RouteConfiguration of a connection with this SNI, as Envoy picks its chain.
fn table_of(world: &World, host: &str) -> Option<String> {
    let listener = world.snapshot().listeners.values().next()?;
    let chains = listener.chains.iter().flat_map(|chain| {
        let mut names: Vec<String> = chain
            .server_names
            .iter()
            .map(|name| match name {
                ServerName::Exact(name) => name.clone(),
                ServerName::Suffix(suffix) => format!("*.{suffix}"),
            })
            .collect();
        if names.is_empty() {
            names.push("*".into());
        }
        names.into_iter().map(move |name| (name, chain))
    });
    match &most_specific(chains, host)?.http().unwrap().routes {
        RouteSource::Rds(name) => Some(name.clone()),
        RouteSource::Inline(_) => None,
    }
}

fn check(arrangement: &Arrangement) -> Result<(), TestCaseError> {
    let mut world = World::new(Settings::default());
    world.apply(&support::applied(&support::objects(&manifests(arrangement))));
    let tables: Vec<String> = world.snapshot().routes.keys().cloned().collect();
    for host in hosts() {
        let owner = owner(arrangement, &host);
        let name = TENANTS.get(owner).unwrap_or(&"system");
        for table in &tables {
            if let Some(found) = answer(&world, table, &host).filter(|found| !found.routes.is_empty()) {
                let tenant = found.owner.as_ref().map(|owner| owner.tenant.as_str());
                prop_assert_eq!(tenant, Some(*name), "{} in {}", host, table);
            }
        }
        // A tenant's own Gateway takes its own names from the platform's listeners, nobody else's.
        if arrangement.own.is_some() && owner == 0 {
            continue;
        }
        let Some(place) = listener(arrangement, &host) else { continue };
        let wishes = |route: &&RouteSpec| {
            route.tenant == owner
                && route.listener.is_none_or(|listener| listener == place)
                && (route.hostnames.is_empty() || route.hostnames.iter().any(|pattern| matches(pattern, &host)))
        };
        let wanted = arrangement.routes.iter().any(|route| wishes(&route));
        let table = table_of(&world, &host);
        let served =
            table.and_then(|table| answer(&world, &table, &host)).is_some_and(|found| !found.routes.is_empty());
        prop_assert_eq!(served, wanted, "{} at listener {}", host, place);
    }
    Ok(())
}

#[test]
fn soak_a_host_is_served_by_its_owner_and_by_nobody_else() {
    soak::property(&arrangement(), |arrangement| check(&arrangement));
}
