//! The processes: PostgreSQL, a server, a relay, a proxy, and a backend that nothing happens to.

use std::fs;
use std::net::TcpStream;

use serde_json::{Value, json};
use weir_xds_server::testing::postgres::Postgres;

use super::disk::Disk;
use super::load::TENANTS;
use super::relay::Relay;
use crate::support::counting::origin::Origin;
use crate::support::counting::tally::Tally;
use crate::support::http::{self, Request, Target};
use crate::support::plane::wait_for_port;
use crate::support::process::Process;
use crate::support::site::{HTTP, HTTPS, PROXY_ADMIN, SERVER_ADMIN, Site, XDS, repository, weir};
use crate::support::tls::Authority;
use crate::support::wait;

const ORIGIN: u16 = 9001;
const RELAY: u16 = 18_100;
/// Ports of a server: xDS, admin, and its name.
type Ports = (u16, u16, &'static str);
const FIRST: Ports = (XDS, SERVER_ADMIN, "server");
const SECOND: Ports = (18_200, 18_201, "second-server");
/// Windows are short, so that a round has several.
const WINDOW: &str = "200ms";

/// Everything that runs.
pub struct Fleet {
    /// The proxy.
    pub proxy: Process,
    /// The control server.
    pub server: Process,
    /// Another one with the same database, where that is PostgreSQL. Only the relay knows it.
    _second: Option<Process>,
    /// Between proxy and servers, for usage.
    pub relay: Relay,
    /// The database's server, where it has one.
    pub postgres: Option<Postgres>,
    /// URL of the database; none: the server's own SQLite file.
    database: Option<String>,
    /// Under the proxy's state directory, where that can be.
    pub disk: Option<Disk>,
    _origin: Origin,
    authority: Authority,
    /// Dropped last: all of the others use its directory.
    site: Site,
}

impl Fleet {
    /// Starts everything and waits until it serves. Usage is stored in PostgreSQL, or in SQLite.
    pub fn start(seed: u64, postgres: bool) -> Self {
        let (site, authority, postgres) = (Site::new(), Authority::new(), postgres.then(Postgres::start));
        let platform = fs::read_to_string(repository("tests/cases/base/platform.yaml")).unwrap();
        site.write("platform.yaml", &platform);
        let hosts = TENANTS.map(|(_, host)| host);
        site.write("certificate.yaml", &authority.issue(&hosts).secret("weir-system", "all"));
        site.write("secure.yaml", SECURE);
        for (tenant, host) in TENANTS {
            site.write(&format!("{tenant}.yaml"), &manifests(tenant, host));
        }
        let disk = Disk::mount(&site.path("proxy-state"));
        let database = postgres.as_ref().map(Postgres::database);
        let origin = Origin::start((site.ip(), ORIGIN).into());
        let ports = if postgres.is_some() { &[FIRST.0, SECOND.0][..] } else { &[FIRST.0] };
        let servers = ports.iter().map(|port| (site.ip(), *port).into()).collect();
        let relay = Relay::start((site.ip(), RELAY).into(), servers, seed);
        let server = start_server(&site, database.as_deref(), FIRST);
        let second = postgres.is_some().then(|| start_server(&site, database.as_deref(), SECOND));
        let proxy = start_proxy(&site);
        let fleet =
            Self { site, authority, database, postgres, server, _second: second, proxy, relay, disk, _origin: origin };
        for port in [HTTP, HTTPS] {
            wait_for_port(&fleet.site, port);
        }
        fleet
    }

    /// Kills the database's server and starts it anew.
    pub fn kill_postgres(&self) {
        if let Some(postgres) = &self.postgres {
            postgres.kill();
            postgres.launch();
        }
    }

    /// Starts the server anew.
    pub fn restart_server(&mut self) {
        self.server = start_server(&self.site, self.database.as_deref(), FIRST);
    }

    /// Starts the proxy anew.
    pub fn restart_proxy(&mut self) {
        self.proxy = start_proxy(&self.site);
    }

    /// Starts the proxy anew, and does not wait until it is there.
    pub fn begin_proxy(&mut self) {
        self.proxy = begin_proxy(&self.site);
    }

    /// Where a client of `host` connects.
    pub fn target(&self, tls: bool, host: &str) -> Target {
        if tls {
            Target::tls(self.site.ip(), HTTPS, host, &self.authority)
        } else {
            Target::plain(self.site.ip(), HTTP)
        }
    }

    /// Waits until the proxy, which has no client any more, has logged all it counted, and the server has
    /// acknowledged all that was logged.
    pub fn settle(&self) {
        wait::until_ok("the proxy to have all acknowledged", || {
            let page = self.page("/usage")?;
            let page: Value = serde_json::from_str(&page).map_err(|e| e.to_string())?;
            let open = page["tenants"].as_object().into_iter().flatten().find(|(_, t)| t["counted"] != t["logged"]);
            let log = &page["log"];
            let active = self.page("/stats/prometheus")?.contains("\nweir_downstream_connections_active 0\n");
            if active && open.is_none() && log["unacknowledged"] == 0 {
                return Ok(());
            }
            Err(format!("no client: {active}; not logged: {open:?}; {log}; {}", page["stream"]))
        });
    }

    /// Lets a tenant come, and serves it.
    pub fn add_tenant(&self, tenant: &str, host: &str) {
        self.site.write(&format!("{tenant}.yaml"), &manifests(tenant, host));
    }

    /// Lets a tenant go.
    pub fn remove_tenant(&self, tenant: &str) {
        self.site.remove(&format!("{tenant}.yaml"));
    }

    /// Waits until the proxy raises an alarm because its windows cannot be logged.
    pub fn await_unlogged(&self) {
        wait::until_ok("the proxy to say that it cannot log", || {
            let page: Value = serde_json::from_str(&self.page("/usage")?).map_err(|e| e.to_string())?;
            let log = &page["log"];
            let alarmed =
                log["unlogged_since_ms"].is_number() && log["alarms"].as_array().is_some_and(|a| !a.is_empty());
            if alarmed { Ok(()) } else { Err(log.to_string()) }
        });
    }

    /// The sums that the server gives out.
    pub fn usage(&self) -> Tally {
        let output = self.weir(&["usage", "--format", "csv"]);
        Tally::from_csv(&output)
    }

    /// Fails unless `weir usage audit` finds no gap.
    pub fn audit(&self) {
        let proxy = format!("http://{}:{PROXY_ADMIN}", self.site.ip());
        let report = self.weir(&["usage", "audit", "--proxy", &proxy]);
        assert!(report.ends_with("no gap\n"), "{report}");
    }

    /// What `weir` prints about this server, as soon as it succeeds: a server that has just started, or whose
    /// database has, may not answer yet.
    fn weir(&self, args: &[&str]) -> String {
        let server = format!("http://{}:{SERVER_ADMIN}", self.site.ip());
        wait::until_ok(&format!("weir {args:?}"), || {
            let output = weir().args(args).args(["--server", &server]).output().map_err(|e| e.to_string())?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            if output.status.success() {
                return Ok(text);
            }
            assert!(!text.contains("gap: "), "{text}");
            Err(format!("{}: {text}{}", output.status, String::from_utf8_lossy(&output.stderr)))
        })
    }

    fn page(&self, path: &str) -> Result<String, String> {
        let admin = Target::plain(self.site.ip(), PROXY_ADMIN);
        let page = http::once(&admin, &Request::get("admin", path)).map_err(|e| e.to_string())?;
        String::from_utf8(page.body).map_err(|e| e.to_string())
    }
}

fn start_server(site: &Site, database: Option<&str>, (xds, admin, name): Ports) -> Process {
    let address = |port: u16| format!("{}:{port}", site.ip());
    let bootstrap = json!({
        "source": {"directory": site.manifests()},
        "stateDir": site.path(name),
        "xds": {"address": address(xds)},
        "admin": {"address": address(admin)},
        "authentication": {"anonymous": true},
        "usage": database.map_or(json!({}), |url| json!({"database": url})),
    });
    let file = site.path(&format!("{name}.yaml"));
    fs::write(&file, bootstrap.to_string()).unwrap();
    let mut process = site.process(name, weir().arg("server").arg("--config").arg(&file));
    wait::until("the xDS port", || {
        process.assert_alive();
        TcpStream::connect((site.ip(), xds)).ok()
    });
    process
}

fn start_proxy(site: &Site) -> Process {
    let mut process = begin_proxy(site);
    wait::until("the proxy's admin port", || {
        process.assert_alive();
        TcpStream::connect((site.ip(), PROXY_ADMIN)).ok()
    });
    process
}

fn begin_proxy(site: &Site) -> Process {
    let address = |port: u16| format!("{}:{port}", site.ip());
    let bootstrap = json!({
        "xds": {"address": address(XDS)},
        "admin": {"address": address(PROXY_ADMIN)},
        "stateDir": site.path("proxy-state"),
        "secretsDir": site.path("proxy-secrets"),
        "workers": 2,
        "drainTimeout": "10s",
        "usage": {"window": WINDOW, "server": {"address": address(RELAY)}},
    });
    let file = site.path("proxy.yaml");
    fs::write(&file, bootstrap.to_string()).unwrap();
    site.process("weir-proxy", weir().arg("proxy").arg("--config").arg(&file))
}

const SECURE: &str = r#"apiVersion: gateway.networking.k8s.io/v1
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
"#;

fn manifests(tenant: &str, host: &str) -> String {
    format!(
        r#"apiVersion: weir.dev/v1alpha1
kind: Tenant
metadata: {{name: {tenant}}}
spec: {{plan: pro, hostnames: ["{host}"]}}
---
apiVersion: v1
kind: Namespace
metadata: {{name: {tenant}, labels: {{weir.dev/tenant: {tenant}}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: counted, namespace: {tenant}}}
spec: {{ports: [{{name: http, port: 80}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: counted, namespace: {tenant}, labels: {{kubernetes.io/service-name: counted}}}}
addressType: IPv4
ports: [{{name: http, port: {ORIGIN}}}]
endpoints: [{{addresses: ["${{IP}}"], conditions: {{ready: true}}}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: counted, namespace: {tenant}}}
spec:
  parentRefs:
    - {{name: public, namespace: weir-system}}
    - {{name: secure, namespace: weir-system}}
  hostnames: ["{host}"]
  rules: [{{backendRefs: [{{name: counted, port: 80}}]}}]
"#
    )
}
