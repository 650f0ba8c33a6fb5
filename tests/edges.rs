//! Two edges on one server: everybody's, and one that a tenant has to itself (isolation `Silo`). Each is given what
//! its own Gateways serve, and a tenant moves from one to the other without a failed request.

use std::fs;

use serde_json::json;

use crate::support::http::{self, Request, Target};
use crate::support::load::{Ask, Load};
use crate::support::plane::wait_for_port;
use crate::support::process::Process;
use crate::support::site::{HTTP, PROXY_ADMIN, SERVER_ADMIN, Site, XDS, repository, weir};
use crate::support::wait;

/// Port of the tenant's own listener, and the admin endpoint of its proxy.
const OWN: u16 = 8090;
const OWN_ADMIN: u16 = 9902;

const SILO: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: acme-edge, labels: {weir.dev/tenant: acme}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: own, namespace: acme-edge}
spec:
  gatewayClassName: weir
  addresses: [{type: IPAddress, value: \"${IP}\"}]
  listeners: [{name: http, protocol: HTTP, port: 8090, allowedRoutes: {namespaces: {from: All}}}]
";

/// A route of `tenant` for `www.<tenant>.test`, at these Gateways.
fn route(tenant: &str, service: &str, gateways: &[&str]) -> String {
    let parents = gateways.iter().map(|gateway| match gateway.split_once('/') {
        Some((namespace, name)) => json!({"namespace": namespace, "name": name}),
        None => json!({"name": gateway}),
    });
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": "www", "namespace": tenant},
        "spec": {
            "parentRefs": parents.collect::<Vec<_>>(),
            "hostnames": [format!("www.{tenant}.test")],
            "rules": [{"backendRefs": [{"name": service, "port": 80}]}],
        },
    })
    .to_string()
}

struct Place {
    _proxies: [Process; 2],
    _server: Process,
    _backends: [Process; 2],
    site: Site,
}

impl Place {
    fn start() -> Self {
        let site = Site::new();
        for file in ["platform.yaml", "backends.yaml"] {
            site.write(file, &fs::read_to_string(repository("tests/cases/base").join(file)).unwrap());
        }
        site.write("silo.yaml", SILO);
        site.write("acme.yaml", &route("acme", "shop", &["weir-system/public"]));
        site.write("globex.yaml", &route("globex", "web", &["weir-system/public", "acme-edge/own"]));
        let server = server(&site);
        // What the second says of itself is a claim: its token alone counts.
        let proxies = [proxy(&site, "edge", PROXY_ADMIN), proxy(&site, "acme", OWN_ADMIN)];
        let backends = [site.backend("shop", 9001), site.backend("web", 9004)];
        [HTTP, OWN].iter().for_each(|port| wait_for_port(&site, *port));
        Self { _proxies: proxies, _server: server, _backends: backends, site }
    }

    /// The backend, or the status without one.
    fn ask(&self, port: u16, host: &str) -> String {
        match http::once(&Target::plain(self.site.ip(), port), &Request::get(host, "/")) {
            Ok(answer) => answer.backend().unwrap_or_else(|| answer.status.to_string()),
            Err(error) => error.to_string(),
        }
    }

    fn until(&self, port: u16, host: &str, answer: &str) {
        wait::until_ok(&format!("{host} at {port} to answer {answer}"), || match self.ask(port, host) {
            said if said == answer => Ok(()),
            said => Err(said),
        });
    }

    fn dump(&self, admin: u16) -> String {
        let page = http::once(&Target::plain(self.site.ip(), admin), &Request::get("admin", "/config_dump")).unwrap();
        String::from_utf8(page.body).unwrap()
    }
}

fn server(site: &Site) -> Process {
    let address = |port: u16| format!("{}:{port}", site.ip());
    let class = |name: &str, gateways: &str| json!({"name": name, "serviceAccount": format!("weir-system/{name}"), "gateways": [gateways]});
    let bootstrap = json!({
        "source": {"directory": site.manifests()},
        "stateDir": site.path("server-state"),
        "xds": {"address": address(XDS)},
        "admin": {"address": address(SERVER_ADMIN)},
        "proxyClasses": [class("edge", "*"), class("acme", "acme-edge/*")],
    });
    fs::write(site.path("server.yaml"), bootstrap.to_string()).unwrap();
    let mut server = site.process("weir-server", weir().arg("server").arg("--config").arg(site.path("server.yaml")));
    wait::until("the xDS port", || {
        server.assert_alive();
        std::net::TcpStream::connect((site.ip(), XDS)).ok()
    });
    server
}

fn proxy(site: &Site, class: &str, admin: u16) -> Process {
    let identity = site.path("server-state/identity");
    let bootstrap = json!({
        "node": {"id": "edge-0", "cluster": "edge"},
        "xds": {
            "address": format!("{}:{XDS}", site.ip()),
            "tls": {"caFile": identity.join("ca.crt"), "serverName": "weir-server"},
            "tokenFile": identity.join(format!("tokens/{class}.token")),
        },
        "admin": {"address": format!("{}:{admin}", site.ip())},
        "stateDir": site.path(&format!("proxy-{class}")),
        "workers": 1,
    });
    let file = site.path(&format!("proxy-{class}.yaml"));
    fs::write(&file, bootstrap.to_string()).unwrap();
    site.process(&format!("weir-proxy-{class}"), weir().arg("proxy").arg("--config").arg(&file))
}

#[test]
fn each_edge_has_its_own_gateways_and_a_tenant_moves_between_them() {
    let place = Place::start();
    place.until(HTTP, "www.acme.test", "shop");
    place.until(HTTP, "www.globex.test", "web");
    assert_eq!(place.ask(OWN, "www.acme.test"), "404");
    place.site.write("acme.yaml", &route("acme", "shop", &["weir-system/public", "acme-edge/own"]));
    place.until(OWN, "www.acme.test", "shop");
    // Its listener takes routes of all namespaces, but a tenant's Gateway carries the tenant's names alone.
    assert_eq!(place.ask(OWN, "www.globex.test"), "404");

    // The tenant's own edge knows nothing of the other tenant, and neither knows the other's listeners.
    let own = place.dump(OWN_ADMIN);
    assert!(own.contains("www.acme.test") && !own.contains("globex"), "{own}");
    let shared = place.dump(PROXY_ADMIN);
    assert!(shared.contains("www.globex.test") && !shared.contains(&format!("/{OWN}/tcp")), "{shared}");

    // From everybody's edge to its own: the old one lets go only when its route does.
    let target = Target::plain(place.site.ip(), OWN);
    let load = Load::start(vec![Ask { target, host: "www.acme.test", query: "", body: 0, backends: &["shop"] }]);
    place.site.write("acme.yaml", &route("acme", "shop", &["acme-edge/own"]));
    place.until(HTTP, "www.acme.test", "404");
    let seen = load.finish();
    assert!(seen.requests > 0 && seen.failures.is_empty(), "{:?}", seen.failures);
}
