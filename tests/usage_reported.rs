//! Usage arrives: what a client counted on its sockets is what the server has stored, once, whatever is
//! killed on the way.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::support::http::{self, Request, Target};
use crate::support::plane::{server, wait_for_port};
use crate::support::process::Process;
use crate::support::site::{HTTP, PROXY_ADMIN, SERVER_ADMIN, Site, XDS, repository, weir};
use crate::support::wait;

/// Amounts by tenant and metric.
type Amounts = BTreeMap<(String, String), u64>;

/// A site with a route for each of two tenants, and their backends.
fn site() -> (Site, [Process; 2]) {
    let site = Site::new();
    for file in ["platform.yaml", "backends.yaml"] {
        site.write(file, &fs::read_to_string(repository("tests/cases/base").join(file)).unwrap());
    }
    for (tenant, service) in [("acme", "shop"), ("globex", "web")] {
        site.write(
            &format!("{tenant}.yaml"),
            &format!(
                "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: www, namespace: {tenant}}}
spec:
  parentRefs: [{{name: public, namespace: weir-system}}]
  hostnames: [www.{tenant}.test]
  rules: [{{backendRefs: [{{name: {service}, port: 80}}]}}]
"
            ),
        );
    }
    let backends = [site.backend("shop", 9001), site.backend("web", 9004)];
    (site, backends)
}

/// `weir proxy` with short windows.
fn proxy(site: &Site) -> Process {
    let bootstrap = json!({
        "node": {"id": "edge-0"},
        "xds": {"address": format!("{}:{XDS}", site.ip())},
        "admin": {"address": format!("{}:{PROXY_ADMIN}", site.ip())},
        "stateDir": site.path("proxy-state"),
        "workers": 2,
        "usage": {"window": "300ms"},
    });
    let file = site.path("proxy.yaml");
    fs::write(&file, bootstrap.to_string()).unwrap();
    site.process("weir-proxy", weir().arg("proxy").arg("--config").arg(&file))
}

/// `weir up` with short windows.
fn up(site: &Site) -> Process {
    let address = |port: u16| format!("{}:{port}", site.ip());
    let mut command = weir();
    command.arg("up").arg(site.manifests()).arg("--state-dir").arg(site.path("state"));
    command.args(["--xds", &address(XDS), "--server-admin", &address(SERVER_ADMIN)]);
    command.args(["--proxy-admin", &address(PROXY_ADMIN), "--usage-window", "1h"]);
    site.process("weir-up", &mut command)
}

/// One exchange on a connection of its own; what it was is added to `counted` if it was served.
fn exchange(site: &Site, tenant: &str, body: usize, counted: &mut Amounts) -> Result<(), String> {
    let mut stream = TcpStream::connect((site.ip(), HTTP)).map_err(|e| e.to_string())?;
    let mut request =
        format!("POST /some/path?{body} HTTP/1.1\r\nhost: www.{tenant}.test\r\nconnection: close\r\ncontent-length: {body}\r\n\r\n")
            .into_bytes();
    request.resize(request.len() + body, b'x');
    stream.write_all(&request).map_err(|e| e.to_string())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map_err(|e| e.to_string())?;
    if !answer.starts_with(b"HTTP/1.1 200 ") {
        return Err(String::from_utf8_lossy(&answer).into_owned());
    }
    let amounts = [("requests", 1), ("request_bytes", request.len() as u64), ("response_bytes", answer.len() as u64)];
    for (metric, n) in amounts {
        *counted.entry((tenant.to_owned(), metric.to_owned())).or_default() += n;
    }
    Ok(())
}

/// Some exchanges of both tenants.
fn exchanges(site: &Site, counted: &mut Amounts) {
    for n in 0..15 {
        exchange(site, "acme", n * 97, counted).unwrap();
        exchange(site, "globex", n * 1031, counted).unwrap();
    }
}

/// What the server has stored of what clients can count.
fn stored(site: &Site) -> Result<Amounts, String> {
    let target = Target::plain(site.ip(), SERVER_ADMIN);
    let answer = http::once(&target, &Request::get("server", "/v1/usage?format=csv")).map_err(|e| e.to_string())?;
    if answer.status != 200 {
        return Err(format!("status {}", answer.status));
    }
    let mut amounts = Amounts::new();
    for line in String::from_utf8_lossy(&answer.body).lines().skip(1) {
        let [_, tenant, metric, units] = line.split(',').collect::<Vec<_>>()[..] else {
            return Err(format!("no row: {line}"));
        };
        if ["requests", "request_bytes", "response_bytes"].contains(&metric) && tenant != "-" {
            *amounts.entry((tenant.to_owned(), metric.to_owned())).or_default() += units.parse::<u64>().unwrap();
        }
    }
    Ok(amounts)
}

fn wait_until_stored(site: &Site, counted: &Amounts) {
    wait::until_ok("all usage to be stored", || match stored(site)? {
        amounts if amounts == *counted => Ok(()),
        amounts => Err(format!("stored {amounts:?}, counted {counted:?}")),
    });
}

/// What the proxy says of itself.
fn page(site: &Site) -> Result<Value, String> {
    let target = Target::plain(site.ip(), PROXY_ADMIN);
    let answer = http::once(&target, &Request::get("proxy", "/usage")).map_err(|e| e.to_string())?;
    serde_json::from_slice(&answer.body).map_err(|e| e.to_string())
}

#[test]
fn what_clients_counted_is_stored_once_though_server_and_proxy_are_killed() {
    let (site, _backends) = site();
    let mut counted = Amounts::new();
    let (mut server_process, mut proxy_process) = (server(&site), proxy(&site));
    for tenant in ["acme", "globex"] {
        wait::until_ok("the routes", || exchange(&site, tenant, 0, &mut counted));
    }
    for round in 0..3 {
        exchanges(&site, &mut counted);
        // The server goes, and the proxy serves and logs on.
        server_process.kill();
        exchanges(&site, &mut counted);
        // The proxy goes in the moment in which its last client has its answer, with the window open.
        proxy_process.kill();
        if round % 2 == 0 {
            server_process = server(&site);
            proxy_process = proxy(&site);
        } else {
            proxy_process = proxy(&site);
            server_process = server(&site);
        }
        wait_for_port(&site, HTTP);
    }
    exchanges(&site, &mut counted);
    wait_until_stored(&site, &counted);
    let page = wait::until_ok("the proxy to have nothing left", || {
        let page = page(&site)?;
        let settled = page["log"]["unacknowledged"] == 0 && page["logged_through"] != json!(null);
        if settled { Ok(page) } else { Err(page.to_string()) }
    });
    assert_eq!(page["stream"]["connected"], true, "{page}");
    assert_eq!(page["tenants"]["acme"]["counted"], page["tenants"]["acme"]["logged"], "{page}");
    assert_eq!(page["tenants"]["acme"]["logged"]["requests"], 15, "of the present epoch: {page}");
    // The last epoch ends well, and nothing comes twice.
    assert!(proxy_process.terminate().success());
    wait_until_stored(&site, &counted);
    assert!(server_process.terminate().success());
}

#[test]
fn weir_up_stores_the_last_window_before_it_ends() {
    let (site, _backends) = site();
    let mut counted = Amounts::new();
    // The end waits a second for the server, no longer: on a machine that is too slow for that, another time.
    let arrived = (0..5).any(|_| {
        let mut process = up(&site);
        wait::until_ok("the route", || exchange(&site, "acme", 10, &mut counted));
        exchange(&site, "globex", 10, &mut counted).unwrap_or_default();
        assert!(process.terminate().success());
        // The server alone, over the same database.
        let mut alone = server_over(&site, "state/server");
        let amounts = wait::until_ok("the server", || stored(&site));
        alone.kill();
        amounts == counted
    });
    assert!(arrived, "the last window was never there when `weir up` had ended");
}

/// `weir server` over a state directory.
fn server_over(site: &Site, state: &str) -> Process {
    let bootstrap = json!({
        "source": {"directory": site.manifests()},
        "stateDir": site.path(state),
        "xds": {"address": format!("{}:{XDS}", site.ip())},
        "admin": {"address": format!("{}:{SERVER_ADMIN}", site.ip())},
        "authentication": {"anonymous": true},
    });
    let file = site.path("alone.yaml");
    fs::write(&file, bootstrap.to_string()).unwrap();
    site.process("weir-server-alone", weir().arg("server").arg("--config").arg(&file))
}
