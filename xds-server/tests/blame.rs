//! From what a proxy refuses back to the objects: as closely as names and the proxy's words tell, and never another
//! tenant's.

mod support;

use weir_config::model::ResourceType;
use weir_xds_server::translate::{Settings, World};

const TENANTS: &str = r#"
---
kind: Tenant
apiVersion: weir.dev/v1alpha1
metadata: {name: zeta}
spec: {plan: pro, hostnames: [zeta.example]}
---
kind: Namespace
apiVersion: v1
metadata: {name: zeta, labels: {weir.dev/tenant: zeta}}
---
kind: Service
apiVersion: v1
metadata: {namespace: zeta, name: web}
spec: {ports: [{port: 80}]}
---
kind: HTTPRoute
apiVersion: gateway.networking.k8s.io/v1
metadata: {namespace: zeta, name: exact}
spec:
  parentRefs: [{namespace: weir-system, name: public}]
  hostnames: [zeta.example]
  rules: [{matches: [{path: {type: Exact, value: /a}}], backendRefs: [{name: web, port: 80}]}]
---
kind: HTTPRoute
apiVersion: gateway.networking.k8s.io/v1
metadata: {namespace: zeta, name: rest}
spec:
  parentRefs: [{namespace: weir-system, name: public}]
  hostnames: [zeta.example]
  rules: [{matches: [{path: {value: /}}]}]
"#;

fn blamed(kind: ResourceType, name: &str, text: &str) -> Vec<String> {
    let manifests = format!("{}{TENANTS}", include_str!("golden/with/platform.yaml"));
    let mut world = World::new(Settings::default());
    world.apply(&support::applied(&support::objects(&manifests)));
    let place = |(key, section): &(weir_config::kinds::ObjectKey, Option<String>)| match section {
        Some(section) => format!("{key} {section}"),
        None => key.to_string(),
    };
    world.blame(kind, name, text).iter().map(place).collect()
}

const HOST: &str = "edge/0.0.0.0/80/http/zeta.example";

#[test]
fn a_host_is_of_its_routes_and_a_field_of_one_of_them() {
    let kind = ResourceType::VirtualHost;
    assert_eq!(blamed(kind, HOST, "no"), ["HTTPRoute zeta/exact", "HTTPRoute zeta/rest"]);
    assert_eq!(blamed(kind, HOST, &format!("{HOST}: routes[0].match: no")), ["HTTPRoute zeta/exact"]);
    assert_eq!(blamed(kind, HOST, "routes[1].route: no"), ["HTTPRoute zeta/rest"]);
    assert!(blamed(kind, "edge/0.0.0.0/80/http/nobody.example", "no").is_empty());
}

#[test]
fn a_listener_and_its_routes_are_of_gateways_listeners() {
    let all = blamed(ResourceType::Listener, "edge/0.0.0.0/80/tcp", "no");
    assert!(!all.is_empty() && all.iter().all(|place| place.starts_with("Gateway weir-system/public ")), "{all:?}");
    assert_eq!(blamed(ResourceType::RouteConfiguration, "edge/0.0.0.0/80/http", "no"), all);
    assert!(blamed(ResourceType::Listener, "edge/0.0.0.0/81/tcp", "no").is_empty());
}

#[test]
fn a_cluster_is_of_the_routes_that_send_there_and_endpoints_of_their_service() {
    assert_eq!(blamed(ResourceType::Cluster, "zeta/zeta/web/80", "no"), ["HTTPRoute zeta/exact"]);
    assert!(blamed(ResourceType::Cluster, "other/zeta/web/80", "no").is_empty(), "of that tenant alone");
    assert_eq!(blamed(ResourceType::LoadAssignment, "zeta/web/80", "no"), ["Service zeta/web"]);
}
