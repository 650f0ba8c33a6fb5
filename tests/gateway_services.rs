//! A Service for each Gateway (GEP-1762), at a real API server: what is made, what leads it to the edge's pods, and what
//! is left alone.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use crate::support::apiserver::{ApiServer, Call};
use crate::support::helm::render;
use crate::support::process::Process;
use crate::support::rights::{Grain, compare, granted};
use crate::support::site::{Site, weir};
use crate::support::wait;

const GATEWAY: &str = "/apis/gateway.networking.k8s.io/v1/namespaces/shop/gateways/public";
const SERVICE: &str = "/api/v1/namespaces/shop/services/public-weir";
const SLICES: &str =
    "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3Dpublic-weir";
const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/weir-system/leases/weir-server";

const MANIFESTS: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: weir-system}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {weir.dev/tenant: acme}}
---
apiVersion: weir.dev/v1alpha1
kind: Plan
metadata: {name: pro}
spec: {}
---
apiVersion: weir.dev/v1alpha1
kind: Tenant
metadata: {name: acme}
spec: {plan: pro, hostnames: ["*.acme.test"]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: weir}
spec: {controllerName: weir.dev/gateway-controller}
"#;

/// The tenant's Gateway, with these labels for what is made for it.
fn gateway(labels: &Value, ports: &[u16]) -> Value {
    let listeners: Vec<Value> =
        ports.iter().map(|port| json!({"name": format!("p{port}"), "port": port, "protocol": "HTTP"})).collect();
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
        "metadata": {"name": "public", "namespace": "shop"},
        "spec": {
            "gatewayClassName": "weir", "listeners": listeners,
            "infrastructure": {"labels": labels, "annotations": {"example.com/team": "shop", "example.com/pool": "mine"}},
        },
    })
}

/// The edge's pods, as the controller of their headless Service writes them: ready ones, and one that is not.
fn pods(ready: &[&str], starting: &str) -> Value {
    let endpoint = |ip: &str, serving: bool| {
        json!({
            "addresses": [ip], "nodeName": "node-1",
            "conditions": {"ready": true, "serving": serving, "terminating": false},
        })
    };
    let endpoints: Vec<Value> = ready.iter().map(|ip| endpoint(ip, true)).chain([endpoint(starting, false)]).collect();
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": "weir-edge-pods-x1", "namespace": "weir-system",
            "labels": {"kubernetes.io/service-name": "weir-edge-pods"},
        },
        "addressType": "IPv4", "endpoints": endpoints, "ports": [{"name": "metrics", "port": 9902}],
    })
}

fn server(site: &Site, api: &ApiServer, name: &str, service: &Value) -> Process {
    let bootstrap = json!({
        "source": {"kubernetes": {"kubeconfig": api.kubeconfig(), "replica": name}},
        "stateDir": site.path(&format!("{name}-state")),
        "xds": {"address": format!("{}:18100", site.ip())},
        "admin": {"address": format!("{}:18200", site.ip())},
        "authentication": {"anonymous": true},
        "edge": {"service": service},
    });
    let file = site.path(&format!("{name}.yaml"));
    fs::write(&file, bootstrap.to_string()).unwrap();
    site.process(name, weir().arg("server").arg("--config").arg(&file))
}

/// What the platform sets of a Gateway's Service.
fn settings() -> Value {
    json!({
        "perGateway": true, "pods": "weir-system/weir-edge-pods", "type": "ClusterIP",
        "annotations": {"example.com/pool": "public"},
    })
}

fn place() -> (Site, ApiServer) {
    let site = Site::new();
    let api = ApiServer::start(&site);
    api.cluster().apply(MANIFESTS);
    api.cluster().apply_value(&pods(&["10.1.0.1", "10.1.0.2"], "10.1.0.3"));
    (site, api)
}

/// Waits until what is at a path satisfies `look`; returns it.
fn until(api: &ApiServer, path: &str, look: impl Fn(&Value) -> bool) -> Value {
    wait::until_ok(path, || {
        let found = api.cluster().get(path).unwrap_or_default();
        if look(&found) { Ok(found) } else { Err(found.to_string()) }
    })
}

fn ports(service: &Value) -> Vec<u64> {
    let ports = service["spec"]["ports"].as_array().cloned().unwrap_or_default();
    ports.iter().filter_map(|port| port["port"].as_u64()).collect()
}

/// The addresses of what leads the Service anywhere: those that take connections, and the others.
fn led_to(slices: &Value) -> (Vec<String>, Vec<String>) {
    let endpoints = slices["items"].as_array().into_iter().flatten().flat_map(|slice| slice["endpoints"].as_array());
    let (ready, other): (Vec<&Value>, Vec<&Value>) =
        endpoints.flatten().partition(|endpoint| endpoint["conditions"]["ready"] == true);
    let texts = |all: Vec<&Value>| all.iter().map(|e| e["addresses"][0].as_str().unwrap().to_owned()).collect();
    (texts(ready), texts(other))
}

fn programmed(gateway: &Value) -> (String, String) {
    let conditions = gateway["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let found = conditions.into_iter().find(|one| one["type"] == "Programmed").unwrap_or_default();
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    (text("reason"), text("message"))
}

fn writes(call: &Call) -> bool {
    let made = call.resource == "services" || call.resource == "endpointslices";
    made && !matches!(call.verb, "get" | "list" | "watch")
}

#[test]
fn a_gateway_has_a_service_that_leads_to_the_pods_of_its_edge_and_is_reached_there() {
    let (site, api) = place();
    let spoofed = json!({
        "team": "shop", "weir.dev/edge": "other", "app.kubernetes.io/managed-by": "me",
        "kubernetes.io/service-name": "other",
    });
    api.cluster().apply_value(&gateway(&spoofed, &[80, 443]));
    let _server = server(&site, &api, "server", &settings());
    let service = until(&api, SERVICE, |service| ports(service) == [80, 443]);
    let labels = &service["metadata"]["labels"];
    assert_eq!(labels["team"], "shop");
    assert_eq!(labels["gateway.networking.k8s.io/gateway-name"], "public");
    assert_eq!(labels["gateway.networking.k8s.io/gateway-class-name"], "weir");
    assert_eq!(
        (&labels["app.kubernetes.io/managed-by"], &labels["weir.dev/edge"]),
        (&json!("weir-server"), &Value::Null)
    );
    let annotations = &service["metadata"]["annotations"];
    assert_eq!(annotations["example.com/team"], "shop");
    assert_eq!(annotations["example.com/pool"], "public", "what the platform says goes first");
    let owner = &service["metadata"]["ownerReferences"][0];
    let gateway_there = api.cluster().get(GATEWAY).unwrap();
    assert_eq!((&owner["kind"], &owner["uid"]), (&json!("Gateway"), &gateway_there["metadata"]["uid"]));
    assert_eq!((&service["spec"]["type"], &service["spec"]["selector"]), (&json!("ClusterIP"), &Value::Null));

    let both = (vec!["10.1.0.1".to_owned(), "10.1.0.2".to_owned()], vec!["10.1.0.3".to_owned()]);
    let slices = until(&api, SLICES, |slices| led_to(slices) == both);
    let slice = &slices["items"][0];
    assert_eq!(slice["endpoints"][0]["nodeName"], "node-1", "externalTrafficPolicy Local needs it");
    assert_eq!(slice["metadata"]["labels"]["kubernetes.io/service-name"], "public-weir", "a label does not move it");
    assert_eq!(slice["metadata"]["labels"]["team"], "shop");

    // A pod more.
    api.cluster().apply_value(&pods(&["10.1.0.1", "10.1.0.2", "10.1.0.3"], "10.1.0.4"));
    until(&api, SLICES, |slices| led_to(slices).0.len() == 3);
    // What the Gateway's owner takes back goes.
    api.cluster().apply_value(&gateway(&json!({"stage": "live"}), &[80]));
    let service = until(&api, SERVICE, |service| ports(service) == [80]);
    assert_eq!(
        (&service["metadata"]["labels"]["stage"], &service["metadata"]["labels"]["team"]),
        (&json!("live"), &Value::Null)
    );
    // Somebody else's edit is undone.
    api.cluster().apply_value(&json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "public-weir", "namespace": "shop"},
        "spec": {"ports": [{"name": "tcp-80", "port": 80, "protocol": "TCP", "targetPort": 9}]},
    }));
    until(&api, SERVICE, |service| service["spec"]["ports"][0]["targetPort"] == 80);

    api.cluster().delete(&gateway(&json!({}), &[80]).to_string());
    wait::until("the Service to be gone", || api.cluster().get(SERVICE).is_none().then_some(()));
    until(&api, SLICES, |slices| slices["items"].as_array().is_some_and(Vec::is_empty));
}

#[test]
fn the_addresses_of_a_gateway_are_those_of_its_service_once_it_has_some() {
    let (site, api) = place();
    api.cluster().apply_value(&gateway(&json!({}), &[80]));
    let mut balanced = settings();
    balanced["type"] = json!("LoadBalancer");
    let _server = server(&site, &api, "server", &balanced);
    until(&api, SERVICE, |service| service["spec"]["externalTrafficPolicy"] == "Local");
    until(&api, GATEWAY, |gateway| {
        let (reason, message) = programmed(gateway);
        reason == "AddressNotAssigned" && message == "Service shop/public-weir has no address yet"
    });
    // As a cloud's controller says it.
    let status = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "public-weir", "namespace": "shop"},
        "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}, {"hostname": "lb.example.com"}]}},
    });
    api.cluster().send("PATCH", &format!("{SERVICE}/status?fieldManager=cloud&force=true"), Some(&status)).unwrap();
    let addresses = json!([
        {"type": "Hostname", "value": "lb.example.com"}, {"type": "IPAddress", "value": "192.0.2.7"},
    ]);
    let gateway = until(&api, GATEWAY, |gateway| gateway["status"]["addresses"] == addresses);
    assert_eq!(programmed(&gateway).0, "Pending", "no proxy is connected: an address alone serves nobody");
}

#[test]
fn a_shared_service_gives_its_addresses_to_every_gateway_of_the_edge() {
    let (site, api) = place();
    api.cluster().apply_value(&gateway(&json!({}), &[80]));
    let _server = server(&site, &api, "server", &json!({"name": "weir-system/weir-edge"}));
    until(&api, GATEWAY, |gateway| programmed(gateway).1 == "Service weir-system/weir-edge is not there yet");
    api.cluster().apply_value(&json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "weir-edge", "namespace": "weir-system"},
        "spec": {"type": "LoadBalancer", "ports": [{"name": "http", "port": 80}]},
    }));
    let path = "/api/v1/namespaces/weir-system/services/weir-edge";
    let status = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "weir-edge", "namespace": "weir-system"},
        "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.8"}]}},
    });
    api.cluster().send("PATCH", &format!("{path}/status?fieldManager=cloud&force=true"), Some(&status)).unwrap();
    until(&api, GATEWAY, |g| g["status"]["addresses"] == json!([{"type": "IPAddress", "value": "192.0.2.8"}]));
    assert_eq!(api.relay.count(writes), 0, "a shared Service is read alone");
    assert!(api.cluster().get(SERVICE).is_none());
}

#[test]
fn a_service_of_somebody_elses_is_left_alone_and_the_gateway_says_so() {
    let (site, api) = place();
    let own = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": "public-weir", "namespace": "shop",
            // To call it Weir's is not enough: it was made for no Gateway.
            "labels": {"app.kubernetes.io/managed-by": "weir-server", "gateway.networking.k8s.io/gateway-name": "public"},
        },
        "spec": {"selector": {"app": "shop"}, "ports": [{"name": "http", "port": 8080}]},
    });
    api.cluster().apply_value(&own);
    let before = api.cluster().get(SERVICE).unwrap();
    api.cluster().apply_value(&gateway(&json!({}), &[80]));
    let _server = server(&site, &api, "server", &settings());
    until(&api, GATEWAY, |gateway| {
        let (reason, message) = programmed(gateway);
        reason == "AddressNotAssigned" && message.contains("shop/public-weir, and that name is taken")
    });
    // The leader has looked at all of it.
    wait::until("the leader to look", || (api.relay.count(|call| call.is("get", "services")) > 0).then_some(()));
    assert_eq!(api.cluster().get(SERVICE).unwrap(), before);
    assert_eq!(api.relay.count(writes), 0);
    // Once the name is free, it is the Gateway's.
    api.cluster().delete(&own.to_string());
    until(&api, SERVICE, |service| ports(service) == [80]);
}

#[test]
fn a_new_leader_writes_nothing_and_a_setting_that_is_gone_takes_its_services_along() {
    let (site, api) = place();
    api.cluster().apply_value(&gateway(&json!({"team": "shop"}), &[80]));
    let mut first = server(&site, &api, "first", &settings());
    until(&api, SLICES, |slices| led_to(slices).0.len() == 2);
    first.terminate();
    let (writes_before, there) = (api.relay.count(writes), [SERVICE, SLICES].map(|path| api.cluster().get(path)));
    let gets = api.relay.count(|call| call.is("get", "services"));
    let mut second = server(&site, &api, "second", &settings());
    let leads = |lease: &Value| lease["spec"]["holderIdentity"].as_str().is_some_and(|who| who.starts_with("second_"));
    until(&api, LEASE, leads);
    wait::until("the second to look", || (api.relay.count(|call| call.is("get", "services")) > gets).then_some(()));
    // An edit of another's: by the time it is made, what was there has been looked at.
    api.cluster().apply_value(&gateway(&json!({"team": "shop"}), &[80, 81]));
    until(&api, SERVICE, |service| ports(service) == [80, 81]);
    until(&api, SLICES, |slices| slices["items"][0]["ports"].as_array().is_some_and(|ports| ports.len() == 2));
    assert_eq!(there[0].as_ref().unwrap()["metadata"]["uid"], api.cluster().get(SERVICE).unwrap()["metadata"]["uid"]);
    let wrote: Vec<_> = api.relay.calls().into_iter().filter(writes).skip(writes_before).collect();
    assert_eq!(wrote.len(), 2, "the Service and its slice, for the new port alone: {wrote:?}");
    second.terminate();

    let _third = server(&site, &api, "third", &json!({"name": "weir-system/weir-edge"}));
    wait::until("the Service to be gone", || api.cluster().get(SERVICE).is_none().then_some(()));
    until(&api, SLICES, |slices| slices["items"].as_array().is_some_and(Vec::is_empty));

    // It took no more rights than the chart grants for it, and all of them but one: to make an object by an apply takes
    // `create` beside `patch`, which the path does not show.
    let rendered = render("edge: {service: {perGateway: true}}");
    let made = |grain: &&Grain| ["services", "endpointslices"].contains(&grain.resource.as_str());
    let may: BTreeSet<Grain> = granted(rendered.of("ClusterRole")).iter().filter(made).cloned().collect();
    let calls =
        api.relay.calls().into_iter().filter(|call| ["services", "endpointslices"].contains(&call.resource.as_str()));
    let (refused, unused) = compare(calls.collect::<Vec<_>>().iter(), &may);
    assert!(refused.is_empty(), "an API server with RBAC would refuse: {refused:#?}");
    assert!(unused.iter().all(|grain| grain.verb == "create"), "these are granted in vain: {unused:#?}");
}
