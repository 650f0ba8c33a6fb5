//! Either side goes away, or does not read.

use std::io::Write;

use crate::support::{Backend, Proxy, get, ok, status};

#[test]
fn a_client_that_goes_away_takes_the_upstream_connection_with_it() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    let mut client = proxy.connect();
    client.send(get("/"));
    let mut upstream = backend.accept();
    upstream.head();
    drop(client);
    assert_eq!(upstream.rest().0, b"");
    let line = proxy.logged();
    assert_eq!((&line["response_code"], &line["response_flags"]), (&0.into(), &"DC".into()));
}

#[test]
fn a_client_that_goes_away_amid_the_response_too() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    let mut client = proxy.connect();
    client.send(get("/"));
    let mut upstream = backend.accept();
    upstream.head();
    upstream.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n");
    client.head();
    drop(client);
    upstream.rest();
    let line = proxy.logged();
    assert_eq!((&line["response_code"], &line["response_flags"]), (&200.into(), &"DC".into()));
    // The connection did not go into the pool.
    proxy.connect().send(get("/next"));
    assert!(backend.accept().head().starts_with("GET /next "));
}

#[test]
fn a_client_that_goes_away_amid_its_body_too() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    let mut client = proxy.connect();
    client.send("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhel");
    let mut upstream = backend.accept();
    upstream.head();
    upstream.exactly(3);
    drop(client);
    assert!(upstream.rest().0.is_empty());
    assert_eq!(proxy.logged()["response_flags"], "DC");
}

#[test]
fn an_upstream_that_answers_early_and_closes_is_heard() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    let mut client = proxy.connect();
    client.send("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000000\r\n\r\n");
    let mut upstream = backend.accept();
    upstream.head();
    upstream.send("HTTP/1.1 403 No\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno");
    upstream.end();
    assert_eq!(status(&client.head()), 403);
    assert_eq!(client.rest(), (b"no".to_vec(), true));
}

/// Writes until the other end takes no more; gives how much it took.
fn fill(stream: &mut std::net::TcpStream, limit: usize) -> usize {
    stream.set_write_timeout(Some(std::time::Duration::from_millis(300))).unwrap();
    let (bytes, mut taken) = (vec![b'x'; 65536], 0);
    while taken < limit {
        match stream.write(&bytes) {
            Ok(n) => taken += n,
            Err(_) => break,
        }
    }
    taken
}

/// More than two sockets' buffers hold on any machine that runs this.
const MUCH: usize = 256 << 20;

#[test]
fn what_a_client_does_not_read_is_not_taken_from_the_upstream() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    let mut client = proxy.connect();
    client.send(get("/"));
    let mut upstream = backend.accept();
    upstream.head();
    upstream.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {MUCH}\r\n\r\n"));
    let taken = fill(&mut upstream.stream, MUCH);
    assert!(taken < MUCH / 4, "{taken} bytes went somewhere");
    client.head();
    assert!(client.exactly(taken).iter().all(|b| *b == b'x'), "and none was lost");
}

#[test]
fn what_an_upstream_does_not_read_is_not_taken_from_the_client() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    let mut client = proxy.connect();
    client.send(format!("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: {MUCH}\r\n\r\n"));
    let mut upstream = backend.accept();
    upstream.head();
    let taken = fill(&mut client.stream, MUCH);
    assert!(taken < MUCH / 4, "{taken} bytes went somewhere");
    assert_eq!(upstream.exactly(taken).len(), taken);
    upstream.send(ok(""));
    assert_eq!(status(&client.head()), 200);
}
