//! Statuses as an API server holds them: JSON, with what it adds by itself.

use serde_json::{Map, Value, json};
use weir_config::kinds::gateway::{GATEWAY_GROUP, ParentReference};
use weir_config::kinds::{CONTROLLER_NAME, Kind};

use super::{Condition, ListenerStatus, ObjectStatus};
use crate::seen::{Digest, defaulted, digest_of, is_ours, shared_list};

/// Bytes of a message that are written; the API takes 32 KiB, and nobody reads so much.
const MAX_MESSAGE: usize = 4096;
/// Entries of a route's `parents` that the API takes, all controllers' together.
const MAX_PARENTS: usize = 32;
/// Entries of a policy's `ancestors`, likewise.
const MAX_ANCESTORS: usize = 16;

/// The digest of a status that is to be there; none: nothing of Weir's.
pub fn digest_wanted(kind: Kind, status: Option<&ObjectStatus>) -> Digest {
    digest_of(kind, &wanted(kind, status))
}

/// `.status` to apply, where `there` is what the object has: times of conditions that stay as they are, and other
/// controllers' entries, are taken from it. `now` is RFC 3339 in seconds.
pub fn render(kind: Kind, status: Option<&ObjectStatus>, there: &Value, now: &str) -> Value {
    let mut wanted = wanted(kind, status);
    stamp(&mut wanted, there, now);
    for listener in list_mut(&mut wanted, "listeners") {
        let old = list(there, "listeners").iter().find(|old| old["name"] == listener["name"]);
        stamp(listener, old.unwrap_or(&Value::Null), now);
    }
    if let Some((field, reference)) = shared_list(kind) {
        for entry in list_mut(&mut wanted, field) {
            let old = list(there, field).iter().filter(|old| is_ours(old));
            let old = old.into_iter().find(|old| defaulted(&old[reference]) == entry[reference]);
            stamp(entry, old.unwrap_or(&Value::Null), now);
        }
        let mut entries: Vec<Value> = list(there, field).iter().filter(|old| !is_ours(old)).cloned().collect();
        entries.extend(list(&wanted, field).iter().cloned());
        entries.truncate(if field == "parents" { MAX_PARENTS } else { MAX_ANCESTORS });
        wanted[field] = Value::Array(entries);
    }
    wanted
}

fn wanted(kind: Kind, status: Option<&ObjectStatus>) -> Value {
    let Some(status) = status else {
        return shared_list(kind).map_or(json!({}), |(field, _)| json!({ field: [] }));
    };
    let generation = status.observed_generation;
    let mut fields = Map::new();
    let mut put = |name: &str, values: Vec<Value>| {
        if !values.is_empty() {
            fields.insert(name.to_owned(), Value::Array(values));
        }
    };
    if let Some((field, reference)) = shared_list(kind) {
        let parents = status.parents.iter().filter(|parent| parent.claimed).map(|p| (&p.parent_ref, &p.conditions));
        let ancestors = status.ancestors.iter().map(|a| (&a.ancestor_ref, &a.conditions));
        let entry = |(about, of_it): (&ParentReference, &Vec<Condition>)| {
            json!({
                "controllerName": CONTROLLER_NAME,
                reference: parent_ref(about),
                "conditions": conditions(of_it, generation),
            })
        };
        fields.insert(field.into(), Value::Array(parents.chain(ancestors).map(entry).collect()));
        return Value::Object(fields);
    }
    put("conditions", conditions(&status.conditions, generation));
    put("listeners", status.listeners.iter().map(|l| listener(l, generation)).collect());
    put("addresses", status.addresses.iter().map(|a| json!({ "type": a.type_, "value": a.value })).collect());
    put("supportedFeatures", status.supported_features.iter().map(|name| json!({ "name": name })).collect());
    if let Some(attached) = status.attached_listener_sets {
        fields.insert("attachedListenerSets".into(), json!(attached));
    }
    for own in [serde_json::to_value(&status.tenant), serde_json::to_value(&status.plan)] {
        if let Ok(Value::Object(own)) = own {
            fields.extend(own);
        }
    }
    Value::Object(fields)
}

fn conditions(conditions: &[Condition], generation: Option<i64>) -> Vec<Value> {
    let one = |condition: &Condition| {
        let message = &condition.message[..condition.message.floor_char_boundary(MAX_MESSAGE)];
        let mut fields = json!({
            "type": condition.type_,
            "status": if condition.status { "True" } else { "False" },
            "reason": condition.reason,
            "message": message,
        });
        if let Some(generation) = generation {
            fields["observedGeneration"] = json!(generation);
        }
        fields
    };
    conditions.iter().map(one).collect()
}

fn listener(listener: &ListenerStatus, generation: Option<i64>) -> Value {
    let kinds = listener.supported_kinds.iter().map(|kind| json!({ "group": GATEWAY_GROUP, "kind": kind }));
    json!({
        "name": listener.name,
        "attachedRoutes": listener.attached_routes,
        "supportedKinds": kinds.collect::<Vec<_>>(),
        "conditions": conditions(&listener.conditions, generation),
    })
}

/// With the group and kind that an API server would fill in.
fn parent_ref(parent: &ParentReference) -> Value {
    defaulted(&serde_json::to_value(parent).unwrap_or_default())
}

/// Gives each condition a time: the one that it had, if its status is the same, else `now`.
fn stamp(holder: &mut Value, old: &Value, now: &str) {
    for condition in list_mut(holder, "conditions") {
        let same = |old: &&Value| old["type"] == condition["type"] && old["status"] == condition["status"];
        let time = list(old, "conditions").iter().find(same).and_then(|old| old["lastTransitionTime"].as_str());
        condition["lastTransitionTime"] = json!(time.unwrap_or(now));
    }
}

fn list<'a>(of: &'a Value, field: &str) -> &'a [Value] {
    of[field].as_array().map_or(&[], Vec::as_slice)
}

fn list_mut<'a>(of: &'a mut Value, field: &str) -> &'a mut [Value] {
    of.get_mut(field).and_then(Value::as_array_mut).map_or(&mut [], Vec::as_mut_slice)
}

#[cfg(test)]
mod tests;
