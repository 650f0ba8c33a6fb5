//! What is known of one host, as plain values: what `GET /v1/explain` answers.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::status::Condition;

/// Everything about one host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Scene {
    /// The host, in lower case, without port.
    pub host: String,
    /// To whom it belongs; none if no Tenant has a `hostnames` entry for it: only the platform may serve it.
    pub owner: Option<Owner>,
    /// The owner, and the tenants of the candidates.
    pub tenants: Vec<TenantScene>,
    /// Listeners that could take the connection.
    pub listeners: Vec<ListenerScene>,
    /// Ports that have a listener.
    pub ports: Vec<PortScene>,
    /// Listeners of Gateways that would be in question and are not programmed.
    pub troubles: Vec<Trouble>,
    /// Routes that name the host, or take any, and what became of each.
    pub candidates: Vec<Candidate>,
    /// Policies about candidates, Gateways of the listeners and Services behind, each once for each such target.
    #[serde(default)]
    pub policies: Vec<Policy>,
    /// Hostnames of routes that are spelt almost like it; only where no route serves it.
    pub near: Vec<NearName>,
    /// Hostnames that the owner's routes name; only where no route serves the host.
    pub served: Vec<String>,
    /// The resources (JSON, with `@type`) by which a proxy decides, cut to this host: listeners with the
    /// chains that could take it, its virtual hosts, their clusters and endpoints, the limits of its plans.
    pub resources: Vec<Value>,
    /// What there is beyond the bounds of an answer.
    pub left_off: LeftOff,
}

/// Whose a name is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// The Tenant.
    pub tenant: String,
    /// Its entry of `hostnames` that decides: the most specific of all Tenants'.
    pub entry: String,
    /// Younger Tenants that have the same entry, and lost it.
    pub lost_by: Vec<String>,
}

/// A tenant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantScene {
    /// Name; `system` is the platform.
    pub name: String,
    /// `Active`, `Suspended`, or `PlanNotFound`: names of the latter two answer 503.
    pub state: String,
    /// Its Plan; none for the platform.
    pub plan: Option<String>,
    /// Its limit of requests, in each proxy; none: no limit.
    pub requests: Option<Rate>,
    /// Limits that its Plan, or it, sets and that are not enforced yet.
    pub unenforced: Vec<String>,
    /// Conditions of the Tenant and its Plan that say that something is wrong.
    pub unmet: Vec<Condition>,
}

/// A rate of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rate {
    /// Requests a second, sustained.
    pub per_second: u32,
    /// Requests that may come at once.
    pub burst: u32,
    /// Whether the Tenant's own `limits` say so, and not its Plan.
    pub of_tenant: bool,
}

/// What a Listener speaks, as far as its port tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Spoken {
    /// HTTP in plain text.
    Http,
    /// TLS, with HTTP within or not, ended here or passed on.
    Tls,
    /// Bytes.
    Tcp,
    /// Datagrams.
    Udp,
}

/// A Listener, as a proxy has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerScene {
    /// Name of the resource.
    pub name: String,
    /// The edge whose proxies bind it.
    pub edge: String,
    /// Address.
    pub address: IpAddr,
    /// Port.
    pub port: u16,
    /// What it speaks.
    pub speaks: Spoken,
    /// In plain text: the listener of a Gateway that has the host most specifically.
    pub taken_by: Option<GatewayListener>,
    /// Filter chains that could take the connection.
    pub chains: Vec<Chain>,
}

/// A filter chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Chain {
    /// Name.
    pub name: String,
    /// Its RouteConfiguration, or of one that takes whole connections what its name begins with; empty for one that
    /// closes what nobody serves.
    pub routes: String,
    /// With TLS, TCP and UDP: the listener of a Gateway whose chain it is.
    pub listener: Option<GatewayListener>,
    /// Certificates, in order: the first that covers the host is shown, else the first.
    pub certificates: Vec<Certificate>,
}

/// A listener of a Gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayListener {
    /// The Gateway: `namespace/name`.
    pub gateway: String,
    /// Name of the listener.
    pub listener: String,
    /// The hostname by which it has the host.
    pub hostname: String,
    /// The ListenerSet that adds it to the Gateway: `namespace/name`.
    pub listener_set: Option<String>,
}

/// A certificate; nothing of it is secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Certificate {
    /// The Secret: `namespace/name`.
    pub secret: String,
    /// Names in it.
    pub names: Vec<String>,
    /// When it ends, RFC 3339.
    pub not_after: Option<String>,
    /// Whether a client that asked for the host would take it.
    pub covers: bool,
}

/// A port that has a listener.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortScene {
    /// Port.
    pub port: u16,
    /// What is spoken there.
    pub speaks: Spoken,
    /// The edge.
    pub edge: String,
}

/// A listener of a Gateway that is not programmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trouble {
    /// The Gateway: `namespace/name`.
    pub gateway: String,
    /// Name of the listener.
    pub listener: String,
    /// Its port.
    pub port: u16,
    /// Reason of the condition that fails.
    pub reason: String,
    /// Its message.
    pub message: String,
}

/// A route that names the host, or takes any.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// Its kind: `HTTPRoute`, `GRPCRoute`, `TLSRoute`, `TCPRoute` or `UDPRoute`.
    pub kind: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// The namespace's tenant; none if it has none, or several.
    pub tenant: Option<String>,
    /// `creationTimestamp`, RFC 3339; none for a manifest in a directory: younger than any with one.
    pub created: Option<String>,
    /// Its hostnames that have the host; empty: it takes those of its listeners.
    pub hostnames: Vec<String>,
    /// What became of each `parentRef`.
    pub parents: Vec<Parent>,
    /// Rules that were dropped, and why.
    pub dropped: Vec<String>,
    /// Backends that are not there, and why.
    pub unresolved: Vec<Unresolved>,
    /// Its matches, as they stand; none where it takes whole connections.
    pub matches: Vec<MatchPlace>,
    /// Its routes as a VirtualHost (JSON), one for each of `matches`, whether it is served or not.
    pub routes: Value,
}

/// A backend that is not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unresolved {
    /// Place of the rule, from 0.
    pub rule: usize,
    /// What is wrong.
    pub message: String,
}

/// A match of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MatchPlace {
    /// Name of the route in the VirtualHost: `<namespace>/<route>/<rule>/<match>`.
    pub name: String,
    /// Place of the rule, from 0.
    pub rule: usize,
    /// The rule's own name.
    pub rule_name: Option<String>,
    /// Place of the match in the rule, from 0.
    #[serde(rename = "match")]
    pub index: usize,
    /// Of a GRPCRoute's: what decides its place.
    pub call: Option<Call>,
}

/// What decides the place of a GRPCRoute's match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    /// Whether the method is an expression.
    pub expression: bool,
    /// Characters of the service.
    pub service: usize,
    /// Characters of the method.
    pub method: usize,
}

/// What became of a `parentRef`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Parent {
    /// The Gateway, with `/listener` where the reference names one: `namespace/name/listener`.
    pub parent: String,
    /// Whether the route serves the host there.
    pub served: bool,
    /// Why not, as the condition's reason.
    pub reason: String,
    /// The same for people.
    pub message: String,
    /// Where it serves the host.
    pub places: Vec<Place>,
}

/// A domain that a route serves; `*` of one that has no hostnames.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// As [`Chain::routes`].
    pub routes: String,
    /// The domain.
    pub domain: String,
    /// How specific the route's own hostname is: of two routes that serve one domain the more specific goes first.
    pub asked: usize,
}

/// A policy, as it is about one target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// `TrafficPolicy` or `BackendTLSPolicy`.
    pub kind: String,
    /// Namespace: the target's too.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// What it is about.
    pub target: PolicyTarget,
    /// What it says.
    pub sets: Vec<Setting>,
    /// Whether it holds for the target, as far as no closer one does.
    pub holds: bool,
    /// Why not, as the condition's reason; else `Accepted`.
    pub reason: String,
    /// The same for people; empty where it holds.
    pub message: String,
}

/// What a policy is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyTarget {
    /// Kind: a Gateway, a route or a Service.
    pub kind: String,
    /// Name.
    pub name: String,
    /// Part of it: a listener, a rule or a port by name.
    pub section: Option<String>,
    /// Number of that port of a Service.
    pub port: Option<u16>,
}

/// A field of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Setting {
    /// Its path below `spec` (below `spec.validation` of a BackendTLSPolicy; `trust`: whose certificates).
    pub field: String,
    /// What it says, for people.
    pub value: String,
}

/// A hostname that is spelt almost like the host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NearName {
    /// Letters to change.
    pub distance: usize,
    /// The hostname.
    pub hostname: String,
    /// The route that names it: `namespace/name`.
    pub route: String,
}

/// How much there is beyond the bounds of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeftOff {
    /// Listeners that could take the connection.
    pub listeners: usize,
    /// Candidates.
    pub candidates: usize,
    /// Clusters without their endpoints here.
    pub endpoints: usize,
    /// Policies.
    #[serde(default)]
    pub policies: usize,
}
