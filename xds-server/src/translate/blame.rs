//! From a resource that a proxy refuses back to the objects that it comes of.

use std::collections::BTreeSet;

use weir_config::kinds::gateway::{BackendObjectReference, L4RouteRule};
use weir_config::kinds::{Kind, Object, ObjectKey};
use weir_config::model::name::split_virtual_host;
use weir_config::model::{Resource, ResourceType};

use super::World;
use super::listener_sets;
use super::port_plan::ListenerFact;
use super::protocol::Protocol;
use super::tenant::namespaces;
use super::unit::Group;

/// An object, and of a Gateway the listener.
pub type Blamed = (ObjectKey, Option<String>);

impl World {
    /// The objects that a resource comes of, as closely as its name and what the proxy said of it tell: `text` may
    /// name a field (`routes[3].match`) or a filter chain. Nothing where no one object is to blame.
    pub fn blame(&self, kind: ResourceType, name: &str, text: &str) -> BTreeSet<Blamed> {
        match kind {
            ResourceType::Listener => self.blame_listener(name, text),
            ResourceType::RouteConfiguration => self.blame_routes(name),
            ResourceType::VirtualHost => self.blame_host(name, text),
            ResourceType::Cluster => self.blame_cluster(name),
            ResourceType::LoadAssignment => parts(name)
                .map(|(namespace, service, _)| object(Kind::Service, namespace, service))
                .into_iter()
                .collect(),
            ResourceType::Secret => self.blame_secret(name),
            ResourceType::FilterConfig => BTreeSet::new(),
        }
    }

    fn listener_facts(&self) -> impl Iterator<Item = &ListenerFact> {
        self.ports().all().flat_map(|(_, plan)| plan.holders.values()).flatten()
    }

    fn blame_listener(&self, name: &str, text: &str) -> BTreeSet<Blamed> {
        let mut all = BTreeSet::new();
        let mut named = BTreeSet::new();
        for fact in self.listener_facts() {
            for routes in fact.binds.iter().filter(|bind| bind.listener == name).filter_map(|bind| bind.routes.as_ref())
            {
                let blamed = (fact.id.object(), Some(fact.id.listener.clone()));
                if text.contains(routes.as_str()) {
                    named.insert(blamed.clone());
                    named.extend(l4_route_of(text, routes, fact.protocol));
                }
                all.insert(blamed);
            }
        }
        if named.is_empty() { all } else { named }
    }

    fn blame_routes(&self, name: &str) -> BTreeSet<Blamed> {
        let facts = self.listener_facts();
        let has = facts.filter(|fact| fact.binds.iter().any(|bind| bind.routes.as_deref() == Some(name)));
        has.map(|fact| (fact.id.object(), Some(fact.id.listener.clone()))).collect()
    }

    fn blame_host(&self, name: &str, text: &str) -> BTreeSet<Blamed> {
        let Some(Resource::VirtualHost(host)) = self.snapshot().get(ResourceType::VirtualHost, name) else {
            return BTreeSet::new();
        };
        let one = index(text, "routes[").and_then(|index| host.routes.get(index));
        let routes: BTreeSet<Blamed> = match one {
            Some(route) => route_of(&route.name).into_iter().collect(),
            None => host.routes.iter().filter_map(|route| route_of(&route.name)).collect(),
        };
        match split_virtual_host(name) {
            // A border, or the answer of a tenant that is not served: nobody's route.
            Some((parent, _)) if routes.is_empty() => self.blame_routes(parent),
            _ => routes,
        }
    }

    /// The routes of the cluster's tenant that send to its Service.
    fn blame_cluster(&self, name: &str) -> BTreeSet<Blamed> {
        let Some((tenant, rest)) = name.split_once('/') else { return BTreeSet::new() };
        let Some((namespace, service, port)) = parts(rest) else { return BTreeSet::new() };
        let facts = self.facts();
        let group =
            if tenant == weir_config::kinds::SYSTEM_TENANT { Group::System } else { Group::Tenant(tenant.into()) };
        let mut blamed = BTreeSet::new();
        for own in namespaces(facts, &group) {
            let is_meant = |backend: &BackendObjectReference| {
                backend.name == service
                    && backend.port == Some(port)
                    && backend.namespace.as_deref().unwrap_or(&own) == namespace
            };
            for route in Kind::ROUTES.into_iter().flat_map(|kind| facts.objects.within(kind, &own)) {
                if backends(route).into_iter().any(is_meant) {
                    blamed.insert((route.key(), None));
                }
            }
        }
        blamed
    }

    /// The Gateways' listeners that present the certificate.
    fn blame_secret(&self, name: &str) -> BTreeSet<Blamed> {
        let mut blamed = BTreeSet::new();
        let facts = self.listener_facts();
        for fact in facts {
            let namespace = fact.id.namespace();
            let listener = listener_sets::listener(self.facts(), fact);
            let mut refs = listener.iter().filter_map(|l| l.tls.as_ref()).flat_map(|tls| &tls.certificate_refs);
            if refs.any(|secret| {
                let owner = secret.namespace.as_deref().unwrap_or(namespace);
                name.split_once('/') == Some((owner, secret.name.as_str()))
            }) {
                blamed.insert((fact.id.object(), Some(fact.id.listener.clone())));
            }
        }
        blamed
    }
}

/// `namespace/service/port`.
fn parts(name: &str) -> Option<(&str, &str, u16)> {
    let mut parts = name.split('/');
    let (namespace, service, port) = (parts.next()?, parts.next()?, parts.next()?);
    Some((namespace, service, port.parse().ok()?))
}

/// The HTTPRoute of a route called `namespace/name/rule/match`, or the GRPCRoute after that word.
fn route_of(name: &str) -> Option<Blamed> {
    let (kind, name) = match name.strip_prefix("GRPCRoute/") {
        Some(rest) => (Kind::GRPCRoute, rest),
        None => (Kind::HTTPRoute, name),
    };
    let mut parts = name.split('/');
    let (namespace, route) = (parts.next()?, parts.next()?);
    parts.next()?;
    Some(object(kind, namespace, route))
}

/// The route that stands in a chain's name behind what the chains of its listener begin with.
fn l4_route_of(text: &str, base: &str, protocol: Option<Protocol>) -> Option<Blamed> {
    let [kind] = protocol.filter(|protocol| protocol.is_l4())?.kinds() else { return None };
    let rest = text.split(base).nth(1)?.strip_prefix('/')?;
    let end = |c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '.';
    let (namespace, rest) = rest.split_once('/')?;
    let name = rest.split(end).next().filter(|name| !name.is_empty())?;
    Some(object(*kind, namespace, name.trim_end_matches('.')))
}

/// The backends that a route names.
fn backends(route: &Object) -> Vec<&BackendObjectReference> {
    fn of_l4(rules: &[L4RouteRule]) -> Vec<&BackendObjectReference> {
        rules.iter().flat_map(|rule| &rule.backend_refs).map(|backend| &backend.target).collect()
    }
    match route {
        Object::HTTPRoute(route) => {
            let rules = route.spec.rules.iter().flatten();
            rules.flat_map(|rule| &rule.backend_refs).map(|backend| &backend.target).collect()
        }
        Object::GRPCRoute(route) => {
            let rules = route.spec.rules.iter().flatten();
            rules.flat_map(|rule| &rule.backend_refs).map(|backend| &backend.target).collect()
        }
        Object::TLSRoute(route) => of_l4(&route.spec.rules),
        Object::TCPRoute(route) => of_l4(&route.spec.rules),
        Object::UDPRoute(route) => of_l4(&route.spec.rules),
        _ => Vec::new(),
    }
}

fn object(kind: Kind, namespace: &str, name: &str) -> Blamed {
    (ObjectKey::new(kind, namespace, name), None)
}

/// The number in brackets after `field`, where it stands first.
fn index(text: &str, field: &str) -> Option<usize> {
    let rest = &text[text.find(field)? + field.len()..];
    rest.split(']').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{index, l4_route_of, parts, route_of};
    use crate::translate::protocol::Protocol;

    #[test]
    fn names_and_fields_are_read() {
        assert_eq!(index("edge/x/a.example: routes[3].match.headers[0]: no", "routes["), Some(3));
        assert_eq!(index("nothing", "routes["), None);
        assert_eq!(index("routes[x]", "routes["), None);
        assert_eq!(parts("shop/web/80"), Some(("shop", "web", 80)));
        assert_eq!(route_of("shop/web/0/1").unwrap().0.to_string(), "HTTPRoute shop/web");
        assert_eq!(route_of("suspended"), None);
        assert_eq!(route_of("GRPCRoute/shop/api/0/1").unwrap().0.to_string(), "GRPCRoute shop/api");
        let chain = |text| l4_route_of(text, "edge/x/tls/infra/web/tls", Some(Protocol::TlsPassthrough));
        let blamed = chain("filter_chains[1] \"edge/x/tls/infra/web/tls/shop/db\": no").unwrap();
        assert_eq!(blamed.0.to_string(), "TLSRoute shop/db");
        assert_eq!(chain("edge/x/tls/infra/web/tls/none"), None);
    }
}
