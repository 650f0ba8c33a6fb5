//! Weir's configuration: manifests of tenants, each with a hostname, two routes, two Services and a
//! limit that is never reached; or of one plain host.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;

use crate::peers::Case;
use crate::rows::{Config, LIMIT, host};

/// Writes them into `dir`.
pub(crate) fn write(dir: &Path, case: &Case) -> anyhow::Result<()> {
    fs::write(dir.join("platform.yaml"), platform(case))?;
    for n in 0..case.config.hosts() {
        fs::write(dir.join(format!("t{n}.yaml")), tenant(n, case)).context("cannot write manifests")?;
    }
    Ok(())
}

/// What the platform's team writes.
pub(crate) fn platform(case: &Case) -> String {
    let (listener, secret) = if case.config.tls() {
        let listener =
            "{name: https, protocol: HTTPS, hostname: '*.tenants.test', tls: {certificateRefs: [{name: cert}]}";
        (listener, secret(&case.certificate.chain, &case.certificate.key))
    } else {
        ("{name: http, protocol: HTTP", String::new())
    };
    // The plan of the plain host has no limit.
    let requests = match case.config {
        Config::Tenants(_) => format!("requests: {{perSecond: {LIMIT}, burst: {LIMIT}}}"),
        _ => String::new(),
    };
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {{name: weir}}
spec: {{controllerName: weir.dev/gateway-controller}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: public, namespace: weir-system}}
spec:
  gatewayClassName: weir
  addresses: [{{type: IPAddress, value: {}}}]
  listeners:
    - {listener}, port: {}, allowedRoutes: {{namespaces: {{from: All}}}}}}
---
apiVersion: weir.dev/v1alpha1
kind: Plan
metadata: {{name: large}}
spec: {{{requests}}}
{secret}",
        case.listen.ip(),
        case.listen.port()
    )
}

fn secret(chain: &str, key: &str) -> String {
    let block = |text: &str| text.trim_end().replace('\n', "\n    ");
    format!(
        "---
apiVersion: v1
kind: Secret
metadata: {{name: cert, namespace: weir-system}}
type: kubernetes.io/tls
stringData:
  tls.crt: |
    {}
  tls.key: |
    {}
",
        block(chain),
        block(key)
    )
}

/// What tenant `n` writes.
pub(crate) fn tenant(n: u32, case: &Case) -> String {
    let host = host(n);
    let mut text = format!(
        "apiVersion: weir.dev/v1alpha1
kind: Tenant
metadata: {{name: t{n}}}
spec: {{plan: large, hostnames: [{host}]}}
---
apiVersion: v1
kind: Namespace
metadata: {{name: t{n}, labels: {{weir.dev/tenant: t{n}}}}}
"
    );
    if matches!(case.config, Config::Tenants(_)) {
        route(&mut text, n, "api", "/api", case.upstream.api);
    }
    match case.config {
        Config::Grpc => {
            calls(&mut text, n);
            backend(&mut text, n, "web", H2C, case.upstream.http2);
        }
        Config::H2c => {
            requests(&mut text, n, "web", "/");
            backend(&mut text, n, "web", H2C, case.upstream.http2);
        }
        _ => route(&mut text, n, "web", "/", case.upstream.web),
    }
    text
}

/// What of a Service's port says that it speaks HTTP/2 in clear.
const H2C: &str = ", appProtocol: kubernetes.io/h2c";

fn route(text: &mut String, n: u32, name: &str, prefix: &str, address: SocketAddr) {
    requests(text, n, name, prefix);
    backend(text, n, name, "", address);
}

/// A route of gRPC, for every method.
fn calls(text: &mut String, n: u32) {
    // Writing to a String cannot fail, here and below.
    let _ = write!(
        text,
        "---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {{name: web, namespace: t{n}}}
spec:
  parentRefs: [{{name: public, namespace: weir-system}}]
  hostnames: [{}]
  rules: [{{backendRefs: [{{name: web, port: 80}}]}}]
",
        host(n)
    );
}

fn requests(text: &mut String, n: u32, name: &str, prefix: &str) {
    let _ = write!(
        text,
        "---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}, namespace: t{n}}}
spec:
  parentRefs: [{{name: public, namespace: weir-system}}]
  hostnames: [{}]
  rules:
    - matches: [{{path: {{type: PathPrefix, value: {prefix}}}}}]
      backendRefs: [{{name: {name}, port: 80}}]
",
        host(n)
    );
}

/// A Service with one endpoint; `says` is what its port has besides.
fn backend(text: &mut String, n: u32, name: &str, says: &str, address: SocketAddr) {
    let _ = write!(
        text,
        "---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: t{n}}}
spec: {{ports: [{{name: http, port: 80{says}}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}-1, namespace: t{n}, labels: {{kubernetes.io/service-name: {name}}}}}
addressType: IPv4
ports: [{{name: http, port: {}}}]
endpoints: [{{addresses: [{}], conditions: {{ready: true}}}}]
",
        address.port(),
        address.ip()
    );
}
