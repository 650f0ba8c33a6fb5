//! Statuses in a cluster: a real API server, real servers and proxies. What is written, by whom, and when nothing is.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use weir_config::model::ResourceType;

use crate::support::ads_client::AdsClient;
use crate::support::apiserver::{ApiServer, Call, Cluster};
use crate::support::process::Process;
use crate::support::site::{Site, weir};
use crate::support::wait;

const GATEWAY: &str = "/apis/gateway.networking.k8s.io/v1/namespaces/weir-system/gateways/public";
const ROUTE: &str = "/apis/gateway.networking.k8s.io/v1/namespaces/shop/httproutes/web";
const CLASS: &str = "/apis/gateway.networking.k8s.io/v1/gatewayclasses/weir";
const PLAN: &str = "/apis/weir.dev/v1alpha1/plans/pro";
const TENANT: &str = "/apis/weir.dev/v1alpha1/tenants/acme";
const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/weir-system/leases/weir-server";
const CONTROLLER: &str = "weir.dev/gateway-controller";

/// Ports of the first replica; the second has the next.
const XDS: u16 = 18100;
const ADMIN: u16 = 18200;

fn manifests(site: &Site) -> String {
    r"
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
spec: {requests: {perSecond: 100}}
---
apiVersion: weir.dev/v1alpha1
kind: Tenant
metadata: {name: acme}
spec: {plan: pro, hostnames: [shop.example]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: weir}
spec: {controllerName: weir.dev/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {namespace: weir-system, name: public}
spec:
  gatewayClassName: weir
  addresses: [{type: IPAddress, value: ${IP}}]
  listeners: [{name: web, port: 8080, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}]
---
apiVersion: v1
kind: Service
metadata: {namespace: shop, name: web}
spec: {ports: [{port: 80}]}
"
    .replace("${IP}", &site.ip().to_string())
        + &route("shop.example")
}

fn route(hostname: &str) -> String {
    format!(
        r"
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{namespace: shop, name: web}}
spec:
  parentRefs: [{{namespace: weir-system, name: public}}]
  hostnames: [{hostname}]
  rules: [{{backendRefs: [{{name: web, port: 80}}]}}]
"
    )
}

/// A replica of the server, by its number.
fn server(site: &Site, api: &ApiServer, number: u16) -> Process {
    let name = format!("server-{number}");
    let bootstrap = json!({
        "source": {"kubernetes": {"kubeconfig": api.kubeconfig(), "replica": name}},
        "stateDir": site.path(&format!("{name}-state")),
        "xds": {"address": format!("{}:{}", site.ip(), XDS + number)},
        "admin": {"address": format!("{}:{}", site.ip(), ADMIN + number)},
        "authentication": {"anonymous": true},
    });
    let file = site.path(&format!("{name}.yaml"));
    fs::write(&file, bootstrap.to_string()).unwrap();
    site.process(&name, weir().arg("server").arg("--config").arg(&file))
}

/// A proxy of the replica `number`.
fn proxy(site: &Site, number: u16) -> Process {
    let bootstrap = json!({
        "xds": {"address": format!("{}:{}", site.ip(), XDS + number)},
        "admin": {"address": format!("{}:9901", site.ip())},
        "stateDir": site.path("proxy-state"),
        "secretsDir": site.path("proxy-secrets"),
        "workers": 1,
    });
    let file = site.path("proxy.yaml");
    fs::write(&file, bootstrap.to_string()).unwrap();
    site.process("proxy", weir().arg("proxy").arg("--config").arg(&file))
}

/// The condition `type_` of `holder`: status, reason, message.
fn condition(holder: &Value, type_: &str) -> Option<(String, String, String)> {
    let found = holder["conditions"].as_array()?.iter().find(|condition| condition["type"] == type_)?;
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    assert!(!text("lastTransitionTime").is_empty(), "{found}");
    Some((text("status"), text("reason"), text("message")))
}

/// Whether every condition of the status is of the object's own generation.
fn observed(object: &Value) -> bool {
    let status = &object["status"];
    let inner = ["listeners", "parents"].iter().flat_map(|field| status[*field].as_array().into_iter().flatten());
    let ours = inner.filter(|holder| holder["controllerName"].is_null() || holder["controllerName"] == CONTROLLER);
    let all: Vec<&Value> =
        std::iter::once(status).chain(ours).flat_map(|h| h["conditions"].as_array().into_iter().flatten()).collect();
    !all.is_empty() && all.iter().all(|c| c["observedGeneration"] == object["metadata"]["generation"])
}

/// Waits until an object satisfies `look`; returns it.
fn until(api: &ApiServer, path: &str, look: impl Fn(&Value) -> bool) -> Value {
    wait::until_ok(path, || {
        let object = api.cluster().get(path).unwrap_or_default();
        if look(&object) { Ok(object) } else { Err(object["status"].to_string()) }
    })
}

/// Waits until the Gateway's listener says this of `Programmed`, the Gateway itself the same.
fn programmed(api: &ApiServer, status: &str, reason: &str) -> String {
    let of = |holder: &Value| condition(holder, "Programmed").filter(|(s, r, _)| s == status && r == reason);
    let gateway = until(api, GATEWAY, |g| of(&g["status"]).is_some() && of(&g["status"]["listeners"][0]).is_some());
    of(&gateway["status"]["listeners"][0]).unwrap().2
}

fn is_write(call: &Call) -> bool {
    call.verb == "patch" && call.subresource == "status"
}

/// Waits until the leader has renewed its Lease so often without a status written in between.
fn quiet(api: &ApiServer, renewals: usize) {
    let renewed = || api.relay.count(|call| call.is("update", "leases") && call.name == "weir-server");
    let mut since = (renewed(), api.relay.count(is_write));
    wait::until("nothing to be written any more", || {
        let writes = api.relay.count(is_write);
        if writes != since.1 {
            since = (renewed(), writes);
        }
        (renewed() >= since.0 + renewals).then_some(())
    });
}

fn leader(api: &ApiServer) -> String {
    let lease = api.cluster().get(LEASE).unwrap_or_default();
    lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn what_weir_says_stands_on_the_objects_and_programmed_follows_proxies() {
    let site = Site::new();
    let api = ApiServer::start(&site);
    api.cluster().apply(&manifests(&site));
    let _server = server(&site, &api, 0);

    let accepted = |object: &Value| observed(object) && condition(&object["status"], "Accepted").is_some();
    let class = until(&api, CLASS, accepted);
    assert!(class["status"]["supportedFeatures"].as_array().unwrap().contains(&json!({"name": "Gateway"})));
    assert_eq!(condition(&class["status"], "SupportedVersion").unwrap().0, "True");
    let plan = until(&api, PLAN, |plan| accepted(plan) && plan["status"]["tenants"] == 1);
    assert_eq!(condition(&plan["status"], "Accepted").unwrap().0, "True");
    let tenant = until(&api, TENANT, |tenant| accepted(tenant) && tenant["status"]["namespaces"] == json!(["shop"]));
    assert_eq!(tenant["status"]["hostnames"], json!(["shop.example"]));
    assert_eq!(tenant["status"]["limits"], json!({"requests": {"perSecond": 100}}));
    let held = until(&api, ROUTE, observed);
    let parent = &held["status"]["parents"][0];
    assert_eq!((&parent["controllerName"], &parent["parentRef"]["name"]), (&json!(CONTROLLER), &json!("public")));
    assert_eq!(condition(parent, "Accepted").unwrap().0, "True");

    let why = programmed(&api, "False", "Pending");
    assert_eq!(why, "no proxy is connected");
    let mut edge = proxy(&site, 0);
    programmed(&api, "True", "Programmed");
    let gateway = until(&api, GATEWAY, |gateway| gateway["status"]["listeners"][0]["attachedRoutes"] == 1);
    assert!(observed(&gateway));

    // A change of one route is written to that route, with its generation.
    api.cluster().apply(&route("foreign.example"));
    let refused = |route: &Value| {
        let accepted = condition(&route["status"]["parents"][0], "Accepted");
        observed(route) && accepted.is_some_and(|(status, reason, _)| (&*status, &*reason) == ("False", "NotAllowed"))
    };
    until(&api, ROUTE, refused);
    quiet(&api, 4);

    edge.kill();
    programmed(&api, "False", "Pending");

    // Only what is needed was asked for.
    let writes: BTreeSet<String> =
        api.relay.seen().into_iter().filter(|c| !matches!(c.verb, "list" | "watch")).map(|c| c.to_string()).collect();
    let allowed = [
        "create leases.coordination.k8s.io weir-system",
        "get customresourcedefinitions.apiextensions.k8s.io",
        "get gatewayclasses.gateway.networking.k8s.io/status",
        "get gateways.gateway.networking.k8s.io/status weir-system",
        "get httproutes.gateway.networking.k8s.io/status shop",
        "get leases.coordination.k8s.io weir-system",
        "get plans.weir.dev/status",
        "get tenants.weir.dev/status",
        "patch gatewayclasses.gateway.networking.k8s.io/status",
        "patch gateways.gateway.networking.k8s.io/status weir-system",
        "patch httproutes.gateway.networking.k8s.io/status shop",
        "patch plans.weir.dev/status",
        "patch tenants.weir.dev/status",
        "update leases.coordination.k8s.io weir-system",
    ];
    assert_eq!(writes, allowed.map(str::to_owned).into());
}

#[test]
fn what_a_proxy_refuses_stands_on_the_object_and_is_an_event() {
    let site = Site::new();
    let api = ApiServer::start(&site);
    api.cluster().apply(&manifests(&site));
    let _server = server(&site, &api, 0);
    until(&api, ROUTE, observed);
    let mut client = AdsClient::connect_to(&site, XDS, &["weir.dev/vhds"]);
    client.subscribe(ResourceType::Listener, &["*".to_owned()], &[]);
    let listeners = client.next(wait::PATIENCE).unwrap();
    client.answer(&listeners, Some("filter_chains[0]: this proxy is too old"));
    let why = programmed(&api, "False", "Invalid");
    assert!(why.contains("a proxy refuses it: filter_chains[0]: this proxy is too old"), "{why}");

    // A route's host: the refusal stands on the route, with the field that the proxy named.
    client.subscribe(ResourceType::VirtualHost, &[format!("edge/{}/8080/http", site.ip())], &[]);
    let hosts = client.next(wait::PATIENCE).unwrap();
    let name = hosts.resources.iter().map(|r| &r.name).find(|name| name.ends_with("/shop.example")).unwrap();
    client.answer(&hosts, Some(&format!("{name}: routes[0].match: no such match")));
    let refused = |route: &Value| condition(&route["status"]["parents"][0], "weir.dev/Programmed").is_some();
    let route = until(&api, ROUTE, refused);
    let (status, reason, message) = condition(&route["status"]["parents"][0], "weir.dev/Programmed").unwrap();
    assert_eq!((&*status, &*reason), ("False", "Refused"));
    assert!(message.contains("routes[0].match: no such match"), "{message}");
    let events = "/apis/events.k8s.io/v1/namespaces/shop/events";
    let event = wait::until("an Event", || {
        let events = api.cluster().get(events)?;
        events["items"].as_array()?.iter().find(|event| event["reason"] == "Refused").cloned()
    });
    assert_eq!((&event["regarding"]["kind"], &event["regarding"]["name"]), (&json!("HTTPRoute"), &json!("web")));
    assert_eq!(event["regarding"]["uid"], route["metadata"]["uid"]);

    drop(client);
    until(&api, ROUTE, |route| !refused(route));
}

/// Who loses a hostname to an older one has a condition, and an Event that says it once.
#[test]
fn a_hostname_that_another_has_is_an_event_on_who_lost_it() {
    let site = Site::new();
    let api = ApiServer::start(&site);
    api.cluster().apply(&manifests(&site));
    let late = |plan: &str| {
        api.cluster().apply(&format!(
            "apiVersion: weir.dev/v1alpha1\nkind: Tenant\nmetadata: {{name: zeta}}\n\
             spec: {{plan: {plan}, hostnames: [shop.example]}}\n"
        ));
    };
    let _server = server(&site, &api, 0);
    until(&api, ROUTE, observed);
    late("pro");
    let conflicts = || {
        let events = api.cluster().get("/apis/events.k8s.io/v1/events").unwrap_or_default();
        let all = events["items"].as_array().cloned().unwrap_or_default();
        all.into_iter().filter(|event| event["reason"] == "HostnameConflict").collect::<Vec<_>>()
    };
    let event = wait::until("an Event", || conflicts().pop());
    assert_eq!((&event["regarding"]["kind"], &event["regarding"]["name"]), (&json!("Tenant"), &json!("zeta")));
    assert!(event["note"].as_str().unwrap().contains("shop.example"), "{event}");
    // Another change of it is no other conflict.
    late("none");
    let tenant = "/apis/weir.dev/v1alpha1/tenants/zeta";
    let changed = |tenant: &Value| {
        observed(tenant)
            && condition(&tenant["status"], "Accepted").is_some_and(|(_, reason, _)| reason == "PlanNotFound")
    };
    until(&api, tenant, changed);
    quiet(&api, 2);
    let told = conflicts();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0]["series"].is_null(), "it is said once: {}", told[0]);
}

/// A proxy that comes late leaves no ListenerSet with what was true before.
#[test]
fn a_listener_set_is_programmed_once_a_proxy_has_it() {
    let site = Site::new();
    let api = ApiServer::start(&site);
    let closed = "spec:\n  gatewayClassName: weir";
    let opened = "spec:\n  allowedListeners: {namespaces: {from: All}}\n  gatewayClassName: weir";
    api.cluster().apply(&manifests(&site).replace(closed, opened));
    api.cluster().apply(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: ListenerSet\nmetadata: {namespace: shop, name: own}\n\
         spec:\n  parentRef: {namespace: weir-system, name: public}\n  \
         listeners: [{name: own, port: 8081, protocol: HTTP, hostname: shop.example}]\n",
    );
    let _server = server(&site, &api, 0);
    let set = "/apis/gateway.networking.k8s.io/v1/namespaces/shop/listenersets/own";
    let says = |set: &Value, reason: &str| {
        let of = |holder: &Value| condition(holder, "Programmed").is_some_and(|(_, said, _)| said == reason);
        of(&set["status"]) && of(&set["status"]["listeners"][0])
    };
    until(&api, set, |set| says(set, "Pending"));
    let mut edge = proxy(&site, 0);
    until(&api, set, |set| says(set, "Programmed"));
    edge.kill();
    until(&api, set, |set| says(set, "Pending"));
}

#[test]
fn one_of_two_replicas_writes_and_the_other_takes_over_without_a_word() {
    let site = Site::new();
    let api = ApiServer::start(&site);
    api.cluster().apply(&manifests(&site));
    let mut first = server(&site, &api, 0);
    wait::until("the first to lead", || leader(&api).starts_with("server-0_").then_some(()));
    let _second = server(&site, &api, 1);
    // The proxy is the second's: what it acknowledges is told to the leader.
    let _proxy = proxy(&site, 1);
    programmed(&api, "True", "Programmed");
    quiet(&api, 3);
    let before: Vec<Value> = [GATEWAY, ROUTE, CLASS, PLAN, TENANT].map(|path| api.cluster().get(path).unwrap()).into();
    let writes = api.relay.count(is_write);

    first.kill();
    wait::until("the second to lead", || leader(&api).starts_with("server-1_").then_some(()));
    quiet(&api, 3);
    let after: Vec<Value> = [GATEWAY, ROUTE, CLASS, PLAN, TENANT].map(|path| api.cluster().get(path).unwrap()).into();
    assert_eq!(after, before);
    assert_eq!(api.relay.count(is_write), writes, "nothing differs, so nothing is written");

    // It does write what is new.
    api.cluster().apply("kind: Plan\napiVersion: weir.dev/v1alpha1\nmetadata: {name: pro}\nspec: {weight: 3}\n");
    until(&api, PLAN, |plan| {
        observed(plan) && condition(&plan["status"], "Accepted").is_some_and(|(_, reason, _)| reason == "Unsupported")
    });
}

#[test]
fn two_controllers_of_one_route_come_to_rest_with_both_their_entries() {
    let site = Site::new();
    let api = ApiServer::start(&site);
    api.cluster().apply(&manifests(&site));
    let _server = server(&site, &api, 0);
    until(&api, ROUTE, observed);
    let (done, cluster) = (AtomicBool::new(false), api.cluster());
    std::thread::scope(|scope| {
        // It writes its own entry over and over, reading what is there first, while the route changes.
        let other = scope.spawn(|| {
            let mut wrote = 0;
            while !done.load(Ordering::Relaxed) || wrote == 0 {
                wrote += usize::from(write_as_another(cluster, wrote).is_ok());
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        for round in 0..20 {
            let host = if round % 2 == 0 { "foreign.example" } else { "shop.example" };
            cluster.apply(&route(host));
            std::thread::sleep(Duration::from_millis(100));
        }
        done.store(true, Ordering::Relaxed);
        other.join().unwrap();
    });
    let both = |route: &Value| {
        let parents = route["status"]["parents"].as_array().cloned().unwrap_or_default();
        let names: BTreeSet<&str> = parents.iter().filter_map(|parent| parent["controllerName"].as_str()).collect();
        let served = parents.iter().find(|parent| parent["controllerName"] == CONTROLLER);
        parents.len() == 2
            && names == BTreeSet::from([CONTROLLER, "example.com/other"])
            && observed(route)
            && served.and_then(|own| condition(own, "Accepted")).is_some_and(|(status, ..)| status == "True")
    };
    until(&api, ROUTE, both);
    quiet(&api, 4);
    until(&api, ROUTE, both);
    // One that takes Weir's entry away gets it back.
    let gone = json!({"parents": []});
    wait::until_ok("the list to be emptied", || apply_status(cluster, &gone, None).map(drop));
    let ours = |route: &Value| route["status"]["parents"].as_array().is_some_and(|all| all.len() == 1);
    until(&api, ROUTE, ours);
}

/// Writes the entry of another controller, with what it just read of the others'.
fn write_as_another(cluster: &Cluster, round: usize) -> Result<Value, String> {
    let route = cluster.get(ROUTE).unwrap();
    let own = json!({
        "controllerName": "example.com/other",
        "parentRef": {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "theirs"},
        "conditions": [{"type": "Accepted", "status": "True", "reason": "Accepted", "message": format!("round {round}"),
                        "lastTransitionTime": "2026-01-01T00:00:00Z"}],
    });
    let others = route["status"]["parents"].as_array().into_iter().flatten();
    let mut parents: Vec<Value> = others.filter(|p| p["controllerName"] != own["controllerName"]).cloned().collect();
    parents.push(own);
    apply_status(cluster, &json!({"parents": parents}), route["metadata"]["resourceVersion"].as_str())
}

fn apply_status(cluster: &Cluster, status: &Value, version: Option<&str>) -> Result<Value, String> {
    let mut object = json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "web", "namespace": "shop"},
        "status": status,
    });
    if let Some(version) = version {
        object["metadata"]["resourceVersion"] = version.into();
    }
    cluster.send("PATCH", &format!("{ROUTE}/status?fieldManager=other&force=true"), Some(&object))
}
