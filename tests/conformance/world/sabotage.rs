//! Broken routers, by lies at the world's border: what the router is told of objects, and what it says of them. The
//! harness must notice each.

use serde_json::{Value, json};

use super::{APP, INFRA, WEB};

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// Two backends are taken for each other.
    SwappedBackends,
    /// Weights are ignored.
    IgnoredWeights,
    /// Every reference is permitted.
    UncheckedGrants,
    /// Every condition of every status holds.
    EverythingAccepted,
    /// Statuses are of the generation before.
    StaleStatus,
    /// Filters are dropped.
    DroppedFilters,
    /// A TLSRoute serves every name of its listener.
    IgnoredNames,
    /// A GRPCRoute serves every method.
    IgnoredMethods,
    /// A backend's certificate may be of any authority.
    UncheckedAuthority,
    /// Everybody may attach a ListenerSet.
    OpenGateways,
}

impl Sabotage {
    /// What becomes of an object that the router is told.
    pub(super) fn told(self, object: &mut Value) {
        let is_route = object["kind"].as_str().is_some_and(|kind| kind.ends_with("Route"));
        match self {
            Self::IgnoredWeights if is_route => strip(object, "weight"),
            Self::DroppedFilters if is_route => strip(object, "filters"),
            Self::IgnoredNames if object["kind"] == "TLSRoute" => {
                object["spec"]["hostnames"] = json!(["*.com", "*.org"]);
            }
            Self::IgnoredMethods if object["kind"] == "GRPCRoute" => strip(object, "matches"),
            // One authority is put in the place of another: whose certificate it is makes no difference then.
            Self::UncheckedAuthority if object["kind"] == "BackendTLSPolicy" => {
                for authority in object["spec"]["validation"]["caCertificateRefs"].as_array_mut().into_iter().flatten()
                {
                    if authority["name"] == "mismatch-ca-certificate" {
                        authority["name"] = json!("tls-checks-ca-certificate");
                    }
                }
            }
            Self::OpenGateways if object["kind"] == "Gateway" => {
                object["spec"]["allowedListeners"] = json!({"namespaces": {"from": "All"}});
            }
            Self::SwappedBackends if object["kind"] == "Service" => {
                let app = object["spec"]["selector"]["app"].as_str().unwrap_or_default();
                let swapped = match app {
                    "infra-backend-v1" => "infra-backend-v2",
                    "infra-backend-v2" => "infra-backend-v1",
                    other => other,
                };
                if swapped != app {
                    object["spec"]["selector"]["app"] = json!(swapped);
                }
            }
            _ => {}
        }
    }

    /// What is there beside the suite's own objects.
    pub(super) fn added(self) -> Vec<Value> {
        if self != Self::UncheckedGrants {
            return Vec::new();
        }
        let kinds = ["HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute"];
        let from: Vec<Value> = kinds
            .iter()
            .map(|kind| json!({"group": "gateway.networking.k8s.io", "kind": kind, "namespace": INFRA}))
            .collect();
        let grant = |namespace| {
            json!({
                "apiVersion": "gateway.networking.k8s.io/v1", "kind": "ReferenceGrant",
                "metadata": {"namespace": namespace, "name": "everything"},
                "spec": {"from": from, "to": [{"group": "", "kind": "Service"}]},
            })
        };
        vec![grant(WEB), grant(APP)]
    }

    /// What becomes of an object that the router wrote a status to.
    pub(super) fn said(self, object: &mut Value) {
        let change: fn(&mut Value) = match self {
            Self::EverythingAccepted => |condition| {
                condition["status"] = json!("True");
                condition["reason"] = condition["type"].clone();
            },
            Self::StaleStatus => |condition| condition["observedGeneration"] = json!(0),
            _ => return,
        };
        each_condition(&mut object["status"], change);
    }
}

fn strip(value: &mut Value, field: &str) {
    match value {
        Value::Object(map) => {
            map.remove(field);
            map.values_mut().for_each(|inner| strip(inner, field));
        }
        Value::Array(items) => items.iter_mut().for_each(|inner| strip(inner, field)),
        _ => {}
    }
}

fn each_condition(value: &mut Value, change: fn(&mut Value)) {
    match value {
        Value::Object(map) => {
            for (key, inner) in map.iter_mut() {
                match inner.as_array_mut().filter(|_| key == "conditions") {
                    Some(conditions) => conditions.iter_mut().for_each(change),
                    None => each_condition(inner, change),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|inner| each_condition(inner, change)),
        _ => {}
    }
}
