//! gRPC and WebSocket with peers that others wrote: `grpcio` and `websockets` of PyPI, on both sides of the edge.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::Command;

use crate::support::plane::{Plane, System, wait_for_port};
use crate::support::process::Process;
use crate::support::site::{HTTP, HTTPS, Site, repository};
use crate::support::tls::Authority;
use crate::support::wait;

/// Port of the Python servers.
const PEER: u16 = 9100;

const SECURE: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: secure, namespace: weir-system}
spec:
  gatewayClassName: weir
  addresses: [{type: IPAddress, value: \"${IP}\"}]
  listeners:
    - {name: https, port: 8443, protocol: HTTPS, tls: {certificateRefs: [{name: peer}]}, allowedRoutes: {namespaces: {from: All}}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: peer-1, namespace: acme, labels: {kubernetes.io/service-name: peer}}
addressType: IPv4
ports: [{name: main, port: 9100}]
endpoints: [{addresses: [\"${IP}\"], conditions: {ready: true}}]
";

const GRPC: &str = "
apiVersion: v1
kind: Service
metadata: {name: peer, namespace: acme}
spec: {ports: [{name: main, port: 80, appProtocol: kubernetes.io/h2c}]}
---
apiVersion: v1
kind: Service
metadata: {name: down, namespace: acme}
spec: {ports: [{name: main, port: 80, appProtocol: kubernetes.io/h2c}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: peer, namespace: acme}
spec:
  parentRefs: [{name: public, namespace: weir-system}, {name: secure, namespace: weir-system}]
  hostnames: [peer.acme.test]
  rules:
    - {matches: [{method: {service: test.Echo}}], backendRefs: [{name: peer, port: 80}]}
    - {matches: [{method: {service: test.Down}}], backendRefs: [{name: down, port: 80}]}
";

const WEBSOCKET: &str = "
apiVersion: v1
kind: Service
metadata: {name: peer, namespace: acme}
spec: {ports: [{name: main, port: 80, appProtocol: kubernetes.io/ws}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: peer, namespace: acme}
spec:
  parentRefs: [{name: public, namespace: weir-system}, {name: secure, namespace: weir-system}]
  hostnames: [peer.acme.test]
  rules:
    - {matches: [{path: {value: /chat}}], backendRefs: [{name: peer, port: 80}]}
";

/// A script of `tests/peers`, with the packages that `tests/tools/install.sh` puts beside it.
fn python(script: &str) -> Command {
    let packages =
        std::env::var_os("WEIR_PYTHON_PACKAGES").map_or_else(|| repository("target/tools/python"), PathBuf::from);
    assert!(packages.exists(), "there is no {}: run tests/tools/install.sh", packages.display());
    let mut command = Command::new("python3");
    command.arg(repository("tests/peers").join(script)).env("PYTHONPATH", packages).env("PYTHONUNBUFFERED", "1");
    command
}

struct Place {
    _system: System,
    _server: Process,
    root: PathBuf,
    site: Site,
}

impl Place {
    fn start(plane: Plane, manifests: &str, script: &str, listen: impl Fn(Ipv4Addr) -> Vec<String>) -> Self {
        let site = Site::new();
        let authority = Authority::new();
        for file in ["platform.yaml", "backends.yaml"] {
            site.write(file, &fs::read_to_string(repository("tests/cases/base").join(file)).unwrap());
        }
        site.write("secure.yaml", SECURE);
        site.write("certificate.yaml", &authority.issue(&["peer.acme.test"]).secret("weir-system", "peer"));
        site.write("peer.yaml", manifests);
        let root = site.path("root.pem");
        fs::write(&root, authority.pem()).unwrap();
        let mut server = site.process(script, python(script).args(listen(site.ip())));
        wait::until("the peer to listen", || {
            server.assert_alive();
            TcpStream::connect((site.ip(), PEER)).ok()
        });
        let system = System::start(&site, plane);
        [HTTP, HTTPS].iter().for_each(|port| wait_for_port(&site, *port));
        Self { _system: system, _server: server, root, site }
    }

    /// Runs a client to its end; it says what it found well.
    fn run(&self, what: &str, command: &mut Command) -> Vec<String> {
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let failed = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{what}: after\n{said}{failed}");
        said.lines().map(str::to_owned).collect()
    }
}

fn grpc(plane: Plane) {
    let place = Place::start(plane, GRPC, "grpc_server.py", |ip| vec![format!("{ip}:{PEER}")]);
    for (what, port, root) in [("h2c", HTTP, None), ("TLS", HTTPS, Some(&place.root))] {
        let address = format!("{}:{port}", place.site.ip());
        let mut client = python("grpc_client.py");
        let well = place.run(what, client.args([address.as_str(), "peer.acme.test"]).args(root));
        assert_eq!(well.len(), 17, "{what}: {well:?}");
    }
}

#[test]
fn grpc_of_all_kinds_passes_weir() {
    grpc(Plane::Weir);
}

#[test]
fn grpc_of_all_kinds_passes_a_stock_envoy() {
    grpc(Plane::Envoy);
}

fn websocket(plane: Plane) {
    let listen = |ip: Ipv4Addr| vec![ip.to_string(), PEER.to_string()];
    let place = Place::start(plane, WEBSOCKET, "websocket_server.py", listen);
    for (what, port, root) in [("plain", HTTP, None), ("TLS", HTTPS, Some(&place.root))] {
        let (address, port) = (place.site.ip().to_string(), port.to_string());
        let mut client = python("websocket_client.py");
        let well = place.run(what, client.args([address.as_str(), &port, "peer.acme.test"]).args(root));
        assert_eq!(well.len(), 6, "{what}: {well:?}");
    }
}

#[test]
fn websockets_pass_weir() {
    websocket(Plane::Weir);
}

#[test]
fn websockets_pass_a_stock_envoy() {
    websocket(Plane::Envoy);
}
