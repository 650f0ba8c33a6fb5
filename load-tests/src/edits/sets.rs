//! Objects of a fleet whose tenants each bring a ListenerSet with a name and a certificate of their own, and some of
//! them another route while one looks.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::manifests::{self, backend};
use crate::rows::host;
use crate::upstream::Upstream;

/// Port of tenants' listeners.
pub(crate) const PORT: u16 = 8443;
/// Objects of a tenant besides its routes: Tenant, Namespace, Service, EndpointSlice, Secret, ListenerSet.
pub(crate) const BESIDES: u32 = 6;

/// What the platform's team writes: a Gateway that takes listeners of every namespace.
pub(crate) fn platform(port: u16) -> Vec<Value> {
    let mut objects = manifests::platform(port);
    for gateway in objects.iter_mut().filter(|object| object["kind"] == "Gateway") {
        gateway["spec"]["allowedListeners"] = json!({"namespaces": {"from": "All"}});
    }
    objects
}

/// What tenant `n` has, with `routes` routes, but for the one that is edited, which counts.
///
/// # Errors
/// No certificate could be made.
pub(crate) fn tenant(n: u32, routes: u32, upstream: &Upstream) -> anyhow::Result<Vec<Value>> {
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
        secret(n)?,
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "ListenerSet",
            "metadata": {"name": "own", "namespace": name},
            "spec": {
                "parentRef": {"name": "public", "namespace": "weir-system"},
                "listeners": [{
                    "name": "https", "port": PORT, "protocol": "HTTPS", "hostname": host(n),
                    "tls": {"certificateRefs": [{"name": "own"}]},
                }],
            },
        }),
    ];
    objects.extend(backend(&name, "web", upstream.web));
    objects.extend((1..routes).map(|route| self::route(n, &format!("r{route}"), &format!("/r{route}"), 0)));
    Ok(objects)
}

/// The route of tenant `n` that is edited: its answers say which edit they are of.
pub(crate) fn edited(n: u32, edit: u32) -> Value {
    route(n, "web", "/", edit)
}

/// The path of a route that comes.
pub(crate) fn path(edit: u32) -> String {
    format!("/new-{edit}")
}

/// A route of tenant `n` that was not there; its answers say which edit made it.
pub(crate) fn added(n: u32, edit: u32) -> Value {
    route(n, &format!("new-{edit}"), &path(edit), edit)
}

fn route(n: u32, name: &str, prefix: &str, edit: u32) -> Value {
    let mut route = manifests::route(n, name, prefix, Some(edit));
    route["spec"]["parentRefs"] = json!([{"kind": "ListenerSet", "name": "own"}]);
    route["spec"]["rules"][0]["backendRefs"] = json!([{"name": "web", "port": 80}]);
    route
}

fn secret(n: u32) -> anyhow::Result<Value> {
    let made = rcgen::generate_simple_self_signed([host(n)])?;
    let data = |text: String| STANDARD.encode(text);
    Ok(json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"name": "own", "namespace": format!("t{n}")},
        "data": {"tls.crt": data(made.cert.pem()), "tls.key": data(made.signing_key.serialize_pem())},
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_has_as_many_objects_and_routes_as_are_counted() {
        let address = "127.0.0.1:1".parse().unwrap();
        let upstream = Upstream { api: address, web: address, http2: address, tids: [1; 2] };
        let mut objects = tenant(7, 10, &upstream).unwrap();
        objects.push(edited(7, 0));
        let routes = objects.iter().filter(|object| object["kind"] == "HTTPRoute").count();
        assert_eq!((routes, objects.len()), (10, 10 + BESIDES as usize));
        assert!(objects.iter().all(|object| !object["kind"].is_null() && !object["metadata"]["name"].is_null()));
        assert_ne!(tenant(8, 1, &upstream).unwrap()[2]["data"], objects[2]["data"], "each has its own certificate");
    }
}
