//! A set of resources, and a change to one.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Cluster, FilterConfig, Listener, LoadAssignment, RouteConfiguration, Secret, VirtualHost};

macro_rules! resources {
    ($($variant:ident($type:ty), $field:ident, $url:literal, $doc:literal;)*) => {
        /// The types of resources, in the order in which they are sent: what is new stands before
        /// what needs it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ResourceType { $(#[doc = $doc] $variant,)* }

        impl ResourceType {
            /// Every type, in sending order.
            pub const ALL: &'static [ResourceType] = &[$(ResourceType::$variant,)*];

            /// The type URL.
            pub fn url(self) -> &'static str {
                match self { $(ResourceType::$variant => concat!("type.googleapis.com/", $url),)* }
            }
            /// The type of a URL; none if Weir does not know it.
            pub fn from_url(url: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|t| t.url() == url)
            }
            /// The message's name without its package.
            pub fn message(self) -> &'static str {
                self.url().rsplit('.').next().unwrap_or_default()
            }
        }

        /// One resource.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Resource { $(#[doc = $doc] $variant(Arc<$type>),)* }

        impl Resource {
            /// Its type.
            pub fn kind(&self) -> ResourceType {
                match self { $(Resource::$variant(_) => ResourceType::$variant,)* }
            }
            /// Its name.
            pub fn name(&self) -> &str {
                match self { $(Resource::$variant(r) => &r.name,)* }
            }
        }

        $(impl From<$type> for Resource { fn from(r: $type) -> Self { Resource::$variant(Arc::new(r)) } })*

        /// Resources by type and name.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct Snapshot { $(#[doc = $doc] pub $field: BTreeMap<String, Arc<$type>>,)* }

        impl Snapshot {
            /// Puts a resource in place of what had its name.
            pub fn insert(&mut self, resource: Resource) {
                match resource { $(Resource::$variant(r) => { self.$field.insert(r.name.clone(), r); })* }
            }
            /// Takes a resource out; true if it was there.
            pub fn remove(&mut self, kind: ResourceType, name: &str) -> bool {
                match kind { $(ResourceType::$variant => self.$field.remove(name).is_some(),)* }
            }
            /// The resource of that name.
            pub fn get(&self, kind: ResourceType, name: &str) -> Option<Resource> {
                match kind { $(ResourceType::$variant => self.$field.get(name).cloned().map(Resource::$variant),)* }
            }
            /// All of a type, by name.
            pub fn of(&self, kind: ResourceType) -> Vec<Resource> {
                match kind { $(ResourceType::$variant => self.$field.values().cloned().map(Resource::$variant).collect(),)* }
            }
            /// How many there are of a type.
            pub fn count(&self, kind: ResourceType) -> usize {
                match kind { $(ResourceType::$variant => self.$field.len(),)* }
            }
            /// All resources, in sending order, by name.
            pub fn all(&self) -> impl Iterator<Item = Resource> + '_ {
                ResourceType::ALL.iter().flat_map(|t| self.of(*t))
            }
        }
    };
}

resources! {
    Cluster(Cluster), clusters, "envoy.config.cluster.v3.Cluster", "CDS";
    LoadAssignment(LoadAssignment), endpoints, "envoy.config.endpoint.v3.ClusterLoadAssignment", "EDS";
    Secret(Secret), secrets, "envoy.extensions.transport_sockets.tls.v3.Secret", "SDS";
    FilterConfig(FilterConfig), filters, "envoy.config.core.v3.TypedExtensionConfig", "ECDS";
    Listener(Listener), listeners, "envoy.config.listener.v3.Listener", "LDS";
    RouteConfiguration(RouteConfiguration), routes, "envoy.config.route.v3.RouteConfiguration", "RDS";
    VirtualHost(VirtualHost), virtual_hosts, "envoy.config.route.v3.VirtualHost", "VHDS";
}

/// A change: what is new or different, and what is gone. Order within has no meaning.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delta {
    /// New or changed resources.
    pub upserts: Vec<Resource>,
    /// Names that are gone.
    pub removals: Vec<(ResourceType, String)>,
}

impl Delta {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.upserts.is_empty() && self.removals.is_empty()
    }
}

impl Snapshot {
    /// Makes the change.
    pub fn apply(&mut self, delta: &Delta) {
        for (kind, name) in &delta.removals {
            self.remove(*kind, name);
        }
        for resource in &delta.upserts {
            self.insert(resource.clone());
        }
    }
}
