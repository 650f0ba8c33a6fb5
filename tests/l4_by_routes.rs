//! TCPRoute, UDPRoute and TLSRoute over the server's xDS: an Envoy and our proxy.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::support::plane::{Plane, System};
use crate::support::site::{Site, repository};
use crate::support::tls::Authority;
use crate::support::wait;

const MANIFESTS: &str = r#"
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: layer4, namespace: weir-system}
spec:
  gatewayClassName: weir
  addresses: [{type: IPAddress, value: "${IP}"}]
  listeners:
    - {name: tcp, protocol: TCP, port: 9100, allowedRoutes: {namespaces: {from: All}}}
    - {name: idle, protocol: TCP, port: 9101, allowedRoutes: {namespaces: {from: All}}}
    - {name: udp, protocol: UDP, port: 9100, allowedRoutes: {namespaces: {from: All}}}
    - name: passed
      protocol: TLS
      port: 9102
      hostname: "*.acme.test"
      tls: {mode: Passthrough}
      allowedRoutes: {namespaces: {from: All}}
    - name: ended
      protocol: TLS
      port: 9102
      hostname: ended.acme.test
      tls: {certificateRefs: [{name: ended}]}
      allowedRoutes: {namespaces: {from: All}}
---
apiVersion: v1
kind: Service
metadata: {name: bytes, namespace: acme}
spec: {ports: [{name: tcp, port: 1, protocol: TCP}, {name: udp, port: 1, protocol: UDP}, {name: tls, port: 2}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: bytes-1, namespace: acme, labels: {kubernetes.io/service-name: bytes}}
addressType: IPv4
ports: [{name: tcp, port: 9201}, {name: udp, port: 9202, protocol: UDP}, {name: tls, port: 9203}]
endpoints: [{addresses: ["${IP}"], conditions: {ready: true}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: TCPRoute
metadata: {name: bytes, namespace: acme}
spec:
  parentRefs: [{name: layer4, namespace: weir-system, sectionName: tcp}]
  rules: [{backendRefs: [{name: bytes, port: 1}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: UDPRoute
metadata: {name: bytes, namespace: acme}
spec:
  parentRefs: [{name: layer4, namespace: weir-system}]
  rules: [{backendRefs: [{name: bytes, port: 1}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: TLSRoute
metadata: {name: passed, namespace: acme}
spec:
  parentRefs: [{name: layer4, namespace: weir-system, sectionName: passed}]
  hostnames: ["passed.acme.test"]
  rules: [{backendRefs: [{name: bytes, port: 2}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: TLSRoute
metadata: {name: ended, namespace: acme}
spec:
  parentRefs: [{name: layer4, namespace: weir-system}]
  hostnames: ["ended.acme.test"]
  rules: [{backendRefs: [{name: bytes, port: 1}]}]
"#;

/// Answers what it is told, with `by` before it.
fn echo(stream: &mut (impl Read + Write), by: &str) {
    let mut bytes = [0; 64];
    while let Ok(count @ 1..) = stream.read(&mut bytes) {
        if stream.write_all(&[by.as_bytes(), &bytes[..count]].concat()).is_err() {
            return;
        }
    }
}

/// Backends of bytes, of datagrams and of TLS with a certificate of its own.
fn backends(ip: Ipv4Addr, tls: Arc<rustls::ServerConfig>) {
    let plain = TcpListener::bind((ip, 9201)).unwrap();
    thread::spawn(move || {
        for mut stream in plain.incoming().flatten() {
            thread::spawn(move || echo(&mut stream, "tcp "));
        }
    });
    let udp = UdpSocket::bind((ip, 9202)).unwrap();
    thread::spawn(move || {
        let mut bytes = [0; 64];
        while let Ok((count, from)) = udp.recv_from(&mut bytes) {
            let _ = udp.send_to(&[b"udp ", &bytes[..count]].concat(), from);
        }
    });
    let secure = TcpListener::bind((ip, 9203)).unwrap();
    thread::spawn(move || {
        for stream in secure.incoming().flatten() {
            let connection = rustls::ServerConnection::new(Arc::clone(&tls)).unwrap();
            thread::spawn(move || echo(&mut rustls::StreamOwned::new(connection, stream), "tls "));
        }
    });
}

/// Says a word and answers with what comes back, or why nothing does.
fn ask(mut stream: impl Read + Write, word: &str) -> Result<String, String> {
    stream.write_all(word.as_bytes()).map_err(|e| e.to_string())?;
    let mut bytes = [0; 64];
    match stream.read(&mut bytes) {
        Ok(0) => Err("closed".into()),
        Ok(count) => Ok(String::from_utf8_lossy(&bytes[..count]).into_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn connect(address: SocketAddr) -> Result<TcpStream, String> {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(1)).map_err(|e| e.to_string())?;
    stream.set_read_timeout(Some(wait::PATIENCE)).unwrap();
    Ok(stream)
}

fn over_tls(address: SocketAddr, authority: &Authority, name: &str, word: &str) -> Result<String, String> {
    let name = name.to_owned().try_into().unwrap();
    let connection = rustls::ClientConnection::new(authority.client(), name).unwrap();
    ask(rustls::StreamOwned::new(connection, connect(address)?), word)
}

fn over_udp(address: SocketAddr, word: &str) -> Result<String, String> {
    let socket = UdpSocket::bind((address.ip(), 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    socket.send_to(word.as_bytes(), address).map_err(|e| e.to_string())?;
    let mut bytes = [0; 64];
    let (count, _) = socket.recv_from(&mut bytes).map_err(|e| e.to_string())?;
    Ok(String::from_utf8_lossy(&bytes[..count]).into_owned())
}

fn wanted(found: Result<String, String>, wanted: &str) -> Result<(), String> {
    match found {
        Ok(text) if text == wanted => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

fn run(plane: Plane) {
    let (site, authority) = (Site::new(), Authority::new());
    for entry in fs::read_dir(repository("tests/cases/base")).unwrap() {
        let path = entry.unwrap().path();
        site.write(&path.file_name().unwrap().to_string_lossy(), &fs::read_to_string(&path).unwrap());
    }
    site.write("layer4.yaml", MANIFESTS);
    site.write("cert.yaml", &authority.issue(&["ended.acme.test"]).secret("weir-system", "ended"));
    backends(site.ip(), authority.issue(&["passed.acme.test"]).server());
    let system = System::start(&site, plane);
    let at = |port: u16| SocketAddr::from((site.ip(), port));
    wait::until_ok("TCP", || wanted(ask(connect(at(9100))?, "a"), "tcp a"));
    wait::until_ok("UDP", || wanted(over_udp(at(9100), "b"), "udp b"));
    wait::until_ok("TLS that goes through", || {
        wanted(over_tls(at(9102), &authority, "passed.acme.test", "c"), "tls c")
    });
    wait::until_ok("TLS that ends", || wanted(over_tls(at(9102), &authority, "ended.acme.test", "d"), "tcp d"));
    // Without a route, and by a name that none has, a connection is closed.
    assert!(ask(connect(at(9101)).unwrap(), "e").is_err());
    assert!(over_tls(at(9102), &authority, "other.acme.test", "f").is_err());
    system.terminate();
}

#[test]
fn weir_serves_connections_and_datagrams() {
    run(Plane::Weir);
}

#[test]
fn envoy_serves_connections_and_datagrams_by_the_same_server() {
    run(Plane::Envoy);
}
