//! What the server sends, seen by a client of the test's own: only what changed, once, and nothing
//! again that was refused.

use std::time::Duration;

use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryResponse;
use weir_config::model::{ResourceType, name};
use weir_config::xds::FEATURE_VHDS;

use crate::support::ads_client::AdsClient;
use crate::support::plane;
use crate::support::process::Process;
use crate::support::site::{HTTP, Site, XDS, repository, weir};
use crate::support::wait;

/// Long enough to see a response that must not come; the marker that follows is the real proof.
const SILENCE: Duration = Duration::from_millis(300);

fn site() -> (Site, Process) {
    let site = Site::new();
    for file in ["platform.yaml", "backends.yaml"] {
        site.write(file, &std::fs::read_to_string(repository("tests/cases/base").join(file)).unwrap());
    }
    site.write("acme.yaml", &route("acme", "shop.acme.test", "shop", "/"));
    site.write("globex.yaml", &route("globex", "www.globex.test", "web", "/"));
    let server = start(&site);
    (site, server)
}

fn start(site: &Site) -> Process {
    let mut server = plane::server(site);
    wait::until("the xDS port", || {
        server.assert_alive();
        std::net::TcpStream::connect((site.ip(), XDS)).ok()
    });
    server
}

fn route(namespace: &str, host: &str, backend: &str, path: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: route, namespace: {namespace}}}
spec:
  parentRefs: [{{name: public, namespace: weir-system}}]
  hostnames: [{host}]
  rules:
    - matches: [{{path: {{value: {path}}}}}]
      backendRefs: [{{name: {backend}, port: 80}}]
"
    )
}

fn routes(site: &Site) -> String {
    name::http_routes("edge", site.ip().into(), HTTP)
}

/// A client like Envoy: everything it needs, hosts inline.
fn envoy_like(site: &Site) -> AdsClient {
    let mut client = AdsClient::connect(site, &[]);
    client.subscribe(ResourceType::Cluster, &[], &[]);
    client.subscribe(ResourceType::Listener, &[], &[]);
    client.subscribe(ResourceType::LoadAssignment, &[name::endpoints("acme", "shop", 80)], &[]);
    client.subscribe(ResourceType::RouteConfiguration, &[routes(site)], &[]);
    client
}

/// Whether a response holds this text.
fn holds(response: &DeltaDiscoveryResponse, text: &str) -> bool {
    let in_bytes = |bytes: &[u8]| bytes.windows(text.len()).any(|w| w == text.as_bytes());
    response.resources.iter().any(|r| r.resource.as_ref().is_some_and(|any| in_bytes(&any.value)))
}

fn is(response: &DeltaDiscoveryResponse, kind: ResourceType) -> bool {
    response.type_url == kind.url()
}

#[test]
fn an_edit_that_changes_nothing_sends_nothing_and_one_route_is_one_resource() {
    let (site, _server) = site();
    let mut client = envoy_like(&site);
    client.until(|r| is(r, ResourceType::RouteConfiguration) && holds(r, "shop.acme.test"));
    site.write("acme.yaml", &route("acme", "shop.acme.test", "shop", "/marker-1"));
    client.until(|r| holds(r, "/marker-1"));

    // A comment, another order of fields, the same file again.
    let same = route("globex", "www.globex.test", "web", "/");
    site.write("globex.yaml", &format!("# a comment\n{same}"));
    site.write("globex.yaml", &same.replace("kind: HTTPRoute\n", "").replace("spec:", "kind: HTTPRoute\nspec:"));
    assert_eq!(client.next(SILENCE), None);
    site.write("acme.yaml", &route("acme", "shop.acme.test", "shop", "/marker-2"));
    let between = client.until(|r| holds(r, "/marker-2"));
    assert_eq!(between.len(), 1, "{between:?}");
    assert_eq!(between[0].resources.len(), 1, "{between:?}");
    assert!(between[0].removed_resources.is_empty(), "{between:?}");
}

#[test]
fn to_weirs_own_proxy_an_edited_route_is_one_virtual_host() {
    let (site, _server) = site();
    let mut client = AdsClient::connect(&site, &[FEATURE_VHDS]);
    let host = |host: &str| name::virtual_host(&routes(&site), host);
    client.subscribe(ResourceType::RouteConfiguration, &[routes(&site)], &[]);
    let shell = client.until(|r| is(r, ResourceType::RouteConfiguration));
    assert!(
        !shell.iter().any(|r| is(r, ResourceType::RouteConfiguration) && holds(r, "shop.acme.test")),
        "hosts inline"
    );
    client.subscribe(ResourceType::VirtualHost, &[host("shop.acme.test"), host("www.globex.test")], &[]);
    client.until(|r| holds(r, "www.globex.test"));
    site.write("acme.yaml", &route("acme", "shop.acme.test", "shop", "/marker"));
    let answers = client.until(|r| holds(r, "/marker"));
    let last = answers.last().unwrap();
    assert!(is(last, ResourceType::VirtualHost));
    let names: Vec<&str> = last.resources.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(names, [host("shop.acme.test")]);
}

#[test]
fn a_host_that_is_not_there_is_answered_as_empty() {
    let (site, _server) = site();
    let mut client = AdsClient::connect(&site, &[FEATURE_VHDS]);
    client.subscribe(ResourceType::RouteConfiguration, &[routes(&site)], &[]);
    client.until(|r| is(r, ResourceType::RouteConfiguration));
    let nobody = name::virtual_host(&routes(&site), "nobody.test");
    client.subscribe(ResourceType::VirtualHost, std::slice::from_ref(&nobody), &[]);
    let answers = client.until(|r| is(r, ResourceType::VirtualHost));
    let last = answers.last().unwrap();
    let empty = last.resources.iter().any(|r| r.name == nobody && r.resource.is_none());
    assert!(empty || last.removed_resources.contains(&nobody), "{last:?}");
}

#[test]
fn what_was_refused_is_not_sent_again_until_it_changes() {
    let (site, _server) = site();
    let mut client = envoy_like(&site);
    client.until(|r| is(r, ResourceType::RouteConfiguration) && holds(r, "shop.acme.test"));
    site.write("acme.yaml", &route("acme", "shop.acme.test", "shop", "/refused"));
    let response = client.next(wait::PATIENCE).expect("the edit");
    assert!(holds(&response, "/refused"), "{response:?}");
    client.answer(&response, Some("virtual_hosts[0]: not to my taste"));
    assert_eq!(client.next(SILENCE), None, "refused, and sent again");
    site.write("acme.yaml", &route("acme", "shop.acme.test", "shop", "/better"));
    let next = client.until(|r| holds(r, "/better"));
    assert_eq!(next.len(), 1, "{next:?}");
}

#[test]
fn a_restarted_server_sends_a_client_only_what_it_does_not_have() {
    let (site, mut server) = site();
    let names = [routes(&site)];
    let mut client = AdsClient::connect(&site, &[]);
    client.subscribe(ResourceType::RouteConfiguration, &names, &[]);
    let first = client.until(|r| is(r, ResourceType::RouteConfiguration));
    let known: Vec<(String, String)> =
        first.iter().flat_map(|r| &r.resources).map(|r| (r.name.clone(), r.version.clone())).collect();
    drop(client);
    server.kill();
    let _server = start(&site);
    let mut client = AdsClient::connect(&site, &[]);
    client.subscribe(ResourceType::RouteConfiguration, &names, &known);
    assert_eq!(client.next(SILENCE), None, "the same bytes have another version");
    site.write("acme.yaml", &route("acme", "shop.acme.test", "shop", "/marker"));
    let next = client.until(|r| holds(r, "/marker"));
    assert_eq!(next.len(), 1, "{next:?}");
}

#[test]
fn an_open_port_is_loopback_only_and_says_why() {
    let site = Site::new();
    let file = site.path("open.yaml");
    let text = format!(
        "source: {{directory: {}}}\nxds: {{address: \"0.0.0.0:0\"}}\nauthentication: {{anonymous: true}}\n",
        site.manifests().display()
    );
    std::fs::write(&file, text).unwrap();
    let output = weir().arg("server").arg("--config").arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("authentication.anonymous") && said.contains("loopback"), "{said}");
}
