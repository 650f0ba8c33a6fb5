//! `Plan`: what a tier of customers may use.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::quantity::Quantity;

/// What a tier of customers may use. Every field is optional; an absent limit is no limit.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "weir.dev",
    version = "v1alpha1",
    kind = "Plan",
    status = "PlanStatus",
    derive = "PartialEq",
    doc = "What a tier of customers may use.",
    category = "weir",
    shortname = "wplan"
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlanSpec {
    /// Requests of all of a tenant's endpoints together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<RequestRate>,
    /// Requests in flight at one time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub concurrent_requests: Option<u32>,
    /// Open client connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub connections: Option<u32>,
    /// Bytes a second, both ways together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<Bandwidth>,
    /// Hard cap on the bytes of a calendar month (UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monthly_bytes: Option<Quantity>,
    /// Largest request body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_request_bytes: Option<Quantity>,
    /// Share of a saturated proxy, relative to other tenants.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub weight: Option<u32>,
}

/// A token bucket of requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequestRate {
    /// Requests a second, sustained; at least 1.
    #[schemars(range(min = 1))]
    pub per_second: u32,
    /// Requests that may come at once; at least 1. Default: `perSecond`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub burst: Option<u32>,
}

/// A token bucket of bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bandwidth {
    /// Bytes a second.
    pub bytes_per_second: Quantity,
}

/// What Weir says of a Plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanStatus {
    /// Tenants that have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenants: Option<u64>,
    /// Kubernetes conditions: `Accepted` and what else applies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition>,
}
