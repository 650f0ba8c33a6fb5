//! What a proxy has and acknowledged, as people read it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A stream of a proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProxyReport {
    /// `node.id`: what the proxy calls itself, which is no proof.
    pub node: String,
    /// `node.cluster`.
    pub cluster: String,
    /// Program and version, as the node says.
    pub agent: String,
    /// Address of the peer; empty over a Unix socket.
    pub peer: String,
    /// When the stream began, RFC 3339.
    pub since: String,
    /// Whether virtual hosts travel one by one (VHDS).
    pub vhds: bool,
    /// Variant of the protocol and sort of stream: `delta` or `sotw`, with the type that it has alone.
    #[serde(default)]
    pub protocol: String,
    /// What the caller proved to be: `namespace/name` of its service account, or `anonymous`.
    #[serde(default)]
    pub identity: String,
    /// Types that it asked for, in sending order.
    pub types: Vec<TypeReport>,
}

/// A type of resources on a stream. Changes are counted from the server's start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TypeReport {
    /// `Cluster`, `Listener`, ...
    #[serde(rename = "type")]
    pub type_name: String,
    /// Whether it asked for all.
    pub wildcard: bool,
    /// Names that it asked for.
    pub subscribed: usize,
    /// Resources that it was told of.
    pub resources: usize,
    /// Names that it must hear of still.
    pub waiting: usize,
    /// Number of the server's newest change when this type was last sent.
    pub sent: u64,
    /// The same of the last response that it accepted whole.
    pub acknowledged: u64,
    /// Of Listeners: the versions that it accepted last, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub versions: BTreeMap<String, String>,
    /// What it refused and was not replaced since.
    pub rejections: Vec<Rejection>,
}

/// A resource that a proxy refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rejection {
    /// Name.
    pub name: String,
    /// Version that it refused.
    pub version: String,
    /// `error_detail.message`.
    pub message: String,
}
