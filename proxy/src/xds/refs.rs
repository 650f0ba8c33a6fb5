//! Which resources refer to which.

use std::collections::BTreeMap;

use weir_config::model::name::NO_CLUSTER;
use weir_config::model::{self, FilterChain, Resource, ResourceType, RouteConfiguration, RouteSource};

use super::held::Need;

/// Whether a type is asked for as a whole.
pub(super) fn wildcard(kind: ResourceType) -> bool {
    matches!(kind, ResourceType::Cluster | ResourceType::Listener)
}

/// Identity of a resource. A RouteConfiguration that wants VHDS refers to (`VirtualHost`, its own name).
pub type Key = (ResourceType, String);

/// What `resource` refers to, repeated where it says so repeatedly. What never exists is not waited for.
pub fn references(resource: &Resource) -> Vec<Key> {
    let mut keys = Vec::new();
    model::references(resource, &mut |kind, name| {
        if name != NO_CLUSTER {
            keys.push((kind, name.to_owned()));
        }
    });
    let mut wants = |routes: &RouteConfiguration| {
        if routes.vhds {
            keys.push((ResourceType::VirtualHost, routes.name.clone()));
        }
    };
    match resource {
        Resource::RouteConfiguration(routes) => wants(routes),
        Resource::Listener(listener) => {
            for http in listener.chains.iter().filter_map(FilterChain::http) {
                if let RouteSource::Inline(routes) = &http.routes {
                    wants(routes);
                }
            }
        }
        _ => {}
    }
    keys
}

/// What `resource` refers to and that is asked for by name.
fn by_name(resource: &Resource) -> impl Iterator<Item = Key> {
    references(resource).into_iter().filter(|(kind, _)| !wildcard(*kind))
}

/// How often each name is referred to, of the types that are asked for by name.
#[derive(Debug, Default)]
pub struct Refs {
    counts: BTreeMap<Key, usize>,
    /// Secrets that clusters refer to.
    of_clusters: BTreeMap<String, usize>,
}

impl Refs {
    /// Counts `new`'s references in place of `old`'s, and returns the names whose being referred
    /// to at all may have changed.
    pub fn replace(&mut self, old: Option<&Resource>, new: Option<&Resource>) -> Vec<Key> {
        let mut touched = self.replace_of_clusters(old, new);
        for key in new.into_iter().flat_map(by_name) {
            let count = self.counts.entry(key.clone()).or_default();
            *count += 1;
            if *count == 1 {
                touched.push(key);
            }
        }
        for key in old.into_iter().flat_map(by_name) {
            if let Some(count) = self.counts.get_mut(&key) {
                *count -= 1;
                if *count == 0 {
                    self.counts.remove(&key);
                    touched.push(key);
                }
            }
        }
        touched
    }

    /// Why the secret of this name is wanted.
    pub fn need(&self, secret: &str) -> Need {
        if self.of_clusters.contains_key(secret) {
            Need::Always
        } else if self.contains(&(ResourceType::Secret, secret.to_owned())) {
            Need::OnDemand
        } else {
            Need::None
        }
    }

    /// Counts what clusters refer to, and returns secrets whose need may have changed.
    fn replace_of_clusters(&mut self, old: Option<&Resource>, new: Option<&Resource>) -> Vec<Key> {
        let secret = |resource: &Resource| match resource {
            Resource::Cluster(cluster) => cluster.tls.as_ref().and_then(|tls| tls.certificate.clone()),
            _ => None,
        };
        let (old, new) = (old.and_then(secret), new.and_then(secret));
        if old == new {
            return Vec::new();
        }
        if let Some(name) = &new {
            *self.of_clusters.entry(name.clone()).or_default() += 1;
        }
        if let Some(name) = &old
            && let Some(count) = self.of_clusters.get_mut(name)
        {
            *count -= 1;
            if *count == 0 {
                self.of_clusters.remove(name);
            }
        }
        old.into_iter().chain(new).map(|name| (ResourceType::Secret, name)).collect()
    }

    /// Whether anything refers to `key`.
    pub fn contains(&self, key: &Key) -> bool {
        self.counts.contains_key(key)
    }

    /// The names of a type that are referred to.
    pub fn names(&self, kind: ResourceType) -> impl Iterator<Item = &str> {
        self.counts
            .range((kind, String::new())..)
            .take_while(move |((k, _), _)| *k == kind)
            .map(|((_, name), _)| name.as_str())
    }
}
