//! Every wait ends.

use std::io::Write;
use std::net::TcpListener;
use std::time::Duration;

use weir_config::model::{Forward, HttpOptions, RouteAction, Split};

use crate::support::{Backend, Proxy, Setup, get, http, ok, route, status};

const SHORT: Duration = Duration::from_millis(150);

fn with_http(http: HttpOptions, backend: &Backend) -> Proxy {
    Proxy::with(Setup { http, ..Setup::default() }, &[backend.address])
}

#[test]
fn a_head_must_come_in_time() {
    let backend = Backend::new();
    let proxy = with_http(HttpOptions { request_headers_timeout: Some(SHORT), ..http() }, &backend);
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\n");
    assert_eq!(status(&client.head()), 408);
    assert!(client.rest().0.is_empty());
}

#[test]
fn an_idle_connection_ends_in_silence() {
    let backend = Backend::new();
    let proxy = with_http(HttpOptions { idle_timeout: Some(SHORT), ..http() }, &backend);
    assert_eq!(proxy.connect().rest(), (Vec::new(), true));
    let mut client = proxy.connect();
    client.send(get("/"));
    let mut upstream = backend.accept();
    upstream.head();
    upstream.send(ok(""));
    client.head();
    assert_eq!(client.rest(), (Vec::new(), true));
}

#[test]
fn a_silent_upstream_is_504_and_a_silent_client_408() {
    let backend = Backend::new();
    let proxy = with_http(HttpOptions { stream_idle_timeout: Some(SHORT), ..http() }, &backend);
    let mut client = proxy.connect();
    client.send(get("/"));
    let mut upstream = backend.accept();
    upstream.head();
    assert_eq!(status(&client.head()), 504);
    assert!(upstream.rest().0.is_empty());
    let mut client = proxy.connect();
    client.send("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhel");
    assert_eq!(status(&client.head()), 408);
    for _ in 0..2 {
        assert_eq!(proxy.logged()["response_flags"], "SI");
    }
}

#[test]
fn a_response_that_stalls_is_cut() {
    let backend = Backend::new();
    let proxy = with_http(HttpOptions { stream_idle_timeout: Some(SHORT), ..http() }, &backend);
    let mut client = proxy.connect();
    client.send(get("/"));
    let mut upstream = backend.accept();
    upstream.head();
    upstream.send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel");
    assert_eq!(status(&client.head()), 200);
    assert_eq!(client.rest().0, b"hel");
}

#[test]
fn a_client_that_does_not_read_is_cut() {
    let backend = TcpListener::bind("127.0.0.1:0").unwrap();
    let http = HttpOptions { stream_idle_timeout: Some(SHORT), ..http() };
    let proxy = Proxy::with(Setup { http, ..Setup::default() }, &[backend.local_addr().unwrap()]);
    let mut client = proxy.connect();
    client.send(get("/"));
    let (mut upstream, _) = backend.accept().unwrap();
    // Far more than all buffers on the way hold; writing fails when the proxy gives up.
    let writer = std::thread::spawn(move || {
        upstream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n").unwrap();
        let piece = [b'x'; 1 << 16];
        (0..16_000).any(|_| upstream.write_all(&piece).is_err())
    });
    assert_eq!(proxy.logged()["response_flags"], "SI");
    assert!(writer.join().unwrap(), "the upstream connection ended too");
    drop(client);
}

#[test]
fn bytes_that_move_keep_an_exchange_alive() {
    let backend = Backend::new();
    let proxy = with_http(HttpOptions { stream_idle_timeout: Some(Duration::from_secs(2)), ..http() }, &backend);
    let mut client = proxy.connect();
    client.send(get("/"));
    let mut upstream = backend.accept();
    upstream.head();
    upstream.send("HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n");
    client.head();
    for _ in 0..12 {
        // The pace of the bytes is what is tested: twelve pauses are longer than the timeout, and one is
        // far shorter, however slow the machine.
        std::thread::sleep(Duration::from_millis(250));
        upstream.send("x");
        client.exactly(1);
    }
}

#[test]
fn a_route_says_how_long_a_response_may_take() {
    let backend = Backend::new();
    let mut limited = route("/", "c");
    limited.action = RouteAction::Forward(Forward { timeout: Some(SHORT), ..Forward::to(Split::One("c".into())) });
    let proxy = Proxy::with(Setup { routes: vec![limited], ..Setup::default() }, &[backend.address]);
    let mut client = proxy.connect();
    client.send(get("/1"));
    let mut upstream = backend.accept();
    upstream.head();
    assert_eq!(status(&client.head()), 504);
    assert_eq!(proxy.logged()["response_flags"], "UT");
    assert!(upstream.rest().0.is_empty());
    // The client's connection is not to blame.
    client.send(get("/2"));
    let mut upstream = backend.accept();
    upstream.head();
    upstream.send(ok(""));
    assert_eq!(status(&client.head()), 200);
}

#[test]
fn a_connect_that_hangs_is_given_up() {
    // A queue of one that is full: the kernel answers no further connect.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = TcpListener::from(socket.try_clone().unwrap()).local_addr().unwrap();
    let filled: Vec<_> =
        (0..4).map_while(|_| std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok()).collect();
    assert!(filled.len() < 4, "the queue did not fill");
    let setup = Setup { connect_timeout: SHORT, ..Setup::default() };
    let proxy = Proxy::with(setup, &[address]);
    let mut client = proxy.connect();
    client.send(get("/"));
    assert_eq!(status(&client.head()), 503);
    assert_eq!(proxy.logged()["response_flags"], "UF");
}
