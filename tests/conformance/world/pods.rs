//! Controllers of Deployments and Services: pods on loopback addresses, EndpointSlices.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use rustls::ServerConfig;
use serde_json::{Value, json};

use super::keys::Keys;
use super::manifests::identity;
use crate::echo::{Backends, Identity, Image, Running};
use crate::support::address::Address;

/// All pods.
pub(super) struct Pods {
    first: [u8; 2],
    next: u16,
    deployments: BTreeMap<(String, String), Deployment>,
    /// EndpointSlices as they were written, by Service.
    slices: BTreeMap<(String, String), Value>,
}

struct Deployment {
    labels: Value,
    pods: Vec<(String, Ipv4Addr)>,
    _running: Vec<Running>,
}

impl Pods {
    pub(super) fn new(first: [u8; 2]) -> Self {
        Self { first, next: 1, deployments: BTreeMap::new(), slices: BTreeMap::new() }
    }

    /// Starts the pods of a Deployment, unless they run.
    pub(super) fn deploy(&mut self, object: &Value, backends: &Backends, keys: &Keys) {
        let (namespace, name) = identity(object);
        let key = (namespace.to_owned(), name.to_owned());
        if self.deployments.contains_key(&key) {
            return;
        }
        let spec = &object["spec"]["template"]["spec"];
        let container = &spec["containers"][0];
        let image = image(container);
        let tls = server_config(spec, container, namespace, keys);
        let replicas = object["spec"]["replicas"].as_u64().unwrap_or(1);
        let mut deployment = Deployment {
            labels: object["spec"]["template"]["metadata"]["labels"].clone(),
            pods: Vec::new(),
            _running: Vec::new(),
        };
        for replica in 0..replicas {
            let pod = format!("{name}-7d9c5b8f6d-{}", ["x2v4k", "q8m7z", "h5t9w", "b3n6c"][replica as usize % 4]);
            let ip = self.address();
            let service = variable(container, "SERVICE_NAME").unwrap_or_default().to_owned();
            let identity = Identity { pod: pod.clone(), namespace: namespace.to_owned(), service };
            deployment._running.push(backends.start(image, identity, ip, tls.clone()));
            deployment.pods.push((pod, ip));
        }
        self.deployments.insert(key, deployment);
    }

    fn address(&mut self) -> Ipv4Addr {
        let [high, low] = self.next.to_be_bytes();
        self.next += 1;
        Address::of_backends(Ipv4Addr::new(127, self.first[0] + high, self.first[1], low.max(1)))
    }

    pub(super) fn of(&self, namespace: &str, deployment: &str) -> Vec<(String, Ipv4Addr)> {
        let key = (namespace.to_owned(), deployment.to_owned());
        self.deployments.get(&key).map(|found| found.pods.clone()).unwrap_or_default()
    }

    /// The EndpointSlice of a Service with a selector, if it is another than was written last.
    pub(super) fn slice(&mut self, service: &Value) -> Option<Value> {
        let selector = service["spec"]["selector"].as_object()?;
        let (namespace, name) = identity(service);
        let matches = |labels: &Value| selector.iter().all(|(key, value)| labels[key] == *value);
        let chosen = self.deployments.iter().filter(|((of, _), found)| of == namespace && matches(&found.labels));
        let endpoints: Vec<Value> =
            chosen.flat_map(|(_, found)| &found.pods).map(|pod| endpoint(pod, namespace)).collect();
        let ports: Vec<Value> = service["spec"]["ports"].as_array()?.iter().map(port).collect();
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {
                "namespace": namespace, "name": format!("{name}-pods"),
                "labels": {"kubernetes.io/service-name": name},
            },
            "addressType": "IPv4", "endpoints": endpoints, "ports": ports,
        });
        let key = (namespace.to_owned(), name.to_owned());
        if self.slices.get(&key) == Some(&slice) {
            return None;
        }
        self.slices.insert(key, slice.clone());
        Some(slice)
    }

    /// What is deleted with an object: pods end, and a Service's EndpointSlice is returned.
    pub(super) fn forget(&mut self, object: &Value) -> Option<Value> {
        let (namespace, name) = identity(object);
        let key = (namespace.to_owned(), name.to_owned());
        match object["kind"].as_str() {
            Some("Deployment") => drop(self.deployments.remove(&key)),
            Some("Service") => return self.slices.remove(&key),
            _ => {}
        }
        None
    }
}

/// The endpoints of pods.
pub fn endpoints(pods: &[(String, Ipv4Addr)], namespace: &str) -> Value {
    pods.iter().map(|pod| endpoint(pod, namespace)).collect()
}

fn endpoint((pod, ip): &(String, Ipv4Addr), namespace: &str) -> Value {
    json!({
        "addresses": [ip.to_string()],
        "conditions": {"ready": true, "serving": true, "terminating": false},
        "targetRef": {"kind": "Pod", "name": pod, "namespace": namespace},
    })
}

fn port(port: &Value) -> Value {
    let mut out = json!({
        "name": port["name"].as_str().unwrap_or_default(),
        "port": if port["targetPort"].is_null() { &port["port"] } else { &port["targetPort"] },
        "protocol": port["protocol"].as_str().unwrap_or("TCP"),
    });
    if let Some(protocol) = port["appProtocol"].as_str() {
        out["appProtocol"] = json!(protocol);
    }
    out
}

fn variable<'c>(container: &'c Value, name: &str) -> Option<&'c str> {
    let variables = container["env"].as_array()?;
    variables.iter().find(|variable| variable["name"] == name)?["value"].as_str()
}

fn image(container: &Value) -> Image {
    let is = |name: &str| variable(container, name).is_some();
    if container["image"].as_str().is_some_and(|image| image.contains("coredns")) {
        Image::Dns
    } else if is("GRPC_ECHO_SERVER") {
        Image::Grpc
    } else if is("TCP_ECHO_SERVER") {
        Image::Tcp
    } else if is("UDP_ECHO_SERVER") {
        Image::Udp(variable(container, "UDP_PORT").and_then(|port| port.parse().ok()).unwrap_or(8080))
    } else {
        Image::Http
    }
}

/// TLS of a container that is given a certificate: of the Secret among its volumes. With `TLS_CLIENT_CACERTS` it asks
/// for a client's certificate too, of the authority in the ConfigMap among its volumes.
fn server_config(spec: &Value, container: &Value, namespace: &str, keys: &Keys) -> Option<Arc<ServerConfig>> {
    variable(container, "TLS_SERVER_CERT")?;
    let volumes = spec["volumes"].as_array()?;
    let of = |kind: &str, field: &str| volumes.iter().find_map(|volume| volume[kind][field].as_str());
    let secret = of("secret", "secretName")?;
    let authority = variable(container, "TLS_CLIENT_CACERTS").and_then(|_| of("configMap", "name"));
    Some(keys.server(namespace, secret, authority))
}
