//! What of an object's status in the cluster is Weir's, told by a number: statuses need not be kept to know whether
//! one is as it should be. [`News`] brings word of those that may not be.

mod news;

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Map, Value, json};
use weir_config::kinds::gateway::GATEWAY_GROUP;
use weir_config::kinds::{CONTROLLER_NAME, Kind};

pub use news::News;

/// Condition of a route, false and there as long as proxies refuse what it became. The Gateway API has no such type
/// for routes, so it has a prefix, as types of implementations should.
pub const ROUTE_PROGRAMMED: &str = "weir.dev/Programmed";

/// Types of conditions that Weir writes. Others are another controller's, and left alone.
const TYPES: &[&str] = &[
    "Accepted",
    "Conflicted",
    "HostnamesOwned",
    "InsecureFrontendValidationMode",
    "NamespacesOwned",
    "PartiallyInvalid",
    "Programmed",
    "ResolvedRefs",
    "SupportedVersion",
    ROUTE_PROGRAMMED,
];
/// What of a status is Weir's, without times: two that are equal need no write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(u64);

/// Whether Weir writes a status to objects of this kind.
pub fn has_status(kind: Kind) -> bool {
    shared_list(kind).is_some()
        || matches!(kind, Kind::GatewayClass | Kind::Gateway | Kind::ListenerSet | Kind::Plan | Kind::Tenant)
}

/// The list in a status of which each controller writes its own entries, and the field of an entry that says what it
/// is about.
pub fn shared_list(kind: Kind) -> Option<(&'static str, &'static str)> {
    match kind {
        route if route.is_route() => Some(("parents", "parentRef")),
        Kind::BackendTLSPolicy | Kind::TrafficPolicy => Some(("ancestors", "ancestorRef")),
        _ => None,
    }
}

/// The digest of `.status` as an API server gives it; `Null` where there is none.
pub fn digest_of(kind: Kind, there: &Value) -> Digest {
    digest(&normal(kind, there))
}

/// What of a status is compared: fields and conditions that are Weir's, without times, lists that are sets in order.
fn normal(kind: Kind, status: &Value) -> Value {
    let fields: &[&str] = match kind {
        Kind::GatewayClass => &["conditions", "supportedFeatures"],
        Kind::Gateway => &["conditions", "addresses", "listeners", "attachedListenerSets"],
        Kind::ListenerSet => &["conditions", "listeners"],
        route if route.is_route() => &["parents"],
        Kind::BackendTLSPolicy | Kind::TrafficPolicy => &["ancestors"],
        Kind::Plan => &["conditions", "tenants"],
        Kind::Tenant => &["conditions", "namespaces", "hostnames", "lostHostnames", "limits", "usage"],
        _ => &[],
    };
    let mut normal = Map::new();
    for field in fields {
        let value = match (*field, &status[*field]) {
            ("conditions", value) => normal_conditions(value),
            ("supportedFeatures", Value::Array(features)) => sorted(features.clone(), "name"),
            ("listeners", Value::Array(listeners)) => sorted(listeners.iter().map(normal_holder).collect(), "name"),
            ("parents" | "ancestors", Value::Array(parents)) => {
                Value::Array(parents.iter().filter(|parent| is_ours(parent)).map(normal_holder).collect())
            }
            (_, value) => value.clone(),
        };
        let empty = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
        if !empty {
            normal.insert((*field).to_owned(), value);
        }
    }
    Value::Object(normal)
}

fn normal_holder(holder: &Value) -> Value {
    let mut holder = holder.clone();
    holder["conditions"] = normal_conditions(&holder["conditions"]);
    for reference in ["parentRef", "ancestorRef"] {
        if !holder[reference].is_null() {
            holder[reference] = defaulted(&holder[reference]);
        }
    }
    holder
}

fn normal_conditions(conditions: &Value) -> Value {
    let ours = |condition: &&Value| condition["type"].as_str().is_some_and(|type_| TYPES.contains(&type_));
    let without_time = |condition: &Value| {
        let mut condition = condition.clone();
        if let Some(fields) = condition.as_object_mut() {
            fields.remove("lastTransitionTime");
        }
        condition
    };
    let list = conditions.as_array().into_iter().flatten().filter(ours).map(without_time);
    sorted(list.collect(), "type")
}

fn sorted(mut list: Vec<Value>, by: &str) -> Value {
    list.sort_by(|a, b| a[by].as_str().cmp(&b[by].as_str()));
    Value::Array(list)
}

/// Whether an entry of a list that controllers share is of Weir's.
pub(crate) fn is_ours(parent: &Value) -> bool {
    parent["controllerName"] == CONTROLLER_NAME
}

/// With the group and kind that an API server would fill in.
pub(crate) fn defaulted(parent: &Value) -> Value {
    let mut parent = parent.clone();
    for (field, default) in [("group", GATEWAY_GROUP), ("kind", "Gateway")] {
        if parent.is_object() && parent[field].is_null() {
            parent[field] = json!(default);
        }
    }
    parent
}

fn digest(value: &Value) -> Digest {
    let mut hasher = DefaultHasher::new();
    hash(value, &mut hasher);
    Digest(hasher.finish())
}

/// Whatever order the fields of objects are in.
fn hash(value: &Value, hasher: &mut DefaultHasher) {
    std::mem::discriminant(value).hash(hasher);
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            fields.len().hash(hasher);
            for (name, value) in fields {
                name.hash(hasher);
                hash(value, hasher);
            }
        }
        Value::Array(list) => {
            list.len().hash(hasher);
            list.iter().for_each(|value| hash(value, hasher));
        }
        Value::String(text) => text.hash(hasher),
        Value::Number(number) => number.to_string().hash(hasher),
        Value::Bool(bit) => bit.hash(hasher),
        Value::Null => {}
    }
}
