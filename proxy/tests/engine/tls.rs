//! TLS: the name that the client asks for picks chain and certificate.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName as Name};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use weir_config::model::{
    DownstreamTls, FilterChain, Listener, Network, PrivateKey, Secret, ServerName, TlsCertificate,
};
use weir_proxy::meter::Metric;
use weir_proxy::serve::Options;

use crate::support::{Backend, Conn, Proxy, Setup, get, http, ok};

/// A secret named `name` for hosts, and its certificate.
fn secret(name: &str, hosts: &[&str]) -> (Secret, CertificateDer<'static>) {
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).into()).collect();
    let made = rcgen::generate_simple_self_signed(hosts).unwrap();
    let certificate = TlsCertificate { chain: made.cert.pem(), key: PrivateKey(made.signing_key.serialize_pem()) };
    (Secret { name: name.into(), certificate }, made.cert.der().clone())
}

fn chain(name: &str, names: Vec<ServerName>) -> FilterChain {
    let tls = DownstreamTls { secrets: vec![name.into()], alpn: vec!["h2".into(), "http/1.1".into()], clients: None };
    FilterChain {
        name: name.into(),
        server_names: names,
        tls: Some(tls),
        passthrough: false,
        network: Network::Http(http()),
    }
}

/// A proxy with listener `tls`: an exact name, a suffix, and what is left.
fn start(backend: &Backend, options: Options) -> (Proxy, [CertificateDer<'static>; 3]) {
    start_with(backend, Setup { options, ..Setup::default() })
}

pub(crate) fn start_with(backend: &Backend, setup: Setup) -> (Proxy, [CertificateDer<'static>; 3]) {
    let proxy = Proxy::with(setup, &[backend.address]);
    let (exact, exact_der) = secret("exact", &["shop.acme.test"]);
    let (suffix, suffix_der) = secret("suffix", &["*.acme.test"]);
    let (rest, rest_der) = secret("rest", &["other.test"]);
    let chains = vec![
        chain("suffix", vec![ServerName::Suffix("acme.test".into())]),
        chain("exact", vec![ServerName::Exact("shop.acme.test".into())]),
        chain("rest", Vec::new()),
    ];
    let listener = Listener { name: "tls".into(), address: ([127, 0, 0, 1], 0).into(), chains, udp: None };
    proxy.apply(vec![exact.into(), suffix.into(), rest.into(), listener.into()]);
    (proxy, [exact_der, suffix_der, rest_der])
}

pub(crate) fn dial(
    proxy: &Proxy,
    name: &str,
    roots: &[CertificateDer<'static>],
) -> StreamOwned<ClientConnection, TcpStream> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.clone()).unwrap();
    }
    let mut config = ClientConfig::builder().with_root_certificates(store).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let session = ClientConnection::new(Arc::new(config), Name::try_from(name.to_owned()).unwrap()).unwrap();
    let stream = TcpStream::connect(proxy.address("tls")).unwrap();
    stream.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
    StreamOwned::new(session, stream)
}

#[test]
fn the_name_picks_the_certificate_and_http_1_1_is_spoken() {
    let backend = Backend::new();
    let (proxy, roots) = start(&backend, Options::default());
    for (name, which) in [("shop.acme.test", 0), ("any.acme.test", 1), ("other.test", 2)] {
        let mut client = dial(&proxy, name, &roots);
        let request = format!("GET / HTTP/1.1\r\nhost: {name}\r\nconnection: close\r\n\r\n");
        client.write_all(request.as_bytes()).unwrap();
        let mut upstream = backend.accept();
        assert!(upstream.head().contains("x-forwarded-proto: https\r\n"));
        upstream.send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi");
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("a close that is announced");
        assert!(answer.ends_with("\r\n\r\nhi"), "{answer}");
        assert_eq!(client.conn.peer_certificates().unwrap(), [roots[which].clone()]);
        assert_eq!(client.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
        let line = proxy.logged();
        assert_eq!(line["requested_server_name"], name);
        assert_eq!(
            (line["bytes_received"].as_u64(), line["bytes_sent"].as_u64()),
            (Some(request.len() as u64), Some(answer.len() as u64))
        );
    }
}

#[test]
fn a_large_response_passes_whole_and_is_billed_without_tls() {
    let backend = Backend::new();
    let (proxy, roots) = start(&backend, Options::default());
    let mut client = dial(&proxy, "other.test", &roots);
    client.write_all(get("/").as_bytes()).unwrap();
    let mut upstream = backend.accept();
    upstream.head();
    let body = "x".repeat(2_000_000);
    let answer = ok(&body);
    let length = answer.len();
    std::thread::spawn(move || upstream.send(answer));
    let mut got = vec![0; length];
    client.read_exact(&mut got).unwrap();
    assert!(got.ends_with(body.as_bytes()));
    proxy.logged();
    assert_eq!(proxy.total(Metric::ResponseBytes) as usize, length);
}

#[test]
fn a_response_that_is_cut_ends_without_a_farewell() {
    let backend = Backend::new();
    let (proxy, roots) = start(&backend, Options::default());
    let mut client = dial(&proxy, "other.test", &roots);
    client.write_all(b"GET / HTTP/1.0\r\nhost: a\r\n\r\n").unwrap();
    let mut upstream = backend.accept();
    upstream.head();
    upstream.send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel");
    drop(upstream);
    let mut answer = Vec::new();
    let error = client.read_to_end(&mut answer).unwrap_err();
    assert!(answer.ends_with(b"hel"));
    assert!(matches!(error.kind(), std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::ConnectionReset));
}

#[test]
fn a_handshake_must_come_in_time_and_be_one() {
    let backend = Backend::new();
    let options = Options { handshake_timeout: Duration::from_millis(200), ..Options::default() };
    let (proxy, _) = start(&backend, options);
    let silent = TcpStream::connect(proxy.address("tls")).unwrap();
    assert_eq!(Conn::new(silent).rest().0, b"");
    let mut plain = Conn::new(TcpStream::connect(proxy.address("tls")).unwrap());
    plain.send(get("/"));
    let (bytes, _) = plain.rest();
    assert!(!bytes.starts_with(b"HTTP"), "{bytes:?}");
    assert!(backend.pending().is_none());
}

/// RFC 9110 section 7.4: a client that thinks a connection good for another host is told to make another.
#[test]
fn a_host_of_another_chain_is_misdirected_and_one_of_the_same_is_not() {
    let backend = Backend::new();
    let (proxy, roots) = start(&backend, Options::default());
    let mut client = dial(&proxy, "any.acme.test", &roots);
    for (host, expected) in
        [("shop.acme.test", 421), ("other.test", 421), ("ANY.acme.test:443", 200), ("b.acme.test", 200)]
    {
        client.write_all(format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes()).unwrap();
        if expected == 200 {
            let mut upstream = backend.accept();
            upstream.head();
            upstream.send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        }
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        assert_eq!(crate::support::status(&String::from_utf8_lossy(&head)), expected, "{host}");
    }
    assert_eq!(proxy.total(Metric::Requests), 2, "what is misdirected is nobody's");
}
