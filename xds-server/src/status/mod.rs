//! Status of objects: Kubernetes conditions, as plain values. Computed by [`crate::translate`],
//! shown by `weir status` and `weir check`, and written to the cluster by the leader.
//!
//! [`render`] says how they look there, and whether what is there differs.

pub mod bundle;
pub mod features;
pub mod render;
pub mod report;
pub mod select;
pub mod serving;

use serde::{Deserialize, Serialize};
use weir_config::kinds::gateway::ParentReference;
pub use weir_config::kinds::tenant::{LostHostname, MonthUsage, TenantStatus};

pub use crate::seen::ROUTE_PROGRAMMED;

/// Status of one object, in the Gateway API's shapes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectStatus {
    /// `metadata.generation` of the object that this is about; none where its source does not count them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Conditions of the object itself (GatewayClass, Gateway, Plan, Tenant).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// What a GatewayClass's controller serves of the Gateway API.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub supported_features: Vec<String>,
    /// A Gateway's addresses, where clients reach it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<Address>,
    /// A Gateway's listeners.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listeners: Vec<ListenerStatus>,
    /// How many ListenerSets are attached to a Gateway; none: it allows none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attached_listener_sets: Option<u32>,
    /// A route's parents.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<ParentStatus>,
    /// A policy's Gateways.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ancestors: Vec<AncestorStatus>,
    /// What a Tenant has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantStatus>,
    /// Who uses a Plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanStatus>,
}

/// `metav1.Condition` without its time of transition, which only a store knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// `Accepted`, `Programmed`, `ResolvedRefs`, `PartiallyInvalid`, `Conflicted`, ...
    #[serde(rename = "type")]
    pub type_: String,
    /// Whether it holds.
    pub status: bool,
    /// One word, in CamelCase, as the Gateway API specifies.
    pub reason: String,
    /// A sentence for people: what is wrong, where, and what to do.
    pub message: String,
}

impl Condition {
    /// A condition that holds.
    pub fn holds(type_: &str, reason: &str, message: impl Into<String>) -> Self {
        Self { type_: type_.into(), status: true, reason: reason.into(), message: message.into() }
    }

    /// A condition that does not hold.
    pub fn fails(type_: &str, reason: &str, message: impl Into<String>) -> Self {
        Self { status: false, ..Self::holds(type_, reason, message) }
    }
}

impl ObjectStatus {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// `ListenerStatus`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerStatus {
    /// Name of the listener.
    pub name: String,
    /// Routes attached to it.
    pub attached_routes: u32,
    /// Kinds of routes it takes.
    pub supported_kinds: Vec<String>,
    /// Conditions.
    pub conditions: Vec<Condition>,
    /// What serves it, by the names of resources; of the server alone.
    #[serde(skip)]
    pub served_by: Vec<ServedBy>,
}

/// Resources by which an address of a listener is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedBy {
    /// Name of the xDS Listener.
    pub listener: String,
    /// Name of the RouteConfiguration.
    pub routes: String,
}

/// `GatewayStatusAddress`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Address {
    /// `IPAddress` or `Hostname`.
    #[serde(rename = "type")]
    pub type_: String,
    /// The address.
    pub value: String,
}

/// `RouteParentStatus`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentStatus {
    /// The parent.
    pub parent_ref: ParentReference,
    /// Conditions.
    pub conditions: Vec<Condition>,
    /// Whether it is a Gateway of Weir's for certain. Of one that does not exist nobody knows whose it would be:
    /// people who ask Weir are told, and nothing is written to the route.
    #[serde(skip)]
    pub claimed: bool,
}

/// `PolicyAncestorStatus`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AncestorStatus {
    /// The Gateway.
    pub ancestor_ref: ParentReference,
    /// Conditions.
    pub conditions: Vec<Condition>,
}

/// Who uses a Plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanStatus {
    /// Tenants that have it.
    pub tenants: u64,
}

/// Conditions that report something wrong, each with the place in the object that it is about.
pub fn unmet(status: &ObjectStatus) -> Vec<(String, &Condition)> {
    let own = status.conditions.iter().map(|c| (String::new(), c));
    let listeners =
        status.listeners.iter().flat_map(|l| l.conditions.iter().map(|c| (format!(" listener {}", l.name), c)));
    let parents = status.parents.iter().flat_map(|p| {
        let section = p.parent_ref.section_name.as_ref().map(|s| format!("/{s}")).unwrap_or_default();
        p.conditions.iter().map(move |c| (format!(" at {}{section}", p.parent_ref.name), c))
    });
    let ancestors = status
        .ancestors
        .iter()
        .flat_map(|a| a.conditions.iter().map(move |c| (format!(" at {}", a.ancestor_ref.name), c)));
    own.chain(listeners).chain(parents).chain(ancestors).filter(|(_, c)| c.status == bad_when(&c.type_)).collect()
}

/// The value of a condition that says that something is wrong: most are wrong when false.
fn bad_when(type_: &str) -> bool {
    matches!(type_, "Conflicted" | "PartiallyInvalid" | "HostnameConflict" | "OverlappingTLSConfig")
}
