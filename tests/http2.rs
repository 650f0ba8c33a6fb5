//! HTTP/2 at the edge: clients over TLS and without it, the server's xDS, an Envoy and our proxy.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Request, StatusCode};

use crate::support::plane::{Plane, System, wait_for_port};
use crate::support::site::{HTTP, HTTPS, Site, repository};
use crate::support::tls::Authority;
use crate::support::wait;

const MANIFESTS: &str = r#"
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: secure, namespace: weir-system}
spec:
  gatewayClassName: weir
  addresses: [{type: IPAddress, value: "${IP}"}]
  listeners:
    - name: shop
      protocol: HTTPS
      port: 8443
      hostname: shop.acme.test
      tls: {certificateRefs: [{name: shop}]}
      allowedRoutes: {namespaces: {from: All}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop, namespace: acme}
spec:
  parentRefs: [{name: secure, namespace: weir-system}, {name: public, namespace: weir-system}]
  hostnames: ["shop.acme.test"]
  rules:
    - matches: [{path: {type: PathPrefix, value: /shop}}]
      backendRefs: [{name: shop, port: 80}]
"#;

/// A connection that HTTP/2 was chosen for by ALPN.
async fn connect(address: SocketAddr, authority: &Authority) -> SendRequest<Bytes> {
    let mut config = (*authority.client()).clone();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let io = tokio::net::TcpStream::connect(address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let io = connector.connect("shop.acme.test".try_into().unwrap(), io).await.unwrap();
    assert_eq!(io.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (client, connection) = h2::client::handshake(io).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn ask(client: &mut SendRequest<Bytes>, path: &str, kind: &str) -> (StatusCode, HeaderMap, Vec<u8>) {
    let request = Request::get(format!("https://shop.acme.test{path}")).header("content-type", kind);
    let (response, _) = client.send_request(request.body(()).unwrap(), true).unwrap();
    let (parts, mut body) = response.await.unwrap().into_parts();
    let mut bytes = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk.unwrap();
        body.flow_control().release_capacity(chunk.len()).unwrap();
        bytes.extend_from_slice(&chunk);
    }
    (parts.status, parts.headers, bytes)
}

/// What the backend heard of a request of curl's, and the protocol and status that curl saw.
fn curl(site: &Site, port: u16, arguments: &[&str]) -> (serde_json::Value, String) {
    let scheme = if port == HTTPS { "https" } else { "http" };
    let output = Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--max-time",
            "30",
            "--noproxy",
            "*",
            "--write-out",
            "\n%{http_version} %{http_code}",
        ])
        .args(["--cacert", site.path("ca.pem").to_str().unwrap()])
        .args(["--resolve", &format!("shop.acme.test:{port}:{}", site.ip())])
        .args(arguments)
        .arg(format!("{scheme}://shop.acme.test:{port}/shop/curl"))
        .output()
        .expect("curl is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, seen) = text.rsplit_once('\n').unwrap();
    (serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}")), seen.to_string())
}

/// The client that everybody has: over TLS by ALPN, and in plain text by prior knowledge.
fn curl_speaks_it(site: &Site) {
    let large = site.path("large");
    fs::write(&large, vec![b'x'; 1 << 20]).unwrap();
    let data = format!("@{}", large.display());
    for (port, protocol) in [(HTTPS, "--http2"), (HTTP, "--http2-prior-knowledge")] {
        let (echo, seen) = curl(site, port, &[protocol]);
        assert_eq!((seen.as_str(), &echo["method"], &echo["path"]), ("2 200", &"GET".into(), &"/shop/curl".into()));
        let (echo, seen) = curl(site, port, &[protocol, "--data-binary", &data]);
        assert_eq!((seen.as_str(), &echo["method"], &echo["bodyBytes"]), ("2 200", &"POST".into(), &(1 << 20).into()));
        let (_, seen) = curl(site, port, &["--http1.1"]);
        assert_eq!(seen, "1.1 200", "the same port speaks both");
    }
}

fn run(plane: Plane) {
    let (site, authority) = (Site::new(), Authority::new());
    for entry in fs::read_dir(repository("tests/cases/base")).unwrap() {
        let path = entry.unwrap().path();
        site.write(&path.file_name().unwrap().to_string_lossy(), &fs::read_to_string(&path).unwrap());
    }
    site.write("http2.yaml", MANIFESTS);
    site.write("cert.yaml", &authority.issue(&["shop.acme.test"]).secret("weir-system", "shop"));
    let _shop = site.backend("shop", 9001);
    let system = System::start(&site, plane);
    wait_for_port(&site, HTTPS);
    let address = SocketAddr::from((site.ip(), HTTPS));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut client = runtime.block_on(connect(address, &authority));
    wait::until("the route", || {
        (runtime.block_on(ask(&mut client, "/shop/a", "text/plain")).0 == StatusCode::OK).then_some(())
    });
    runtime.block_on(async {
        let (_, _, body) = ask(&mut client, "/shop/a?b=c", "text/plain").await;
        let echo: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert!(body.windows(4).any(|part| part == b"shop"), "{echo}");
        let (status, _, _) = ask(&mut client, "/none", "text/plain").await;
        assert_eq!(status, 404);
        // To gRPC a refusal is said in its own words, by both data planes in the same.
        let (status, headers, _) = ask(&mut client, "/none", "application/grpc").await;
        assert_eq!((status.as_u16(), headers["grpc-status"].to_str().unwrap()), (200, "12"));
    });
    fs::write(site.path("ca.pem"), authority.pem()).unwrap();
    curl_speaks_it(&site);
    system.terminate();
}

#[test]
fn weir_serves_http_2_over_tls() {
    run(Plane::Weir);
}

#[test]
fn envoy_serves_http_2_over_tls_by_the_same_server() {
    run(Plane::Envoy);
}
