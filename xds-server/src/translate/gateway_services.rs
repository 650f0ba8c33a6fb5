//! What is made in the cluster for each Gateway of an edge with `perGateway` (GEP-1762): a Service without a selector, and
//! EndpointSlices that lead it to the edge's pods.
//!
//! Of what a Gateway's owner writes only names, ports, labels and annotations get in. Where a Service leads, of which type
//! it is, and whose it is, says the platform.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use weir_config::bootstrap::{EdgeService, ServiceName, ServiceType, TrafficScope};
use weir_config::kinds::gateway::{GATEWAY_GROUP, Gateway};
use weir_config::kinds::{GATEWAY_CLASS_LABEL, GATEWAY_NAME_LABEL, Kind, MADE_BY, Object, ObjectKey};

use super::World;
use super::edge_services::{is_of, made_for, name};
use super::facts::Facts;
use super::protocol::Protocol;
use crate::index::NsName;

/// Label by which an EndpointSlice belongs to a Service.
pub const SERVICE_LABEL: &str = "kubernetes.io/service-name";
/// Label by which controllers tell their EndpointSlices from others'.
const SLICE_MANAGER_LABEL: &str = "endpointslice.kubernetes.io/managed-by";
/// Annotation with a digest of what was applied, so that what is as it should be is not written again.
pub const APPLIED: &str = "weir.dev/applied";
/// Endpoints and ports of one EndpointSlice.
const MAX_OF_SLICE: usize = 100;

/// What the Gateways are to have, and what is not to be any more.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GatewayServices {
    /// A Service for each Gateway that is accepted.
    pub wanted: Vec<GatewayService>,
    /// Services that were made for a Gateway that is gone, or has none of its own any more: with the `uid` of the owner.
    pub leftover: Vec<(NsName, String)>,
}

/// The Service of one Gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct GatewayService {
    /// Namespace and name of the Service.
    pub id: NsName,
    /// The Gateway's `metadata.uid`, which tells its Service from another's of the same name.
    pub uid: String,
    /// The Service that selects the pods to lead to.
    pub pods: ServiceName,
    /// The Service, to be applied.
    pub service: Value,
    metadata: Value,
    ports: BTreeSet<(u16, &'static str)>,
}

/// What the Gateways of a world are to have.
pub fn all(world: &World) -> GatewayServices {
    let facts = world.facts();
    let mut found = GatewayServices::default();
    if facts.settings.classes.services().any(|(_, settings)| settings.per_gateway) {
        let gateways = facts.objects.of(Kind::Gateway).filter_map(|object| match &**object {
            Object::Gateway(gateway) => Some(gateway),
            _ => None,
        });
        found.wanted = gateways.filter_map(|gateway| wanted(world, gateway)).collect();
    }
    for object in facts.objects.of(Kind::Service) {
        let Object::Service(service) = &**object else { continue };
        let Some((owner, uid)) = made_for(service) else { continue };
        let id = (owner.0.clone(), service.metadata.name.clone().unwrap_or_default());
        // One that is not accepted for now keeps what it has, and so its address.
        let kept = facts.own_gateway(&owner.0, &owner.1).is_some_and(|gateway| {
            settings(facts, &owner).is_some()
                && is_of(service, gateway)
                && name(&owner.1, &gateway.spec.gateway_class_name) == id.1
        });
        if !kept {
            found.leftover.push((id, uid.to_owned()));
        }
    }
    found
}

/// Whether a change of this object may change what [`all`] says, or what became of it in the cluster.
pub fn is_about(world: &World, key: &ObjectKey, object: Option<&Object>) -> bool {
    let settings = || world.facts().settings.classes.services().map(|(_, settings)| settings);
    let on = settings().any(|settings| settings.per_gateway);
    match (key.kind, object) {
        (Kind::Gateway | Kind::ListenerSet | Kind::GatewayClass, _) => on,
        (Kind::Service, Some(Object::Service(service))) => made_for(service).is_some(),
        (Kind::Service, _) => on,
        (Kind::EndpointSlice, Some(object)) => {
            let service = crate::index::objects::service_of(object).unwrap_or_default();
            settings()
                .filter_map(|settings| settings.pods.as_ref())
                .any(|pods| (&pods.namespace, &pods.name) == (&service.0, &service.1))
                || on && service_of_slice(&key.name).is_some()
        }
        (Kind::EndpointSlice, None) => on && service_of_slice(&key.name).is_some(),
        _ => false,
    }
}

fn settings<'a>(facts: &'a Facts, gateway: &NsName) -> Option<&'a EdgeService> {
    facts.settings.classes.service(facts.edge_of(gateway)?).filter(|settings| settings.per_gateway)
}

fn wanted(world: &World, gateway: &Gateway) -> Option<GatewayService> {
    let facts = world.facts();
    let meta = &gateway.metadata;
    let id: NsName = (meta.namespace.clone()?, meta.name.clone()?);
    let settings = settings(facts, &id).filter(|_| facts.serves(gateway))?;
    let status = world.statuses().get(&ObjectKey::new(Kind::Gateway, &id.0, &id.1))?;
    if !status.conditions.iter().any(|condition| condition.type_ == "Accepted" && condition.status) {
        return None;
    }
    let sets = facts.listener_sets.owners(&id).map(|set| (id.clone(), Some(set.clone())));
    let holders: Vec<_> = std::iter::once((id.clone(), None)).chain(sets).collect();
    let listeners = holders.iter().flat_map(|holder| world.ports().listeners(facts, holder));
    let ports: BTreeSet<(u16, &'static str)> = listeners
        .filter(|listener| listener.accepted)
        .filter_map(|listener| Some((listener.port.number, transport(listener.protocol?))))
        .collect();
    let (uid, pods) = (meta.uid.clone()?, settings.pods.clone()?);
    let name = name(&id.1, &gateway.spec.gateway_class_name);
    let metadata = metadata(gateway, &id, &uid, settings);
    let service = sealed(service(settings, &ports, &metadata, &name));
    (!ports.is_empty()).then_some(GatewayService { id: (id.0, name), uid, pods, service, metadata, ports })
}

/// Namespace, labels, annotations and owner of all that is made for a Gateway. What the platform and the server say goes
/// before what the Gateway's owner says.
fn metadata(gateway: &Gateway, id: &NsName, uid: &str, settings: &EdgeService) -> Value {
    let of_owner = gateway.spec.infrastructure.clone().unwrap_or_default();
    let permitted = |(key, _): &(String, String)| {
        let prefix = key.split_once('/').map_or("", |(prefix, _)| prefix);
        prefix != "weir.dev" && prefix != GATEWAY_GROUP && key != MADE_BY.0
    };
    let mut labels: BTreeMap<String, String> = of_owner.labels.into_iter().filter(permitted).collect();
    for (key, value) in
        [MADE_BY, (GATEWAY_NAME_LABEL, &id.1), (GATEWAY_CLASS_LABEL, gateway.spec.gateway_class_name.as_str())]
    {
        // A label has 63 characters at most, a name may have more.
        labels
            .insert(key.to_owned(), value.chars().take(63).collect::<String>().trim_end_matches(['.', '-']).to_owned());
    }
    let mut annotations: BTreeMap<String, String> = of_owner.annotations.into_iter().filter(permitted).collect();
    annotations.extend(settings.annotations.clone());
    json!({
        "namespace": id.0,
        "labels": labels,
        "annotations": annotations,
        "ownerReferences": [{
            "apiVersion": format!("{GATEWAY_GROUP}/v1"), "kind": "Gateway", "name": id.1, "uid": uid, "controller": true,
        }],
    })
}

fn service(settings: &EdgeService, ports: &BTreeSet<(u16, &str)>, metadata: &Value, name: &str) -> Value {
    let ports: Vec<Value> = ports
        .iter()
        .map(|(port, transport)| {
            json!({"name": port_name(*port, transport), "port": port, "targetPort": port, "protocol": transport})
        })
        .collect();
    let mut spec = json!({"type": settings.type_, "ports": ports});
    let balanced = settings.type_ == ServiceType::LoadBalancer;
    let mut put = |field: &str, value: Value| spec[field] = value;
    if settings.type_ != ServiceType::ClusterIP {
        let scope = if settings.external_traffic_policy == TrafficScope::Local { "Local" } else { "Cluster" };
        put("externalTrafficPolicy", json!(scope));
    }
    if let Some(class) = settings.load_balancer_class.as_ref().filter(|_| balanced) {
        put("loadBalancerClass", json!(class));
    }
    if balanced && !settings.load_balancer_source_ranges.is_empty() {
        put("loadBalancerSourceRanges", json!(settings.load_balancer_source_ranges));
    }
    if let Some(policy) = &settings.ip_family_policy {
        put("ipFamilyPolicy", json!(policy));
    }
    let mut metadata = metadata.clone();
    metadata["name"] = json!(name);
    json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
}

/// `protocol` of a Service's port.
fn transport(protocol: Protocol) -> &'static str {
    if protocol == Protocol::Udp { "UDP" } else { "TCP" }
}

fn port_name(port: u16, transport: &str) -> String {
    format!("{}-{port}", transport.to_ascii_lowercase())
}

/// With a digest of the whole in an annotation.
fn sealed(mut object: Value) -> Value {
    let digest: String = Sha256::digest(object.to_string()).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    object["metadata"]["annotations"][APPLIED] = json!(digest);
    object
}

/// Whether an object in the cluster is as it was to be applied: nothing of it is missing, and nothing of what was applied
/// before is there still.
pub fn is_applied(wanted: &Value, there: &Value) -> bool {
    // What kind it is was asked for: in a list an API server does not say it of each object again.
    let of_kind = |field: &str| matches!(field, "apiVersion" | "kind");
    let fields = wanted.as_object().into_iter().flatten().filter(|(field, _)| !of_kind(field));
    fields.into_iter().all(|(field, value)| there.get(field).is_some_and(|found| holds(value, found)))
}

fn holds(wanted: &Value, there: &Value) -> bool {
    match (wanted, there) {
        (Value::Object(wanted), Value::Object(there)) => {
            let empty = Map::new();
            let inner = |value: &Value| value.as_object().is_some_and(|map| *map == empty);
            wanted.iter().all(|(key, value)| there.get(key).map_or_else(|| inner(value), |found| holds(value, found)))
        }
        (Value::Array(wanted), Value::Array(there)) => {
            wanted.len() == there.len() && wanted.iter().all(|value| there.iter().any(|found| holds(value, found)))
        }
        _ => wanted == there,
    }
}

impl GatewayService {
    /// The EndpointSlices that lead it to these endpoints: those that the edge's pods have.
    pub fn slices(&self, pods: &BTreeMap<IpAddr, Value>) -> Vec<Value> {
        let ports: Vec<Value> = self
            .ports
            .iter()
            .map(|(port, transport)| json!({"name": port_name(*port, transport), "port": port, "protocol": transport}))
            .collect();
        let mut slices = Vec::new();
        for (family, is_family) in [("IPv4", IpAddr::is_ipv4 as fn(&IpAddr) -> bool), ("IPv6", IpAddr::is_ipv6)] {
            let endpoints: Vec<&Value> = pods.iter().filter(|(ip, _)| is_family(ip)).map(|(_, pod)| pod).collect();
            let parts =
                endpoints.chunks(MAX_OF_SLICE).flat_map(|some| ports.chunks(MAX_OF_SLICE).map(move |p| (some, p)));
            for (number, (endpoints, ports)) in parts.enumerate() {
                let mut metadata = self.metadata.clone();
                metadata["name"] = json!(slice_name(&self.id.1, family, number));
                metadata["labels"][SERVICE_LABEL] = json!(self.id.1);
                metadata["labels"][SLICE_MANAGER_LABEL] = json!(MADE_BY.1);
                slices.push(sealed(json!({
                    "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata,
                    "addressType": family, "endpoints": endpoints, "ports": ports,
                })));
            }
        }
        slices
    }
}

fn slice_name(service: &str, family: &str, number: usize) -> String {
    format!("{service}-weir-{}-{number}", family.to_ascii_lowercase())
}

/// The Service whose EndpointSlice has this name, if it is one that was made for a Gateway's.
pub fn service_of_slice(name: &str) -> Option<&str> {
    let (rest, _) = name.rsplit_once('-')?;
    rest.strip_suffix("-weir-ipv4").or_else(|| rest.strip_suffix("-weir-ipv6"))
}

/// The pods of an edge by address, as endpoints, of the slices of the Service that selects them. A Service that publishes
/// pods that are not ready says of each whether it serves all the same (`serving`).
pub fn pods(slices: &[EndpointSlice]) -> BTreeMap<IpAddr, Value> {
    let endpoints = slices.iter().flat_map(|slice| &slice.endpoints).flatten();
    endpoints.filter_map(|endpoint| Some((endpoint.addresses.first()?.parse().ok()?, shown(endpoint)))).collect()
}

fn shown(endpoint: &Endpoint) -> Value {
    let conditions = endpoint.conditions.clone().unwrap_or_default();
    let serving = conditions.serving.or(conditions.ready).unwrap_or(true);
    let terminating = conditions.terminating.unwrap_or(false);
    let mut shown = json!({
        "addresses": endpoint.addresses,
        "conditions": {"ready": serving && !terminating, "serving": serving, "terminating": terminating},
    });
    for (field, value) in [("nodeName", &endpoint.node_name), ("zone", &endpoint.zone)] {
        if let Some(value) = value {
            shown[field] = json!(value);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::is_applied;

    #[test]
    fn what_is_there_is_as_applied_whatever_the_api_server_adds_and_leaves_out() {
        let wanted = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "shop"}, "spec": {"ports": [{"port": 80}]}});
        // As in a list: without its kind, and with defaults.
        let there = json!({"metadata": {"name": "shop", "uid": "1"}, "spec": {"ports": [{"port": 80, "protocol": "TCP"}], "type": "ClusterIP"}});
        assert!(is_applied(&wanted, &there));
        for (field, other) in
            [("metadata", json!({"name": "other"})), ("spec", json!({"ports": []})), ("spec", json!(null))]
        {
            let mut there = there.clone();
            there[field] = other;
            assert!(!is_applied(&wanted, &there), "{there}");
        }
    }
}
