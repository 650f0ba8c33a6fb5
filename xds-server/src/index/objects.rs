//! Every object, by identity.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use weir_config::kinds::gateway::{BackendTLSPolicy, Gateway, GatewayClass, HTTPRoute, ListenerSet, ReferenceGrant};
use weir_config::kinds::gateway::{GRPCRoute, TCPRoute, TLSRoute, UDPRoute};
use weir_config::kinds::plan::Plan;
use weir_config::kinds::tenant::Tenant;
use weir_config::kinds::traffic_policy::TrafficPolicy;
use weir_config::kinds::{Kind, Object, ObjectKey};

use super::{Few, NsName};

/// Label by which an EndpointSlice belongs to a Service.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// All objects, and the slices of each Service.
#[derive(Debug, Default)]
pub struct Objects {
    all: BTreeMap<ObjectKey, Arc<Object>>,
    slices: BTreeMap<NsName, Few<String>>,
}

macro_rules! get {
    ($($(#[$doc:meta])* $name:ident -> $kind:ident($type:ty);)*) => {$(
        $(#[$doc])*
        pub fn $name(&self, namespace: &str, name: &str) -> Option<&$type> {
            match self.get(Kind::$kind, namespace, name).map(|object| &**object) {
                Some(Object::$kind(object)) => Some(object),
                _ => None,
            }
        }
    )*};
}

macro_rules! list {
    ($($(#[$doc:meta])* $name:ident -> $kind:ident($type:ty);)*) => {$(
        $(#[$doc])*
        pub fn $name<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a $type> {
            self.within(Kind::$kind, namespace).filter_map(|object| match &**object {
                Object::$kind(object) => {
                    // Some kinds are boxed.
                    let object: &$type = object;
                    Some(object)
                }
                _ => None,
            })
        }
    )*};
}

impl Objects {
    /// Puts an object in; answers with what had its name.
    pub fn insert(&mut self, object: Arc<Object>) -> Option<Arc<Object>> {
        let key = object.key();
        let old = self.all.insert(key.clone(), object.clone());
        self.move_slice(&key, old.as_deref(), Some(&object));
        old
    }

    /// Takes an object out; answers with it.
    pub fn remove(&mut self, key: &ObjectKey) -> Option<Arc<Object>> {
        let old = self.all.remove(key);
        self.move_slice(key, old.as_deref(), None);
        old
    }

    /// The object of that identity.
    pub fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<&Arc<Object>> {
        self.all.get(&ObjectKey::new(kind, namespace, name))
    }

    /// All objects of a kind.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = &Arc<Object>> {
        let first = ObjectKey::new(kind, "", "");
        self.all.range(first..).take_while(move |(key, _)| key.kind == kind).map(|(_, object)| object)
    }

    /// Namespaces that hold an object of `kind`.
    pub fn namespaces(&self, kind: Kind) -> Vec<String> {
        let mut namespaces = Vec::new();
        let mut from = ObjectKey::new(kind, "", "");
        while let Some((key, _)) = self.all.range(from..).next().filter(|(key, _)| key.kind == kind) {
            namespaces.push(key.namespace.clone());
            // The least text that is greater than the namespace.
            from = ObjectKey::new(kind, format!("{}\0", key.namespace), "");
        }
        namespaces
    }

    /// Objects of a kind in a namespace, by name.
    pub fn within<'a>(&'a self, kind: Kind, namespace: &'a str) -> impl Iterator<Item = &'a Arc<Object>> {
        let first = ObjectKey::new(kind, namespace, "");
        let inside = move |key: &ObjectKey| key.kind == kind && key.namespace == namespace;
        self.all.range(first..).take_while(move |(key, _)| inside(key)).map(|(_, object)| object)
    }

    get! {
        /// A Service.
        service -> Service(Service);
        /// A Secret.
        secret -> Secret(Secret);
        /// A ConfigMap.
        config_map -> ConfigMap(ConfigMap);
        /// A ListenerSet.
        listener_set -> ListenerSet(ListenerSet);
        /// A TrafficPolicy.
        traffic_policy -> TrafficPolicy(TrafficPolicy);
        /// A BackendTLSPolicy.
        backend_tls_policy -> BackendTLSPolicy(BackendTLSPolicy);
        /// A Gateway.
        gateway -> Gateway(Gateway);
        /// A GatewayClass, by its name (the namespace is empty).
        class -> GatewayClass(GatewayClass);
        /// A Plan, by its name (the namespace is empty).
        plan -> Plan(Plan);
        /// A Tenant, by its name (the namespace is empty).
        tenant -> Tenant(Tenant);
        /// An EndpointSlice.
        slice -> EndpointSlice(EndpointSlice);
    }

    list! {
        /// HTTPRoutes of a namespace, by name.
        routes -> HTTPRoute(HTTPRoute);
        /// GRPCRoutes of a namespace, by name.
        grpc_routes -> GRPCRoute(GRPCRoute);
        /// TLSRoutes of a namespace, by name.
        tls_routes -> TLSRoute(TLSRoute);
        /// TCPRoutes of a namespace, by name.
        tcp_routes -> TCPRoute(TCPRoute);
        /// UDPRoutes of a namespace, by name.
        udp_routes -> UDPRoute(UDPRoute);
        /// Gateways of a namespace, by name.
        gateways -> Gateway(Gateway);
        /// ListenerSets of a namespace, by name.
        listener_sets -> ListenerSet(ListenerSet);
        /// ReferenceGrants of a namespace, by name.
        grants -> ReferenceGrant(ReferenceGrant);
    }

    /// EndpointSlices of a Service, by name.
    pub fn slices(&self, namespace: &str, service: &str) -> impl Iterator<Item = &EndpointSlice> {
        let names = self.slices.get(&(namespace.to_owned(), service.to_owned()));
        let namespace = namespace.to_owned();
        names.into_iter().flatten().filter_map(move |name| self.slice(&namespace, name))
    }

    fn move_slice(&mut self, key: &ObjectKey, old: Option<&Object>, new: Option<&Object>) {
        if key.kind != Kind::EndpointSlice {
            return;
        }
        if let Some(service) = old.and_then(service_of)
            && let Some(names) = self.slices.get_mut(&service)
        {
            names.remove(&key.name);
            if names.is_empty() {
                self.slices.remove(&service);
            }
        }
        if let Some(service) = new.and_then(service_of) {
            self.slices.entry(service).or_default().insert(key.name.clone());
        }
    }
}

/// The Service that an EndpointSlice belongs to.
pub fn service_of(slice: &Object) -> Option<NsName> {
    let meta = slice.metadata();
    let service = meta.labels.as_ref()?.get(SERVICE_LABEL)?.clone();
    Some((meta.namespace.clone().unwrap_or_default(), service))
}
