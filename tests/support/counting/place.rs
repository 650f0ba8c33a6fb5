//! The tenants of the counting tests, and a running system that serves them.

use super::origin::Origin;
use super::tally::Tally;
use crate::support::http::{self, Request, Target};
use crate::support::plane::{Plane, System, wait_for_port};
use crate::support::site::{HTTP, HTTPS, PROXY_ADMIN, SERVER_ADMIN, Site, repository, weir};
use crate::support::tls::Authority;
use crate::support::wait;

/// A host of `acme`, served below `/x`.
pub const SHOP: &str = "shop.acme.test";
/// A host of `globex`.
pub const GLOBEX: &str = "www.globex.test";
/// A host of `tiny`, whose plan allows little.
pub const TINY: &str = "a.tiny.test";
/// A host that nobody has.
pub const NOBODY: &str = "nobody.test";
/// Where the backend listens.
const ORIGIN: u16 = 9001;

/// A running system, its backend, and what a client of it needs.
pub struct Place {
    /// Files and address.
    pub site: Site,
    /// The processes.
    pub system: System,
    authority: Authority,
    _origin: Origin,
}

impl Place {
    /// Starts everything and waits until it serves.
    pub fn start(plane: Plane) -> Self {
        let site = Site::new();
        let authority = Authority::new();
        let platform = std::fs::read_to_string(repository("tests/cases/base/platform.yaml")).unwrap();
        site.write("platform.yaml", &platform);
        let names = [SHOP, GLOBEX, TINY, NOBODY];
        site.write("certificate.yaml", &authority.issue(&names).secret("weir-system", "all"));
        site.write("counted.yaml", &manifests());
        let origin = Origin::start((site.ip(), ORIGIN).into());
        let system = System::start(&site, plane);
        wait_for_port(&site, HTTP);
        wait_for_port(&site, HTTPS);
        Self { site, system, authority, _origin: origin }
    }

    /// Ends the processes, which must end well; the files stay as long as the site.
    pub fn end(self) -> Site {
        self.system.terminate();
        self.site
    }

    /// Where a client connects.
    pub fn target(&self, tls: bool) -> Target {
        if tls {
            Target::tls(self.site.ip(), HTTPS, SHOP, &self.authority)
        } else {
            Target::plain(self.site.ip(), HTTP)
        }
    }

    /// What the proxy has metered since it started.
    pub fn metered(&self) -> Tally {
        Tally::from_prometheus(&self.statistics())
    }

    /// Waits until the proxy has no client.
    pub fn await_no_connection(&self) {
        wait::until("the proxy's clients' connections to end", || {
            self.statistics().contains("\nweir_downstream_connections_active 0\n").then_some(())
        });
    }

    fn statistics(&self) -> String {
        let admin = Target::plain(self.site.ip(), PROXY_ADMIN);
        let page = http::once(&admin, &Request::get("admin", "/stats/prometheus")).unwrap();
        assert_eq!(page.status, 200);
        String::from_utf8(page.body).unwrap()
    }

    /// Waits until the proxy has metered exactly that.
    pub fn assert_metered(&self, counted: &Tally) {
        wait::until_ok("the proxy to have metered what the client counted", || self.metered().difference(counted));
    }

    /// Waits until `weir usage` says exactly that.
    pub fn assert_usage(&self, counted: &Tally) {
        let server = format!("http://{}:{SERVER_ADMIN}", self.site.ip());
        wait::until_ok("`weir usage` to say what the client counted", || {
            let output = weir().args(["usage", "--format", "csv", "--server", &server]).output().unwrap();
            let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert!(output.status.success(), "{}: {errors}", output.status);
            Tally::from_csv(&text).difference(counted)
        });
    }
}

fn manifests() -> String {
    let mut text = String::from(
        r#"apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: secure, namespace: weir-system}
spec:
  gatewayClassName: weir
  addresses: [{type: IPAddress, value: "${IP}"}]
  listeners:
    - name: all
      protocol: HTTPS
      port: 8443
      tls: {certificateRefs: [{name: all}]}
      allowedRoutes: {namespaces: {from: All}}
---
apiVersion: weir.dev/v1alpha1
kind: Plan
metadata: {name: little}
spec: {requests: {perSecond: 5, burst: 20}}
---
apiVersion: weir.dev/v1alpha1
kind: Tenant
metadata: {name: tiny}
spec: {plan: little, hostnames: ["*.tiny.test"]}
---
apiVersion: v1
kind: Namespace
metadata: {name: tiny, labels: {weir.dev/tenant: tiny}}
---
apiVersion: v1
kind: Service
metadata: {name: down, namespace: acme}
spec: {ports: [{name: http, port: 80}]}
"#,
    );
    for (namespace, host) in [("acme", SHOP), ("globex", GLOBEX), ("tiny", TINY)] {
        let down = if namespace == "acme" {
            "\n    - matches: [{path: {value: /x/down}}]\n      backendRefs: [{name: down, port: 80}]"
        } else {
            ""
        };
        text += &format!(
            r#"---
apiVersion: v1
kind: Service
metadata: {{name: counted, namespace: {namespace}}}
spec: {{ports: [{{name: http, port: 80}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: counted, namespace: {namespace}, labels: {{kubernetes.io/service-name: counted}}}}
addressType: IPv4
ports: [{{name: http, port: {ORIGIN}}}]
endpoints: [{{addresses: ["${{IP}}"], conditions: {{ready: true}}}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: counted, namespace: {namespace}}}
spec:
  parentRefs:
    - {{name: public, namespace: weir-system}}
    - {{name: secure, namespace: weir-system}}
  hostnames: ["{host}"]
  rules:{down}
    - matches: [{{path: {{value: /x}}}}]
      backendRefs: [{{name: counted, port: 80}}]
"#
        );
    }
    text
}
