//! `TLSRoute`, `TCPRoute` and `UDPRoute`: whole connections, or sessions of datagrams, to backends.

use kube::CustomResource;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{BackendObjectReference, ParentReference};

/// Which TLS connections, by the name that their clients ask for (SNI), go to which backends.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "gateway.networking.k8s.io",
    version = "v1",
    kind = "TLSRoute",
    namespaced,
    status = "Value",
    schema = "disabled",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase")]
pub struct TLSRouteSpec {
    /// What the route attaches to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parent_refs: Vec<ParentReference>,
    /// Whether default Gateways are parents too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub use_default_gateways: Option<String>,
    /// Names, at least one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hostnames: Vec<String>,
    /// Its one rule.
    #[serde(default)]
    pub rules: Vec<L4RouteRule>,
}

/// Which backends get the connections to a port.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "gateway.networking.k8s.io",
    version = "v1",
    kind = "TCPRoute",
    namespaced,
    status = "Value",
    schema = "disabled",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase")]
pub struct TCPRouteSpec {
    /// What the route attaches to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parent_refs: Vec<ParentReference>,
    /// Whether default Gateways are parents too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub use_default_gateways: Option<String>,
    /// Its one rule.
    #[serde(default)]
    pub rules: Vec<L4RouteRule>,
}

/// Which backends get the datagrams that come to a port.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "gateway.networking.k8s.io",
    version = "v1",
    kind = "UDPRoute",
    namespaced,
    status = "Value",
    schema = "disabled",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase")]
pub struct UDPRouteSpec {
    /// What the route attaches to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parent_refs: Vec<ParentReference>,
    /// Whether default Gateways are parents too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub use_default_gateways: Option<String>,
    /// Its one rule.
    #[serde(default)]
    pub rules: Vec<L4RouteRule>,
}

/// `TLSRouteRule`, `TCPRouteRule`, `UDPRouteRule`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct L4RouteRule {
    /// Name, unique in the route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Backends by weight, at least one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backend_refs: Vec<BackendRef>,
}

/// `BackendRef`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "FlatBackendRef")]
pub struct BackendRef {
    /// The backend.
    #[serde(flatten)]
    pub target: BackendObjectReference,
    /// Share of the connections, 0 to 1,000,000; default 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
}

/// How a [`BackendRef`] is read: flat, because serde does not say which field of a flattened struct is wrong.
#[derive(Deserialize)]
struct FlatBackendRef {
    group: Option<String>,
    kind: Option<String>,
    name: String,
    namespace: Option<String>,
    port: Option<u16>,
    weight: Option<u32>,
}

impl From<FlatBackendRef> for BackendRef {
    fn from(flat: FlatBackendRef) -> Self {
        let FlatBackendRef { group, kind, name, namespace, port, weight } = flat;
        Self { target: BackendObjectReference { group, kind, name, namespace, port }, weight }
    }
}
