//! Chains that are not HTTP: plain, TLS that ends here, TLS that goes through.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustls::HandshakeKind;
use weir_config::model::{
    DownstreamTls, FilterChain, Listener, Network, Owner, Proxied, ResourceType, Roots, ServerName, Split, SubjectName,
    UpstreamTls, WeightedCluster,
};
use weir_proxy::meter::Metric;
use weir_proxy::serve::Options;

use crate::certificates::{Authority, answer, client, dial};
use crate::support::{Backend, Conn, PATIENCE, Proxy, Setup, cluster, eventually, http};

pub(crate) fn proxied(split: Split) -> Proxied {
    Proxied {
        stat_prefix: "l4".into(),
        split,
        owner: Some(Owner { tenant: "acme".into(), plan: None }),
        idle_timeout: None,
        access_log: true,
    }
}

fn to(cluster: &str) -> Network {
    Network::Tcp(proxied(Split::One(cluster.into())))
}

fn chain(name: &str, names: &[&str], network: Network) -> FilterChain {
    let server_names = names.iter().map(|name| ServerName::Exact((*name).into())).collect();
    FilterChain { name: name.into(), server_names, tls: None, passthrough: false, network }
}

fn through(name: &str, names: &[&str], network: Network) -> FilterChain {
    FilterChain { passthrough: true, ..chain(name, names, network) }
}

fn ended(name: &str, names: &[&str], network: Network) -> FilterChain {
    let tls = DownstreamTls { secrets: vec!["s".into()], alpn: Vec::new(), clients: None };
    FilterChain { tls: Some(tls), ..chain(name, names, network) }
}

fn listener(chains: Vec<FilterChain>) -> Listener {
    Listener { name: "l4".into(), address: ([127, 0, 0, 1], 0).into(), chains, udp: None }
}

fn start(backend: &Backend, chains: Vec<FilterChain>) -> Proxy {
    let proxy = Proxy::start(backend);
    proxy.apply(vec![listener(chains).into()]);
    proxy
}

fn connect(proxy: &Proxy) -> Conn {
    Conn::new(TcpStream::connect(proxy.address("l4")).unwrap())
}

fn tunnelled(proxy: &Proxy) -> (u64, u64) {
    (proxy.total(Metric::TunnelRequestBytes), proxy.total(Metric::TunnelResponseBytes))
}

#[test]
fn bytes_pass_both_ways_and_are_charged_to_the_chains_owner() {
    let backend = Backend::new();
    let proxy = start(&backend, vec![chain("tcp", &[], to("c"))]);
    let mut client = connect(&proxy);
    // Whoever speaks first: here the endpoint.
    let mut upstream = backend.accept();
    upstream.send("220 ready");
    assert_eq!(client.exactly(9), b"220 ready");
    client.send("EHLO");
    assert_eq!(upstream.exactly(4), b"EHLO");
    client.end();
    assert_eq!(upstream.rest(), (Vec::new(), true));
    upstream.send("bye");
    drop(upstream);
    assert_eq!(client.rest(), (b"bye".to_vec(), true));
    let line = proxy.logged();
    assert_eq!((&line["protocol"], &line["tenant"]), (&"TCP".into(), &"acme".into()));
    assert_eq!((line["bytes_received"].as_u64(), line["bytes_sent"].as_u64()), (Some(4), Some(12)));
    assert_eq!((&line["response_flags"], &line["upstream_cluster"]), (&"-".into(), &"c".into()));
    assert_eq!(tunnelled(&proxy), (4, 12));
    assert_eq!(proxy.total(Metric::Requests), 0, "a connection is no request");
}

#[test]
fn what_a_slow_reader_does_not_take_is_not_read() {
    let backend = Backend::new();
    let proxy = start(&backend, vec![chain("tcp", &[], to("c"))]);
    let mut client = connect(&proxy);
    let upstream = backend.accept();
    const SIZE: usize = 64 * 1024 * 1024;
    upstream.stream.set_nonblocking(true).unwrap();
    let block = vec![7; 65536];
    let mut sent = 0;
    let mut stalled = 0;
    // Full once nothing was taken for a while: socket buffers and one buffer of the proxy's.
    while stalled < 200 && sent < SIZE {
        match (&upstream.stream).write(&block) {
            Ok(n) => (sent, stalled) = (sent + n, 0),
            Err(_) => {
                stalled += 1;
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
    assert!(sent < SIZE, "the proxy took {sent} bytes that nobody reads");
    drop(upstream);
    let (bytes, _) = client.rest();
    assert_eq!(bytes.len(), sent);
    eventually("bill", || (tunnelled(&proxy).1 == sent as u64).then_some(()));
}

#[test]
fn shares_are_exact_and_a_cluster_that_is_not_there_ends_its_share() {
    let backends = [Backend::new(), Backend::new()];
    let weighted = [("c", 2), ("d", 1), ("nowhere", 1)];
    let split = weighted.map(|(name, weight)| WeightedCluster::new(name, weight)).to_vec();
    let proxy = start(&backends[0], vec![chain("tcp", &[], Network::Tcp(proxied(Split::Weighted(split))))]);
    proxy.apply(vec![cluster("d", Duration::from_secs(5), &[backends[1].address]).into()]);
    let (mut served, mut ended) = ([0, 0], 0);
    for _ in 0..16 {
        let mut client = connect(&proxy);
        let at = eventually("an endpoint, or the end", || {
            let pending = backends.iter().position(|backend| backend.pending().is_some());
            client.stream.set_nonblocking(true).unwrap();
            let over = matches!(client.stream.peek(&mut [0]), Ok(0));
            client.stream.set_nonblocking(false).unwrap();
            pending.map(Some).or(over.then_some(None))
        });
        match at {
            Some(at) => served[at] += 1,
            None => {
                assert_eq!(client.rest().0, b"");
                ended += 1;
            }
        }
    }
    assert_eq!((served, ended), ([8, 4], 4));
}

#[test]
fn an_endpoint_that_cannot_be_reached_ends_the_connection() {
    let gone = Backend::new().address;
    let backend = Backend::new();
    let proxy = start(&backend, vec![chain("tcp", &[], to("d"))]);
    proxy.apply(vec![cluster("d", Duration::from_secs(5), &[gone]).into()]);
    assert_eq!(connect(&proxy).rest().0, b"");
    assert_eq!(proxy.logged()["response_flags"], "UF");
    // Another one is tried before that.
    proxy.apply(vec![cluster("d", Duration::from_secs(5), &[gone, backend.address]).into()]);
    for _ in 0..4 {
        let mut client = connect(&proxy);
        backend.accept().send("hi");
        assert_eq!(client.exactly(2), b"hi");
    }
}

#[test]
fn silence_ends_a_connection() {
    let backend = Backend::new();
    let quick = Proxied { idle_timeout: Some(Duration::from_millis(150)), ..proxied(Split::One("c".into())) };
    let proxy = start(&backend, vec![chain("tcp", &[], Network::Tcp(quick))]);
    let mut client = connect(&proxy);
    let mut upstream = backend.accept();
    client.rest();
    upstream.rest();
    assert_eq!(proxy.logged()["response_flags"], "SI");
}

#[test]
fn a_connection_outlives_its_listener_until_the_drain_deadline() {
    let backend = Backend::new();
    let options = Options { drain_timeout: Duration::from_millis(300), ..Options::default() };
    let proxy = Proxy::with(Setup { options, ..Setup::default() }, &[backend.address]);
    proxy.apply(vec![listener(vec![chain("tcp", &[], to("c"))]).into()]);
    let mut client = connect(&proxy);
    let mut upstream = backend.accept();
    proxy.remove(ResourceType::Listener, "l4");
    client.send("still");
    assert_eq!(upstream.exactly(5), b"still");
    client.rest();
    upstream.rest();
    assert_eq!(proxy.logged()["response_flags"], "DT");
}

#[test]
fn one_port_by_name_passes_tls_on_ends_it_for_bytes_and_ends_it_for_http() {
    let [passed, bytes, web] = [Backend::new(), Backend::new(), Backend::new()];
    let (authority, theirs) = (Authority::new(), Authority::new());
    let chains = vec![
        through("through", &["through.test"], to("passed")),
        ended("bytes", &["bytes.test"], to("bytes")),
        ended("web", &["web.test"], Network::Http(http())),
    ];
    let proxy = Proxy::start(&web);
    let own = authority.issue_with("bytes.test", |params| {
        params.subject_alt_names.push(rcgen::SanType::DnsName("web.test".try_into().unwrap()));
    });
    proxy.apply(vec![
        own.secret("s").into(),
        cluster("passed", PATIENCE, &[passed.address]).into(),
        cluster("bytes", PATIENCE, &[bytes.address]).into(),
        listener(chains).into(),
    ]);

    // The endpoint's certificate is seen, and its session is the client's own.
    let server = theirs.issue("through.test").server(None, &[]);
    let served = std::thread::spawn(move || {
        let mut stream = answer(passed.accept(), &server);
        let mut said = [0; 4];
        stream.read_exact(&mut said).unwrap();
        stream.write_all(b"passed").unwrap();
        (said, stream)
    });
    let mut stream = dial(connect(&proxy), &client(&theirs, None), "through.test");
    stream.write_all(b"ping").unwrap();
    let mut got = [0; 6];
    stream.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"passed");
    assert_eq!(stream.conn.handshake_kind(), Some(HandshakeKind::Full));
    assert_eq!(&served.join().unwrap().0, b"ping");
    drop(stream);
    let line = proxy.logged();
    assert_eq!((&line["protocol"], &line["requested_server_name"]), (&"TLS".into(), &"through.test".into()));
    let through = tunnelled(&proxy);
    assert!(through.0 > 4 && through.1 > 6, "with what TLS adds: {through:?}");
    assert_eq!(line["bytes_received"].as_u64(), Some(through.0));

    // Charged above TLS.
    let ours = client(&authority, None);
    let mut stream = dial(connect(&proxy), &ours, "bytes.test");
    stream.write_all(b"ping").unwrap();
    let mut upstream = bytes.accept();
    assert_eq!(upstream.exactly(4), b"ping");
    upstream.send("ended");
    let mut got = [0; 5];
    stream.read_exact(&mut got).unwrap();
    eventually("bill", || (tunnelled(&proxy) == (through.0 + 4, through.1 + 5)).then_some(()));

    let mut stream = dial(connect(&proxy), &ours, "web.test");
    stream.write_all(b"GET / HTTP/1.1\r\nhost: web.test\r\n\r\n").unwrap();
    let mut upstream = web.accept();
    assert!(upstream.head().starts_with("GET / "));

    // A name that nobody has.
    assert!(dial(connect(&proxy), &ours, "none.test").write_all(b"x").is_err());
}

#[test]
fn a_long_hello_that_comes_in_pieces_is_passed_on_whole() {
    let (backend, authority) = (Backend::new(), Authority::new());
    let proxy = start(&backend, vec![through("through", &["a.test"], to("c"))]);
    let mut session =
        rustls::ClientConnection::new(client(&authority, None), "a.test".to_owned().try_into().unwrap()).unwrap();
    let mut hello = Vec::new();
    session.write_tls(&mut hello).unwrap();
    let mut stream = connect(&proxy);
    for piece in hello.chunks(100) {
        stream.send(piece);
    }
    let mut upstream = backend.accept();
    assert!(upstream.exactly(hello.len()) == hello);
    assert_eq!(tunnelled(&proxy).0, hello.len() as u64);
}

#[test]
fn bytes_go_on_by_tls_where_the_cluster_says_so() {
    let (backend, authority) = (Backend::new(), Authority::new());
    let proxy = start(&backend, vec![chain("tcp", &[], to("c"))]);
    let tls = UpstreamTls {
        sni: "db.test".into(),
        roots: Roots::Pem(authority.pem()),
        names: vec![SubjectName::Dns("db.test".into())],
        certificate: None,
    };
    let mut secured = cluster("c", PATIENCE, &[backend.address]);
    secured.tls = Some(Box::new(tls));
    proxy.apply(vec![secured.into()]);
    let mut client = connect(&proxy);
    let mut stream = answer(backend.accept(), &authority.issue("db.test").server(None, &["postgresql"]));
    client.send("query");
    let mut got = [0; 5];
    stream.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"query");
    assert_eq!(stream.conn.alpn_protocol(), None, "no HTTP is offered");
    stream.write_all(b"rows").unwrap();
    assert_eq!(client.exactly(4), b"rows");
    eventually("bill", || (tunnelled(&proxy) == (5, 4)).then_some(()));
}
