//! Clients' certificates: demanded or asked for, and for which hosts they speak.

use std::io::{Read, Write};

use weir_config::model::{ClientCertificates, DownstreamTls, FilterChain, Listener, Network, Roots, ServerName};

use crate::certificates::{Authority, Client, Pair, client, dial};
use crate::support::{Backend, Conn, Proxy, eventually, http};

fn clients(authority: &Authority, required: bool, untrusted: bool) -> ClientCertificates {
    ClientCertificates { roots: Roots::Pem(authority.pem()), required, untrusted }
}

fn chain(name: &str, clients: Option<ClientCertificates>) -> FilterChain {
    let tls = DownstreamTls { secrets: vec!["s".into()], alpn: Vec::new(), clients: clients.map(Box::new) };
    let server_names = vec![ServerName::Exact(name.into())];
    FilterChain { name: name.into(), server_names, tls: Some(tls), passthrough: false, network: Network::Http(http()) }
}

/// The listeners `m`, whose chain `mtls.test` asks for `clients` and whose chain `open.test` does not.
fn listener(clients: ClientCertificates) -> Listener {
    let chains = vec![chain("mtls.test", Some(clients)), chain("open.test", None)];
    Listener { name: "m".into(), address: ([127, 0, 0, 1], 0).into(), chains, udp: None }
}

struct World {
    proxy: Proxy,
    backend: Backend,
    servers: Authority,
    users: Authority,
}

impl World {
    fn new(required: bool, untrusted: bool) -> Self {
        let (backend, servers, users) = (Backend::new(), Authority::new(), Authority::new());
        let proxy = Proxy::start(&backend);
        let own = servers.issue_with("mtls.test", |params| {
            params.subject_alt_names.push(rcgen::SanType::DnsName("open.test".try_into().unwrap()));
        });
        proxy.apply(vec![own.secret("s").into(), listener(clients(&users, required, untrusted)).into()]);
        Self { proxy, backend, servers, users }
    }

    fn dial(&self, name: &str, own: Option<&Pair>) -> Client {
        let conn = Conn::new(std::net::TcpStream::connect(self.proxy.address("m")).unwrap());
        dial(conn, &client(&self.servers, own), name)
    }

    /// The status of a request for `host`; none where there is no connection.
    fn ask(&self, stream: &mut Client, host: &str) -> Option<u16> {
        stream.write_all(format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes()).ok()?;
        let mut got = Vec::new();
        let mut upstream = None;
        stream.sock.set_read_timeout(Some(std::time::Duration::from_millis(5))).unwrap();
        eventually("an answer, or the end", || {
            if upstream.is_none()
                && let Some(mut conn) = self.backend.pending()
            {
                conn.head();
                conn.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
                upstream = Some(conn);
            }
            let mut bytes = [0; 1024];
            match stream.read(&mut bytes) {
                Ok(0) => Some(None),
                Ok(n) => {
                    got.extend_from_slice(&bytes[..n]);
                    let text = String::from_utf8_lossy(&got);
                    text.contains("\r\n\r\n").then(|| Some(crate::support::status(&text)))
                }
                Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                    None
                }
                Err(_) => Some(None),
            }
        })
    }

    /// The same, on a connection of its own, with keep-alive to the endpoint given up.
    fn once(&self, name: &str, own: Option<&Pair>) -> Option<u16> {
        self.ask(&mut self.dial(name, own), name)
    }
}

#[test]
fn a_demanded_certificate_must_be_of_a_known_authority() {
    let world = World::new(true, false);
    let before = world.proxy.stats.totals().refused("tls");
    assert_eq!(world.once("mtls.test", Some(&world.users.issue("user"))), Some(200));
    assert_eq!(world.once("mtls.test", None), None);
    assert_eq!(world.once("mtls.test", Some(&Authority::new().issue("user"))), None);
    assert_eq!(world.once("mtls.test", Some(&world.users.expired("user"))), None);
    eventually("count", || (world.proxy.stats.totals().refused("tls") == before + 3).then_some(()));
    assert_eq!(world.once("open.test", None), Some(200), "the other chain asks for none");
}

#[test]
fn one_that_is_only_asked_for_may_be_missing_but_not_wrong() {
    let world = World::new(false, false);
    assert_eq!(world.once("mtls.test", None), Some(200));
    assert_eq!(world.once("mtls.test", Some(&world.users.issue("user"))), Some(200));
    assert_eq!(world.once("mtls.test", Some(&Authority::new().issue("user"))), None);
}

#[test]
fn an_unknown_authority_will_do_where_that_is_allowed() {
    let world = World::new(false, true);
    assert_eq!(world.once("mtls.test", None), Some(200));
    assert_eq!(world.once("mtls.test", Some(&Authority::new().issue("user"))), Some(200));
}

#[test]
fn other_authorities_count_for_new_connections_and_open_ones_are_let_finish() {
    let world = World::new(true, false);
    let user = world.users.issue("user");
    let mut open = world.dial("mtls.test", Some(&user));
    assert_eq!(world.ask(&mut open, "mtls.test"), Some(200));
    let others = Authority::new();
    let bound = world.proxy.address("m");
    let next = Listener { address: bound, ..listener(clients(&others, true, false)) };
    // The port stays, since the address is the same: chains alone change.
    world.proxy.apply(vec![Listener { address: ([127, 0, 0, 1], 0).into(), ..next }.into()]);
    eventually("the new authorities", || {
        (world.once("mtls.test", Some(&others.issue("user"))) == Some(200)).then_some(())
    });
    assert_eq!(world.once("mtls.test", Some(&user)), None);
    assert_eq!(world.ask(&mut open, "mtls.test"), None, "it ended after its exchange");
}

#[test]
fn a_certificate_speaks_for_the_host_that_was_asked_for_alone() {
    let world = World::new(true, false);
    let user = world.users.issue("user");
    let mut stream = world.dial("mtls.test", Some(&user));
    assert_eq!(world.ask(&mut stream, "open.test"), Some(421));
    assert_eq!(world.ask(&mut stream, "none.test"), Some(421));
    assert_eq!(world.ask(&mut stream, "MTLS.test:8443"), Some(200));
}

#[test]
fn a_ticket_of_a_chain_that_asks_for_nothing_opens_none_that_does() {
    let world = World::new(true, false);
    // One client, one store of sessions, which are kept by name: the same name at a listener that asks for nothing.
    let free = Listener {
        name: "free".into(),
        chains: vec![chain("mtls.test", None)],
        ..listener(clients(&world.users, true, false))
    };
    world.proxy.apply(vec![free.into()]);
    let config = client(&world.servers, None);
    let connect = |listener: &str| {
        let conn = Conn::new(std::net::TcpStream::connect(world.proxy.address(listener)).unwrap());
        dial(conn, &config, "mtls.test")
    };
    assert_eq!(world.ask(&mut connect("free"), "mtls.test"), Some(200));
    assert_eq!(world.ask(&mut connect("m"), "mtls.test"), None);
}
