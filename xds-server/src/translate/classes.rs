//! Which edge serves a Gateway: the proxy class that lists it most closely.

use std::collections::BTreeMap;
use std::fmt;

use weir_config::bootstrap::{EdgeAddress, EdgeService, ProxyClass};

/// An edge, by its place among the classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EdgeId(u16);

/// The addresses of an edge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EdgeAddresses {
    /// Those that the bootstrap lists; empty: what Gateways ask for is bound.
    pub(crate) listed: Vec<EdgeAddress>,
    /// Whether proxies bind those that are listed.
    pub(crate) bind: bool,
}

/// The edges, and the Gateways that each lists: `namespace/name`, `namespace/*`, or `*` for all others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Classes {
    edges: Vec<String>,
    addresses: Vec<EdgeAddresses>,
    services: Vec<Option<EdgeService>>,
    max_filter_chains: BTreeMap<EdgeId, usize>,
    by_pattern: BTreeMap<String, EdgeId>,
}

impl Classes {
    /// One edge that serves every Gateway.
    pub fn one(edge: &str) -> Self {
        Self::new([(edge, ["*"].as_slice())])
    }

    /// Edges by name, with the Gateways that each lists. A pattern that is listed twice, which the bootstrap
    /// refuses, is the first edge's.
    pub fn new<P: AsRef<str>>(edges: impl IntoIterator<Item = (impl Into<String>, impl AsRef<[P]>)>) -> Self {
        let mut classes = Self::default();
        for (place, (edge, gateways)) in (0..=u16::MAX).zip(edges) {
            classes.edges.push(edge.into());
            for pattern in gateways.as_ref() {
                classes.by_pattern.entry(pattern.as_ref().to_owned()).or_insert(EdgeId(place));
            }
        }
        classes
    }

    /// The edge that serves a Gateway; none: no class lists it.
    pub fn of(&self, namespace: &str, gateway: &str) -> Option<EdgeId> {
        let listed = |pattern: &str| self.by_pattern.get(pattern).copied();
        listed(&format!("{namespace}/{gateway}")).or_else(|| listed(&format!("{namespace}/*"))).or_else(|| listed("*"))
    }

    /// Name of an edge, the first part of its resources' names.
    pub fn name(&self, edge: EdgeId) -> &str {
        self.edges.get(usize::from(edge.0)).map_or("", String::as_str)
    }

    /// Addresses of an edge.
    pub(crate) fn addresses(&self, edge: EdgeId) -> EdgeAddresses {
        self.addresses.get(usize::from(edge.0)).cloned().unwrap_or_default()
    }

    /// The Services in front of an edge, where the bootstrap says something of them.
    pub(crate) fn service(&self, edge: EdgeId) -> Option<&EdgeService> {
        self.services.get(usize::from(edge.0))?.as_ref()
    }

    /// All settings of Services in front of edges, each with its edge.
    pub(crate) fn services(&self) -> impl Iterator<Item = (EdgeId, &EdgeService)> {
        let all = (0..=u16::MAX).zip(&self.services);
        all.filter_map(|(place, service)| Some((EdgeId(place), service.as_ref()?)))
    }

    /// Whether each Gateway has a Service of its own, whichever edge serves it.
    pub(crate) fn per_gateway(&self) -> bool {
        let of_edge = |service: &Option<EdgeService>| service.as_ref().is_some_and(|service| service.per_gateway);
        !self.services.is_empty() && self.services.iter().all(of_edge)
    }

    /// The same, of which an edge's proxies take so many filter chains with TLS at one address and port.
    #[must_use]
    pub fn with_max_filter_chains(mut self, edge: EdgeId, most: usize) -> Self {
        self.max_filter_chains.insert(edge, most);
        self
    }

    /// Filter chains with TLS that an edge's proxies take at one address and port, where they are bounded.
    pub(crate) fn max_filter_chains(&self, edge: EdgeId) -> Option<usize> {
        self.max_filter_chains.get(&edge).copied()
    }

    /// The edge of this name.
    pub fn find(&self, name: &str) -> Option<EdgeId> {
        let place = self.edges.iter().position(|edge| edge == name)?;
        u16::try_from(place).ok().map(EdgeId)
    }

    /// Names of all edges.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.edges.iter().map(String::as_str)
    }
}

impl From<&[ProxyClass]> for Classes {
    fn from(classes: &[ProxyClass]) -> Self {
        let mut made = Self::new(classes.iter().map(|class| (class.name.clone(), &class.gateways)));
        let addresses = classes.iter().map(|class| EdgeAddresses {
            // What cannot be read the bootstrap refused.
            listed: class.addresses.iter().filter_map(|text| text.parse().ok()).collect(),
            bind: class.bind_addresses,
        });
        made.addresses = addresses.collect();
        let bounds = (0..=u16::MAX).zip(classes).filter_map(|(n, class)| Some((EdgeId(n), class.max_filter_chains?)));
        made.max_filter_chains = bounds.collect();
        made.services = classes.iter().map(|class| class.service.clone()).collect();
        made
    }
}

/// What is listed, for people.
impl fmt::Display for Classes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (pattern, edge)) in self.by_pattern.iter().enumerate() {
            let comma = if n > 0 { ", " } else { "" };
            write!(f, "{comma}`{pattern}` ({})", self.name(*edge))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes() -> Classes {
        Classes::new([("edge", vec!["*"]), ("acme", vec!["acme-edge/*", "infra/acme"]), ("spare", vec!["acme-edge/b"])])
    }

    fn served_by(namespace: &str, gateway: &str) -> Option<String> {
        let classes = classes();
        classes.of(namespace, gateway).map(|edge| classes.name(edge).to_owned())
    }

    #[test]
    fn the_closest_pattern_decides_whatever_its_place() {
        for (namespace, gateway, edge) in [
            ("infra", "public", "edge"),
            ("infra", "acme", "acme"),
            ("acme-edge", "a", "acme"),
            ("acme-edge", "b", "spare"),
            ("acme-edge2", "a", "edge"),
            ("acme", "edge", "edge"),
        ] {
            assert_eq!(served_by(namespace, gateway).as_deref(), Some(edge), "{namespace}/{gateway}");
        }
    }

    #[test]
    fn a_gateway_that_no_class_lists_has_no_edge() {
        let classes = Classes::new([("acme", ["acme-edge/*"])]);
        assert_eq!(classes.of("infra", "public"), None);
        assert_eq!(classes.to_string(), "`acme-edge/*` (acme)");
        assert!(Classes::one("edge").of("infra", "public").is_some());
    }

    #[test]
    fn an_edge_is_found_by_its_name() {
        let classes = classes();
        assert_eq!(classes.find("acme").map(|edge| classes.name(edge)), Some("acme"));
        assert_eq!(classes.find("nobody"), None);
        assert_eq!(classes.names().collect::<Vec<_>>(), ["edge", "acme", "spare"]);
    }
}
