//! CustomResourceDefinitions of Weir's own kinds.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::{Value, json};

use super::plan::Plan;
use super::tenant::Tenant;
use super::traffic_policy::TrafficPolicy;

/// The CRDs, as `weir crds` prints them and the chart installs them. Always the same text.
pub fn crds_yaml() -> String {
    crds().iter().map(|crd| format!("---\n{}", yaml(crd))).collect()
}

/// The CRDs, by name.
pub fn crds() -> Vec<Value> {
    [Plan::crd(), Tenant::crd(), TrafficPolicy::crd()].iter().map(finish).collect()
}

/// What the derive macros cannot say.
fn finish(crd: &CustomResourceDefinition) -> Value {
    let mut crd = serde_json::to_value(crd).unwrap_or_default();
    let kind = crd["spec"]["names"]["kind"].as_str().unwrap_or_default().to_owned();
    crd["spec"]["versions"][0]["additionalPrinterColumns"] = columns(&kind);
    let root = &mut crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    integers(root);
    let status = &mut root["properties"]["status"]["properties"];
    if kind == "TrafficPolicy" {
        let ancestors = &mut status["ancestors"];
        ancestors["x-kubernetes-list-type"] = json!("atomic");
        let conditions = &mut ancestors["items"]["properties"]["conditions"];
        conditions["x-kubernetes-list-type"] = json!("map");
        conditions["x-kubernetes-list-map-keys"] = json!(["type"]);
        let spec = &mut root["properties"]["spec"]["properties"];
        spec["targetRefs"]["x-kubernetes-list-type"] = json!("atomic");
        spec["sticky"]["x-kubernetes-validations"] = json!([{
            "rule": "has(self.cookie) != has(self.header)",
            "message": "must have exactly one of cookie and header",
        }]);
        spec["targetRefs"]["items"]["x-kubernetes-validations"] = json!([{
            "rule": "self.kind == 'Service' ? self.group == '' : self.kind in ['Gateway', 'HTTPRoute', 'GRPCRoute'] && \
                     self.group == 'gateway.networking.k8s.io'",
            "message": "must be a Gateway, HTTPRoute, GRPCRoute or Service, with its group",
        }]);
        return crd;
    }
    status["conditions"]["x-kubernetes-list-type"] = json!("map");
    status["conditions"]["x-kubernetes-list-map-keys"] = json!(["type"]);
    if kind == "Tenant" {
        root["x-kubernetes-validations"] = json!([
            {
                "rule": "self.metadata.name.matches('^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$')",
                "message": "a Tenant's name is a DNS label: it is part of its identities",
            },
            { "rule": "self.metadata.name != 'system'", "message": "`system` is the platform's own tenant" },
        ]);
        root["properties"]["spec"]["properties"]["hostnames"]["x-kubernetes-list-type"] = json!("set");
        for list in ["namespaces", "hostnames", "lostHostnames"] {
            root["properties"]["status"]["properties"][list]["x-kubernetes-list-type"] = json!("atomic");
        }
    }
    crd
}

/// What `kubectl get` shows beside the name.
fn columns(kind: &str) -> Value {
    if kind == "TrafficPolicy" {
        return json!([
            { "name": "Kind", "type": "string", "jsonPath": ".spec.targetRefs[0].kind" },
            { "name": "Target", "type": "string", "jsonPath": ".spec.targetRefs[0].name" },
            { "name": "Accepted", "type": "string",
              "jsonPath": ".status.ancestors[0].conditions[?(@.type=='Accepted')].status" },
            { "name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp" },
        ]);
    }
    let own = match kind {
        "Tenant" => [
            ("Plan", "string", ".spec.plan"),
            ("State", "string", ".spec.state"),
            ("Requests", "integer", ".status.usage.requests"),
        ],
        _ => [
            ("Requests", "integer", ".spec.requests.perSecond"),
            ("Bandwidth", "string", ".spec.bandwidth.bytesPerSecond"),
            ("Tenants", "integer", ".status.tenants"),
        ],
    };
    let all = [
        ("Accepted", "string", ".status.conditions[?(@.type=='Accepted')].status"),
        ("Age", "date", ".metadata.creationTimestamp"),
    ];
    let column = |(name, type_, path)| json!({ "name": name, "type": type_, "jsonPath": path });
    own.into_iter().chain(all).map(column).collect()
}

/// Unsigned formats, which an API server does not know, become a range of `int64`.
fn integers(schema: &mut Value) {
    if schema["format"] == "uint32" {
        schema["format"] = json!("int64");
        schema["maximum"] = json!(u32::MAX);
    }
    if schema["format"] == "uint64" {
        schema["format"] = json!("int64");
    }
    // Ranges are written as floats by the schema generator.
    for bound in ["minimum", "maximum"] {
        let whole = schema.get(bound).and_then(Value::as_f64).filter(|bound| bound.fract() == 0.0);
        if let Some(whole) = whole {
            schema[bound] = json!(whole as i64);
        }
    }
    match schema {
        Value::Object(fields) => fields.values_mut().filter(|field| field.is_object()).for_each(integers),
        Value::Array(items) => items.iter_mut().for_each(integers),
        _ => {}
    }
}

#[expect(clippy::expect_used, reason = "a JSON value always has a YAML form")]
fn yaml(value: &Value) -> String {
    serde_saphyr::to_string(value).expect("a JSON value is YAML")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::Value;

    use super::{crds, crds_yaml};

    /// `WEIR_REGENERATE=1` rewrites the file.
    #[test]
    fn the_chart_holds_the_crds() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../helm/weir/crds/weir.dev_crds.yaml");
        if std::env::var_os("WEIR_REGENERATE").is_some() {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, crds_yaml()).unwrap();
        }
        let committed = std::fs::read_to_string(&file).unwrap();
        assert!(committed == crds_yaml(), "{} is old: run this test with WEIR_REGENERATE=1", file.display());
    }

    #[test]
    fn what_is_printed_is_what_was_meant() {
        let read: Vec<Value> = serde_saphyr::from_multiple(&crds_yaml()).unwrap();
        assert_eq!(read, crds());
    }

    /// Rules of "Specifying a structural schema": every value has a type (or is int-or-string), and
    /// nothing stands in it that an API server refuses or does not know.
    #[test]
    fn schemas_are_structural() {
        fn walk(at: &str, schema: &Value) {
            let Value::Object(fields) = schema else { panic!("{at} is {schema}") };
            assert!(fields.contains_key("type") || fields.contains_key("x-kubernetes-int-or-string"), "{at}: no type");
            for banned in ["$ref", "definitions", "anyOf", "oneOf", "allOf", "not", "$schema", "const"] {
                assert!(!fields.contains_key(banned), "{at}: {banned}");
            }
            if let Some(format) = fields.get("format") {
                assert!(["int32", "int64", "date-time"].iter().any(|known| format == known), "{at}: {format}");
            }
            for (name, property) in fields.get("properties").and_then(Value::as_object).into_iter().flatten() {
                walk(&format!("{at}.{name}"), property);
            }
            for name in ["items", "additionalProperties"] {
                if let Some(inner) = fields.get(name) {
                    walk(&format!("{at}.{name}"), inner);
                }
            }
        }
        for crd in crds() {
            walk("", &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]);
        }
    }

    #[test]
    fn kubectl_shows_what_matters() {
        for crd in crds() {
            let version = &crd["spec"]["versions"][0];
            assert_eq!(version["subresources"]["status"], serde_json::json!({}));
            assert_eq!(crd["spec"]["names"]["categories"], serde_json::json!(["weir"]));
            let of_namespace = crd["spec"]["names"]["kind"] == "TrafficPolicy";
            assert_eq!(crd["spec"]["scope"], if of_namespace { "Namespaced" } else { "Cluster" });
            let columns = version["additionalPrinterColumns"].as_array().unwrap();
            let names: Vec<_> = columns.iter().map(|column| column["name"].as_str().unwrap()).collect();
            assert!(names.ends_with(&["Accepted", "Age"]), "{names:?}");
        }
    }
}
