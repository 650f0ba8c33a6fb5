//! UDP listeners: sessions, their endpoints and their end.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use weir_config::model::{Listener, Owner, Proxied, ResourceType, Split, WeightedCluster};
use weir_proxy::meter::{Meter, Metric};
use weir_proxy::serve::Options;

use crate::support::{Backend, PATIENCE, Proxy, Setup, cluster, eventually};
use crate::tcp::proxied;

fn listener(proxied: Proxied) -> Listener {
    Listener {
        name: "udp".into(),
        address: ([127, 0, 0, 1], 0).into(),
        chains: Vec::new(),
        udp: Some(Box::new(proxied)),
    }
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// A proxy whose UDP listener leads to cluster `c` of these endpoints.
fn start(endpoints: &[&UdpSocket], proxied: Proxied) -> Proxy {
    let proxy = Proxy::start(&Backend::new());
    let addresses: Vec<SocketAddr> = endpoints.iter().map(|socket| socket.local_addr().unwrap()).collect();
    proxy.apply(vec![cluster("c", PATIENCE, &addresses).into(), listener(proxied).into()]);
    proxy
}

fn one() -> Proxied {
    proxied(Split::One("c".into()))
}

/// A client that is connected to the listener.
fn client(proxy: &Proxy) -> UdpSocket {
    let socket = socket();
    socket.connect(proxy.address("udp")).unwrap();
    socket
}

fn received(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 65_535];
    let (n, from) = socket.recv_from(&mut buffer).unwrap();
    (buffer[..n].to_vec(), from)
}

fn tunnelled(proxy: &Proxy) -> (u64, u64) {
    (proxy.total(Metric::TunnelRequestBytes), proxy.total(Metric::TunnelResponseBytes))
}

#[test]
fn each_client_has_a_session_and_its_replies_and_all_is_charged() {
    let endpoint = socket();
    let proxy = start(&[&endpoint], one());
    let clients = [client(&proxy), client(&proxy)];
    let mut sessions = Vec::new();
    for (client, text) in clients.iter().zip(["one", "second"]) {
        client.send(text.as_bytes()).unwrap();
        let (bytes, session) = received(&endpoint);
        assert_eq!(bytes, text.as_bytes());
        sessions.push(session);
    }
    assert_ne!(sessions[0], sessions[1]);
    // The last one first, several to one, and an empty one, which is a datagram too.
    for (to, text) in [(1, "b"), (0, "a"), (0, "aa"), (1, "")] {
        endpoint.send_to(text.as_bytes(), sessions[to]).unwrap();
        let (bytes, from) = received(&clients[to]);
        assert_eq!((bytes.as_slice(), from), (text.as_bytes(), proxy.address("udp")));
    }
    clients[0].send(b"more").unwrap();
    assert_eq!(received(&endpoint), (b"more".to_vec(), sessions[0]), "the same session");
    eventually("bill", || (tunnelled(&proxy) == (13, 4)).then_some(()));
}

/// How many sockets of this machine are bound to this port of loopback.
fn sockets_of(port: u16) -> usize {
    let table = std::fs::read_to_string("/proc/net/udp").unwrap();
    let local = format!("0100007F:{port:04X}");
    table.lines().filter(|line| line.split_whitespace().nth(1) == Some(&local)).count()
}

#[test]
fn every_worker_serves_clients_and_a_client_keeps_its_session() {
    const WORKERS: usize = 4;
    let endpoint = socket();
    let options = Options { workers: WORKERS, ..Options::default() };
    let setup = Setup { options, meter: Arc::new(Meter::new(WORKERS)), ..Setup::default() };
    let mut proxy = Proxy::with(setup, &[endpoint.local_addr().unwrap()]);
    proxy.apply(vec![listener(one()).into()]);
    let port = proxy.address("udp").port();
    assert_eq!(sockets_of(port), WORKERS);
    // So many that none of the sockets is without a client, but for a chance of one in ten million.
    let clients: Vec<UdpSocket> = (0..64).map(|_| client(&proxy)).collect();
    let say = |client: &UdpSocket| {
        client.send(b"hi").unwrap();
        received(&endpoint).1
    };
    let sessions: Vec<SocketAddr> = clients.iter().map(say).collect();
    for (client, session) in clients.iter().zip(&sessions).rev() {
        endpoint.send_to(b"yes", session).unwrap();
        assert_eq!(received(client).0, b"yes");
        // An edit of something else, and its client is still the same one's.
        if client.local_addr().unwrap().port() % 16 == 0 {
            proxy.apply(vec![crate::support::listener("other", crate::support::http()).into()]);
            proxy.remove(ResourceType::Listener, "other");
        }
        assert_eq!(say(client), *session);
    }
    eventually("bill", || (tunnelled(&proxy) == (64 * 4, 64 * 3)).then_some(()));
    proxy.remove(ResourceType::Listener, "udp");
    eventually("an end of all sockets", || (sockets_of(port) == 0).then_some(()));
    proxy.shut_down();
    proxy.ended();
}

#[test]
fn a_port_that_somebody_else_would_share_is_taken_until_it_is_free() {
    use socket2::{Domain, Socket, Type};
    let other = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    other.set_reuse_port(true).unwrap();
    other.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = other.local_addr().unwrap().as_socket().unwrap();
    let proxy = Proxy::start(&Backend::new());
    proxy.apply(vec![Listener { address, ..listener(one()) }.into()]);
    proxy.status(|statuses| statuses.get("udp")?.error.clone());
    drop(other);
    assert_eq!(proxy.address("udp"), address);
}

#[test]
fn the_largest_datagram_passes_whole() {
    let endpoint = socket();
    let proxy = start(&[&endpoint], one());
    let client = client(&proxy);
    let large: Vec<u8> = (0..65_507).map(|n| (n % 251) as u8).collect();
    client.send(&large).unwrap();
    let (bytes, session) = received(&endpoint);
    assert!(bytes == large);
    endpoint.send_to(&large, session).unwrap();
    assert!(received(&client).0 == large);
}

#[test]
fn sessions_are_shared_out_by_weight_and_what_goes_nowhere_is_lost() {
    let [first, second] = [socket(), socket()];
    let split = [("c", 1), ("d", 2), ("nowhere", 1)].map(|(name, weight)| WeightedCluster::new(name, weight));
    let proxy = start(&[&first], proxied(Split::Weighted(split.to_vec())));
    proxy.apply(vec![cluster("d", PATIENCE, &[second.local_addr().unwrap()]).into()]);
    let clients: Vec<UdpSocket> = (0..16).map(|_| client(&proxy)).collect();
    for client in &clients {
        client.send(b"x").unwrap();
    }
    eventually("bill", || (tunnelled(&proxy).0 == 16).then_some(()));
    let count = |socket: &UdpSocket| {
        socket.set_nonblocking(true).unwrap();
        let mut count = 0;
        while socket.recv(&mut [0; 9]).is_ok() {
            count += 1;
        }
        count
    };
    let mut got = [0, 0];
    eventually("all that went somewhere", || {
        got = [got[0] + count(&first), got[1] + count(&second)];
        (got[0] + got[1] == 12).then_some(())
    });
    assert_eq!(got, [4, 8]);
}

#[test]
fn silence_ends_a_session_and_it_is_logged() {
    let endpoint = socket();
    let proxy = start(&[&endpoint], Proxied { idle_timeout: Some(Duration::from_millis(100)), ..one() });
    let client = client(&proxy);
    client.send(b"hello").unwrap();
    let (_, before) = received(&endpoint);
    endpoint.send_to(b"hi", before).unwrap();
    received(&client);
    let line = proxy.logged();
    assert_eq!((&line["protocol"], &line["tenant"]), (&"UDP".into(), &"acme".into()));
    assert_eq!((line["bytes_received"].as_u64(), line["bytes_sent"].as_u64()), (Some(5), Some(2)));
    client.send(b"again").unwrap();
    assert_eq!(received(&endpoint).0, b"again");
}

#[test]
fn a_client_whose_endpoint_is_gone_is_led_to_another() {
    let [first, second] = [socket(), socket()];
    let proxy = start(&[&first], one());
    let client = client(&proxy);
    client.send(b"1").unwrap();
    received(&first);
    proxy.apply(vec![cluster("c", PATIENCE, &[second.local_addr().unwrap()]).into()]);
    client.send(b"2").unwrap();
    let (bytes, session) = received(&second);
    assert_eq!(bytes, b"2");
    second.send_to(b"3", session).unwrap();
    assert_eq!(received(&client).0, b"3");

    // One that died unannounced: the system says so, and the next datagram finds one that lives.
    let third = socket();
    let both = [second.local_addr().unwrap(), third.local_addr().unwrap()];
    proxy.apply(vec![cluster("c", PATIENCE, &both).into()]);
    drop(second);
    third.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    eventually("a datagram at the one that lives", || {
        client.send(b"4").unwrap();
        third.recv(&mut [0; 9]).ok()
    });
}

#[test]
fn another_owner_ends_sessions_and_is_charged_from_then_on() {
    let endpoint = socket();
    let proxy = start(&[&endpoint], one());
    let client = client(&proxy);
    client.send(b"mine").unwrap();
    let (_, before) = received(&endpoint);
    let address = proxy.address("udp");
    let other = Owner { tenant: "other".into(), plan: None };
    proxy.apply(vec![listener(Proxied { owner: Some(other), ..one() }).into()]);
    assert_eq!(proxy.logged()["response_flags"], "DT");
    client.send(b"theirs").unwrap();
    let (bytes, after) = received(&endpoint);
    assert_eq!(bytes, b"theirs");
    assert_ne!(before, after);
    assert_eq!(proxy.address("udp"), address, "the socket stays");
    assert_eq!(tunnelled(&proxy).0, 4);
    let theirs = proxy.meter.tenant("other");
    assert_eq!(proxy.meter.total(theirs.id(), Metric::TunnelRequestBytes), 6);
}

#[test]
fn listeners_come_and_go_and_the_engine_ends_with_sessions_open() {
    let endpoint = socket();
    let mut proxy = start(&[&endpoint], one());
    client(&proxy).send(b"x").unwrap();
    received(&endpoint);
    let before = proxy.address("udp");
    proxy.remove(ResourceType::Listener, "udp");
    eventually("a free port", || UdpSocket::bind(before).ok());
    // A TCP listener of the same port is no obstacle. (One that is free of UDP may have a connection of TCP.)
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let fixed = Listener { address, ..listener(one()) };
    let tcp = Listener { name: "tcp".into(), address, ..crate::support::listener("tcp", crate::support::http()) };
    proxy.apply(vec![tcp.into(), fixed.into()]);
    assert_eq!((proxy.address("udp"), proxy.address("tcp")), (address, address));
    client(&proxy).send(b"y").unwrap();
    assert_eq!(received(&endpoint).0, b"y");
    proxy.shut_down();
    proxy.ended();
}

#[test]
fn a_flood_has_its_listeners_part_and_ends_no_conversation() {
    let endpoint = socket();
    // A quarter of these are one listener's.
    let options = Options { max_sessions: 8, ..Options::default() };
    let proxy = Proxy::with(Setup { options, ..Setup::default() }, &[endpoint.local_addr().unwrap()]);
    let quiet = Listener { name: "quiet".into(), ..listener(one()) };
    proxy.apply(vec![listener(one()).into(), quiet.into()]);
    let say = |client: &UdpSocket| {
        client.send(b"hi").unwrap();
        received(&endpoint).1
    };
    // One who talks: it has sent again after a reply.
    let talking = client(&proxy);
    let session = say(&talking);
    endpoint.send_to(b"yes", session).unwrap();
    received(&talking);
    assert_eq!(say(&talking), session);
    for n in 0..32 {
        // Each takes the place of the one before.
        say(&client(&proxy));
        eventually("a place", || (proxy.stats.totals().sessions_shed == n).then_some(()));
        assert_eq!(say(&talking), session, "a conversation goes on");
    }
    let other = socket();
    other.connect(proxy.address("quiet")).unwrap();
    say(&other);
    assert_eq!((proxy.stats.totals().sessions_shed, proxy.stats.totals().sessions_refused), (31, 0));
}
