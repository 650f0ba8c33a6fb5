//! Fields that a kind of ours does not have: an error, with the name that was probably meant.

use std::sync::LazyLock;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::CustomResourceExt;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use super::path;
use crate::FieldError;
use crate::kinds::{Kind, plan::Plan, tenant::Tenant, traffic_policy::TrafficPolicy};

/// Takes the unknown fields out of an object of one of Weir's own kinds, and says which they were.
/// Objects of other kinds are left alone: an API server prunes what it does not know of them.
pub(super) fn take_unknown(kind: Kind, object: &mut Value) -> Vec<FieldError> {
    static PLAN: LazyLock<Value> = LazyLock::new(|| schema(&Plan::crd()));
    static TENANT: LazyLock<Value> = LazyLock::new(|| schema(&Tenant::crd()));
    static TRAFFIC_POLICY: LazyLock<Value> = LazyLock::new(|| schema(&TrafficPolicy::crd()));
    let schema = match kind {
        Kind::Plan => &*PLAN,
        Kind::Tenant => &*TENANT,
        Kind::TrafficPolicy => &*TRAFFIC_POLICY,
        _ => return Vec::new(),
    };
    let mut errors = Vec::new();
    walk(schema, object, "", &mut errors);
    errors
}

/// The schema of a whole object, metadata included, which a CRD leaves to the API server.
fn schema(crd: &impl serde::Serialize) -> Value {
    let crd = serde_json::to_value(crd).unwrap_or_default();
    let mut schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
    let metadata = SchemaSettings::draft07()
        .with(|settings| settings.inline_subschemas = true)
        .into_generator()
        .into_root_schema_for::<ObjectMeta>();
    if let Some(properties) = schema["properties"].as_object_mut() {
        properties.insert("metadata".into(), metadata.to_value());
        for name in ["apiVersion", "kind"] {
            properties.insert(name.into(), Value::Object(Map::new()));
        }
    }
    schema
}

fn walk(schema: &Value, value: &mut Value, at: &str, errors: &mut Vec<FieldError>) {
    match value {
        Value::Object(fields) => {
            let known = schema["properties"].as_object();
            if let Some(known) = known {
                let unknown: Vec<String> = fields.keys().filter(|name| !known.contains_key(*name)).cloned().collect();
                for name in unknown {
                    fields.shift_remove(&name);
                    errors.push(unknown_field(at, &name, known));
                }
            }
            for (name, field) in fields {
                let schema = known.and_then(|known| known.get(name)).unwrap_or(&schema["additionalProperties"]);
                walk(schema, field, &path::child(at, name), errors);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                walk(&schema["items"], item, &path::item(at, index), errors);
            }
        }
        _ => {}
    }
}

fn unknown_field(at: &str, name: &str, known: &Map<String, Value>) -> FieldError {
    let error = FieldError::new(path::child(at, name), "unknown field");
    match nearest(name, known.keys().map(String::as_str)) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => {
            let names: Vec<_> = known.keys().map(|name| format!("`{name}`")).collect();
            if names.is_empty() || names.len() > 10 {
                error
            } else {
                error.hint(format!("known: {}", names.join(", ")))
            }
        }
    }
}

/// The name that was probably meant, if one is near enough.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    known
        .map(|known| (strsim::damerau_levenshtein(&lower, &known.to_lowercase()), known))
        .filter(|(distance, known)| *distance <= (known.len().max(name.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}
