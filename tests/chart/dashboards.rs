//! What the dashboards show exists: each metric that they name, with the labels that they name, is in a real
//! scrape of a server and a proxy.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::support::helm::CHART;
use crate::support::http::{self, Request, Target};
use crate::support::site::{HTTP, PROXY_ADMIN, SERVER_ADMIN, Site, XDS, repository, weir};
use crate::support::wait;

const MANIFESTS: &str = r#"
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: weir}
spec: {controllerName: weir.dev/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: public, namespace: weir-system}
spec:
  gatewayClassName: weir
  addresses: [{type: IPAddress, value: "${IP}"}]
  listeners: [{name: http, protocol: HTTP, port: 8080, allowedRoutes: {namespaces: {from: All}}}]
---
apiVersion: weir.dev/v1alpha1
kind: Plan
metadata: {name: tiny}
spec: {requests: {perSecond: 1, burst: 1}}
---
apiVersion: weir.dev/v1alpha1
kind: Tenant
metadata: {name: acme}
spec: {plan: tiny, hostnames: ["acme.test"]}
---
apiVersion: v1
kind: Namespace
metadata: {name: acme, labels: {weir.dev/tenant: acme}}
---
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: acme}
spec: {ports: [{name: http, port: 80, targetPort: 9001}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: shop-1, namespace: acme, labels: {kubernetes.io/service-name: shop}}
addressType: IPv4
ports: [{name: http, port: 9001}]
endpoints: [{addresses: ["${IP}"], conditions: {ready: true}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop, namespace: acme}
spec:
  parentRefs: [{name: public, namespace: weir-system}]
  hostnames: ["acme.test"]
  rules: [{backendRefs: [{name: shop, port: 80}]}]
"#;

#[test]
fn every_metric_of_a_dashboard_is_in_a_real_scrape() {
    let wanted: BTreeSet<String> = expressions().iter().flat_map(|expression| metrics(expression)).collect();
    assert!(wanted.len() > 20, "the dashboards name only {wanted:?}");
    let site = Site::new();
    site.write("all.yaml", MANIFESTS);
    let _backend = site.backend("shop", 9001);
    let at = |port: u16| format!("{}:{port}", site.ip());
    let mut up = site.process(
        "up",
        weir()
            .args(["up", &site.manifests().display().to_string(), "--usage-window", "100ms"])
            .args(["--xds", &at(XDS), "--server-admin", &at(SERVER_ADMIN), "--proxy-admin", &at(PROXY_ADMIN)])
            .args(["--state-dir", &site.path("state").display().to_string()]),
    );
    // Some series begin with the first event that they count, such as a refusal for a spent budget.
    wait::until_ok("every metric to be there", || {
        up.assert_alive();
        for _ in 0..5 {
            let _ = http::once(&Target::plain(site.ip(), HTTP), &Request::get("acme.test", "/"));
        }
        let scraped = scrape(&site, SERVER_ADMIN) + &scrape(&site, PROXY_ADMIN);
        let missing: Vec<_> = wanted.iter().filter(|metric| !has(&scraped, metric)).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?} are not in a scrape")) }
    });
}

fn scrape(site: &Site, port: u16) -> String {
    let answer = http::once(&Target::plain(site.ip(), port), &Request::get("admin", "/stats/prometheus"));
    answer.map(|answer| String::from_utf8_lossy(&answer.body).into_owned()).unwrap_or_default()
}

/// Every query of every dashboard.
fn expressions() -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(repository(CHART).join("dashboards")).unwrap() {
        let board: Value = serde_json::from_str(&fs::read_to_string(entry.unwrap().path()).unwrap()).unwrap();
        let queries = board["panels"].as_array().unwrap().iter().flat_map(|panel| panel["targets"].as_array().unwrap());
        found.extend(queries.map(|query| query["expr"].as_str().unwrap().to_owned()));
        found.extend(
            board["templating"]["list"]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(|v| v["definition"].as_str())
                .map(str::to_owned),
        );
    }
    found
}

/// Metrics of a query, each with its label where one is asked to be equal to a value.
fn metrics(expression: &str) -> Vec<String> {
    let name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    for (start, _) in expression.match_indices("weir_") {
        if expression[..start].ends_with(name) {
            continue;
        }
        let rest = &expression[start..];
        let end = rest.find(|c| !name(c)).unwrap_or(rest.len());
        let labels =
            rest[end..].strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or("", |(inside, _)| inside);
        let equal = labels.split(',').find(|label| label.contains("=\""));
        let equal = equal.filter(|label| !label.contains("!=") && !label.contains("=~"));
        found.push(equal.map_or_else(|| rest[..end].to_owned(), |label| format!("{}{{{label}", &rest[..end])));
    }
    found
}

/// Whether a scrape has a series of this metric, with this label.
fn has(scraped: &str, metric: &str) -> bool {
    let (name, label) = metric.split_once('{').unwrap_or((metric, ""));
    scraped.lines().any(|line| {
        let rest = line.strip_prefix(name).unwrap_or("x");
        (rest.starts_with('{') || rest.starts_with(' ')) && line.contains(label)
    })
}

#[test]
fn metrics_are_found_in_queries() {
    let found = metrics("sum by (t) (rate(weir_a_total{m=\"x\",t=~\"$t\"}[5m])) / weir_b{f!~\"-\"} + my_weir_c");
    assert_eq!(found, ["weir_a_total{m=\"x\"", "weir_b"]);
    assert!(has("weir_a_total{t=\"1\",m=\"x\"} 0", &found[0]));
    assert!(!has("weir_a_total{m=\"y\"} 0\nweir_a_total_more{m=\"x\"} 1", &found[0]));
}
