//! `Tenant`: one customer.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::plan::PlanSpec;

/// A hostname of a Tenant, for the API server; [`super::validate`] says more closely what is wrong.
const HOSTNAME: &str = r"^(\*|(\*\.)?[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*)$";

/// One customer: which namespaces are its own, which names it may claim, what it may use.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "weir.dev",
    version = "v1alpha1",
    kind = "Tenant",
    status = "TenantStatus",
    derive = "PartialEq",
    doc = "One customer: which namespaces are its own, which names it may claim, what it may use.",
    category = "weir",
    shortname = "wtenant"
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TenantSpec {
    /// Name of the Plan.
    #[schemars(length(min = 1, max = 253))]
    pub plan: String,
    /// The tenant's namespaces. Default: those with the label `weir.dev/tenant=<name>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
    /// The only names that its routes may claim: exact, or `*.` and a suffix (several labels deep), or `*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024), inner(length(max = 253), regex(pattern = HOSTNAME)))]
    pub hostnames: Vec<String>,
    /// How far its traffic is kept apart from other tenants'.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
    /// Whether it is served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<TenantState>,
    /// Any of the Plan's fields, in place of the Plan's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<PlanSpec>,
}

/// What Weir says of a Tenant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenantStatus {
    /// Its namespaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// Hostnames that it claims and owns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hostnames: Vec<String>,
    /// Hostnames that it claims and another Tenant owns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost_hostnames: Vec<LostHostname>,
    /// The limits that are enforced: its Plan's, and its own over them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<PlanSpec>,
    /// What it used in this month, up to the last full hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<MonthUsage>,
    /// Kubernetes conditions: `Accepted` and what else applies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition>,
}

/// A hostname that a Tenant claims and another owns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LostHostname {
    /// The hostname.
    pub hostname: String,
    /// The Tenant that owns it.
    pub owner: String,
}

/// Usage of a calendar month (UTC), rounded down to three digits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MonthUsage {
    /// The month, as `2026-11`.
    pub month: String,
    /// Requests.
    pub requests: u64,
    /// Bytes, both ways.
    pub bytes: u64,
}

/// Isolation levels, after the SaaS vocabulary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Isolation {
    /// Shared edge proxies; upstream connections are never shared.
    #[default]
    Pool,
    /// Shared edge proxies; filter chain, certificates and RouteConfiguration of its own.
    Bridge,
    /// Edge proxies of its own.
    Silo,
}

/// Whether a tenant is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TenantState {
    /// Served.
    #[default]
    Active,
    /// Its names answer 503 with `retry-after`.
    Suspended,
}
