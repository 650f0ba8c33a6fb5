//! Wall clocks that are set while everything runs: of a server that leads, and of a proxy. No request fails, the leader
//! stays the leader, credentials hold exactly as long as the server's clock and the monotonic one allow, and usage is
//! what clients counted.

use std::fs;

use serde_json::json;

use crate::support::apiserver::ApiServer;
use crate::support::clock::Clock;
use crate::support::http::{self, Request, Target};
use crate::support::load::{Ask, Load};
use crate::support::plane::wait_for_port;
use crate::support::process::Process;
use crate::support::service::Service;
use crate::support::site::{HTTP, PROXY_ADMIN, SERVER_ADMIN, Site, XDS, repository, weir};
use crate::support::tls::Authority;
use crate::support::tokens::{ISSUER, Tokens, put};
use crate::support::wait;

/// A step, in seconds: more than a token lives.
const STEP: i64 = 7200;
const LIFE: u64 = 3600;
/// Where the server listens; the proxy reaches it through a [`Service`], whose connections are cut at will.
const BEHIND: u16 = 18_500;
const HOST: &str = "shop.acme.test";
const ROUTE: &str = "/apis/gateway.networking.k8s.io/v1/namespaces/acme/httproutes/route";
const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/weir-system/leases/weir-server";

/// A leader over a cluster and a proxy of it that proves itself by tokens, each with a clock of its own.
struct Place {
    server: (Process, Clock),
    proxy: (Process, Clock),
    service: Service,
    tokens: Tokens,
    edits: usize,
    /// Requests that were answered, of those that were made to see an edit.
    asked: u64,
    api: ApiServer,
    _backends: [Process; 2],
    site: Site,
}

impl Place {
    fn start() -> Self {
        let site = Site::new();
        let api = ApiServer::start(&site);
        api.cluster().apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: weir-system}\n");
        for file in ["platform.yaml", "backends.yaml"] {
            let text = fs::read_to_string(repository("tests/cases/base").join(file)).unwrap();
            api.cluster().apply(&text.replace("${IP}", &site.ip().to_string()));
        }
        let (tokens, authority) = (Tokens::new(), Authority::new());
        let pair = authority.issue(&["weir-server"]);
        for (file, text) in [
            ("tls/tls.crt", &pair.certificate),
            ("tls/tls.key", &pair.key),
            ("tls/ca.crt", &authority.pem()),
            ("tls/keys.json", &tokens.keys()),
            ("token/token", &tokens.sign("weir-system/weir-edge", LIFE)),
        ] {
            put(&site.path(file), text);
        }
        let backends = [("shop", 9001), ("canary", 9002)].map(|(name, port)| site.backend(name, port));
        let service = Service::start((site.ip(), XDS).into(), vec![(site.ip(), BEHIND).into()]);
        let server = server(&site, &api);
        let proxy = proxy(&site);
        Self { server, proxy, service, tokens, edits: 0, asked: 0, api, _backends: backends, site }
    }

    /// Puts a token in place of an issuer whose clock is ahead by so many seconds.
    fn issue(&self, ahead: i64) {
        let token = self.tokens.sign_by_clock("weir-system/weir-edge", LIFE, ahead);
        put(&self.site.path("token/token"), &token);
    }

    /// Sends the route to the other backend, and waits until the proxy does so and the leader has said so.
    fn edit(&mut self, what: &str) {
        self.edits += 1;
        let backend = ["shop", "canary"][self.edits % 2];
        self.api.cluster().apply(&route(backend));
        let (target, asked) = (self.target(), &mut self.asked);
        wait::until_ok(&format!("{what}: {backend} to answer"), || {
            let response = http::once(&target, &Request::get(HOST, "/")).map_err(|e| e.to_string())?;
            let answered = response.backend().ok_or_else(|| format!("status {}", response.status))?;
            *asked += 1;
            if answered == backend { Ok(()) } else { Err(answered) }
        });
        self.told(what);
    }

    /// Waits until the status of the route is of its newest generation.
    fn told(&self, what: &str) {
        wait::until_ok(&format!("{what}: the status of the route"), || {
            let route = self.api.cluster().get(ROUTE).unwrap_or_default();
            let seen = &route["status"]["parents"][0]["conditions"][0]["observedGeneration"];
            if *seen == route["metadata"]["generation"] && seen.is_i64() { Ok(()) } else { Err(route.to_string()) }
        });
    }

    fn target(&self) -> Target {
        Target::plain(self.site.ip(), HTTP)
    }

    /// How often the server's log has said something.
    fn logged(&self, text: &str) -> usize {
        self.server.0.errors().matches(text).count()
    }

    fn until_logged(&self, text: &str, more_than: usize) {
        wait::until(&format!("the server to log `{text}`"), || (self.logged(text) > more_than).then_some(()));
    }

    /// Who leads, and how often that has changed.
    fn leader(&self) -> (String, i64) {
        let lease = self.api.cluster().get(LEASE).unwrap_or_default();
        let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
        (holder.to_owned(), lease["spec"]["leaseTransitions"].as_i64().unwrap_or_default())
    }

    /// Steps of its wall clock that the proxy has noticed.
    fn noticed(&self) -> Option<u64> {
        let admin = Target::plain(self.site.ip(), PROXY_ADMIN);
        http::once(&admin, &Request::get("admin", "/usage")).ok()?.json()["log"]["clock_steps"].as_u64()
    }

    /// Requests of acme that the server has stored, of all times.
    fn stored(&self) -> Result<u64, String> {
        let admin = Target::plain(self.site.ip(), SERVER_ADMIN);
        let answer = http::once(&admin, &Request::get("server", "/v1/usage?format=csv")).map_err(|e| e.to_string())?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let rows = text.lines().filter(|line| line.contains(",acme,requests,"));
        Ok(rows.filter_map(|line| line.rsplit(',').next()?.parse::<u64>().ok()).sum())
    }
}

fn server(site: &Site, api: &ApiServer) -> (Process, Clock) {
    let clock = Clock::new(site, "server");
    let address = |port: u16| format!("{}:{port}", site.ip());
    let bootstrap = json!({
        "source": {"kubernetes": {"kubeconfig": api.kubeconfig(), "replica": "server"}},
        "stateDir": site.path("server-state"),
        "xds": {"address": address(BEHIND), "tls": {
            "certificateFile": site.path("tls/tls.crt"), "keyFile": site.path("tls/tls.key"),
        }},
        "admin": {"address": address(SERVER_ADMIN)},
        "authentication": {"issuers": [{"issuer": ISSUER, "keysFile": site.path("tls/keys.json")}]},
    });
    fs::write(site.path("server.yaml"), bootstrap.to_string()).unwrap();
    let mut command = weir();
    command.arg("server").arg("--config").arg(site.path("server.yaml"));
    (site.process("weir-server", clock.rule(&mut command)), clock)
}

fn proxy(site: &Site) -> (Process, Clock) {
    let clock = Clock::new(site, "proxy");
    let bootstrap = json!({
        "xds": {
            "address": format!("{}:{XDS}", site.ip()),
            "tls": {"caFile": site.path("tls/ca.crt"), "serverName": "weir-server"},
            "tokenFile": site.path("token/token"),
        },
        "admin": {"address": format!("{}:{PROXY_ADMIN}", site.ip())},
        "stateDir": site.path("proxy-state"),
        "workers": 1,
        "usage": {"window": "300ms"},
    });
    fs::write(site.path("proxy.yaml"), bootstrap.to_string()).unwrap();
    let mut command = weir();
    command.arg("proxy").arg("--config").arg(site.path("proxy.yaml"));
    (site.process("weir-proxy", clock.rule(&mut command)), clock)
}

/// A route that needs the same clusters wherever it leads, so that an edit takes nothing away.
fn route(backend: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: route, namespace: acme}}
spec:
  parentRefs: [{{name: public, namespace: weir-system}}]
  hostnames: [{HOST}]
  rules:
    - matches: [{{path: {{value: /both}}}}]
      backendRefs: [{{name: shop, port: 80}}, {{name: canary, port: 80}}]
    - backendRefs: [{{name: {backend}, port: 80}}]
"
    )
}

#[test]
fn wall_clocks_that_are_set_cost_no_request_no_leader_and_no_usage() {
    let mut place = Place::start();
    place.api.cluster().apply(&route("shop"));
    wait_for_port(&place.site, HTTP);
    place.edit("at first");
    let leader = place.leader();
    assert!(leader.0.starts_with("server_"), "{leader:?}");
    let ask = Ask { target: place.target(), host: HOST, query: "", body: 0, backends: &["shop", "canary"] };
    let load = Load::start(vec![ask.clone(), ask]);

    // The server's clock goes ahead: the token is over, so its stream ends and nobody is let in by it.
    let (ends, refused) = (place.logged("a caller's streams end"), place.logged("ended at"));
    place.server.1.step_to(STEP);
    place.until_logged("a caller's streams end", ends);
    place.until_logged("ended at", refused);
    place.api.cluster().apply(&route("shop"));
    place.told("a clock that is ahead");
    // Who issues by the same clock brings the proxy back.
    place.issue(STEP);
    place.edit("after a step ahead");

    // It goes back: the token that was seen has not lived as long as it may, so who has it stays and comes back. Nobody
    // is let in by another one of the clock that is ahead.
    place.server.1.step_to(-STEP);
    place.edit("on a stream that was open before the step back");
    place.service.cut();
    place.edit("by a token that was seen before the step back");
    let early = place.logged("begins only at");
    place.issue(STEP + 1);
    place.service.cut();
    place.until_logged("begins only at", early);
    place.issue(-STEP);
    place.edit("after a step back");

    // It is right again: what was issued by the wrong clock is over.
    let ends = place.logged("a caller's streams end");
    place.server.1.step_to(0);
    place.until_logged("a caller's streams end", ends);
    place.issue(0);
    place.edit("after the server's clock was set right");

    // The proxy's clock decides nothing but how its windows are named.
    for ahead in [STEP, -STEP, 0] {
        let noticed = place.noticed().expect("the proxy counts steps of its clock");
        place.proxy.1.step_to(ahead);
        wait::until("the proxy to notice that its clock was set", || (place.noticed()? > noticed).then_some(()));
        place.service.cut();
        place.edit(&format!("with the proxy's clock at {ahead:+} s"));
    }

    let seen = load.finish();
    assert!(seen.failures.is_empty(), "{} of {}: {:?}", seen.failures.len(), seen.requests, seen.failures.first());
    assert_eq!(place.leader(), leader, "nobody else led, and nobody led anew");
    let counted = seen.requests + place.asked;
    wait::until_ok("all usage to be stored, once", || match place.stored()? {
        stored if stored == counted => Ok(()),
        stored => Err(format!("stored {stored}, counted {counted} requests")),
    });
    for process in [&mut place.server.0, &mut place.proxy.0] {
        process.assert_alive();
        assert!(!process.errors().contains("panicked"), "{}", process.errors());
    }
}
