//! More certificates than a proxy holds: a real server sends what handshakes ask for, and takes back what they do not.

use std::fmt::Write as _;
use std::fs;

use serde_json::json;

use crate::support::http::{self, Client, Request, Target};
use crate::support::plane::{self, wait_for_port};
use crate::support::process::Process;
use crate::support::site::{HTTPS, PROXY_ADMIN, Site, XDS, repository, weir};
use crate::support::tls::{Authority, Pair};
use crate::support::wait;

/// Certificates of listeners, and how many of them the proxy holds.
const CERTIFICATES: usize = 12;
const HELD: u64 = 4;

fn host(n: usize) -> String {
    format!("shop-{n}.acme.test")
}

/// A listener with a certificate of its own for each host, and one route for all.
fn manifests(authority: &Authority) -> (String, Vec<Pair>) {
    let mut listeners = String::new();
    let mut text = String::new();
    let pairs: Vec<Pair> = (0..CERTIFICATES).map(|n| authority.issue(&[&host(n)])).collect();
    for (n, pair) in pairs.iter().enumerate() {
        let host = host(n);
        let _ = write!(
            listeners,
            "\n    - {{name: https-{n}, protocol: HTTPS, port: {HTTPS}, hostname: {host}, tls: {{certificateRefs: \
             [{{name: shop-{n}}}]}}, allowedRoutes: {{namespaces: {{from: All}}}}}}"
        );
        let _ = write!(text, "---\n{}", pair.secret("weir-system", &format!("shop-{n}")));
    }
    let gateway = format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: secure, namespace: weir-system}}\n\
         spec:\n  gatewayClassName: weir\n  addresses: [{{type: IPAddress, value: \"${{IP}}\"}}]\n  \
         listeners:{listeners}\n"
    );
    let route = "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n\
         metadata: {name: secure, namespace: acme}\nspec:\n  \
         parentRefs: [{name: secure, namespace: weir-system}]\n  hostnames: [\"*.acme.test\"]\n  \
         rules: [{backendRefs: [{name: shop, port: 80}]}]\n";
    (gateway + route + &text, pairs)
}

/// A proxy that holds few certificates.
fn proxy(site: &Site) -> Process {
    let bootstrap = json!({
        "xds": {"address": format!("{}:{XDS}", site.ip())},
        "admin": {"address": format!("{}:{PROXY_ADMIN}", site.ip())},
        "stateDir": site.path("proxy-state"),
        "secretsDir": site.path("proxy-secrets"),
        "workers": 2,
        "certificates": {"held": HELD, "parsedKeys": 2},
    });
    let file = site.path("proxy.yaml");
    fs::write(&file, bootstrap.to_string()).unwrap();
    site.process("weir-proxy", weir().arg("proxy").arg("--config").arg(&file))
}

/// A metric of the proxy.
fn metric(site: &Site, name: &str) -> Option<u64> {
    let admin = Target::plain(site.ip(), PROXY_ADMIN);
    let page = http::once(&admin, &Request::get("admin", "/stats/prometheus")).ok()?;
    let text = String::from_utf8_lossy(&page.body).into_owned();
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

/// Asks for a host, and checks that the certificate is its own.
fn ask(site: &Site, authority: &Authority, n: usize, pair: &Pair) -> Result<(), String> {
    let mut client = Client::new(Target::tls(site.ip(), HTTPS, &host(n), authority));
    let response = client.send(&Request::get(&host(n), "/")).map_err(|e| format!("{}: {e}", host(n)))?;
    if response.backend().as_deref() != Some("shop") {
        return Err(format!("{}: status {}", host(n), response.status));
    }
    assert_eq!(client.certificate().as_deref(), Some(&*pair.der), "{} shows its own certificate", host(n));
    Ok(())
}

#[test]
fn a_proxy_that_holds_few_certificates_serves_all_of_them() {
    let site = Site::new();
    let authority = Authority::new();
    for file in ["platform.yaml", "backends.yaml"] {
        site.write(file, &fs::read_to_string(repository("tests/cases/base").join(file)).unwrap());
    }
    let (text, mut pairs) = manifests(&authority);
    site.write("secure.yaml", &text);
    let _shop = site.backend("shop", 9001);
    let mut server = plane::server(&site);
    let mut proxy = proxy(&site);
    wait_for_port(&site, HTTPS);
    wait::until_ok("the first host", || ask(&site, &authority, 0, &pairs[0]));

    // Thrice around: each host's turn comes when its certificate was given up for others.
    for _ in 0..3 {
        for (n, pair) in pairs.iter().enumerate() {
            ask(&site, &authority, n, pair).unwrap();
            let held = metric(&site, "weir_xds_resources_active{type=\"Secret\"}").unwrap();
            assert!(held <= HELD, "{held} are held");
        }
    }
    let fetched = metric(&site, "weir_tls_certificates_fetched_total").unwrap();
    assert!(fetched >= 2 * CERTIFICATES as u64, "{fetched} were fetched");
    assert_eq!(metric(&site, "weir_tls_handshakes_refused_total"), Some(0));

    // One that is renewed while nobody holds it is the new one when it is asked for.
    pairs[0] = authority.issue(&[&host(0)]);
    site.write("secure.yaml", &text.replace(&secret(&text, 0), &pairs[0].secret("weir-system", "shop-0")));
    wait::until("the renewed certificate", || {
        let mut client = Client::new(Target::tls(site.ip(), HTTPS, &host(0), &authority));
        client.send(&Request::get(&host(0), "/")).ok()?;
        (client.certificate()? == pairs[0].der).then_some(())
    });

    // Without a server what is held serves on, and is served again when the server is back.
    server.kill();
    ask(&site, &authority, 0, &pairs[0]).unwrap();
    let _server = plane::server(&site);
    for (n, pair) in pairs.iter().enumerate() {
        wait::until_ok("all after the server's restart", || ask(&site, &authority, n, pair));
    }
    proxy.assert_alive();
}

/// The Secret of host `n` as it stands in `text`.
fn secret(text: &str, n: usize) -> String {
    let begin = format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: shop-{n},");
    let rest = &text[text.find(&begin).unwrap()..];
    rest[..rest.find("\n---\n").map_or(rest.len(), |end| end + 1)].to_owned()
}
