//! Any object that Weir reads, and its identity.

use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::gateway::{
    BackendTLSPolicy, GRPCRoute, Gateway, GatewayClass, HTTPRoute, ListenerSet, ReferenceGrant, TCPRoute, TLSRoute,
    UDPRoute,
};
use super::plan::Plan;
use super::tenant::Tenant;
use super::traffic_policy::TrafficPolicy;

macro_rules! objects {
    ($($kind:ident($type:ty): $group:literal, $versions:expr, $namespaced:literal;)*) => {
        /// The kinds that Weir reads.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind { $(#[doc = concat!("`", stringify!($kind), "`")] $kind,)* }

        impl Kind {
            /// Every kind, in the order of this enumeration.
            pub const ALL: &'static [Kind] = &[$(Kind::$kind,)*];

            /// The kind's name as manifests write it.
            pub fn name(self) -> &'static str {
                match self { $(Kind::$kind => stringify!($kind),)* }
            }
            /// The API group; empty for the core group.
            pub fn group(self) -> &'static str {
                match self { $(Kind::$kind => $group,)* }
            }
            /// The versions that are read, newest first.
            pub fn versions(self) -> &'static [&'static str] {
                match self { $(Kind::$kind => &$versions,)* }
            }
            /// Whether its objects live in a namespace.
            pub fn namespaced(self) -> bool {
                match self { $(Kind::$kind => $namespaced,)* }
            }
        }

        /// One object, whole, as it was written. It is shared and never changed in place. Kinds of which there are many
        /// are as large as it is, larger ones are boxed, so that none takes the room of another.
        #[derive(Clone, PartialEq)]
        pub enum Object { $(#[doc = concat!("`", stringify!($kind), "`")] $kind($type),)* }

        impl Object {
            /// The object's kind.
            pub fn kind(&self) -> Kind {
                match self { $(Object::$kind(_) => Kind::$kind,)* }
            }
            /// The object's metadata.
            pub fn metadata(&self) -> &ObjectMeta {
                match self { $(Object::$kind(object) => &object.metadata,)* }
            }
            /// Metadata, to fill in what an API server would.
            pub fn metadata_mut(&mut self) -> &mut ObjectMeta {
                match self { $(Object::$kind(object) => &mut object.metadata,)* }
            }
        }

        /// The object; of a Secret its identity alone, so that no key ends in a log.
        impl fmt::Debug for Object {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    Object::Secret(_) => write!(f, "{}", self.key()),
                    $(#[allow(unreachable_patterns, reason = "Secret stands above")]
                    Object::$kind(object) => object.fmt(f),)*
                }
            }
        }

        $(impl From<$type> for Object { fn from(object: $type) -> Self { Object::$kind(object) } })*
    };
}

objects! {
    Namespace(Namespace): "", ["v1"], false;
    Service(Box<Service>): "", ["v1"], true;
    Secret(Box<Secret>): "", ["v1"], true;
    ConfigMap(Box<ConfigMap>): "", ["v1"], true;
    EndpointSlice(EndpointSlice): "discovery.k8s.io", ["v1"], true;
    GatewayClass(GatewayClass): "gateway.networking.k8s.io", ["v1"], false;
    Gateway(Box<Gateway>): "gateway.networking.k8s.io", ["v1"], true;
    ListenerSet(Box<ListenerSet>): "gateway.networking.k8s.io", ["v1"], true;
    HTTPRoute(HTTPRoute): "gateway.networking.k8s.io", ["v1"], true;
    GRPCRoute(GRPCRoute): "gateway.networking.k8s.io", ["v1"], true;
    TLSRoute(TLSRoute): "gateway.networking.k8s.io", ["v1", "v1alpha3", "v1alpha2"], true;
    TCPRoute(TCPRoute): "gateway.networking.k8s.io", ["v1", "v1alpha2"], true;
    UDPRoute(UDPRoute): "gateway.networking.k8s.io", ["v1", "v1alpha2"], true;
    ReferenceGrant(ReferenceGrant): "gateway.networking.k8s.io", ["v1", "v1beta1"], true;
    BackendTLSPolicy(Box<BackendTLSPolicy>): "gateway.networking.k8s.io", ["v1"], true;
    Plan(Box<Plan>): "weir.dev", ["v1alpha1"], false;
    Tenant(Box<Tenant>): "weir.dev", ["v1alpha1"], false;
    TrafficPolicy(Box<TrafficPolicy>): "weir.dev", ["v1alpha1"], true;
}

macro_rules! boxed {
    ($($type:ident)*) => {
        $(impl From<$type> for Object { fn from(object: $type) -> Self { Object::$type(Box::new(object)) } })*
    };
}

boxed! { Service Secret ConfigMap Gateway ListenerSet BackendTLSPolicy Plan Tenant TrafficPolicy }

impl Kind {
    /// The kinds of routes, which have a status for each parent.
    pub const ROUTES: [Kind; 5] = [Kind::HTTPRoute, Kind::GRPCRoute, Kind::TLSRoute, Kind::TCPRoute, Kind::UDPRoute];

    /// Whether it is a kind of routes.
    pub fn is_route(self) -> bool {
        Self::ROUTES.contains(&self)
    }

    /// The kind's name in paths of the API and in RBAC: `httproutes`.
    pub fn plural(self) -> String {
        plural(self.name())
    }
}

/// The plural of any kind's name as Kubernetes makes it: `httproutes`, `gatewayclasses`, `networkpolicies`.
pub fn plural(kind: &str) -> String {
    let name = kind.to_ascii_lowercase();
    let is_vowel = |c: char| "aeiou".contains(c);
    match name.strip_suffix('y').filter(|stem| !stem.ends_with(is_vowel)) {
        Some(stem) => format!("{stem}ies"),
        None if name.ends_with('s') => format!("{name}es"),
        None => format!("{name}s"),
    }
}

impl Object {
    /// The object, to be shared, without the spare room that its lists have: they grew as they were read.
    pub fn shared(&self) -> Arc<Self> {
        // A copy has room for what is there.
        Arc::new(self.clone())
    }

    /// The object's identity.
    pub fn key(&self) -> ObjectKey {
        let meta = self.metadata();
        ObjectKey {
            kind: self.kind(),
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
        }
    }
}

/// Identity of an object: kind, namespace (empty for a cluster-scoped kind) and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Kind; it implies the group.
    pub kind: Kind,
    /// Namespace, or empty.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl ObjectKey {
    /// The key of `kind` `namespace`/`name`.
    pub fn new(kind: Kind, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind, namespace: namespace.into(), name: name.into() }
    }
}

/// `HTTPRoute shop/front`, `Tenant acme`.
impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.kind.name())?;
        if !self.namespace.is_empty() {
            write!(f, "{}/", self.namespace)?;
        }
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, Object, plural};

    /// There are tens of thousands: what makes it larger is to be boxed.
    #[test]
    fn an_object_is_no_larger_than_the_kinds_of_which_there_are_many() {
        assert!(size_of::<Object>() <= 560, "{}", size_of::<Object>());
    }

    #[test]
    fn plurals_are_those_of_the_api() {
        let kinds: Vec<String> = Kind::ALL.iter().map(|kind| kind.plural()).collect();
        let api = [
            "namespaces",
            "services",
            "secrets",
            "configmaps",
            "endpointslices",
            "gatewayclasses",
            "gateways",
            "listenersets",
            "httproutes",
            "grpcroutes",
            "tlsroutes",
            "tcproutes",
            "udproutes",
            "referencegrants",
            "backendtlspolicies",
            "plans",
            "tenants",
            "trafficpolicies",
        ];
        assert_eq!(kinds, api);
        assert_eq!(plural("TrafficPolicy"), "trafficpolicies");
    }
}
