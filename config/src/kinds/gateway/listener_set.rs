//! `ListenerSet`.

use kube::CustomResource;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::GatewayListener;

/// Listeners that somebody else than its owner adds to a Gateway.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "gateway.networking.k8s.io",
    version = "v1",
    kind = "ListenerSet",
    namespaced,
    status = "Value",
    schema = "disabled",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase")]
pub struct ListenerSetSpec {
    /// The Gateway.
    pub parent_ref: ParentGatewayReference,
    /// Listeners, by unique name.
    #[serde(default)]
    pub listeners: Vec<GatewayListener>,
}

/// `ParentGatewayReference`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ParentGatewayReference {
    /// API group; default `gateway.networking.k8s.io`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Kind; default `Gateway`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Name.
    pub name: String,
    /// Namespace; default the ListenerSet's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}
