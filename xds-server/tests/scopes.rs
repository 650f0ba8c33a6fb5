//! Whatever the objects and the order of their edits, no scope holds anything that is another's: an edge holds
//! what its own Gateways and the routes attached to them need, a tenant's sidecar what the tenant's routes
//! reach. Both are worked out here anew from objects and resources, in the most naive way.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use weir_config::kinds::gateway::{BackendObjectReference, GatewayListener, ParentReference};
use weir_config::kinds::{Object, ObjectKey};
use weir_config::model::{
    EndpointSource, Forward, HttpFilter, Network, Resource, ResourceType, RouteAction, Snapshot, name,
};
use weir_config::testing::soak;
use weir_xds_server::ads::{Form, Interest, Store};
use weir_xds_server::scope::Scope;
use weir_xds_server::translate::{Classes, Settings, World};
use weir_xds_server::watch::Event;

const NAMESPACES: [&str; 5] = ["weir-system", "acme-a", "acme-edge", "acme2-a", "roaming"];
const TENANTS: [&str; 2] = ["acme", "acme2"];
/// Edges with what they list.
const CLASSES: [(&str, &[&str]); 3] =
    [("edge", &["*"]), ("acme", &["acme-edge/*"]), ("edge2", &["weir-system/closed"])];
const GATEWAYS: [(&str, &str); 4] =
    [("weir-system", "public"), ("weir-system", "closed"), ("acme-edge", "own"), ("acme2-a", "own")];
/// ListenerSets, all at the Gateway `public`.
const SETS: [(&str, &str); 2] = [("acme-a", "set"), ("acme2-a", "set")];
const ROUTES: [&str; 5] = ["HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute"];

/// An object, by which piece it is and in which of its forms.
#[derive(Clone, Debug)]
enum Piece {
    /// A namespace, and of which tenant: 0 and 1, or of none.
    Namespace(usize, usize),
    Tenant(usize, Vec<&'static str>),
    /// A Gateway, and its listeners: HTTP, HTTPS or both, or those that pass bytes on.
    Gateway(usize, usize),
    /// A ListenerSet, and its listeners.
    Set(usize, usize),
    Secret(usize),
    Service(usize),
    /// TLS toward the Service of a namespace.
    BackendTls(usize),
    /// By kind and number: in which namespace, with which parents, to the Service of this namespace and of which other.
    Route(usize, usize, usize, Vec<usize>, Option<usize>),
    /// In a namespace, to all of another's routes and Gateways.
    Grant(usize, usize),
}

/// A piece that comes, or goes.
#[derive(Clone, Debug)]
struct Edit {
    piece: Piece,
    there: bool,
}

fn piece() -> impl Strategy<Value = Piece> {
    let namespace = || 0..NAMESPACES.len();
    let parents = prop::collection::vec(0..GATEWAYS.len() + SETS.len(), 1..4);
    let hostname = || select(vec!["shop.acme.com", "*.acme.com", "acme2.example", "*.example", "*"]);
    prop_oneof![
        2 => (1..NAMESPACES.len(), 0usize..3).prop_map(|(namespace, tenant)| Piece::Namespace(namespace, tenant)),
        2 => (0..TENANTS.len(), prop::collection::vec(hostname(), 0..3)).prop_map(|(t, names)| Piece::Tenant(t, names)),
        2 => (0..GATEWAYS.len(), 0usize..4).prop_map(|(gateway, listeners)| Piece::Gateway(gateway, listeners)),
        2 => (0..SETS.len(), 0usize..4).prop_map(|(set, listeners)| Piece::Set(set, listeners)),
        1 => namespace().prop_map(Piece::BackendTls),
        1 => namespace().prop_map(Piece::Secret),
        2 => namespace().prop_map(Piece::Service),
        12 => (0..ROUTES.len(), 0usize..3, namespace(), parents, prop::option::of(namespace()))
            .prop_map(|(kind, number, namespace, parents, other)| Piece::Route(kind, number, namespace, parents, other)),
        1 => (namespace(), namespace()).prop_map(|(namespace, other)| Piece::Grant(namespace, other)),
    ]
}

/// What is there from the beginning: tenants with namespaces and names, Gateways and Services, and no route.
fn base() -> String {
    let class = "kind: GatewayClass\nmetadata: {name: weir}\nspec: {controllerName: weir.dev/gateway-controller}";
    let mut all = vec![class.to_owned(), "kind: Plan\nmetadata: {name: pro}\nspec: {}".to_owned()];
    let pieces = [
        Piece::Tenant(0, vec!["shop.acme.com", "*.acme.com"]),
        Piece::Tenant(1, vec!["acme2.example"]),
        Piece::Namespace(1, 0),
        Piece::Namespace(2, 0),
        Piece::Namespace(3, 1),
        Piece::Namespace(4, 1),
        Piece::Secret(0),
    ];
    all.extend(pieces.iter().map(Piece::manifest));
    all.extend((0..GATEWAYS.len()).map(|place| Piece::Gateway(place, 3 - place).manifest()));
    all.extend((0..SETS.len()).map(|place| Piece::Set(place, 3).manifest()));
    all.extend((0..NAMESPACES.len()).map(|place| Piece::Service(place).manifest()));
    all.join("\n---\n")
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let edit = (piece(), prop::bool::weighted(0.8)).prop_map(|(piece, there)| Edit { piece, there });
    prop::collection::vec(edit, 1..30)
}

impl Piece {
    fn manifest(&self) -> String {
        match self {
            Self::Namespace(place, tenant) => {
                let labels = TENANTS.get(*tenant).map(|tenant| format!("weir.dev/tenant: {tenant}"));
                let (name, labels) = (NAMESPACES[*place], labels.unwrap_or_default());
                format!("kind: Namespace\nmetadata: {{name: {name}, labels: {{{labels}}}}}")
            }
            Self::Tenant(place, hostnames) => {
                let name = TENANTS[*place];
                format!("kind: Tenant\nmetadata: {{name: {name}}}\nspec: {{plan: pro, hostnames: {hostnames:?}}}")
            }
            Self::Gateway(place, form) => {
                let (namespace, name) = GATEWAYS[*place];
                let listeners = listeners(*form, 0);
                format!(
                    "kind: Gateway\nmetadata: {{namespace: {namespace}, name: {name}}}\nspec: {{gatewayClassName: weir, allowedListeners: {{namespaces: {{from: All}}}}, listeners: [{listeners}]}}"
                )
            }
            Self::Set(place, form) => {
                let ((namespace, name), (of, public)) = (SETS[*place], GATEWAYS[0]);
                let listeners = listeners(*form, 1 + place);
                format!(
                    "kind: ListenerSet\nmetadata: {{namespace: {namespace}, name: {name}}}\nspec: {{parentRef: {{namespace: {of}, name: {public}}}, listeners: [{listeners}]}}"
                )
            }
            Self::BackendTls(place) => {
                let namespace = NAMESPACES[*place];
                format!(
                    "kind: BackendTLSPolicy\nmetadata: {{namespace: {namespace}, name: tls}}\nspec: {{targetRefs: [{{group: '', kind: Service, name: web}}], validation: {{hostname: web.example, wellKnownCACertificates: System}}}}"
                )
            }
            Self::Secret(place) => include_str!("../../config/examples/quickstart/certificate.yaml")
                .replace("shop-acme-test", "cert")
                .replace("namespace: weir-system", &format!("namespace: {}", NAMESPACES[*place])),
            Self::Service(place) => {
                let namespace = NAMESPACES[*place];
                format!(
                    "kind: Service\nmetadata: {{namespace: {namespace}, name: web}}\nspec: {{ports: [{{name: t, port: 80}}, {{name: u, port: 80, protocol: UDP}}]}}"
                )
            }
            Self::Route(kind, number, place, parents, other) => {
                let parent = |parent: &usize| {
                    let (kind, (namespace, name)) = match parent.checked_sub(GATEWAYS.len()) {
                        Some(set) => ("ListenerSet", SETS[set]),
                        None => ("Gateway", GATEWAYS[*parent]),
                    };
                    format!("{{kind: {kind}, namespace: {namespace}, name: {name}}}")
                };
                let parents = parents.iter().map(parent).collect::<Vec<_>>().join(", ");
                let backend = |place: &usize| format!("{{namespace: {}, name: web, port: 80}}", NAMESPACES[*place]);
                let backends = [place].into_iter().chain(other).map(backend).collect::<Vec<_>>().join(", ");
                let (namespace, kind) = (NAMESPACES[*place], ROUTES[*kind]);
                // A TLSRoute without names is refused; the others take all that their tenant owns.
                let names = if kind == "TLSRoute" { "hostnames: [shop.acme.com, acme2.example], " } else { "" };
                format!(
                    "kind: {kind}\nmetadata: {{namespace: {namespace}, name: r{number}}}\nspec: {{{names}parentRefs: [{parents}], rules: [{{backendRefs: [{backends}]}}]}}"
                )
            }
            Self::Grant(place, other) => {
                let (namespace, other) = (NAMESPACES[*place], NAMESPACES[*other]);
                let from =
                    |kind: &str| format!("{{group: gateway.networking.k8s.io, kind: {kind}, namespace: {other}}}");
                let kinds = ROUTES.into_iter().chain(["Gateway", "ListenerSet"]);
                let from = format!("[{}]", kinds.map(from).collect::<Vec<_>>().join(", "));
                format!(
                    "kind: ReferenceGrant\nmetadata: {{namespace: {namespace}, name: {other}}}\nspec: {{from: {from}, to: [{{group: '', kind: Service}}, {{group: '', kind: Secret}}]}}"
                )
            }
        }
    }
}

/// Listeners in one of their forms; `holder` tells ports apart that only one may have.
fn listeners(form: usize, holder: usize) -> String {
    let takes = "allowedRoutes: {namespaces: {from: All}}";
    let http = format!("{{name: http, port: 80{holder}, protocol: HTTP, {takes}}}");
    let refs = format!("[{{name: cert}}, {{name: cert, namespace: {}}}]", NAMESPACES[0]);
    let https =
        format!("{{name: https, port: 44{holder}, protocol: HTTPS, tls: {{certificateRefs: {refs}}}, {takes}}}");
    let bytes = format!(
        "{{name: tls, port: 84{holder}, protocol: TLS, tls: {{mode: Passthrough}}, {takes}}}, \
         {{name: tcp, port: 90{holder}, protocol: TCP, {takes}}}, {{name: udp, port: 90{holder}, protocol: UDP, {takes}}}"
    );
    [&[&http[..]][..], &[&https], &[&http, &https], &[&http, &https, &bytes]][form].join(", ")
}

/// What was seen of objects, kept by key and no further.
type Objects = BTreeMap<ObjectKey, Arc<Object>>;
type Key = (ResourceType, String);

fn scopes() -> Vec<Scope> {
    let edges = CLASSES.iter().map(|(name, _)| Scope::Edge((*name).into())).chain([Scope::Edge("nobody".into())]);
    let tenants = TENANTS.iter().chain(&["system"]).map(|name| Scope::Tenant((*name).into()));
    edges.chain(tenants).chain([Scope::Everything, Scope::Nothing]).collect()
}

/// What a scope may hold, from the resources as values.
fn allowed(snapshot: &Snapshot, scope: &Scope) -> BTreeSet<Key> {
    let key = |resource: Resource| (resource.kind(), resource.name().to_owned());
    let mut keys = BTreeSet::new();
    match scope {
        Scope::Everything => return snapshot.all().map(key).collect(),
        Scope::Nothing => return keys,
        Scope::Edge(edge) => {
            let mine = |name: &str| name.split('/').next() == Some(edge);
            for listener in snapshot.listeners.values().filter(|l| mine(&l.name)) {
                keys.insert((ResourceType::Listener, listener.name.clone()));
                let udp = listener.udp.as_deref();
                let clusters = udp.into_iter().flat_map(|proxied| proxied.split.clusters());
                keys.extend(clusters.map(|name| (ResourceType::Cluster, name.to_owned())));
                for chain in &listener.chains {
                    if let Network::Tcp(proxied) = &chain.network {
                        keys.extend(proxied.split.clusters().map(|name| (ResourceType::Cluster, name.to_owned())));
                    }
                    let secrets = chain.tls.iter().flat_map(|tls| &tls.secrets);
                    keys.extend(secrets.map(|name| (ResourceType::Secret, name.clone())));
                    for filter in chain.http().iter().flat_map(|http| &http.filters) {
                        if let HttpFilter::Discovered(name) = filter {
                            keys.insert((ResourceType::FilterConfig, name.clone()));
                        }
                    }
                }
            }
            let routes = snapshot.routes.keys().filter(|name| mine(name));
            keys.extend(routes.map(|name| (ResourceType::RouteConfiguration, name.clone())));
            for host in snapshot.virtual_hosts.values().filter(|host| mine(&host.name)) {
                keys.insert((ResourceType::VirtualHost, host.name.clone()));
                for route in &host.routes {
                    if let RouteAction::Forward(Forward { split, .. }) = &route.action {
                        keys.extend(split.clusters().map(|name| (ResourceType::Cluster, name.to_owned())));
                    }
                }
            }
        }
        Scope::Tenant(tenant) => {
            let mine = snapshot.clusters.keys().filter(|name| name.split('/').next() == Some(tenant));
            keys.extend(mine.map(|name| (ResourceType::Cluster, name.clone())));
        }
    }
    for cluster in snapshot.clusters.values() {
        if let EndpointSource::Eds(name) = &cluster.endpoints
            && keys.contains(&(ResourceType::Cluster, cluster.name.clone()))
        {
            keys.insert((ResourceType::LoadAssignment, name.clone()));
        }
    }
    keys.retain(|(kind, name)| snapshot.get(*kind, name).is_some());
    keys
}

/// Namespaces that one tenant alone has, as the labels say, and the platform's.
fn tenants(objects: &Objects) -> BTreeMap<&str, &str> {
    let label = |object: &Arc<Object>| {
        let labels = object.metadata().labels.clone().unwrap_or_default();
        TENANTS.into_iter().find(|tenant| labels.get("weir.dev/tenant").is_some_and(|label| label == tenant))
    };
    let namespaces = objects.iter().filter(|(key, _)| key.kind == weir_config::kinds::Kind::Namespace);
    let mut all: BTreeMap<&str, &str> =
        namespaces.filter_map(|(key, object)| Some((&*key.name, label(object)?))).collect();
    all.insert(NAMESPACES[0], "system");
    all
}

fn edge_of(namespace: &str, gateway: &str) -> &'static str {
    match (namespace, gateway) {
        ("acme-edge", _) => "acme",
        ("weir-system", "closed") => "edge2",
        _ => "edge",
    }
}

/// What objects say that an edge may have, beside what resources refer to: tenants, and namespaces of Secrets and
/// of endpoints.
#[derive(Debug, Default)]
struct Mine<'a> {
    tenants: BTreeSet<&'a str>,
    secrets: BTreeSet<&'a str>,
    services: BTreeSet<&'a str>,
}

fn of_edge<'a>(objects: &'a Objects, edge: &str) -> Mine<'a> {
    let (tenants, mut mine) = (tenants(objects), Mine::default());
    for (key, object) in objects {
        match &**object {
            Object::Gateway(gateway) if edge_of(&key.namespace, &key.name) == edge => {
                mine.secrets.extend(secrets_of(key, &gateway.spec.listeners));
            }
            Object::ListenerSet(set) if edge_of(GATEWAYS[0].0, GATEWAYS[0].1) == edge => {
                mine.secrets.extend(secrets_of(key, &set.spec.listeners));
            }
            object => {
                let Some((parents, backends)) = refs(object) else { continue };
                if parents.iter().any(|at| edge_of(at.namespace.as_deref().unwrap(), &at.name) == edge) {
                    mine.tenants.extend(tenants.get(&*key.namespace));
                    mine.services.extend(backends);
                }
            }
        }
    }
    mine
}

fn secrets_of<'a>(key: &'a ObjectKey, listeners: &'a [GatewayListener]) -> impl Iterator<Item = &'a str> {
    let refs = listeners.iter().flat_map(|l| &l.tls).flat_map(|tls| &tls.certificate_refs);
    refs.map(|reference| reference.namespace.as_deref().unwrap_or(&key.namespace))
}

/// Parents of a route of any kind, and namespaces of its backends.
fn refs(object: &Object) -> Option<(&[ParentReference], Vec<&str>)> {
    fn of(target: &BackendObjectReference) -> Option<&str> {
        target.namespace.as_deref()
    }
    macro_rules! refs {
        ($spec:expr, $rules:expr) => {{
            let backends = $rules.flat_map(|rule| &rule.backend_refs);
            Some((&$spec.parent_refs[..], backends.filter_map(|backend| of(&backend.target)).collect()))
        }};
    }
    match object {
        Object::HTTPRoute(route) => refs!(route.spec, route.spec.rules.iter().flatten()),
        Object::GRPCRoute(route) => refs!(route.spec, route.spec.rules.iter().flatten()),
        Object::TLSRoute(route) => refs!(route.spec, route.spec.rules.iter()),
        Object::TCPRoute(route) => refs!(route.spec, route.spec.rules.iter()),
        Object::UDPRoute(route) => refs!(route.spec, route.spec.rules.iter()),
        _ => None,
    }
}

/// Objects that do not justify what a scope holds.
fn check_objects(objects: &Objects, snapshot: &Snapshot, scope: &Scope, held: &BTreeSet<Key>) {
    let mine = match scope {
        Scope::Everything => return,
        Scope::Nothing => return assert!(held.is_empty()),
        Scope::Edge(edge) => of_edge(objects, edge),
        Scope::Tenant(tenant) => {
            let (tenants, mut mine) = (tenants(objects), Mine::default());
            mine.tenants.insert(tenant);
            for (key, object) in objects {
                if let Some((_, backends)) = refs(object)
                    && tenants.get(&*key.namespace) == Some(&&**tenant)
                {
                    mine.services.extend(backends);
                }
            }
            mine
        }
    };
    for (kind, name) in held {
        let first = name.split('/').next().unwrap();
        let well = match (kind, scope) {
            (ResourceType::Cluster, _) => mine.tenants.contains(first),
            (ResourceType::LoadAssignment, _) => mine.services.contains(first),
            (_, Scope::Tenant(_)) => false,
            (ResourceType::Secret, _) => mine.secrets.contains(first),
            (ResourceType::VirtualHost, Scope::Edge(edge)) => {
                let owner = snapshot.virtual_hosts[name].owner.as_ref();
                first == &**edge && owner.is_none_or(|owner| mine.tenants.contains(&*owner.tenant))
            }
            (ResourceType::FilterConfig, _) => name == name::RATE_LIMITS,
            (_, Scope::Edge(edge)) => first == &**edge,
            _ => false,
        };
        assert!(well, "{kind:?} {name} is not {scope:?}'s: {mine:?}");
    }
}

/// What a scope's view shows, each way of asking alike.
fn held(store: &Store, interest: &Interest, snapshot: &Snapshot) -> BTreeSet<Key> {
    let resources = store.read();
    let view = interest.view(&resources);
    let mut listed = BTreeSet::new();
    for kind in ResourceType::ALL {
        listed.extend(view.of(*kind).map(|resource| (*kind, resource.name.to_string())));
    }
    for resource in snapshot.all() {
        let key = (resource.kind(), resource.name().to_owned());
        assert_eq!(view.get(key.0, &key.1).is_some(), listed.contains(&key), "{key:?}");
    }
    for routes in snapshot.routes.keys() {
        let hosts = view.hosts(routes).all(|host| listed.contains(&(ResourceType::VirtualHost, host.name.to_string())));
        assert!(hosts, "hosts of {routes}");
    }
    listed
}

fn run(edits: &[Edit], late: Index) {
    let classes = Classes::new(CLASSES);
    let mut world = World::new(Settings { classes, ..Settings::default() });
    let store = Arc::new(Store::new());
    let mut objects = Objects::new();
    let scopes = scopes();
    let mut interests: Vec<_> = scopes.iter().map(|scope| store.enter(Form::STORED, scope.clone())).collect();
    // What each scope has, by its changes alone.
    let mut told: Vec<BTreeSet<Key>> = vec![BTreeSet::new(); scopes.len()];
    let begin = support::applied(&support::objects(&base()));
    let edits = edits.iter().map(|edit| {
        let of_piece = support::objects(&edit.piece.manifest());
        if edit.there { support::applied(&of_piece) } else { of_piece.iter().map(|o| Event::Delete(o.key())).collect() }
    });
    for (step, events) in std::iter::once(begin).chain(edits).enumerate() {
        for event in &events {
            match event {
                Event::Apply(object) => drop(objects.insert(object.key(), Arc::clone(object))),
                Event::Delete(key) => drop(objects.remove(key)),
                _ => {}
            }
        }
        let before = store.read().sequence();
        store.publish(&world.apply(&events));
        // A scope that is left and entered again is made anew, and not kept as changes come.
        if late.index(31) == step {
            interests.clear();
            interests.extend(scopes.iter().map(|scope| store.enter(Form::STORED, scope.clone())));
        }
        for ((scope, interest), told) in scopes.iter().zip(&interests).zip(&mut told) {
            let held = held(&store, interest, world.snapshot());
            assert_eq!(held, allowed(world.snapshot(), scope), "{scope:?} at step {step}");
            check_objects(&objects, world.snapshot(), scope, &held);
            let resources = store.read();
            let view = interest.view(&resources);
            let changes = view.changes_since(before).unwrap();
            for change in changes.iter().flat_map(|changes| changes.iter()).filter(|change| change.concerns(&view)) {
                let key = (change.kind, change.name.to_string());
                if view.get(key.0, &key.1).is_some() {
                    told.insert(key)
                } else {
                    told.remove(&key)
                };
            }
            if late.index(31) != step {
                assert_eq!(*told, held, "{scope:?} is not told of all at step {step}");
            }
            told.clone_from(&held);
        }
    }
}

#[test]
fn soak_no_scope_holds_what_is_outside_it() {
    soak::property(&(edits(), any::<Index>()), |(edits, late)| {
        run(&edits, late);
        Ok(())
    });
}
