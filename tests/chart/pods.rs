//! The pods that the chart makes, started as a kubelet would, at a real API server where the whole chart is installed:
//! what the chart writes is all that they have.

use serde_json::{Value, json};

use super::container::{Cluster, Container};
use super::install::{apply, kinds, namespaces, written};
use crate::support::apiserver::ApiServer;
use crate::support::helm::{NAMESPACE, Rendered, out, render};
use crate::support::http::{self, Request, Target};
use crate::support::inside;
use crate::support::process::Process;
use crate::support::site::Site;
use crate::support::wait;

/// What a platform and one customer add.
const MANIFESTS: &str = r#"
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: public, namespace: weir-system}
spec:
  gatewayClassName: weir
  listeners: [{name: http, protocol: HTTP, port: 80, allowedRoutes: {namespaces: {from: All}}}]
---
apiVersion: weir.dev/v1alpha1
kind: Plan
metadata: {name: pro}
spec: {requests: {perSecond: 1000}}
---
apiVersion: weir.dev/v1alpha1
kind: Tenant
metadata: {name: acme}
spec: {plan: pro, hostnames: ["*.acme.test"]}
---
apiVersion: v1
kind: Namespace
metadata: {name: acme, labels: {weir.dev/tenant: acme}}
---
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: acme}
spec: {ports: [{name: http, port: 80}]}
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
  hostnames: [shop.acme.test]
  rules: [{backendRefs: [{name: shop, port: 80}]}]
"#;

/// The server and the edge of the default values, as pods.
struct Pods {
    site: Site,
    api: ApiServer,
    rendered: Rendered,
    _backend: Process,
}

impl Pods {
    fn install() -> Self {
        let (site, rendered) = (Site::new(), render(""));
        let api = ApiServer::start(&site);
        api.cluster().apply(&namespaces());
        let config = site.path("apiserver.kubeconfig");
        let file = written(&site, "", &kinds(&config, &site));
        out(apply(&config, &file, &site).arg("--validate=false"));
        api.cluster().apply(&MANIFESTS.replace("${IP}", &site.ip().to_string()));
        let backend = site.backend("shop", 9001);
        // A port below 1024 without a capability, by the sysctl that the pod asks for.
        let edge = &rendered.get("StatefulSet", "weir-edge")["spec"]["template"]["spec"];
        for sysctl in edge["securityContext"]["sysctls"].as_array().unwrap() {
            let file = format!("/proc/sys/{}", sysctl["name"].as_str().unwrap().replace('.', "/"));
            std::fs::write(file, sysctl["value"].as_str().unwrap()).unwrap();
        }
        Self { site, api, rendered, _backend: backend }
    }

    fn container(&self, owner: &Value) -> Container {
        let cluster = Cluster {
            rendered: &self.rendered,
            token: &|account, audience| self.token(account, audience),
            authority: self.api.authority(),
            hosts: format!("{0} kubernetes.default.svc\n{0} weir-server.{NAMESPACE}.svc\n", self.site.ip()),
            environment: vec![
                ("KUBERNETES_SERVICE_HOST", "kubernetes.default.svc".to_owned()),
                ("KUBERNETES_SERVICE_PORT", self.api.secure_port().to_string()),
            ],
        };
        Container::new(&self.site, &cluster, owner)
    }

    fn token(&self, account: &str, audience: Option<&str>) -> String {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{account}/token");
        let question = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"audiences": audience.map(|one| vec![one]), "expirationSeconds": 3600}});
        let answer = self.api.cluster().send("POST", &path, Some(&question)).unwrap();
        answer["status"]["token"].as_str().unwrap().to_owned()
    }

    /// Waits until the pod's own probe is content.
    fn wait_ready(&self, owner: &Value, process: &mut Process) {
        let container = &owner["spec"]["template"]["spec"]["containers"][0];
        let probe = &container["readinessProbe"]["httpGet"];
        let ports = container["ports"].as_array().unwrap();
        let port = ports.iter().find(|port| port["name"] == probe["port"]).unwrap()["containerPort"].as_u64().unwrap();
        let target = Target::plain(self.site.ip(), u16::try_from(port).unwrap());
        wait::until_ok("the pod to be ready", || {
            process.assert_alive();
            let answer = http::once(&target, &Request::get("probe", probe["path"].as_str().unwrap()));
            match answer.map_err(|error| error.to_string())? {
                ready if ready.status == 200 => Ok(()),
                other => Err(format!("{}: {}", other.status, String::from_utf8_lossy(&other.body))),
            }
        });
    }

    fn answers(&self) -> Result<(), String> {
        let answer = http::once(&Target::plain(self.site.ip(), 80), &Request::get("shop.acme.test", "/"));
        match answer.map_err(|error| error.to_string())? {
            answer if answer.backend().as_deref() == Some("shop") => Ok(()),
            answer => Err(format!("{}", answer.status)),
        }
    }
}

#[test]
fn the_pods_of_the_chart_serve_with_what_the_chart_gives_them() {
    if !inside::can_be_made() {
        eprintln!("NOT RUN: a pod's root is mounted by root alone");
        return;
    }
    inside::namespace("chart::pods::the_pods_of_the_chart_serve_with_what_the_chart_gives_them", || {
        let pods = Pods::install();
        let owners = [("Deployment", "weir-server"), ("StatefulSet", "weir-edge")];
        let [server, edge] = owners.map(|(kind, name)| pods.rendered.get(kind, name));
        let (its_server, its_edge) = (pods.container(server), pods.container(edge));

        let mut control = its_server.start(&pods.site);
        pods.wait_ready(server, &mut control);
        let mut proxy = its_edge.start(&pods.site);
        pods.wait_ready(edge, &mut proxy);
        wait::until_ok("the customer's route to be served", || pods.answers());
        its_server.assert_confined(&control);
        its_edge.assert_confined(&proxy);

        // The leader wrote who is served, with the rights of its own account.
        let route = "/apis/gateway.networking.k8s.io/v1/namespaces/acme/httproutes/shop";
        wait::until_ok("the route's status", || {
            let status = pods.api.cluster().get(route).unwrap()["status"].take();
            let condition = |kind: &str| {
                let all = status["parents"][0]["conditions"].as_array().map_or(&[][..], Vec::as_slice);
                all.iter().any(|condition| condition["type"] == kind && condition["status"] == "True")
            };
            if condition("Accepted") && condition("ResolvedRefs") { Ok(()) } else { Err(status.to_string()) }
        });

        // Both end as asked; the edge comes back alone, and serves what its volume has.
        for process in [&mut control, &mut proxy] {
            let status = process.terminate();
            assert!(status.success(), "after SIGTERM: {status}");
        }
        let mut proxy = its_edge.start(&pods.site);
        pods.wait_ready(edge, &mut proxy);
        wait::until_ok("the stored route to be served", || pods.answers());
    });
}
