//! What the suite's applier does to manifests.

use serde_json::{Value, json};

use super::{CLASS, CONTROLLER, World, tenants};
use crate::options::Tenancy;

/// An address that no program of this machine can bind (RFC 5737).
const UNUSABLE: &str = "192.0.2.1";

impl World {
    /// Overwrites the class and the controller's name, gives Gateways their addresses.
    pub(super) fn overwrite(&self, object: &mut Value) {
        match object["kind"].as_str() {
            Some("Namespace") if self.options.tenancy == Tenancy::Tenants => tenants::label(object),
            Some("GatewayClass") => object["spec"]["controllerName"] = json!(CONTROLLER),
            Some("Gateway") => {
                object["spec"]["gatewayClassName"] = json!(CLASS);
                let (namespace, name) = identity(object);
                let own = self.address(namespace, name).to_string();
                let given = object["spec"]["addresses"].as_array().cloned().unwrap_or_default();
                let addresses: Vec<Value> = match given.as_slice() {
                    [] => vec![json!({"type": "IPAddress", "value": own})],
                    given => given.iter().map(|address| place(address, &own)).collect(),
                };
                object["spec"]["addresses"] = json!(addresses);
            }
            _ => {}
        }
    }
}

fn place(address: &Value, usable: &str) -> Value {
    match address["value"].as_str() {
        Some("PLACEHOLDER_USABLE_ADDRS") => json!({"type": "IPAddress", "value": usable}),
        Some("PLACEHOLDER_UNUSABLE_ADDRS") => json!({"type": "IPAddress", "value": UNUSABLE}),
        _ => address.clone(),
    }
}

/// Namespace and name.
pub(super) fn identity(object: &Value) -> (&str, &str) {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
    (text("namespace"), text("name"))
}

/// Where an object of a kind of the Gateway API, or of the core, lies.
pub(super) fn path(kind: &str, namespace: &str, name: &str) -> String {
    let root = match kind {
        "Service" | "ConfigMap" | "Secret" | "Namespace" => "api/v1",
        "EndpointSlice" => "apis/discovery.k8s.io/v1",
        "Deployment" => "apis/apps/v1",
        "Plan" | "Tenant" => "apis/weir.dev/v1alpha1",
        _ => "apis/gateway.networking.k8s.io/v1",
    };
    let place = if namespace.is_empty() { String::new() } else { format!("namespaces/{namespace}/") };
    format!("/{root}/{place}{}/{name}", weir_config::kinds::plural(kind))
}

pub(super) fn path_of(object: &Value) -> String {
    let (namespace, name) = identity(object);
    path(object["kind"].as_str().unwrap_or_default(), namespace, name)
}
