//! What is never read of an object does not stay in memory, and does not make an object another: where only
//! that differs, nothing has changed.
//!
//! Kept of metadata: name and namespace; of Namespaces the labels; of EndpointSlices the label that names the
//! Service; of Services that the server made whose they are; of the kinds whose age decides, or that get a status, creationTimestamp, generation and uid.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service, ServiceSpec, ServiceStatus};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use weir_config::kinds::{GATEWAY_NAME_LABEL, MADE_BY, Object};

/// Label by which an EndpointSlice belongs to a Service.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";
/// Fields of a TLS Secret.
const TLS: [&str; 2] = ["tls.crt", "tls.key"];
/// Field of a ConfigMap with certificates.
const AUTHORITIES: &str = "ca.crt";

/// Takes out of an object what is never read of it.
pub(super) fn trim(object: &mut Object) {
    let metadata = std::mem::take(object.metadata_mut());
    let ObjectMeta { name, namespace, labels, creation_timestamp, generation, uid, owner_references, .. } = metadata;
    let kept = ObjectMeta { name, namespace, ..ObjectMeta::default() };
    *object.metadata_mut() = match object {
        Object::Service(_) => match labels.filter(|labels| labels.get(MADE_BY.0).is_some_and(|by| by == MADE_BY.1)) {
            Some(mut labels) => {
                labels.retain(|key, _| [MADE_BY.0, GATEWAY_NAME_LABEL].contains(&key.as_str()));
                ObjectMeta { labels: Some(labels), owner_references, ..kept }
            }
            None => kept,
        },
        Object::Secret(_) | Object::ConfigMap(_) => kept,
        Object::Namespace(_) => ObjectMeta { labels, ..kept },
        Object::EndpointSlice(_) => {
            let service = labels.and_then(|mut labels| labels.remove(SERVICE_LABEL));
            let labels = service.map(|service| BTreeMap::from([(SERVICE_LABEL.to_owned(), service)]));
            ObjectMeta { labels, ..kept }
        }
        Object::GatewayClass(_)
        | Object::Gateway(_)
        | Object::ListenerSet(_)
        | Object::HTTPRoute(_)
        | Object::GRPCRoute(_)
        | Object::TLSRoute(_)
        | Object::TCPRoute(_)
        | Object::UDPRoute(_)
        | Object::ReferenceGrant(_)
        | Object::BackendTLSPolicy(_)
        | Object::Plan(_)
        | Object::Tenant(_)
        | Object::TrafficPolicy(_) => ObjectMeta { creation_timestamp, generation, uid, ..kept },
    };
    match object {
        Object::Namespace(namespace) => (namespace.spec, namespace.status) = (None, None),
        Object::Service(one) => service(one),
        Object::Secret(one) => secret(one),
        Object::ConfigMap(one) => config_map(one),
        Object::EndpointSlice(one) => slice(one),
        _ => {}
    }
}

fn service(service: &mut Service) {
    let balanced = service.spec.as_ref().is_some_and(|spec| spec.type_.as_deref() == Some("LoadBalancer"));
    let status = service.status.take().and_then(|status| status.load_balancer).filter(|_| balanced);
    service.status = status.map(|load_balancer| ServiceStatus { load_balancer: Some(load_balancer), conditions: None });
    let Some(spec) = service.spec.take() else { return };
    let mut ports = spec.ports.unwrap_or_default();
    for port in &mut ports {
        (port.target_port, port.node_port) = (None, None);
    }
    ports.shrink_to_fit();
    let kept = ServiceSpec {
        ports: Some(ports),
        type_: spec.type_,
        // Most have one, and then the list says nothing more.
        cluster_ips: spec.cluster_ips.filter(|all| all.len() > 1),
        cluster_ip: spec.cluster_ip,
        ..ServiceSpec::default()
    };
    service.spec = Some(kept);
}

fn secret(secret: &mut Secret) {
    secret.immutable = None;
    if let Some(data) = &mut secret.data {
        data.retain(|field, _| TLS.contains(&field.as_str()));
    }
}

/// Of the many ConfigMaps of a cluster only certificates of authorities are kept.
fn config_map(config_map: &mut ConfigMap) {
    (config_map.immutable, config_map.binary_data) = (None, None);
    if let Some(data) = &mut config_map.data {
        data.retain(|field, _| field == AUTHORITIES);
    }
}

fn slice(slice: &mut EndpointSlice) {
    for endpoint in slice.endpoints.iter_mut().flatten() {
        (endpoint.node_name, endpoint.target_ref, endpoint.hostname) = (None, None, None);
        (endpoint.hints, endpoint.deprecated_topology) = (None, None);
        endpoint.addresses.shrink_to_fit();
    }
    if let Some(endpoints) = &mut slice.endpoints {
        endpoints.shrink_to_fit();
    }
    for port in slice.ports.iter_mut().flatten() {
        port.app_protocol = None;
    }
}
