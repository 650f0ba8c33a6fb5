//! SIGTERM: what is under way ends well, nothing new begins, and the process ends with success.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::support::plane::{Plane, System, wait_for_port};
use crate::support::site::{HTTP, Site, repository};
use crate::support::wait;

#[test]
fn weir_up_finishes_the_exchange_under_way() {
    finishes_the_exchange_under_way(Plane::Up);
}

#[test]
fn weir_proxy_finishes_the_exchange_under_way() {
    finishes_the_exchange_under_way(Plane::Weir);
}

fn finishes_the_exchange_under_way(plane: Plane) {
    let site = Site::new();
    for file in ["platform.yaml", "backends.yaml"] {
        site.write(file, &std::fs::read_to_string(repository("tests/cases/base").join(file)).unwrap());
    }
    site.write(
        "route.yaml",
        "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: globex}
spec:
  parentRefs: [{name: public, namespace: weir-system}]
  hostnames: [www.globex.test]
  rules: [{backendRefs: [{name: web, port: 80}]}]
",
    );
    // The backend that globex's Service `web` points to, in the test's own hands.
    let backend = TcpListener::bind((site.ip(), 9004)).unwrap();
    let mut system = System::start(&site, plane);
    wait_for_port(&site, HTTP);

    let mut client = TcpStream::connect((site.ip(), HTTP)).unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: www.globex.test\r\n\r\n").unwrap();
    let (mut upstream, _) = backend.accept().unwrap();
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        upstream.read_exact(&mut byte).unwrap();
        request.push(byte[0]);
    }

    system.ask_to_end();
    wait::until("the port to close", || TcpStream::connect((site.ip(), HTTP)).is_err().then_some(()));
    upstream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone").unwrap();
    let mut answer = String::new();
    // To the end: the proxy closes the connection after this answer.
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\ndone"), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("connection: close\r\n"), "{answer}");
    system.ended();
}
