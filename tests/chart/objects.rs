//! Every rendered object is one that Kubernetes has, field by field; pods run without rights; selectors select.

use std::collections::BTreeSet;

use k8s_openapi::api::{apps, autoscaling, core, networking, policy, rbac};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::support::helm::{Rendered, cases, render};

#[test]
fn no_object_has_a_field_that_kubernetes_does_not_have() {
    for case in cases() {
        for object in &render(&case.values).objects {
            let (kind, name) = (object["kind"].as_str().unwrap(), &object["metadata"]["name"]);
            let read = match kind {
                "ConfigMap" => again::<core::v1::ConfigMap>(object),
                "Secret" => again::<core::v1::Secret>(object),
                "Service" => again::<core::v1::Service>(object),
                "ServiceAccount" => again::<core::v1::ServiceAccount>(object),
                "PersistentVolumeClaim" => again::<core::v1::PersistentVolumeClaim>(object),
                "Deployment" => again::<apps::v1::Deployment>(object),
                "StatefulSet" => again::<apps::v1::StatefulSet>(object),
                "DaemonSet" => again::<apps::v1::DaemonSet>(object),
                "HorizontalPodAutoscaler" => again::<autoscaling::v2::HorizontalPodAutoscaler>(object),
                "PodDisruptionBudget" => again::<policy::v1::PodDisruptionBudget>(object),
                "NetworkPolicy" => again::<networking::v1::NetworkPolicy>(object),
                "ClusterRole" => again::<rbac::v1::ClusterRole>(object),
                "ClusterRoleBinding" => again::<rbac::v1::ClusterRoleBinding>(object),
                "Role" => again::<rbac::v1::Role>(object),
                "RoleBinding" => again::<rbac::v1::RoleBinding>(object),
                // Of others' groups.
                "GatewayClass" | "Certificate" | "Issuer" | "ServiceMonitor" => continue,
                other => panic!("{}: {other} {name} is read by nobody here", case.name),
            };
            let lost: Vec<_> = paths(object).difference(&paths(&read)).cloned().collect();
            assert!(lost.is_empty(), "{}: {kind} {name} has fields that Kubernetes does not have: {lost:?}", case.name);
        }
    }
}

/// The object as its type reads and writes it: what the type does not know is lost.
fn again<T: DeserializeOwned + Serialize>(object: &Value) -> Value {
    let typed: T = serde_json::from_value(object.clone()).unwrap_or_else(|error| panic!("{error}: {object:#}"));
    serde_json::to_value(typed).unwrap()
}

/// Where an object says something; an empty map, list or text says nothing.
fn paths(value: &Value) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(name, inner)| (name.clone(), inner)).collect(),
        Value::Array(list) => list.iter().enumerate().map(|(n, inner)| (n.to_string(), inner)).collect(),
        _ => Vec::new(),
    };
    for (name, inner) in inner {
        match inner {
            Value::Object(_) | Value::Array(_) => out.extend(paths(inner).into_iter().map(|p| format!("{name}/{p}"))),
            Value::Null => {}
            Value::String(text) if text.is_empty() => {}
            _ => drop(out.insert(name)),
        }
    }
    out
}

#[test]
fn pods_run_without_root_and_write_only_to_their_volumes() {
    for case in cases() {
        for (object, template) in render(&case.values).pods() {
            let pod = &template["spec"];
            let at = format!("{}: {}", case.name, object["metadata"]["name"]);
            assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{at}");
            assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{at}");
            let init = pod["initContainers"].as_array().cloned().unwrap_or_default();
            for container in pod["containers"].as_array().unwrap().iter().chain(&init) {
                let security = &container["securityContext"];
                assert_eq!(security["allowPrivilegeEscalation"], false, "{at}");
                assert_eq!(security["readOnlyRootFilesystem"], true, "{at}");
                assert_eq!(security["capabilities"]["drop"], serde_json::json!(["ALL"]), "{at}");
                let prepares = container["name"] == "prepare";
                assert!(prepares || security.get("runAsUser").is_none(), "{at}");
                assert!(prepares || security["capabilities"].get("add").is_none(), "{at}");
            }
        }
    }
}

#[test]
fn ports_below_1024_are_opened_by_a_setting_of_the_pods_own_network() {
    let sysctls = |values: &str| {
        let rendered = render(values);
        let (_, template) = rendered.pods().find(|(object, _)| object["metadata"]["name"] == "weir-edge").unwrap();
        template["spec"]["securityContext"]["sysctls"].clone()
    };
    let lowest = serde_json::json!([{"name": "net.ipv4.ip_unprivileged_port_start", "value": "80"}]);
    assert_eq!(sysctls(""), lowest);
    assert_eq!(sysctls("edge: {ports: [{name: http, port: 8080}]}"), Value::Null);
    let host = "edge: {kind: DaemonSet, hostNetwork: true, nodesAllowLowPorts: true}";
    assert_eq!(sysctls(host), Value::Null, "a pod may not change its node's network");
}

#[test]
fn what_selects_pods_selects_those_that_are_meant() {
    for case in cases() {
        let rendered = render(&case.values);
        let pods: Vec<(String, &Value)> = rendered
            .pods()
            .map(|(object, pod)| (object["metadata"]["name"].to_string(), &pod["metadata"]["labels"]))
            .collect();
        let selected = |selector: &Value| -> Vec<String> {
            let wanted = selector.as_object().unwrap();
            let fits = |labels: &Value| wanted.iter().all(|(name, value)| labels.get(name) == Some(value));
            pods.iter().filter(|(_, labels)| fits(labels)).map(|(name, _)| name.clone()).collect()
        };
        for (object, _) in rendered.pods() {
            let own = vec![object["metadata"]["name"].to_string()];
            assert_eq!(selected(&object["spec"]["selector"]["matchLabels"]), own, "{}", case.name);
        }
        for service in rendered.of("Service") {
            assert_eq!(selected(&service["spec"]["selector"]), [owner(service)], "{}", case.name);
        }
        for budget in rendered.of("PodDisruptionBudget") {
            assert_eq!(selected(&budget["spec"]["selector"]["matchLabels"]), [owner(budget)], "{}", case.name);
        }
        for policy in rendered.of("NetworkPolicy") {
            assert_eq!(selected(&policy["spec"]["podSelector"]["matchLabels"]), [owner(policy)], "{}", case.name);
        }
    }
}

/// Whose pods an object of this name is about.
fn owner(object: &Value) -> String {
    let name = object["metadata"]["name"].as_str().unwrap();
    format!("{:?}", name.trim_end_matches("-pods"))
}

#[test]
fn edges_reach_no_admin_endpoint_and_the_server_is_reached_at_two_ports() {
    for case in cases() {
        let rendered: Rendered = render(&case.values);
        for service in rendered.of("Service") {
            let ports: Vec<_> =
                service["spec"]["ports"].as_array().unwrap().iter().map(|p| p["port"].clone()).collect();
            for admin in [9901, 18001] {
                assert!(!ports.contains(&admin.into()), "{}: the admin endpoint is exposed", case.name);
            }
        }
        for policy in rendered.of("NetworkPolicy").filter(|policy| policy["metadata"]["name"] == "weir-server") {
            let rules = policy["spec"]["ingress"].as_array().unwrap();
            let ports: BTreeSet<_> = rules.iter().map(|rule| rule["ports"][0]["port"].to_string()).collect();
            assert!(ports.iter().all(|port| ["18000", "18002"].contains(&port.as_str())), "{ports:?}");
            assert!(rules.iter().all(|rule| !rule["from"].as_array().unwrap().is_empty()), "{}: anybody", case.name);
        }
    }
}
