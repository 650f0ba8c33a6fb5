//! What is not HTTP, and TLS on both sides, as the server writes it: a stock Envoy and `weir proxy` make the same of it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName as Name};
use rustls::{ClientConfig, ClientConnection, ServerConnection, StreamOwned};
use weir_config::model::{
    ClientCertificates, Cluster, Domain, DownstreamTls, Endpoint, EndpointSource, FilterChain, Forward, HealthStatus,
    HttpOptions, Listener, LoadAssignment, LocalityEndpoints, Network, Owner, PathMatch, PrivateKey, Proxied, Resource,
    Roots, Route, RouteAction, RouteConfiguration, RouteMatch, RouteSource, Secret, ServerName, Split, SubjectName,
    TlsCertificate, UpstreamTls, VirtualHost, WeightedCluster,
};
use weir_config::xds::encode;

use crate::support::ads::{AdsServer, Given};
use crate::support::envoy::{self, Envoy};
use crate::support::plane::{self, Plane, wait_for_port};
use crate::support::site::{Site, XDS};
use crate::support::tls::{Authority, Pair};
use crate::support::wait::{self, PATIENCE};

/// Ports of listeners.
const TCP: u16 = 8081;
const MIXED: u16 = 8443;
const UDP: u16 = 8053;

fn given(resource: Resource) -> Given {
    let kind = resource.kind().url().trim_start_matches("type.googleapis.com/").to_owned();
    Given { kind, name: resource.name().to_owned(), value: encode(&resource).to_vec() }
}

fn cluster(name: &str, address: SocketAddr, tls: Option<UpstreamTls>) -> Given {
    let endpoints = vec![Endpoint { address, health: HealthStatus::Unknown, weight: 1 }];
    let locality = LocalityEndpoints { endpoints, ..LocalityEndpoints::default() };
    let assignment = LoadAssignment { name: name.into(), localities: vec![locality] };
    given(Cluster { tls: tls.map(Box::new), ..Cluster::new(name, EndpointSource::Static(assignment)) }.into())
}

fn proxied(split: Split) -> Proxied {
    let owner = Some(Owner { tenant: "acme".into(), plan: None });
    Proxied { stat_prefix: "l4".into(), split, owner, idle_timeout: Some(Duration::from_secs(60)), access_log: true }
}

fn chain(name: &str, secret: Option<&str>, network: Network) -> FilterChain {
    let tls = secret.map(|secret| DownstreamTls { secrets: vec![secret.into()], alpn: Vec::new(), clients: None });
    let server_names = vec![ServerName::Exact(name.into())];
    FilterChain { name: name.into(), server_names, passthrough: tls.is_none(), tls, network }
}

fn http(cluster: &str) -> Network {
    let matches = RouteMatch {
        path: PathMatch::Prefix("/".into()),
        method: None,
        headers: Vec::new(),
        query: Vec::new(),
        fraction: None,
    };
    let route = Route::new("r", matches, RouteAction::Forward(Forward::to(Split::One(cluster.into()))));
    let host = VirtualHost { name: "v".into(), domains: vec![Domain::Any], owner: None, routes: vec![route] };
    let routes = RouteConfiguration { name: "in place".into(), virtual_hosts: vec![host], vhds: false };
    Network::Http(HttpOptions {
        stat_prefix: "http".into(),
        routes: RouteSource::Inline(Box::new(routes)),
        filters: Vec::new(),
        idle_timeout: None,
        request_headers_timeout: None,
        stream_idle_timeout: None,
        max_request_headers_kb: None,
        use_remote_address: false,
        http2: None,
        access_log: false,
    })
}

fn secret(name: &str, pair: &Pair) -> Given {
    let certificate = TlsCertificate { chain: pair.certificate.clone(), key: PrivateKey(pair.key.clone()) };
    given(Secret { name: name.into(), certificate }.into())
}

/// Serves each connection on a thread of its own.
fn serve(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            std::thread::spawn(move || serve(stream));
        }
    });
    address
}

/// Says its name, then what it hears, to the end.
fn echo(name: &'static str, stream: &mut (impl Read + Write)) {
    let _ = stream.write_all(name.as_bytes());
    let mut bytes = [0; 1024];
    while let Ok(n @ 1..) = stream.read(&mut bytes) {
        let _ = stream.write_all(&bytes[..n]);
    }
}

/// Answers each datagram with its name and the datagram.
fn datagrams(name: &'static str) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut bytes = [0; 2048];
        while let Ok((n, from)) = socket.recv_from(&mut bytes) {
            let _ = socket.send_to(&[name.as_bytes(), &bytes[..n]].concat(), from);
        }
    });
    address
}

/// What comes of `sent` over TLS for `name`: until `n` bytes, or the end.
fn exchange(site: &Site, config: &Arc<ClientConfig>, name: &str, sent: &str, n: usize) -> String {
    let stream = TcpStream::connect((site.ip(), MIXED)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let session = ClientConnection::new(config.clone(), Name::try_from(name.to_owned()).unwrap()).unwrap();
    let mut stream = StreamOwned::new(session, stream);
    let mut got = Vec::new();
    if stream.write_all(sent.as_bytes()).is_ok() {
        let mut bytes = [0; 1024];
        while got.len() < n
            && let Ok(read @ 1..) = stream.read(&mut bytes)
        {
            got.extend_from_slice(&bytes[..read]);
        }
    }
    String::from_utf8_lossy(&got).into_owned()
}

fn run(plane: Plane) {
    let (site, authority, theirs) = (Site::new(), Authority::new(), Authority::new());
    let ended = authority.issue(&["ended.test", "mtls.test", "wrong.test"]);
    let own = theirs.issue(&["through.test"]).server();
    let inner = authority.issue(&["inner.test"]).server();
    let upstream = |name: &str| UpstreamTls {
        sni: "inner.test".into(),
        roots: Roots::Pem(authority.pem()),
        names: vec![SubjectName::Dns(name.into())],
        certificate: None,
    };
    let plain = serve(|mut stream| echo("plain ", &mut stream));
    let through = serve(move |stream| {
        let session = ServerConnection::new(own.clone()).unwrap();
        echo("through ", &mut StreamOwned::new(session, stream));
    });
    let secured = serve(move |stream| {
        let mut stream = StreamOwned::new(ServerConnection::new(inner.clone()).unwrap(), stream);
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
            head.push(byte[0]);
        }
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\ninner");
    });
    let to = |name: &str| Network::Tcp(proxied(Split::One(name.into())));
    let users = Authority::new();
    let mut mtls = chain("mtls.test", Some("s"), http("inner"));
    if let Some(tls) = &mut mtls.tls {
        let clients = ClientCertificates { roots: Roots::Pem(users.pem()), required: true, untrusted: false };
        tls.clients = Some(Box::new(clients));
    }
    let listener = |name: &str, port: u16, chains: Vec<FilterChain>| Listener {
        name: name.into(),
        address: (site.ip(), port).into(),
        chains,
        udp: None,
    };
    let bare = FilterChain { server_names: Vec::new(), passthrough: false, ..chain("tcp", None, to("plain")) };
    let mixed = vec![
        chain("through.test", None, to("through")),
        chain("ended.test", Some("s"), to("plain")),
        chain("wrong.test", Some("s"), http("wrong")),
        mtls,
    ];
    let halves = ["one", "two"].map(|name| WeightedCluster::new(name, 1)).to_vec();
    let udp = Some(Box::new(proxied(Split::Weighted(halves))));
    let datagram_listener = Listener { udp, ..listener("udp", UDP, Vec::new()) };
    let resources = vec![
        cluster("plain", plain, None),
        cluster("through", through, None),
        cluster("inner", secured, Some(upstream("inner.test"))),
        cluster("wrong", secured, Some(upstream("another.test"))),
        cluster("one", datagrams("one "), None),
        cluster("two", datagrams("two "), None),
        secret("s", &ended),
        given(listener("tcp", TCP, vec![bare]).into()),
        given(listener("mixed", MIXED, mixed).into()),
        given(datagram_listener.into()),
    ];
    let server = AdsServer::start((site.ip(), XDS).into(), resources);
    let mut process = match plane {
        Plane::Envoy => Envoy::start(&site, &envoy::bootstrap(&site)).process,
        _ => plane::proxy(&site),
    };
    wait_for_port(&site, TCP);
    wait_for_port(&site, MIXED);
    assert_eq!(server.settled(), [], "refused");

    let mut stream = TcpStream::connect((site.ip(), TCP)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"hello").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut got = String::new();
    stream.read_to_string(&mut got).unwrap();
    assert_eq!(got, "plain hello");

    assert_eq!(exchange(&site, &theirs.client(), "through.test", "hello", 13), "through hello");
    assert_eq!(exchange(&site, &authority.client(), "ended.test", "hello", 11), "plain hello");
    let request = "GET / HTTP/1.1\r\nhost: mtls.test\r\nconnection: close\r\n\r\n";
    let user = users.issue(&["user"]);
    let mut with_certificate = ClientConfig::builder_with_provider(authority.client().crypto_provider().clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots(&authority))
        .with_client_auth_cert(
            vec![CertificateDer::from(user.der.clone())],
            PrivateKeyDer::from_pem_slice(user.key.as_bytes()).unwrap(),
        )
        .unwrap();
    with_certificate.resumption = rustls::client::Resumption::disabled();
    let served = exchange(&site, &Arc::new(with_certificate), "mtls.test", request, usize::MAX);
    assert!(served.starts_with("HTTP/1.1 200 OK\r\n") && served.ends_with("inner"), "{served}");
    assert_eq!(exchange(&site, &authority.client(), "mtls.test", request, usize::MAX), "", "no certificate");

    // An endpoint whose certificate names another is sent nothing.
    let wrong = exchange(&site, &authority.client(), "wrong.test", &request.replace("mtls", "wrong"), usize::MAX);
    assert!(wrong.starts_with("HTTP/1.1 503 "), "{wrong}");

    // Whoever reaches each endpoint keeps it; both are reached.
    let mut seen = std::collections::BTreeSet::new();
    wait::until("a session at each endpoint", || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect((site.ip(), UDP)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let mut answers = (0..2).map(|_| {
            socket.send(b"hello").ok()?;
            let mut bytes = [0; 64];
            let n = socket.recv(&mut bytes).ok()?;
            Some(String::from_utf8_lossy(&bytes[..n]).into_owned())
        });
        let (first, second) = (answers.next()??, answers.next()??);
        assert_eq!(first, second);
        seen.insert(first);
        (seen.len() == 2).then_some(())
    });
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["one hello", "two hello"]);
    process.assert_alive();
}

fn roots(authority: &Authority) -> rustls::RootCertStore {
    let mut store = rustls::RootCertStore::empty();
    store.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    store
}

#[test]
fn envoy_makes_of_it_what_it_says() {
    run(Plane::Envoy);
}

#[test]
fn weir_makes_of_it_what_it_says() {
    run(Plane::Weir);
}
