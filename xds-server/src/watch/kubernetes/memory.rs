//! What an object costs in memory, by kind: a measurement, which `cargo nextest run --run-ignored only -p
//! weir-xds-server bytes_of_an_object --no-capture` repeats; docs/kubernetes.md has its figures.

use std::fs;

use serde_json::{Value, json};
use weir_config::kinds::Kind;

use super::gather::{Gather, Report};
use super::target::Target;
use super::wire::page;

/// Objects of each kind.
const MANY: usize = 20_000;
/// Objects of a page, as they come.
const PAGE: usize = 500;

/// An object as an API server gives it, with what is dropped.
fn object(kind: Kind, n: usize) -> Value {
    let mut object = match kind {
        Kind::Namespace => json!({"metadata": {"labels": {
            "weir.dev/tenant": format!("tenant-{n}"), "kubernetes.io/metadata.name": format!("name-{n}")}}}),
        Kind::Service => json!({
            "spec": {"clusterIP": "10.43.0.11", "clusterIPs": ["10.43.0.11"], "type": "ClusterIP",
                "ipFamilies": ["IPv4"], "selector": {"app": "shop"}, "sessionAffinity": "None",
                "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}]},
            "status": {"loadBalancer": {}}}),
        Kind::EndpointSlice => {
            let endpoint = |pod: usize| {
                json!({"addresses": [format!("10.{}.{}.{pod}", n / 250 % 250, n % 250)], "nodeName": format!("node-{pod}"),
                    "zone": "eu-1a", "conditions": {"ready": true, "serving": true, "terminating": false},
                    "targetRef": {"kind": "Pod", "name": format!("shop-{pod}"), "namespace": "shop", "uid": "0123456789"}})
            };
            json!({"metadata": {"labels": {"kubernetes.io/service-name": format!("name-{n}"), "app": "shop"}},
                "addressType": "IPv4", "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
                "endpoints": (0..3).map(endpoint).collect::<Vec<_>>()})
        }
        Kind::Secret => json!({"type": "kubernetes.io/tls",
            "data": {"tls.crt": "QUJD".repeat(400), "tls.key": "QUJD".repeat(60), "ca.crt": "QUJD".repeat(400)}}),
        Kind::HTTPRoute => json!({"spec": {
            "parentRefs": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "public", "namespace": "weir-system"}],
            "hostnames": [format!("host-{n}.tenants.test")],
            "rules": [{"matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
                "backendRefs": [{"group": "", "kind": "Service", "name": format!("name-{n}"), "port": 80, "weight": 1}]}]}}),
        Kind::Tenant => json!({"spec": {"plan": "pro", "hostnames": [format!("host-{n}.tenants.test")]}}),
        _ => json!({"spec": {}}),
    };
    let metadata = &mut object["metadata"];
    metadata["name"] = format!("name-{n}").into();
    metadata["resourceVersion"] = (n + 1).to_string().into();
    metadata["uid"] = format!("6ddd676c-907f-473e-a158-{n:012}").into();
    metadata["creationTimestamp"] = "2026-11-25T02:03:58Z".into();
    metadata["managedFields"] = json!([{"manager": "kubectl", "operation": "Apply", "fieldsType": "FieldsV1",
        "fieldsV1": {"f:metadata": {"f:labels": {".": {}}}, "f:spec": {"f:ports": {}}}}]);
    if kind.namespaced() {
        metadata["namespace"] = format!("tenant-{}", n / 4).into();
    }
    object
}

/// Resident memory of this process, in bytes.
fn resident() -> usize {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
#[ignore = "a measurement"]
fn bytes_of_an_object_by_kind() {
    let mut held = Vec::new();
    // The first warms the allocator up, with what is in use for a moment only.
    for kind in
        [Kind::Plan, Kind::Namespace, Kind::Service, Kind::EndpointSlice, Kind::Secret, Kind::HTTPRoute, Kind::Tenant]
    {
        let mut gather = Gather::new(vec![Target { kind, namespace: None }]);
        let (before, mut items, mut sent) = (resident(), Vec::new(), 0);
        for first in (0..MANY).step_by(PAGE) {
            let objects: Vec<Value> = (first..first + PAGE).map(|n| object(kind, n)).collect();
            let text = json!({"metadata": {"resourceVersion": "1"}, "items": objects}).to_string();
            sent += text.len();
            items.extend(page(kind, text.as_bytes()).unwrap().items);
        }
        assert!(items.iter().all(|item| item.object.is_some()));
        gather.take(0, Report::Listed(items, "1".into()));
        let batch = gather.batch().unwrap();
        let each = resident().saturating_sub(before) / MANY;
        println!("{:14} {:5} bytes as sent, {each:5} in memory", kind.name(), sent / MANY);
        held.push((gather, batch));
    }
}
