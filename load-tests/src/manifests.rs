//! Manifests of many tenants: each has a hostname, two routes, two Services and a limit that is never reached.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;

/// The hostname of tenant `n`.
pub(crate) fn host(n: u32) -> String {
    format!("t{n}.tenants.test")
}

/// Writes them into `dir`; the gateway listens on `listen`, every Service's endpoint is `backend`.
pub(crate) fn write(dir: &Path, tenants: u32, listen: SocketAddr, backend: SocketAddr) -> anyhow::Result<()> {
    fs::write(dir.join("platform.yaml"), platform(listen))?;
    for n in 0..tenants {
        fs::write(dir.join(format!("t{n}.yaml")), tenant(n, backend)).context("cannot write manifests")?;
    }
    Ok(())
}

fn platform(listen: SocketAddr) -> String {
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
    - {{name: http, protocol: HTTP, port: {}, allowedRoutes: {{namespaces: {{from: All}}}}}}
---
apiVersion: weir.dev/v1alpha1
kind: Plan
metadata: {{name: large}}
spec: {{requests: {{perSecond: 1000000, burst: 1000000}}}}
",
        listen.ip(),
        listen.port()
    )
}

fn tenant(n: u32, backend: SocketAddr) -> String {
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
    for (route, prefix) in [("api", "/api"), ("web", "/")] {
        let _ = write!(
            text,
            "---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {route}, namespace: t{n}}}
spec:
  parentRefs: [{{name: public, namespace: weir-system}}]
  hostnames: [{host}]
  rules:
    - matches: [{{path: {{type: PathPrefix, value: {prefix}}}}}]
      backendRefs: [{{name: {route}, port: 80}}]
---
apiVersion: v1
kind: Service
metadata: {{name: {route}, namespace: t{n}}}
spec: {{ports: [{{name: http, port: 80}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {route}-1, namespace: t{n}, labels: {{kubernetes.io/service-name: {route}}}}}
addressType: IPv4
ports: [{{name: http, port: {}}}]
endpoints: [{{addresses: [{}], conditions: {{ready: true}}}}]
",
            backend.port(),
            backend.ip()
        );
    }
    text
}
