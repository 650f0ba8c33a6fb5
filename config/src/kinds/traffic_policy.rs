//! `TrafficPolicy`: how requests are sent on, for a Gateway, a route, a rule or a Service.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::gateway::PolicyTargetReference;

/// Durations of the Gateway API (GEP-2257).
const DURATION: &str = "^([0-9]{1,5}(h|m|s|ms)){1,4}$";

/// How requests are sent on. What a route's own rule says goes before it; of policies the closest counts, field by
/// field: that of the rule, of the route, of the listener, of the Gateway.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "weir.dev",
    version = "v1alpha1",
    kind = "TrafficPolicy",
    plural = "trafficpolicies",
    namespaced,
    status = "TrafficPolicyStatus",
    derive = "PartialEq",
    doc = "How requests are sent on, for a Gateway, a route, a rule or a Service.",
    category = "weir",
    shortname = "wpolicy"
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrafficPolicySpec {
    /// Gateways, HTTPRoutes, GRPCRoutes and Services of its namespace, or a part of one (`sectionName`): a listener, a
    /// rule, a port.
    #[schemars(length(min = 1, max = 16))]
    pub target_refs: Vec<PolicyTargetReference>,
    /// How long things may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<TrafficTimeouts>,
    /// What is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<TrafficRetry>,
    /// What keeps a client at one endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sticky: Option<Sticky>,
    /// Not enforced yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "anything")]
    pub jwt: Option<Map<String, Value>>,
    /// Not enforced yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "anythings")]
    pub rate_limit: Option<Vec<Map<String, Value>>>,
    /// Not enforced yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "anything")]
    pub circuit_breaker: Option<Map<String, Value>>,
    /// Not enforced yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "anything")]
    pub outlier_detection: Option<Map<String, Value>>,
    /// Not enforced yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "anything")]
    pub load_balancing: Option<Map<String, Value>>,
}

/// Timeouts, as durations such as `1h30m`, `5s`, `100ms`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrafficTimeouts {
    /// From the whole request to the whole response; `0s`: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = DURATION))]
    pub request: Option<String>,
    /// One try at a backend.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = DURATION))]
    pub backend_request: Option<String>,
    /// Until a connection to an endpoint stands. Default: 5 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = DURATION))]
    pub connect: Option<String>,
}

/// What is tried again: connections that fail or break off, and the statuses named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrafficRetry {
    /// Statuses of a response that is tried again, 400 to 599.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(range(min = 400, max = 599)))]
    pub codes: Vec<u32>,
    /// How often at most, after the first try. Default: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 10))]
    pub attempts: Option<u32>,
    /// The least time between tries.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = DURATION))]
    pub backoff: Option<String>,
}

/// What keeps a client at one endpoint: exactly one of its fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sticky {
    /// A cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cookie: Option<StickyCookie>,
    /// A header of the response, which the client sends with its next requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<StickyHeader>,
}

/// A cookie.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StickyCookie {
    /// Its name.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// Its life. Default: until the browser ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = DURATION))]
    pub ttl: Option<String>,
}

/// A header.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StickyHeader {
    /// Its name.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
}

/// `PolicyStatus` of the Gateway API.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TrafficPolicyStatus {
    /// Gateways at which it has an effect.
    #[schemars(length(max = 16))]
    pub ancestors: Vec<Ancestor>,
}

/// `PolicyAncestorStatus`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ancestor {
    /// The Gateway.
    pub ancestor_ref: AncestorReference,
    /// Who says this.
    pub controller_name: String,
    /// Conditions.
    #[schemars(length(min = 1, max = 8))]
    pub conditions: Vec<Condition>,
}

/// `ParentReference`, of a Gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AncestorReference {
    /// API group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
}

fn anything(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    object().try_into().unwrap_or_default()
}

fn anythings(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    json!({ "type": "array", "nullable": true, "description": "Not enforced yet.", "items": object() })
        .try_into()
        .unwrap_or_default()
}

fn object() -> Value {
    json!({
        "type": "object", "nullable": true, "description": "Not enforced yet.",
        "x-kubernetes-preserve-unknown-fields": true,
    })
}
