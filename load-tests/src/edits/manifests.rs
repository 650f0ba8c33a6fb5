//! The objects of a fleet: a platform with one Gateway, and tenants that each have a namespace, two
//! routes and two Services with endpoints. JSON, which is YAML too.

use std::fmt::Write as _;
use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::rows::{LIMIT, host};
use crate::upstream::Upstream;

/// The header by which an edit shows in answers.
pub(crate) const HEADER: &str = "x-edit";
/// Objects of a tenant.
pub(crate) const OBJECTS: u32 = 8;

/// What the platform's team writes: one HTTP listener at all addresses.
pub(crate) fn platform(port: u16) -> Vec<Value> {
    let listener = json!({
        "name": "http", "protocol": "HTTP", "port": port, "allowedRoutes": {"namespaces": {"from": "All"}},
    });
    vec![
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass", "metadata": {"name": "weir"},
            "spec": {"controllerName": "weir.dev/gateway-controller"},
        }),
        json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "weir-system"},
        }),
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
            "metadata": {"name": "public", "namespace": "weir-system"},
            "spec": {"gatewayClassName": "weir", "listeners": [listener]},
        }),
        json!({
            "apiVersion": "weir.dev/v1alpha1", "kind": "Plan", "metadata": {"name": "large"},
            "spec": {"requests": {"perSecond": LIMIT, "burst": LIMIT}},
        }),
    ]
}

/// What tenant `n` has, but for the route that is edited.
pub(crate) fn tenant(n: u32, upstream: &Upstream) -> Vec<Value> {
    let name = format!("t{n}");
    let mut objects = vec![
        json!({
            "apiVersion": "weir.dev/v1alpha1", "kind": "Tenant", "metadata": {"name": name},
            "spec": {"plan": "large", "hostnames": [host(n)]},
        }),
        json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": name, "labels": {"weir.dev/tenant": name}},
        }),
    ];
    for (service, address) in [("api", upstream.api), ("web", upstream.web)] {
        objects.extend(backend(&name, service, address));
    }
    objects.push(route(n, "api", "/api", None));
    objects
}

pub(super) fn backend(namespace: &str, name: &str, address: SocketAddr) -> [Value; 2] {
    [
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace},
            "spec": {"ports": [{"name": "http", "port": 80}]},
        }),
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {
                "name": format!("{name}-1"), "namespace": namespace,
                "labels": {"kubernetes.io/service-name": name},
            },
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": address.port()}],
            "endpoints": [{"addresses": [address.ip().to_string()], "conditions": {"ready": true}}],
        }),
    ]
}

/// The route of tenant `n` that is edited: its answers say which edit they are of.
pub(crate) fn edited(n: u32, edit: u32) -> Value {
    route(n, "web", "/", Some(edit))
}

pub(super) fn route(n: u32, name: &str, prefix: &str, edit: Option<u32>) -> Value {
    let filters: Vec<Value> = edit
        .iter()
        .map(|edit| {
            let set = json!([{"name": HEADER, "value": edit.to_string()}]);
            json!({"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": set}})
        })
        .collect();
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": name, "namespace": format!("t{n}")},
        "spec": {
            "parentRefs": [{"name": "public", "namespace": "weir-system"}],
            "hostnames": [host(n)],
            "rules": [{
                "matches": [{"path": {"type": "PathPrefix", "value": prefix}}],
                "filters": filters,
                "backendRefs": [{"name": name, "port": 80}],
            }],
        },
    })
}

/// Documents of one file.
pub(crate) fn file(objects: &[Value]) -> String {
    objects.iter().fold(String::new(), |mut text, object| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "---\n{object:#}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_has_as_many_objects_as_are_counted() {
        let address = "127.0.0.1:1".parse().unwrap();
        let upstream = Upstream { api: address, web: address, http2: address, tids: [1; 2] };
        assert_eq!(tenant(7, &upstream).len() + [edited(7, 1)].len(), OBJECTS as usize);
    }

    #[test]
    fn an_edit_changes_one_header() {
        let (one, two) = (edited(7, 1).to_string(), edited(7, 2).to_string());
        assert_eq!(one.replace(r#""value":"1""#, r#""value":"2""#), two);
    }
}
