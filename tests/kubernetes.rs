//! A server that reads a cluster: a real API server, and faults between the two.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::apiserver::{ApiServer, Call, Cluster, Fault, stock};
use crate::support::http::{self, Request, Target};
use crate::support::load::{Ask, Load};
use crate::support::plane::{cluster_server, proxy, server, wait_for_port};
use crate::support::process::Process;
use crate::support::site::{HTTP, HTTPS, SERVER_ADMIN, Site, repository};
use crate::support::tls::Authority;
use crate::support::wait;

const NAMESPACE: &str = "apiVersion: v1\nkind: Namespace\nmetadata: {name: weir-system}\n";

/// What the other tests rest on: the API server stores, outlives a kill, and the relay does what it is told.
#[test]
fn the_api_server_of_the_tests_does_as_it_is_told() {
    let site = Site::new();
    let mut api = ApiServer::start(&site);
    let plan = "apiVersion: weir.dev/v1alpha1\nkind: Plan\nmetadata: {name: pro}\nspec: {weight: 3}\n";
    api.cluster().apply(plan);
    api.kill();
    api.start_again();
    let path = "/apis/weir.dev/v1alpha1/plans/pro";
    assert_eq!(api.cluster().get(path).unwrap()["spec"]["weight"], 3);

    let relayed = Cluster::open(api.kubeconfig());
    let answer = |code: u16| {
        let rule = api.relay.fault(Fault::Answer(code), |call| call.is("get", "plans"));
        let told = relayed.send("GET", path, None).unwrap_err();
        assert_eq!(rule.hits(), 1);
        told
    };
    assert_eq!(answer(403), "403 injected Forbidden");
    assert_eq!(answer(410), "410 injected Expired");
    for fault in [Fault::Cut, Fault::CutAfter(20)] {
        let _cut = api.relay.fault(fault, |_| true);
        assert!(relayed.get(path).is_none(), "{fault:?}");
    }
    let _gone = api.relay.fault(Fault::WatchError(410), |call| call.verb == "watch");
    let event = relayed.get("/apis/weir.dev/v1alpha1/plans?watch=true&resourceVersion=1").unwrap();
    assert_eq!((&event["type"], &event["object"]["code"]), (&json!("ERROR"), &json!(410)));
    std::thread::scope(|scope| {
        let held = api.relay.fault(Fault::Hold, |_| true);
        let asked = scope.spawn(|| relayed.get(path));
        wait::until("the request to be held", || (held.hits() == 1).then_some(()));
        assert!(!asked.is_finished());
        drop(held);
        assert!(asked.join().unwrap().is_some());
    });
    assert_eq!(api.relay.count(|call| call.verb == "watch"), 1);
    api.cluster().delete(plan);
    assert!(relayed.get(path).is_none());
    let seen: Vec<String> = api.relay.seen().iter().map(ToString::to_string).collect();
    assert_eq!(seen, ["get plans.weir.dev", "watch plans.weir.dev"]);
}

/// The site's manifests for the cases, with a route of each tenant.
fn manifests(site: &Site) -> String {
    let base = ["platform.yaml", "backends.yaml"].map(|file| {
        fs::read_to_string(repository("tests/cases/base").join(file)).unwrap().replace("${IP}", &site.ip().to_string())
    });
    let routes = [route("acme", "shop.acme.test", "shop"), route("globex", "www.globex.test", "web")];
    [NAMESPACE.to_owned()].into_iter().chain(base).chain(routes).collect::<Vec<_>>().join("\n---\n")
}

fn route(tenant: &str, hostname: &str, service: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n\
         metadata: {{name: {}, namespace: {tenant}}}\n\
         spec: {{parentRefs: [{{name: public, namespace: weir-system}}], hostnames: [\"{hostname}\"], \
         rules: [{{backendRefs: [{{name: {service}, port: 80}}]}}]}}\n",
        hostname.replace('.', "-")
    )
}

/// The server's admin endpoint.
fn admin(site: &Site, path: &str) -> Option<http::Response> {
    http::once(&Target::plain(site.ip(), SERVER_ADMIN), &Request::get("localhost", path)).ok()
}

fn is_ready(site: &Site) -> bool {
    admin(site, "/ready").is_some_and(|answer| answer.status == 200)
}

fn wait_ready(site: &Site) {
    wait::until("the server to be ready", || is_ready(site).then_some(()));
}

/// Texts of what the server finds wrong.
fn findings(site: &Site) -> Vec<String> {
    let status = admin(site, "/v1/status").map(|answer| answer.json()).unwrap_or_default();
    let text = |finding: &Value| finding["error"].as_str().unwrap_or_default().to_owned();
    status["findings"].as_array().into_iter().flatten().map(text).collect()
}

/// What answers at a host; empty: nobody, with 404.
fn answered(site: &Site, host: &str) -> Option<String> {
    let answer = http::once(&Target::plain(site.ip(), HTTP), &Request::get(host, "/")).ok()?;
    answer.backend().or((answer.status == 404).then(String::new))
}

fn until_answered(site: &Site, host: &str, backend: &str) {
    wait::until_ok(&format!("{host} to be answered by `{backend}`"), || match answered(site, host) {
        Some(found) if found == backend => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

/// An API server, a server that reads it through the relay, a proxy, backends.
struct Running {
    site: Site,
    api: ApiServer,
    server: Process,
    _proxy: Process,
    _backends: Vec<Process>,
}

impl Running {
    fn start() -> Self {
        let site = Site::new();
        let api = ApiServer::start(&site);
        api.cluster().apply(&manifests(&site));
        let ports = [("shop", 9001), ("canary", 9002), ("web", 9004)];
        let backends = ports.map(|(name, port)| site.backend(name, port)).into();
        let server = cluster_server(&site, api.kubeconfig());
        wait_ready(&site);
        let proxy = proxy(&site);
        wait_for_port(&site, HTTP);
        until_answered(&site, "www.globex.test", "web");
        until_answered(&site, "shop.acme.test", "shop");
        Self { site, api, server, _proxy: proxy, _backends: backends }
    }

    /// Requests that must all succeed, whatever happens to the control plane.
    fn load(&self) -> Load {
        let ask =
            |host, backends| Ask { target: Target::plain(self.site.ip(), HTTP), host, query: "", body: 0, backends };
        Load::start(vec![ask("www.globex.test", &["web"]), ask("shop.acme.test", &["shop", "canary"])])
    }

    /// Sends acme's shop to another backend and waits until it is so.
    fn shop_to(&self, backend: &str) {
        self.api.cluster().apply(&route("acme", "shop.acme.test", backend));
        until_answered(&self.site, "shop.acme.test", backend);
    }
}

fn no_failure(load: Load) {
    let seen = load.finish();
    assert!(
        seen.failures.is_empty(),
        "{} of {} failed: {:?}",
        seen.failures.len(),
        seen.requests,
        seen.failures.first()
    );
    assert!(seen.requests > 50, "only {} requests", seen.requests);
}

fn watches_and_lists(call: &Call) -> bool {
    matches!(call.verb, "watch" | "list")
}

#[test]
fn a_directory_and_a_cluster_give_the_same_bytes() {
    let authority = Authority::new();
    let secure = authority.issue(&["shop.acme.test"]).secret("weir-system", "shop");
    let gateway = "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: secure, namespace: weir-system}\n\
        spec: {gatewayClassName: weir, listeners: [{name: https, port: 8443, protocol: HTTPS, \
        tls: {certificateRefs: [{name: shop}]}, allowedRoutes: {namespaces: {from: All}}}]}\n";
    let quickstart = ["platform", "acme", "globex", "certificate"]
        .map(|name| fs::read_to_string(repository("config/examples/quickstart").join(format!("{name}.yaml"))).unwrap());
    let quickstart = format!("{NAMESPACE}---\n{}", quickstart.join("\n---\n"));
    for (name, more) in [("cases", true), ("quickstart", false)] {
        let site = Site::new();
        let text =
            if more { [manifests(&site), secure.clone(), gateway.into()].join("\n---\n") } else { quickstart.clone() };
        // Nobody is sent there, and a stock API server takes no loopback address for an endpoint.
        let text = text.replace(&site.ip().to_string(), "192.0.2.7").replace("127.0.0.1", "192.0.2.8");
        site.write("all.yaml", &text);
        let resources = |mut process: Process| {
            wait_ready(&site);
            let dump = admin(&site, "/config_dump").unwrap().json();
            process.kill();
            dump["resources"].as_array().unwrap().clone()
        };
        let of_directory = resources(server(&site));
        let (api, cluster, kubeconfig): (Option<ApiServer>, Cluster, PathBuf) = match stock() {
            Some(kubeconfig) => (None, Cluster::open(&kubeconfig), kubeconfig),
            None => {
                let api = ApiServer::start(&site);
                let kubeconfig = api.kubeconfig().to_owned();
                (Some(api), Cluster::open(&kubeconfig), kubeconfig)
            }
        };
        cluster.apply(&text);
        let of_cluster = resources(cluster_server(&site, &kubeconfig));
        if api.is_none() {
            cluster.delete(&text);
        }
        assert!(of_directory.len() > 10, "{name}: {}", of_directory.len());
        assert_eq!(of_cluster, of_directory, "{name}");
    }
}

#[test]
fn edits_reach_the_proxy_whatever_happens_to_the_api_server() {
    let mut running = Running::start();
    let load = running.load();
    running.shop_to("canary");

    // Killed, away while something is deleted from what it will say, and back: 410, and the difference is found.
    let extra = route("acme", "extra.acme.test", "shop");
    running.api.cluster().apply(&extra);
    until_answered(&running.site, "extra.acme.test", "shop");
    running.api.kill();
    wait::until("the server to say that the API server is away", || {
        findings(&running.site).iter().any(|text| text.contains("cannot be reached")).then_some(())
    });
    assert!(is_ready(&running.site), "what was read before is served on");
    let held = running.api.relay.fault(Fault::Hold, watches_and_lists);
    running.api.start_again();
    running.api.cluster().delete(&extra);
    drop(held);
    until_answered(&running.site, "extra.acme.test", "");
    running.shop_to("shop");

    // Watches that are cut in the middle go on where they were.
    running.api.relay.cut();
    running.shop_to("canary");

    // 410, as an answer and within a watch, and answers that are no help: each while something changes.
    for (fault, backend) in [
        (Fault::Answer(410), "shop"),
        (Fault::WatchError(410), "canary"),
        (Fault::Answer(500), "shop"),
        (Fault::CutAfter(700), "canary"),
    ] {
        let only_watches = matches!(fault, Fault::Answer(410) | Fault::WatchError(_));
        let rule = running.api.relay.fault(fault, move |call| {
            call.is("watch", "httproutes") || (!only_watches && call.is("list", "httproutes"))
        });
        running.api.relay.cut();
        running.api.cluster().apply(&extra);
        running.api.cluster().delete(&extra);
        running.api.cluster().apply(&route("acme", "shop.acme.test", backend));
        wait::until(&format!("{fault:?} to be met"), || (rule.hits() >= 2).then_some(()));
        drop(rule);
        until_answered(&running.site, "shop.acme.test", backend);
        until_answered(&running.site, "extra.acme.test", "");
    }
    wait::until("the findings to be over", || findings(&running.site).is_empty().then_some(()));
    no_failure(load);
    running.server.assert_alive();
}

#[test]
fn a_starting_server_pushes_nothing_before_it_has_everything() {
    let mut running = Running::start();
    let load = running.load();
    running.server.kill();
    // Endpoints come late: without them every cluster would be empty.
    let slices = running.api.relay.fault(Fault::Hold, |call| call.is("list", "endpointslices"));
    let others = running.api.relay.count(|call| call.verb == "watch");
    running.server = cluster_server(&running.site, running.api.kubeconfig());
    wait::until("every other kind to be listed", || {
        (slices.hits() > 0 && running.api.relay.count(|call| call.verb == "watch") >= others + 9).then_some(())
    });
    assert!(!is_ready(&running.site));
    assert_eq!(admin(&running.site, "/config_dump").unwrap().json()["resources"], json!([]));
    drop(slices);
    wait_ready(&running.site);
    running.shop_to("canary");
    no_failure(load);
}

/// `source.kubernetes.status: false`: it needs to read and no more, and does all else.
#[test]
fn a_server_that_writes_no_status_asks_only_to_read_and_serves_all_the_same() {
    let running = Running::start();
    let forbidden = running.api.relay.fault(Fault::Answer(403), |call| !watches_and_lists(call));
    let load = running.load();
    for backend in ["canary", "shop", "canary"] {
        running.shop_to(backend);
    }
    // What it would write it tells whoever asks.
    running.api.cluster().apply(&route("globex", "shop.acme.test", "web"));
    wait::until_ok("what is wrong to be told", || {
        let told = String::from_utf8(admin(&running.site, "/v1/status").unwrap().body).unwrap();
        if told.contains("NotAllowed") { Ok(()) } else { Err(told) }
    });
    no_failure(load);

    let asked: Vec<String> = running.api.relay.seen().iter().map(ToString::to_string).collect();
    let more: Vec<&String> =
        asked.iter().filter(|call| !call.starts_with("list ") && !call.starts_with("watch ")).collect();
    assert!(more.is_empty() && forbidden.hits() == 0, "{more:?}");
    let object = "/apis/gateway.networking.k8s.io/v1/namespaces/acme/httproutes/shop-acme-test";
    assert!(running.api.cluster().get(object).unwrap()["status"]["parents"].is_null());
}

#[test]
fn secrets_that_are_forbidden_are_told_where_they_are_missed() {
    let site = Site::new();
    let api = ApiServer::start(&site);
    let authority = Authority::new();
    let gateway = format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: secure, namespace: weir-system}}\n\
         spec: {{gatewayClassName: weir, addresses: [{{type: IPAddress, value: {}}}], \
         listeners: [{{name: https, port: {HTTPS}, protocol: HTTPS, \
         tls: {{certificateRefs: [{{name: shop}}]}}, allowedRoutes: {{namespaces: {{from: All}}}}}}]}}\n",
        site.ip()
    );
    api.cluster().apply(&[manifests(&site), gateway].join("\n---\n"));
    api.cluster().apply(&authority.issue(&["shop.acme.test"]).secret("weir-system", "shop"));
    let forbidden = api.relay.fault(Fault::Answer(403), |call| call.resource == "secrets");
    let _server = cluster_server(&site, api.kubeconfig());
    wait_ready(&site);
    assert!(
        findings(&site)[0].starts_with("secrets cannot be read: the API server forbids it"),
        "{:?}",
        findings(&site)
    );
    let told = || String::from_utf8(admin(&site, "/v1/status").unwrap().body).unwrap();
    assert!(told().contains("the server does not read Secrets of namespace weir-system"), "{}", told());
    drop(forbidden);
    wait::until("the Secret to be read", || {
        (findings(&site).is_empty() && !told().contains("does not read Secrets")).then_some(())
    });
    let dump = String::from_utf8(admin(&site, "/config_dump").unwrap().body).unwrap();
    assert!(dump.contains("weir-system/shop"), "{dump}");
}

#[test]
fn crds_that_are_not_installed_yet_hold_nothing_up() {
    let site = Site::new();
    let api = ApiServer::bare(&site);
    let _shop = site.backend("shop", 9001);
    let _server = cluster_server(&site, api.kubeconfig());
    wait_ready(&site);
    let told = findings(&site).join("\n");
    for (kind, advice) in [("HTTPRoute", "install the CRDs of the Gateway API"), ("Plan", "install Weir's CRDs")] {
        assert!(told.contains(&format!("the cluster has no kind {kind}")) && told.contains(advice), "{told}");
    }
    let _proxy = proxy(&site);
    api.install_crds();
    api.cluster().apply(&manifests(&site));
    until_answered(&site, "shop.acme.test", "shop");
    wait::until("the findings to be over", || findings(&site).is_empty().then_some(()));
}
