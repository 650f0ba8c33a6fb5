//! Under load that is checked response by response, everything changes that may change, and no
//! request fails: routes and endpoints twenty times a second, the server killed and restarted, a
//! listener added and removed, a bad document, a listener that the proxy must refuse.

use std::time::{Duration, Instant};

use crate::support::http::Target;
use crate::support::load::{Ask, Load, Seen};
use crate::support::plane::{Plane, System, wait_for_port};
use crate::support::site::{HTTP, HTTPS, Site, repository};
use crate::support::tls::Authority;

/// Length of the run; `WEIR_SOAK_SECONDS` makes it longer.
const SECONDS: u64 = 12;
/// Between two edits.
const EDIT: Duration = Duration::from_millis(50);
/// Edits between two of the greater changes.
const STRIDE: usize = 20;

#[test]
fn at_weir() {
    let seen = churn(Plane::Weir);
    assert!(seen.failures.is_empty(), "{} failed:\n{}", seen.failures.len(), first(&seen.failures));
}

/// A stock Envoy is held to nothing here: its figure is printed, beside ours.
#[test]
fn at_envoy() {
    churn(Plane::Envoy);
}

fn churn(plane: Plane) -> Seen {
    let site = Site::new();
    let authority = Authority::new();
    for file in ["platform.yaml", "backends.yaml"] {
        let text = std::fs::read_to_string(repository("tests/cases/base").join(file)).unwrap();
        site.write(file, &text);
    }
    site.write("certificate.yaml", &authority.issue(&["shop.acme.test"]).secret("weir-system", "shop"));
    site.write("secure.yaml", &gateway("secure", "HTTPS", HTTPS, "tls: {certificateRefs: [{name: shop}]}"));
    site.write("acme.yaml", &route("acme", "shop.acme.test", "shop", 0));
    site.write("globex.yaml", &route("globex", "www.globex.test", "web", 0));
    let ports = [("shop", 9001), ("canary", 9002), ("api", 9003), ("web", 9004), ("spare", 9005)];
    let _backends = ports.map(|(name, port)| site.backend(name, port));
    let mut system = System::start(&site, plane);
    wait_for_port(&site, HTTP);
    wait_for_port(&site, HTTPS);

    let load = Load::start(asks(&site, &authority));
    let end = Instant::now() + duration();
    let mut edits = 0;
    while Instant::now() < end || edits < 6 * STRIDE {
        let next = Instant::now() + EDIT;
        edit(&site, edits);
        if edits % STRIDE == STRIDE / 2 {
            upheaval(&site, &mut system, edits / STRIDE);
        }
        edits += 1;
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    system.assert_alive();
    let seen = load.finish();
    eprintln!(
        "{plane:?}: {} requests, {} failed, {edits} edits; answered by {:?}\n{}",
        seen.requests,
        seen.failures.len(),
        seen.backends,
        first(&seen.failures)
    );
    // The edits did reach the requests, and there were requests.
    assert!(seen.requests > 500, "only {} requests", seen.requests);
    assert_eq!(seen.backends["shop.acme.test"].len(), 3, "{:?}", seen.backends);
    assert_eq!(seen.backends["www.globex.test"].len(), 2, "{:?}", seen.backends);
    seen
}

fn asks(site: &Site, authority: &Authority) -> Vec<Ask> {
    let acme: &[&str] = &["shop", "canary", "api"];
    let globex: &[&str] = &["web", "spare"];
    let plain = Target::plain(site.ip(), HTTP);
    let secure = Target::tls(site.ip(), HTTPS, "shop.acme.test", authority);
    let ask =
        |target: &Target, host, query, body, backends| Ask { target: target.clone(), host, query, body, backends };
    vec![
        ask(&plain, "shop.acme.test", "", 0, acme),
        ask(&plain, "shop.acme.test", "", 2000, acme),
        ask(&plain, "shop.acme.test", "?delay=100", 0, acme),
        ask(&plain, "www.globex.test", "", 0, globex),
        ask(&plain, "www.globex.test", "?delay=30", 300_000, globex),
        ask(&secure, "shop.acme.test", "", 0, acme),
        ask(&secure, "shop.acme.test", "?delay=20", 500, acme),
    ]
}

/// The small changes: where acme's route goes, and where globex's endpoint is.
fn edit(site: &Site, n: usize) {
    if n.is_multiple_of(2) {
        site.write("acme.yaml", &route("acme", "shop.acme.test", ["shop", "canary", "api"][n / 2 % 3], n));
    } else {
        let from = ["9004", "9005"][n / 2 % 2];
        let to = ["9005", "9004"][n / 2 % 2];
        let text = site.read("backends.yaml");
        site.write("backends.yaml", &text.replace(from, to));
    }
}

/// The great ones, in turn.
fn upheaval(site: &Site, system: &mut System, n: usize) {
    match n % 6 {
        0 => site.write("extra.yaml", &gateway("extra", "HTTP", 8081, "")),
        1 => {
            system.kill_server();
            system.start_server(site);
        }
        2 => site.remove("extra.yaml"),
        // A backend has that port: no proxy can bind it.
        3 => site.write("taken.yaml", &gateway("taken", "HTTP", 9001, "")),
        4 => site.write("globex.yaml", "kind: HTTPRoute\nmetadata: {name: [\n"),
        _ => {
            site.remove("taken.yaml");
            site.write("globex.yaml", &route("globex", "www.globex.test", "web", n));
        }
    }
}

fn gateway(name: &str, protocol: &str, port: u16, more: &str) -> String {
    let hostname = if protocol == "HTTPS" { "hostname: shop.acme.test" } else { "" };
    let fields = [hostname, more].iter().filter(|f| !f.is_empty()).map(|f| format!("\n      {f}")).collect::<String>();
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: {name}, namespace: weir-system}}
spec:
  gatewayClassName: weir
  addresses: [{{type: IPAddress, value: \"${{IP}}\"}}]
  listeners:
    - name: {name}
      protocol: {protocol}
      port: {port}
      allowedRoutes: {{namespaces: {{from: All}}}}{fields}
"
    )
}

fn route(namespace: &str, host: &str, backend: &str, n: usize) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: route, namespace: {namespace}}}
spec:
  parentRefs: [{{name: public, namespace: weir-system}}, {{name: secure, namespace: weir-system}}, {{name: extra, namespace: weir-system}}]
  hostnames: [{host}]
  rules:
    - matches: [{{path: {{value: /edit-{n}}}}}]
      backendRefs: [{{name: {backend}, port: 80}}]
    - backendRefs: [{{name: {backend}, port: 80}}]
"
    )
}

fn duration() -> Duration {
    let seconds = std::env::var("WEIR_SOAK_SECONDS").ok().and_then(|s| s.parse().ok());
    Duration::from_secs(seconds.unwrap_or(SECONDS))
}

fn first(failures: &[String]) -> String {
    failures.iter().take(20).map(|f| format!("  {f}\n")).collect()
}
