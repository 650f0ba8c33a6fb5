//! TLS toward endpoints: who they must be, what they are shown, and which connections are used again.

use std::io::{Read, Write};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::{HandshakeKind, ServerConfig};
use weir_config::model::{Cluster, Roots, SubjectName, UpstreamTls};

use crate::certificates::{Authority, Pair, Server, answer};
use crate::support::{Backend, Conn, Proxy, Setup, cluster, get, status};

fn tls(authority: &Authority, names: Vec<SubjectName>) -> UpstreamTls {
    UpstreamTls { sni: "shop.test".into(), roots: Roots::Pem(authority.pem()), names, certificate: None }
}

fn dns(name: &str) -> Vec<SubjectName> {
    vec![SubjectName::Dns(name.into())]
}

fn with_tls(backend: &Backend, tls: UpstreamTls) -> Cluster {
    Cluster { tls: Some(Box::new(tls)), ..cluster("c", Duration::from_secs(5), &[backend.address]) }
}

/// A proxy whose cluster `c` is `backend`, by TLS.
fn start(backend: &Backend, tls: UpstreamTls) -> Proxy {
    let proxy = Proxy::with(Setup::default(), &[backend.address]);
    proxy.apply(vec![with_tls(backend, tls).into()]);
    proxy
}

/// Serves one request on a new connection, and keeps that open; none if the handshake fails.
fn serve(backend: &Backend, config: &Arc<ServerConfig>) -> JoinHandle<Option<Server>> {
    let (backend, config) = (backend.try_clone(), config.clone());
    std::thread::spawn(move || {
        let mut stream = answer(backend.accept(), &config);
        respond(&mut stream).then_some(stream)
    })
}

/// Reads a head and answers it.
fn respond(stream: &mut Server) -> bool {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return false,
        }
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").is_ok()
}

/// One request on a connection of a client's.
fn ask(client: &mut Conn) -> u16 {
    client.send(get("/"));
    let head = client.head();
    let status = status(&head);
    if status == 200 {
        assert_eq!(client.exactly(2), b"hi");
    }
    status
}

#[test]
fn an_endpoint_that_is_who_it_should_be_serves_and_its_connection_is_used_again() {
    let (backend, authority) = (Backend::new(), Authority::new());
    let proxy = start(&backend, tls(&authority, dns("shop.test")));
    let server = serve(&backend, &authority.issue("shop.test").server(None, &["http/1.1"]));
    let mut client = proxy.connect();
    assert_eq!(ask(&mut client), 200);
    let mut server = server.join().unwrap().unwrap();
    assert_eq!(server.conn.server_name(), Some("shop.test"));
    assert_eq!(server.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    let again = std::thread::spawn(move || respond(&mut server).then_some(server));
    assert_eq!(ask(&mut client), 200);
    assert!(again.join().unwrap().is_some());
    assert!(backend.pending().is_none());
}

#[test]
fn an_endpoint_that_is_not_who_it_should_be_is_sent_nothing() {
    let (authority, other) = (Authority::new(), Authority::new());
    let wrong: [(&str, Pair); 3] = [
        ("another name", authority.issue("other.test")),
        ("another authority", other.issue("shop.test")),
        ("expired", authority.expired("shop.test")),
    ];
    for (what, pair) in wrong {
        let backend = Backend::new();
        let proxy = start(&backend, tls(&authority, dns("shop.test")));
        let server = serve(&backend, &pair.server(None, &[]));
        assert_eq!(ask(&mut proxy.connect()), 503, "{what}");
        assert!(server.join().unwrap().is_none(), "{what}");
        assert_eq!(proxy.logged()["response_flags"], "UF", "{what}");
        assert_eq!(proxy.stats.totals().upstream_connect_failures, 1, "{what}");
    }
}

#[test]
fn any_of_the_names_will_do_and_the_sni_is_none_of_them_by_itself() {
    let authority = Authority::new();
    let uri = "spiffe://mesh.test/ns/shop/sa/web";
    let names = || vec![SubjectName::Dns("a.shop.test".into()), SubjectName::Uri(uri.into())];
    for (pair, expected) in [
        (authority.issue("a.shop.test"), 200),
        (authority.issue("*.shop.test"), 200),
        (authority.issue_uri(uri), 200),
        (authority.issue_uri("spiffe://mesh.test/ns/shop/sa/web2"), 503),
        (authority.issue("shop.test"), 503),
    ] {
        let backend = Backend::new();
        let proxy = start(&backend, tls(&authority, names()));
        let server = serve(&backend, &pair.server(None, &[]));
        assert_eq!(ask(&mut proxy.connect()), expected);
        assert_eq!(server.join().unwrap().is_some(), expected == 200);
    }
}

#[test]
fn an_endpoint_that_does_not_speak_tls_gets_no_request() {
    let (backend, authority) = (Backend::new(), Authority::new());
    let proxy = start(&backend, tls(&authority, dns("shop.test")));
    let mut client = proxy.connect();
    client.send(get("/"));
    let mut upstream = backend.accept();
    assert_eq!(upstream.exactly(1), [0x16], "a handshake, not a request");
    upstream.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(status(&client.head()), 503);
}

#[test]
fn a_certificate_of_our_own_is_shown_and_a_renewed_one_from_the_next_handshake_on() {
    let (backend, authority) = (Backend::new(), Authority::new());
    let tls = UpstreamTls { certificate: Some("own".into()), ..tls(&authority, dns("shop.test")) };
    let proxy = start(&backend, tls);
    let config = authority.issue("shop.test").server(Some(&authority), &[]);
    for name in ["first.test", "second.test"] {
        let own = authority.issue(name);
        proxy.apply(vec![own.secret("own").into()]);
        let server = serve(&backend, &config);
        assert_eq!(ask(&mut proxy.connect()), 200);
        let server = server.join().unwrap().unwrap();
        assert_eq!(server.conn.peer_certificates().unwrap()[0], own.certificate());
        // The next request needs another handshake, and a whole one: a session stands for what was shown in it.
        drop(server);
    }
}

#[test]
fn connections_and_sessions_stay_with_the_settings_that_they_were_made_with() {
    let (backend, authority, other) = (Backend::new(), Authority::new(), Authority::new());
    let proxy = start(&backend, tls(&authority, dns("shop.test")));
    let config = authority.issue("shop.test").server(None, &[]);
    let server = serve(&backend, &config);
    let mut client = proxy.connect();
    assert_eq!(ask(&mut client), 200);
    let kept = server.join().unwrap().unwrap();
    assert_eq!(kept.conn.handshake_kind(), Some(HandshakeKind::Full));

    // Endpoints that the old settings trusted: the new ones do not, and the open connection does not hide it.
    proxy.apply(vec![with_tls(&backend, tls(&other, dns("shop.test"))).into()]);
    let refused = serve(&backend, &config);
    assert_eq!(ask(&mut client), 503);
    assert!(refused.join().unwrap().is_none());

    // With equal settings sessions are resumed.
    proxy.apply(vec![with_tls(&backend, tls(&authority, dns("shop.test"))).into()]);
    let first = serve(&backend, &config);
    assert_eq!(ask(&mut client), 200);
    drop(first.join().unwrap());
    let second = serve(&backend, &config);
    assert_eq!(ask(&mut client), 200);
    assert_eq!(second.join().unwrap().unwrap().conn.handshake_kind(), Some(HandshakeKind::Resumed));
}

#[test]
fn a_large_body_passes_whole_both_ways() {
    let (backend, authority) = (Backend::new(), Authority::new());
    let proxy = start(&backend, tls(&authority, dns("shop.test")));
    let config = authority.issue("shop.test").server(None, &[]);
    const SIZE: usize = 3_000_000;
    let echo = {
        let backend = backend.try_clone();
        std::thread::spawn(move || {
            let mut stream = answer(backend.accept(), &config);
            let mut got = Vec::new();
            while got.windows(4).position(|w| w == b"\r\n\r\n").is_none_or(|at| got.len() < at + 4 + SIZE) {
                let mut bytes = [0; 16384];
                let n = stream.read(&mut bytes).unwrap();
                assert!(n > 0);
                got.extend_from_slice(&bytes[..n]);
                if got.len() > 4096 && got.len() < 8192 {
                    // Slow at first, so that the proxy has more than the socket takes.
                    std::thread::yield_now();
                }
            }
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {SIZE}\r\n\r\n").unwrap();
            stream.write_all(&got[got.len() - SIZE..]).unwrap();
            stream.flush().unwrap();
            stream
        })
    };
    let body: Vec<u8> = (0..SIZE).map(|n| (n % 251) as u8).collect();
    let mut client = proxy.connect();
    client.send(format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {SIZE}\r\n\r\n"));
    client.send(&body);
    assert_eq!(status(&client.head()), 200);
    assert!(client.exactly(SIZE) == body);
    drop(echo.join().unwrap());
}
