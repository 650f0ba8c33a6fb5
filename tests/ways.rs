//! What an Envoy has on each of the ways by which it can be fed, as the server tells it.

use std::fs;

use serde_json::Value;

use crate::support::http::{self, Request, Target};
use crate::support::plane::{Plane, System, wait_for_port};
use crate::support::process::Process;
use crate::support::site::{HTTP, SERVER_ADMIN, Site, repository};
use crate::support::wait;
use crate::support::way::Way;

const ROUTES: &str = r#"
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop, namespace: acme}
spec:
  parentRefs: [{name: public, namespace: weir-system}]
  hostnames: ["shop.acme.test", "api.acme.test"]
  rules: [{backendRefs: [{name: shop, port: 80}]}]
"#;

struct Place {
    site: Site,
    _shop: Process,
    system: System,
}

impl Place {
    fn start(way: Way) -> Self {
        let site = Site::new();
        for entry in fs::read_dir(repository("tests/cases/base")).unwrap() {
            let path = entry.unwrap().path();
            site.write(&path.file_name().unwrap().to_string_lossy(), &fs::read_to_string(&path).unwrap());
        }
        site.write("routes.yaml", ROUTES);
        let shop = site.backend("shop", 9001);
        let system = System::start(&site, Plane::EnvoyBy(way));
        wait_for_port(&site, HTTP);
        Self { site, _shop: shop, system }
    }

    fn get(&self, host: &str) -> u16 {
        http::once(&Target::plain(self.site.ip(), HTTP), &Request::get(host, "/")).unwrap().status
    }

    /// A page of the server's admin endpoint.
    fn page(&self, path: &str) -> Value {
        let admin = Target::plain(self.site.ip(), SERVER_ADMIN);
        http::once(&admin, &Request::get("admin", path)).unwrap().json()
    }

    /// Names of what Envoy has of a type.
    fn names(&self, kind: &str) -> Vec<String> {
        let dump = self.page(&format!("/config_dump?node=envoy&type={kind}"));
        let streams = dump["streams"].as_array().unwrap().iter();
        let all = streams.flat_map(|stream| stream["resources"].as_array().unwrap());
        let synced = all.filter(|resource| resource["version"].is_string());
        synced.map(|resource| resource["name"].as_str().unwrap().to_owned()).collect()
    }

    fn hosts(&self) -> Vec<String> {
        self.names("VirtualHost").iter().map(|name| name.rsplit_once('/').unwrap().1.to_owned()).collect()
    }

    fn finish(self) {
        self.system.terminate();
    }
}

#[test]
fn on_demand_an_envoy_has_the_hosts_that_requests_named_and_no_others() {
    let place = Place::start(Way::OnDemand);
    assert!(place.hosts().is_empty(), "{:?}", place.hosts());
    assert_eq!((place.get("shop.acme.test:8080"), place.get("nobody.acme.test")), (200, 404));
    wait::until("the host's acknowledgement", || (place.hosts() == ["shop.acme.test"]).then_some(()));
    assert_eq!(place.get("shop.acme.test"), 200);

    place.site.write("routes.yaml", &ROUTES.replace("\"api.acme.test\"", "\"nobody.acme.test\""));
    wait::until("the new host", || (place.get("nobody.acme.test") == 200).then_some(()));
    assert_eq!(place.get("api.acme.test"), 404);
    place.site.remove("routes.yaml");
    wait::until("the hosts' end", || (place.get("shop.acme.test") == 404).then_some(()));
    wait::until("the hosts' removal", || place.hosts().is_empty().then_some(()));
    place.finish();
}

#[test]
fn the_server_tells_the_streams_apart() {
    let place = Place::start(Way::WorldStreams);
    assert_eq!(place.get("shop.acme.test"), 200);
    let clients = place.page("/clients");
    let clients = clients["clients"].as_array().unwrap();
    let mut protocols: Vec<&str> = clients.iter().map(|client| client["protocol"].as_str().unwrap()).collect();
    protocols.sort_unstable();
    protocols.dedup();
    assert_eq!(
        protocols,
        ["Cluster", "ClusterLoadAssignment", "Listener", "RouteConfiguration", "TypedExtensionConfig"]
            .map(|kind| format!("sotw {kind}")),
        "{clients:?}"
    );
    assert_eq!(place.names("Listener").len(), 1);
    place.finish();
}
