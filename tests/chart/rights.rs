//! Least rights: the chart grants what the list says and no more, and a document says why.

use std::collections::BTreeSet;
use std::fs;

use crate::support::apiserver::Call;
use crate::support::helm::{NAMESPACE, Rendered, render};
use crate::support::rights::{Grain, compare, granted, listed, table};
use crate::support::site::repository;

const BEGIN: &str = "<!-- rights: made by tests/chart/rights.rs (make golden) -->\n";
const END: &str = "<!-- end of rights -->\n";

fn roles(rendered: &Rendered) -> BTreeSet<Grain> {
    granted(rendered.of("ClusterRole").chain(rendered.of("Role")))
}

#[test]
fn the_roles_grant_what_the_list_says_and_no_more() {
    assert_eq!(roles(&render("")), listed(NAMESPACE, &[], true, false));
    assert_eq!(roles(&render("server: {writeStatus: false}")), listed(NAMESPACE, &[], false, false));
    // Of any edge's Gateways.
    for values in
        ["edge: {service: {perGateway: true}}", "edges: {acme: {gateways: [acme/*], service: {perGateway: true}}}"]
    {
        assert_eq!(roles(&render(values)), listed(NAMESPACE, &[], true, true), "{values}");
    }
    let two = "server: {secretNamespaces: [weir-system, certificates]}";
    assert_eq!(roles(&render(two)), listed(NAMESPACE, &["weir-system", "certificates"], true, false));
}

#[test]
fn roles_are_bound_to_the_server_and_to_nobody_else() {
    let rendered = render("edges: {acme: {gateways: [acme/*]}}\nserver: {secretNamespaces: [certificates]}");
    let bindings: Vec<_> = rendered.of("ClusterRoleBinding").chain(rendered.of("RoleBinding")).collect();
    assert_eq!(bindings.len(), 3);
    for binding in bindings {
        let subject = serde_json::json!([{"kind": "ServiceAccount", "name": "weir-server", "namespace": NAMESPACE}]);
        assert_eq!(binding["subjects"], subject);
    }
}

#[test]
fn golden_table_of_rights() {
    let file = repository("docs/install.md");
    let text = fs::read_to_string(&file).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let expected = format!("{before}{BEGIN}\n{}\n{END}{after}", table());
    if std::env::var_os("WEIR_REGENERATE").is_some() {
        fs::write(&file, expected).unwrap();
    } else {
        assert!(text == expected, "the table of rights in docs/install.md is old: see `make golden`");
    }
}

#[test]
fn requests_are_compared_with_what_is_granted() {
    let grain = |verb: &str, group: &str, resource: &str, namespace: &str| {
        let [verb, group, resource, namespace] = [verb, group, resource, namespace].map(str::to_owned);
        Grain { verb, group, resource, namespace }
    };
    let gateway = "gateway.networking.k8s.io";
    let granted = BTreeSet::from([
        grain("list", "", "secrets", "a"),
        grain("list", "", "services", ""),
        grain("patch", gateway, "gateways/status", ""),
        grain("get", "coordination.k8s.io", "leases", "weir-system"),
    ]);
    let calls = [
        Call::read("GET", "/version"),
        Call::read("GET", "/api/v1/namespaces/a/secrets?limit=1"),
        Call::read("GET", "/api/v1/namespaces/b/secrets?limit=1"),
        Call::read("GET", "/api/v1/secrets"),
        Call::read("GET", "/api/v1/namespaces/b/services"),
        Call::read("PATCH", "/apis/gateway.networking.k8s.io/v1/namespaces/web/gateways/gw/status"),
        Call::read("PATCH", "/apis/gateway.networking.k8s.io/v1/namespaces/web/gateways/gw"),
        Call::read("GET", "/apis/coordination.k8s.io/v1/namespaces/other/leases/weir"),
    ];
    let (refused, unused) = compare(calls.iter(), &granted);
    let expected = BTreeSet::from([
        grain("list", "", "secrets", "b"),
        grain("list", "", "secrets", ""),
        grain("patch", gateway, "gateways", "web"),
        grain("get", "coordination.k8s.io", "leases", "other"),
    ]);
    assert_eq!(refused, expected);
    assert_eq!(unused, BTreeSet::from([grain("get", "coordination.k8s.io", "leases", "weir-system")]));
}
