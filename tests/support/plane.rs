//! A whole system: a server over the site's manifests, and a data plane that obeys it.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::envoy::Envoy;
use super::http::{self, Request, Target};
use super::process::Process;
use super::site::{PROXY_ADMIN, SERVER_ADMIN, Site, XDS, weir};
use super::wait;
use super::way::Way;

/// Windows of usage are short, so that no test waits long for one.
const WINDOW: &str = "1s";

/// What serves the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plane {
    /// A stock Envoy, fed by `weir server`.
    Envoy,
    /// The same, by another way: as `weir server` would feed one with another bootstrap.
    EnvoyBy(Way),
    /// `weir proxy`, fed by `weir server`.
    Weir,
    /// Both halves in `weir up`.
    Up,
}

impl Plane {
    /// Whether Envoy serves the requests.
    pub fn is_envoy(self) -> bool {
        matches!(self, Self::Envoy | Self::EnvoyBy(_))
    }
}

/// The running processes.
pub struct System {
    /// Which data plane.
    pub plane: Plane,
    server: Option<Process>,
    proxy: Option<Proxy>,
}

enum Proxy {
    Envoy(Envoy),
    Weir(Process),
}

impl System {
    /// Starts server and data plane over what the site's manifests say now.
    pub fn start(site: &Site, plane: Plane) -> Self {
        let mut system = Self { plane, server: None, proxy: None };
        system.start_server(site);
        system.start_proxy(site);
        system
    }

    /// Starts the server (at `Up`: everything) and waits until its xDS port is open.
    pub fn start_server(&mut self, site: &Site) {
        let mut process = match self.plane {
            Plane::Up => up(site),
            Plane::Weir | Plane::Envoy | Plane::EnvoyBy(_) => authenticated_server(site),
        };
        wait::until("the xDS port", || {
            process.assert_alive();
            TcpStream::connect((site.ip(), XDS)).ok()
        });
        self.server = Some(process);
    }

    /// `kill -9` of the server.
    pub fn kill_server(&mut self) {
        self.server.take().expect("a server runs").kill();
    }

    /// SIGTERM for what serves requests, where that is Weir.
    pub fn ask_to_end(&mut self) {
        self.serving().ask_to_end();
    }

    /// What was asked to end must end well.
    pub fn ended(mut self) {
        let status = self.serving().wait();
        assert!(status.success(), "after SIGTERM: {status}");
    }

    /// Id of the process that serves requests, where that is Weir.
    pub fn serving_id(&mut self) -> u32 {
        self.serving().id()
    }

    fn serving(&mut self) -> &mut Process {
        let process = match self.plane {
            Plane::Up => self.server.as_mut(),
            _ => self.proxy.as_mut().and_then(Proxy::weir),
        };
        process.expect("Weir serves")
    }

    /// SIGTERM for everything; all must end well.
    pub fn terminate(mut self) {
        for process in [self.proxy.as_mut().and_then(Proxy::weir), self.server.as_mut()].into_iter().flatten() {
            let status = process.terminate();
            assert!(status.success(), "after SIGTERM: {status}");
        }
    }

    /// Starts the data plane, where it is a process of its own.
    pub fn start_proxy(&mut self, site: &Site) {
        self.proxy = match self.plane {
            Plane::Envoy => Some(Proxy::Envoy(Envoy::start(site, &envoy_bootstrap(site, &[])))),
            Plane::EnvoyBy(way) => {
                let bootstrap = way.take(envoy_bootstrap(site, way.options()));
                Some(Proxy::Envoy(Envoy::start(site, &bootstrap)))
            }
            Plane::Weir => Some(Proxy::Weir(authenticated_proxy(site))),
            Plane::Up => None,
        };
    }

    /// Waits until the proxy has stored what it serves: what is new is written a moment after it serves.
    pub fn wait_for_store(&self, site: &Site) {
        let admin = Target::plain(site.ip(), PROXY_ADMIN);
        wait::until("the proxy to store what it serves", || {
            let page = http::once(&admin, &Request::get("admin", "/stats/prometheus")).ok()?;
            String::from_utf8_lossy(&page.body).contains("\nweir_xds_resources_unstored 0\n").then_some(())
        });
    }

    /// `kill -9` of the data plane.
    pub fn kill_proxy(&mut self) {
        match self.proxy.take().expect("a proxy of its own runs") {
            Proxy::Envoy(mut envoy) => envoy.process.kill(),
            Proxy::Weir(mut process) => process.kill(),
        }
    }

    /// Fails if something has ended by itself.
    pub fn assert_alive(&mut self) {
        if let Some(server) = &mut self.server {
            server.assert_alive();
        }
        match &mut self.proxy {
            Some(Proxy::Envoy(envoy)) => envoy.process.assert_alive(),
            Some(Proxy::Weir(process)) => process.assert_alive(),
            None => {}
        }
    }
}

impl Proxy {
    fn weir(&mut self) -> Option<&mut Process> {
        match self {
            Proxy::Weir(process) => Some(process),
            Proxy::Envoy(_) => None,
        }
    }
}

/// Waits until something listens at `port` of the site.
pub fn wait_for_port(site: &Site, port: u16) {
    wait::until(&format!("port {port}"), || {
        TcpStream::connect_timeout(&(site.ip(), port).into(), Duration::from_secs(1)).ok()
    });
}

/// Starts `weir server`, which lets in whoever connects.
pub fn server(site: &Site) -> Process {
    start_server(site, json!({"directory": site.manifests()}), json!({"anonymous": true}))
}

/// Starts `weir server` over the cluster of a kubeconfig; it lets everybody in and writes no status.
pub fn cluster_server(site: &Site, kubeconfig: &Path) -> Process {
    let kubernetes = json!({"kubeconfig": kubeconfig, "status": false});
    start_server(site, json!({"kubernetes": kubernetes}), json!({"anonymous": true}))
}

/// Starts `weir server` as it is by itself: with an issuer of its own.
pub fn authenticated_server(site: &Site) -> Process {
    start_server(site, json!({"directory": site.manifests()}), json!({}))
}

fn start_server(site: &Site, source: Value, authentication: Value) -> Process {
    let bootstrap = json!({
        "source": source,
        "stateDir": site.path("server-state"),
        "xds": {"address": format!("{}:{XDS}", site.ip())},
        "admin": {"address": format!("{}:{SERVER_ADMIN}", site.ip())},
        "authentication": authentication,
    });
    let file = site.path("server.yaml");
    fs::write(&file, bootstrap.to_string()).unwrap();
    site.process("weir-server", weir().arg("server").arg("--config").arg(&file))
}

/// Starts `weir proxy` with two workers, towards whatever serves the site's xDS port in the clear.
pub fn proxy(site: &Site) -> Process {
    start_proxy(site, json!({"address": format!("{}:{XDS}", site.ip())}))
}

/// Starts `weir proxy`, which proves itself by what [`authenticated_server`] gives to local proxies.
pub fn authenticated_proxy(site: &Site) -> Process {
    let identity = site.path("server-state").join("identity");
    let tls = json!({"caFile": identity.join("ca.crt"), "serverName": "weir-server"});
    let token = identity.join("tokens/edge.token");
    start_proxy(site, json!({"address": format!("{}:{XDS}", site.ip()), "tls": tls, "tokenFile": token}))
}

fn start_proxy(site: &Site, xds: Value) -> Process {
    let bootstrap = json!({
        "xds": xds,
        "admin": {"address": format!("{}:{PROXY_ADMIN}", site.ip())},
        "stateDir": site.path("proxy-state"),
        "secretsDir": site.path("proxy-secrets"),
        "workers": 2,
        "drainTimeout": "10s",
        "usage": {"window": WINDOW},
    });
    let file = site.path("proxy.yaml");
    fs::write(&file, bootstrap.to_string()).unwrap();
    site.process("weir-proxy", weir().arg("proxy").arg("--config").arg(&file))
}

/// What `weir bootstrap envoy` prints.
fn envoy_bootstrap(site: &Site, options: &[&str]) -> Value {
    let address = |port: u16| format!("{}:{port}", site.ip());
    let output = weir()
        .args(["bootstrap", "envoy", "--xds", &address(XDS), "--admin", &address(PROXY_ADMIN), "--state-dir"])
        .arg(site.path("server-state"))
        .args(options)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Starts `weir up`.
fn up(site: &Site) -> Process {
    let address = |port: u16| format!("{}:{port}", site.ip());
    site.process(
        "weir-up",
        weir()
            .arg("up")
            .arg(site.manifests())
            .arg("--state-dir")
            .arg(site.path("state"))
            .args(["--xds", &address(XDS)])
            .args(["--server-admin", &address(SERVER_ADMIN)])
            .args(["--proxy-admin", &address(PROXY_ADMIN)])
            .args(["--usage-window", WINDOW]),
    )
}
