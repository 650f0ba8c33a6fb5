//! What statuses must say, and waiting until they do.

use serde_json::Value;

use crate::suite::{Case, Check};
use crate::world::{CONTROLLER, INFRA};

/// A condition that must be there; an empty reason is any.
#[derive(Clone, Copy, Debug)]
pub struct Want {
    pub type_: &'static str,
    pub status: &'static str,
    pub reason: &'static str,
}

/// Holds, for this reason.
pub const fn holds(type_: &'static str, reason: &'static str) -> Want {
    Want { type_, status: "True", reason }
}

/// Does not hold, for this reason.
pub const fn fails(type_: &'static str, reason: &'static str) -> Want {
    Want { type_, status: "False", reason }
}

/// Of a listener that serves.
pub const SERVES: &[Want] = &[holds("Accepted", ""), holds("ResolvedRefs", ""), holds("Programmed", "")];

/// A listener as its status must show it.
#[derive(Clone, Copy, Debug)]
pub struct Listener<'l> {
    pub name: &'l str,
    /// These must be among the supported kinds; none: there must be none. Not looked at where `any_kinds`.
    pub kinds: &'l [&'l str],
    pub routes: u64,
    pub conditions: &'l [Want],
}

/// An object, by kind, namespace and name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object<'o> {
    pub kind: &'o str,
    pub namespace: &'o str,
    pub name: &'o str,
}

/// An object of the suite's own namespace.
pub const fn infra<'o>(kind: &'o str, name: &'o str) -> Object<'o> {
    Object { kind, namespace: INFRA, name }
}

/// A Gateway of the suite's own namespace.
pub const fn gateway(name: &str) -> Object<'_> {
    infra("Gateway", name)
}

/// An HTTPRoute of the suite's own namespace.
pub const fn route(name: &str) -> Object<'_> {
    infra("HTTPRoute", name)
}

fn list<'v>(holder: &'v Value, field: &str) -> &'v [Value] {
    holder[field].as_array().map_or(&[], Vec::as_slice)
}

/// Whether a status has a condition.
pub fn has(holder: &Value, want: Want) -> Check {
    let found = list(holder, "conditions").iter().find(|condition| condition["type"] == want.type_);
    let Some(found) = found else { return Err(format!("no condition {}", want.type_)) };
    let matches = found["status"] == want.status && (want.reason.is_empty() || found["reason"] == want.reason);
    if matches {
        return Ok(());
    }
    Err(format!(
        "{} is {} ({}: {}) instead of {} ({})",
        want.type_, found["status"], found["reason"], found["message"], want.status, want.reason
    ))
}

fn has_all(holder: &Value, wants: &[Want]) -> Check {
    wants.iter().try_for_each(|want| has(holder, *want))
}

/// Whether conditions are there and of the object's own generation.
pub fn latest(object: &Value, holder: &Value) -> Check {
    let conditions = list(holder, "conditions");
    let stale = conditions.iter().find(|found| found["observedGeneration"] != object["metadata"]["generation"]);
    match stale {
        _ if conditions.is_empty() => Err("no conditions".into()),
        None => Ok(()),
        Some(stale) => Err(format!("{} is of generation {}", stale["type"], stale["observedGeneration"])),
    }
}

/// The statuses that a route or a policy has of a parent.
fn parents<'v>(object: &'v Value, parent: Object<'_>) -> Vec<&'v Value> {
    let (field, reference) = match object["kind"].as_str() {
        Some("BackendTLSPolicy" | "TrafficPolicy") => ("ancestors", "ancestorRef"),
        _ => ("parents", "parentRef"),
    };
    let is = |found: &Value, text: &str, default: &str| found.as_str().unwrap_or(default) == text;
    let of = |found: &&Value| {
        let named = &found[reference];
        found["controllerName"] == CONTROLLER
            && named["name"] == parent.name
            && is(&named["kind"], parent.kind, "Gateway")
            && is(&named["namespace"], parent.namespace, parent.namespace)
    };
    list(&object["status"], field).iter().filter(of).collect()
}

impl Case<'_> {
    fn get(&self, object: Object<'_>) -> Result<Value, String> {
        let mut found = self.world.get(object.kind, object.namespace, object.name)?;
        found["kind"] = object.kind.into();
        Ok(found)
    }

    /// Waits until an object is as `look` wants it.
    pub fn until_object(&self, object: Object<'_>, mut look: impl FnMut(&Value) -> Check) -> Check {
        self.until(&format!("{} {}/{}", object.kind, object.namespace, object.name), || look(&self.get(object)?))
    }

    /// The object has the conditions (of a Gateway, GatewayClass or ListenerSet), of its own generation.
    pub fn has(&self, object: Object<'_>, wants: &[Want]) -> Check {
        self.until_object(object, |found| {
            latest(found, &found["status"])?;
            has_all(&found["status"], wants)
        })
    }

    /// A route or policy has the condition towards a parent.
    pub fn towards(&self, object: Object<'_>, parent: Object<'_>, want: Want) -> Check {
        self.until_object(object, |found| {
            let all = parents(found, parent);
            all.iter().try_for_each(|status| latest(found, status))?;
            let told: Vec<String> = all.iter().filter_map(|status| has(status, want).err()).collect();
            match all.len() {
                0 => Err(format!("no status towards {} {}", parent.kind, parent.name)),
                count if told.len() == count => Err(told.join("; ")),
                _ => Ok(()),
            }
        })
    }

    /// A route is accepted by a parent, and its references are resolved.
    pub fn accepted_and_resolved(&self, object: Object<'_>, parent: Object<'_>) -> Check {
        self.towards(object, parent, holds("Accepted", "Accepted"))?;
        self.towards(object, parent, holds("ResolvedRefs", ""))
    }

    /// A route has one parent at most, and that one does not accept it.
    pub fn no_accepted_parents(&self, object: Object<'_>) -> Check {
        self.until_object(object, |found| match list(&found["status"], "parents") {
            [] => Ok(()),
            [one] => latest(found, one).and_then(|()| has(one, fails("Accepted", ""))),
            more => Err(format!("{} parents", more.len())),
        })
    }

    /// A Gateway has no listeners in its status, or one without routes.
    pub fn zero_routes(&self, name: &str) -> Check {
        self.until_object(gateway(name), |found| {
            latest(found, &found["status"])?;
            match list(&found["status"], "listeners") {
                [] => Ok(()),
                [one] if one["attachedRoutes"] == 0 => Ok(()),
                other => Err(format!("listeners: {}", Value::from(other.to_vec()))),
            }
        })
    }

    /// An object's listeners are these and no others.
    pub fn listeners(&self, object: Object<'_>, expected: &[Listener<'_>]) -> Check {
        self.until_object(object, |found| {
            latest(found, &found["status"])?;
            let all = list(&found["status"], "listeners");
            if all.len() != expected.len() {
                return Err(format!("{} listeners instead of {}", all.len(), expected.len()));
            }
            expected.iter().try_for_each(|listener| is_listener(all, listener))
        })
    }

    /// One listener (or, where `listener` is empty, each) of an object has the conditions.
    pub fn listener_has(&self, object: Object<'_>, listener: &str, wants: &[Want]) -> Check {
        self.until_object(object, |found| {
            latest(found, &found["status"])?;
            let all = list(&found["status"], "listeners");
            let mut chosen = all.iter().filter(|found| listener.is_empty() || found["name"] == listener).peekable();
            if chosen.peek().is_none() {
                return Err(format!("no listener {listener}"));
            }
            chosen.try_for_each(|found| has_all(found, wants).map_err(|told| format!("{}: {told}", found["name"])))
        })
    }

    /// How many ListenerSets a Gateway counts.
    pub fn attached_sets(&self, name: &str, count: u64) -> Check {
        self.until_object(gateway(name), |found| {
            latest(found, &found["status"])?;
            let number = found["status"]["attachedListenerSets"].as_u64().unwrap_or(0);
            if number == count { Ok(()) } else { Err(format!("{number} ListenerSets instead of {count}")) }
        })
    }

    /// The generation of an object now.
    pub fn generation(&self, object: Object<'_>) -> Result<u64, String> {
        self.get(object)?["metadata"]["generation"].as_u64().ok_or_else(|| "no generation".to_owned())
    }
}

fn is_listener(all: &[Value], expected: &Listener<'_>) -> Check {
    let told = |text: String| format!("listener {}: {text}", expected.name);
    let found = all.iter().find(|found| found["name"] == expected.name);
    let found = found.ok_or_else(|| told("not there".into()))?;
    let kinds = list(found, "supportedKinds");
    if expected.kinds.is_empty() && !kinds.is_empty() {
        return Err(told(format!("supportedKinds {}", found["supportedKinds"])));
    }
    let group = |kind: &Value| kind["group"].is_null() || kind["group"] == "gateway.networking.k8s.io";
    for wanted in expected.kinds {
        if !kinds.iter().any(|kind| kind["kind"] == *wanted && group(kind)) {
            return Err(told(format!("supportedKinds {} without {wanted}", found["supportedKinds"])));
        }
    }
    if found["attachedRoutes"] != expected.routes {
        return Err(told(format!("attachedRoutes {} instead of {}", found["attachedRoutes"], expected.routes)));
    }
    has_all(found, expected.conditions).map_err(told)
}
