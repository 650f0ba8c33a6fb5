//! Status of objects: Kubernetes conditions, as plain values. Computed by [`crate::translate`],
//! shown by `weir status` and `weir check`.

pub mod report;

use serde::{Deserialize, Serialize};
use weir_config::kinds::gateway::ParentReference;

/// Status of one object, in the Gateway API's shapes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectStatus {
    /// Conditions of the object itself (GatewayClass, Gateway, Plan, Tenant).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// A Gateway's listeners.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listeners: Vec<ListenerStatus>,
    /// A route's parents.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<ParentStatus>,
    /// A Tenant's namespaces and names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantStatus>,
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
}

/// `RouteParentStatus`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentStatus {
    /// The parent.
    pub parent_ref: ParentReference,
    /// Conditions.
    pub conditions: Vec<Condition>,
}

/// What a Tenant has.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantStatus {
    /// Its namespaces.
    pub namespaces: Vec<String>,
    /// Names (its `hostnames`) that it owns.
    pub hostnames: Vec<String>,
    /// Names that another tenant owns, with that tenant's name.
    pub lost: Vec<(String, String)>,
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
    own.chain(listeners).chain(parents).filter(|(_, c)| c.status == bad_when(&c.type_)).collect()
}

/// The value of a condition that says that something is wrong: most are wrong when false.
fn bad_when(type_: &str) -> bool {
    matches!(type_, "Conflicted" | "PartiallyInvalid" | "HostnameConflict" | "OverlappingTLSConfig")
}
