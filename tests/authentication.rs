//! Proxies that prove who they are to a real server, while what they prove it by rotates under them.

use std::fs;
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::support::envoy::Envoy;
use crate::support::http::{self, Request, Target};
use crate::support::process::Process;
use crate::support::site::{HTTP, PROXY_ADMIN, SERVER_ADMIN, Site, XDS, weir};
use crate::support::tls::Authority;
use crate::support::tokens::{ISSUER, Tokens, put};
use crate::support::wait;

/// Seconds that a token lives here. It is replaced when the stream that it opened is about to end.
const LIFE: u64 = 4;
/// How many tokens a proxy outlives.
const ROTATIONS: usize = 4;

const PLATFORM: &str = r#"apiVersion: weir.dev/v1alpha1
kind: Plan
metadata: {name: pro}
spec: {requests: {perSecond: 10000}}
---
apiVersion: weir.dev/v1alpha1
kind: Tenant
metadata: {name: acme}
spec: {plan: pro, hostnames: ["*.acme.test"]}
---
apiVersion: v1
kind: Namespace
metadata: {name: acme-shop, labels: {weir.dev/tenant: acme}}
---
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
  listeners:
    - {name: http, protocol: HTTP, port: 8080, allowedRoutes: {namespaces: {from: All}}}
---
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: acme-shop}
spec: {ports: [{name: http, port: 80, targetPort: 9001}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: shop-1, namespace: acme-shop, labels: {kubernetes.io/service-name: shop}}
addressType: IPv4
ports: [{name: http, port: 9001}]
endpoints: [{addresses: ["${IP}"], conditions: {ready: true}}]
"#;

/// A server with TLS, an issuer and an authority of client certificates, all the test's own, and a backend.
struct Place {
    site: Site,
    tokens: Tokens,
    clients: Authority,
    server: Process,
    _backend: Process,
}

impl Place {
    fn start() -> Self {
        let site = Site::new();
        let (tokens, authority, clients) = (Tokens::new(), Authority::new(), Authority::new());
        let pair = authority.issue(&["weir-server"]);
        for (file, text) in [
            ("tls/tls.crt", &pair.certificate),
            ("tls/tls.key", &pair.key),
            ("tls/ca.crt", &authority.pem()),
            ("tls/clients.crt", &clients.pem()),
            ("tls/keys.json", &tokens.keys()),
        ] {
            put(&site.path(file), text);
        }
        site.write("platform.yaml", PLATFORM);
        let address = |port: u16| format!("{}:{port}", site.ip());
        let bootstrap = json!({
            "source": {"directory": site.manifests()},
            "stateDir": site.path("server-state"),
            "xds": {"address": address(XDS), "tls": {
                "certificateFile": site.path("tls/tls.crt"), "keyFile": site.path("tls/tls.key"),
            }},
            "admin": {"address": address(SERVER_ADMIN)},
            "authentication": {
                "issuers": [{"issuer": ISSUER, "keysFile": site.path("tls/keys.json")}],
                "clientCaFile": site.path("tls/clients.crt"),
            },
        });
        fs::write(site.path("server.yaml"), bootstrap.to_string()).unwrap();
        let mut server =
            site.process("weir-server", weir().arg("server").arg("--config").arg(site.path("server.yaml")));
        wait::until("the xDS port", || {
            server.assert_alive();
            TcpStream::connect((site.ip(), XDS)).ok()
        });
        let backend = site.backend("shop", 9001);
        Self { site, tokens, clients, server, _backend: backend }
    }

    /// Puts a new token where the proxy reads it.
    fn rotate_token(&self) {
        put(&self.site.path("token/token"), &self.tokens.sign("weir-system/weir-edge", LIFE));
    }

    /// Routes `host` to the shop, and waits until the proxy does so.
    fn serve(&self, host: &str, mut meanwhile: impl FnMut()) {
        self.site.write(
            "route.yaml",
            &format!(
                "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: shop, namespace: acme-shop}}\n\
                 spec:\n  parentRefs: [{{name: public, namespace: weir-system}}]\n  hostnames: [\"{host}\"]\n  \
                 rules: [{{backendRefs: [{{name: shop, port: 80}}]}}]\n"
            ),
        );
        wait::until_ok(host, || {
            meanwhile();
            let response = http::once(&Target::plain(self.site.ip(), HTTP), &Request::get(host, "/"))
                .map_err(|e| e.to_string())?;
            if response.status == 200 { Ok(()) } else { Err(format!("{}", response.status)) }
        });
    }

    /// How often the server has let a stream in so far.
    fn streams(&self) -> usize {
        self.server.errors().matches("a proxy connected").count()
    }

    /// How often one of its streams has ended because what it proved did.
    fn ends(&self) -> usize {
        self.server.errors().matches("a caller's streams end").count()
    }

    /// Lets the proxy live through many tokens; configuration goes on arriving.
    fn outlives_its_tokens(&self) {
        self.serve("www-0.acme.test", || {});
        for n in 1..=ROTATIONS {
            let (ends, streams) = (self.ends(), self.streams());
            self.rotate_token();
            wait::until("the stream of the token before to end", || (self.ends() > ends).then_some(()));
            // The token may be over before the proxy is back: a slow machine shall not fail for that.
            let mut looks = 0;
            wait::until("the proxy to be back", || {
                looks += 1;
                if looks % 200 == 0 {
                    self.rotate_token();
                }
                (self.streams() > streams).then_some(())
            });
            let mut looks = 0;
            self.serve(&format!("www-{n}.acme.test"), || {
                looks += 1;
                if looks % 50 == 0 {
                    self.rotate_token();
                }
            });
        }
        let log = self.server.errors();
        assert!(!log.contains("eyJ"), "the log has a token: {log}");
    }

    /// Usage of acme that the server has.
    fn usage(&self) -> String {
        let output = weir()
            .args(["usage", "--server", &format!("http://{}:{SERVER_ADMIN}", self.site.ip()), "--tenant", "acme"])
            .args(["--format", "csv"])
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn envoy(&self, more: &[&str]) -> Envoy {
        let address = |port: u16| format!("{}:{port}", self.site.ip());
        let output = weir()
            .args(["bootstrap", "envoy", "--xds", &address(XDS), "--admin", &address(PROXY_ADMIN), "--ca"])
            .arg(self.site.path("tls/ca.crt"))
            .arg("--files")
            .arg(self.site.path("envoy-files"))
            .args(more)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let bootstrap: Value = serde_json::from_slice(&output.stdout).unwrap();
        Envoy::start(&self.site, &bootstrap)
    }
}

#[test]
fn weirs_proxy_outlives_its_tokens_and_its_usage_arrives() {
    let place = Place::start();
    place.rotate_token();
    let bootstrap = json!({
        "xds": {
            "address": format!("{}:{XDS}", place.site.ip()),
            "tls": {"caFile": place.site.path("tls/ca.crt")},
            "tokenFile": place.site.path("token/token"),
        },
        "admin": {"address": format!("{}:{PROXY_ADMIN}", place.site.ip())},
        "stateDir": place.site.path("proxy-state"),
        "workers": 1,
        "usage": {"window": "300ms"},
    });
    fs::write(place.site.path("proxy.yaml"), bootstrap.to_string()).unwrap();
    let _proxy =
        place.site.process("weir-proxy", weir().arg("proxy").arg("--config").arg(place.site.path("proxy.yaml")));
    place.outlives_its_tokens();
    place.rotate_token();
    let mut looks = 0;
    wait::until("usage to arrive", || {
        looks += 1;
        if looks % 50 == 0 {
            place.rotate_token();
        }
        place.usage().contains("acme,requests").then_some(())
    });
}

#[test]
fn a_stock_envoy_outlives_its_tokens_and_its_usage_arrives() {
    let place = Place::start();
    place.rotate_token();
    let token = place.site.path("token/token").display().to_string();
    let _envoy = place.envoy(&["--token", &token]);
    place.outlives_its_tokens();
    let mut looks = 0;
    wait::until("usage to arrive", || {
        looks += 1;
        if looks % 50 == 0 {
            place.rotate_token();
        }
        let _ = http::once(
            &Target::plain(place.site.ip(), HTTP),
            &Request::get(&format!("www-{ROTATIONS}.acme.test"), "/"),
        );
        place.usage().contains("acme,requests").then_some(())
    });
}

#[test]
fn a_stock_envoy_goes_on_by_its_next_certificate() {
    let place = Place::start();
    let uri = "spiffe://platform.test/ns/weir-system/sa/weir-edge";
    let put_pair = || {
        let pair = place.clients.issue_uri(uri);
        put(&place.site.path("client/tls.key"), &pair.key);
        put(&place.site.path("client/tls.crt"), &pair.certificate);
    };
    put_pair();
    let [certificate, key] = ["tls.crt", "tls.key"].map(|file| place.site.path("client").join(file));
    let pair = [certificate, key].map(|path| path.display().to_string());
    let _envoy = place.envoy(&["--certificate", &pair[0], "--key", &pair[1]]);
    place.serve("www-0.acme.test", || {});

    // Another authority counts from now on: the stream ends, and only the next certificate opens one.
    let (ends, next) = (place.ends(), Authority::new());
    put(&place.site.path("tls/clients.crt"), &next.pem());
    wait::until("the stream to end", || (place.ends() > ends).then_some(()));
    let pair = next.issue_uri(uri);
    put(&place.site.path("client/tls.key"), &pair.key);
    put(&place.site.path("client/tls.crt"), &pair.certificate);
    place.serve("www-1.acme.test", || {});
}

/// The embedded default: what `weir server` makes by itself lets its own proxies in, and nobody else.
#[test]
fn the_own_issuer_lets_in_who_can_read_its_files() {
    let site = Site::new();
    site.write("platform.yaml", PLATFORM);
    let mut server = crate::support::plane::authenticated_server(&site);
    wait::until("the xDS port", || {
        server.assert_alive();
        TcpStream::connect((site.ip(), XDS)).ok()
    });
    let _nobody = crate::support::plane::proxy(&site);
    wait::until("a proxy without TLS to fail", || {
        let log = fs::read_to_string(site.logs().join("weir-proxy.err")).unwrap_or_default();
        log.contains("no stream to the control server").then_some(())
    });
    assert!(!server.errors().contains("a proxy connected"), "{}", server.errors());
}
