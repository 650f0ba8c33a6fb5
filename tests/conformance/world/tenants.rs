//! The suite's namespaces as customers: each a Tenant with the hostnames that its own objects need.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::manifests::identity;
use crate::data::Data;

/// The plan of all of them: without limits.
const PLAN: &str = "conformance";

/// The Plan, and a Tenant for each namespace of the suite.
pub(super) fn tenants(data: &Data) -> Vec<Value> {
    let files = data.tests.iter().flat_map(|test| &test.manifests).map(String::as_str);
    let files: BTreeSet<&str> = files.filter(|file| !file.contains("/mesh/")).chain(["base/manifests.yaml"]).collect();
    let objects: Vec<Value> = files.iter().flat_map(|file| data.manifest(file)).collect();
    let listeners = listeners(&objects);
    let mut hostnames: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for object in &objects {
        let (namespace, name) = identity(object);
        let owner = if object["kind"] == "Namespace" { name } else { namespace };
        if !owner.is_empty() {
            hostnames.entry(owner.to_owned()).or_default().extend(needed(object, &listeners));
        }
    }
    let plan = json!({"apiVersion": "weir.dev/v1alpha1", "kind": "Plan", "metadata": {"name": PLAN}, "spec": {}});
    let tenant = |(name, hostnames): (String, BTreeSet<String>)| {
        json!({
            "apiVersion": "weir.dev/v1alpha1", "kind": "Tenant",
            "metadata": {"name": name}, "spec": {"plan": PLAN, "hostnames": hostnames},
        })
    };
    std::iter::once(plan).chain(hostnames.into_iter().map(tenant)).collect()
}

/// Puts a namespace into its Tenant.
pub(super) fn label(namespace: &mut Value) {
    let name = namespace["metadata"]["name"].clone();
    namespace["metadata"]["labels"]["weir.dev/tenant"] = name;
}

/// Hostnames of listeners, by the name of the Gateway or ListenerSet; a listener without one has `*`.
fn listeners(objects: &[Value]) -> BTreeMap<String, BTreeSet<String>> {
    let holders = objects.iter().filter(|object| object["kind"] == "Gateway" || object["kind"] == "ListenerSet");
    holders
        .map(|holder| {
            let all = holder["spec"]["listeners"].as_array().into_iter().flatten();
            let names = all.map(|listener| listener["hostname"].as_str().unwrap_or("*").to_owned());
            (identity(holder).1.to_owned(), names.collect())
        })
        .collect()
}

/// What the owner of an object must own for it to be served: a route's hostnames or, without any, those of the
/// listeners that it attaches to; the hostnames of listeners.
fn needed(object: &Value, listeners: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<String> {
    match object["kind"].as_str() {
        Some("HTTPRoute" | "GRPCRoute" | "TLSRoute") => {
            let own = object["spec"]["hostnames"].as_array().into_iter().flatten();
            let own: BTreeSet<String> = own.filter_map(Value::as_str).map(str::to_owned).collect();
            if !own.is_empty() {
                return own;
            }
            let parents = object["spec"]["parentRefs"].as_array().into_iter().flatten();
            let of = |parent: &Value| parent["name"].as_str().and_then(|name| listeners.get(name)).cloned();
            parents.filter_map(of).flatten().collect()
        }
        Some("Gateway" | "ListenerSet") => listeners.get(identity(object).1).cloned().unwrap_or_default(),
        _ => BTreeSet::new(),
    }
}
