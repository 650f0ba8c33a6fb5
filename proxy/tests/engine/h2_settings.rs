//! Settings of HTTP/2 that the configuration gives, on both sides, seen as frames.

use std::time::Duration;

use weir_config::model::{Cluster, Http2Options, HttpOptions, Keepalive, UpstreamProtocol};

use crate::support::{Backend, Conn, Proxy, Setup, cluster, eventually, get, http, status};

const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 1;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What `:status: 200` is in HPACK, and the end of a stream with it.
const OK: &[u8] = b"\0\0\x01\x01\x05\0\0\0\x01\x88";

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

fn next(conn: &mut Conn) -> Frame {
    let head = conn.exactly(9);
    let payload = conn.exactly(number(&head[..3]) as usize);
    Frame { kind: head[3], flags: head[4], stream: number(&head[5..]), payload }
}

fn next_of(conn: &mut Conn, kind: u8) -> Frame {
    loop {
        let frame = next(conn);
        if frame.kind == kind && (kind == HEADERS || frame.flags & ACK == 0) {
            return frame;
        }
    }
}

/// The value of a setting that the other side announced.
fn said(settings: &Frame, id: u8) -> Option<u32> {
    settings.payload.chunks(6).find(|setting| setting[..2] == [0, id]).map(|setting| number(&setting[2..]))
}

fn answer_ping(conn: &mut Conn) {
    let ping = next_of(conn, PING);
    conn.send([&[0, 0, 8, PING, ACK, 0, 0, 0, 0], &ping.payload[..]].concat());
}

/// Few streams, large windows, and PINGs as close as may be.
fn options(timeout: Duration) -> Option<Box<Http2Options>> {
    let keepalive = Keepalive { interval: Some(Duration::from_millis(1)), timeout, jitter: None };
    Some(Box::new(Http2Options {
        max_concurrent_streams: Some(7),
        stream_window: Some(70_000),
        connection_window: Some(200_000),
        keepalive: Some(keepalive),
    }))
}

const NEVER: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::from_millis(300);

fn client(timeout: Duration, backend: &Backend) -> (Proxy, Conn) {
    let setup = Setup { http: HttpOptions { http2: options(timeout), ..http() }, ..Setup::default() };
    let proxy = Proxy::with(setup, &[backend.address]);
    let mut client = proxy.connect();
    client.send(PREFACE);
    client.send([0, 0, 0, SETTINGS, 0, 0, 0, 0, 0]);
    (proxy, client)
}

/// A proxy whose endpoint is asked by an HTTP/1.1 client, who waits, and that connection of the endpoint.
fn endpoint(timeout: Duration, backend: &Backend) -> (Proxy, Conn, Conn) {
    let proxy = Proxy::start(backend);
    let plain = cluster("c", Duration::from_secs(5), &[backend.address]);
    proxy.apply(vec![Cluster { protocol: UpstreamProtocol::Http2, http2: options(timeout), ..plain }.into()]);
    let mut client = proxy.connect();
    client.send(get("/"));
    let mut endpoint = backend.accept();
    assert_eq!(endpoint.exactly(PREFACE.len()), PREFACE);
    (proxy, client, endpoint)
}

#[test]
fn a_client_is_told_what_the_listener_says() {
    let backend = Backend::new();
    let (_proxy, mut client) = client(NEVER, &backend);
    let settings = next_of(&mut client, SETTINGS);
    assert_eq!((said(&settings, 3), said(&settings, 4)), (Some(7), Some(70_000)));
    let window = next_of(&mut client, WINDOW_UPDATE);
    assert_eq!((window.stream, number(&window.payload)), (0, 200_000 - 65_535));
}

#[test]
fn an_endpoint_is_told_what_the_cluster_says() {
    let backend = Backend::new();
    let (_proxy, _client, mut endpoint) = endpoint(NEVER, &backend);
    let settings = next_of(&mut endpoint, SETTINGS);
    assert_eq!(said(&settings, 4), Some(70_000));
    let window = next_of(&mut endpoint, WINDOW_UPDATE);
    assert_eq!((window.stream, number(&window.payload)), (0, 200_000 - 65_535));
}

#[test]
fn a_cluster_bounds_the_streams_of_a_connection() {
    let backend = Backend::new();
    let (proxy, _client, mut endpoint) = endpoint(NEVER, &backend);
    endpoint.send([0, 0, 0, SETTINGS, 0, 0, 0, 0, 0]);
    let clients: Vec<Conn> = (0..7)
        .map(|_| {
            let mut client = proxy.connect();
            client.send(get("/"));
            client
        })
        .collect();
    // The eighth request has a connection of its own.
    let mut second = backend.accept();
    assert_eq!(second.exactly(PREFACE.len()), PREFACE);
    let streams: Vec<u32> = (0..7).map(|_| next_of(&mut endpoint, HEADERS).stream).collect();
    assert_eq!(streams, [1, 3, 5, 7, 9, 11, 13]);
    assert_eq!(next_of(&mut second, HEADERS).stream, 1);
    drop(clients);
}

#[test]
fn a_client_that_answers_pings_stays_and_one_that_does_not_is_gone() {
    let backend = Backend::new();
    let (_proxy, mut answering) = client(NEVER, &backend);
    (0..20).for_each(|_| answer_ping(&mut answering));
    // Without a request, and with one under way.
    let (proxy, mut silent) = client(SOON, &backend);
    silent.rest();
    eventually("count", || (proxy.stats.totals().http2_ended("ping_timeout") == 1).then_some(()));
    let (proxy, mut silent) = client(SOON, &backend);
    silent.send(b"\0\0\x06\x01\x05\0\0\0\x01\x82\x86\x84\x41\x01a");
    let mut upstream = backend.accept();
    upstream.head();
    silent.rest();
    upstream.rest();
    assert_eq!(proxy.logged()["response_flags"], "DC");
}

#[test]
fn an_endpoint_that_answers_pings_stays() {
    let backend = Backend::new();
    let (_proxy, mut client, mut endpoint) = endpoint(NEVER, &backend);
    endpoint.send([0, 0, 0, SETTINGS, 0, 0, 0, 0, 0]);
    (0..20).for_each(|_| answer_ping(&mut endpoint));
    endpoint.send(OK);
    assert_eq!(status(&client.head()), 200);
}

#[test]
fn an_endpoint_that_does_not_answer_pings_is_gone_and_the_next_request_has_another_connection() {
    let backend = Backend::new();
    let (proxy, mut client, mut endpoint) = endpoint(SOON, &backend);
    endpoint.send([0, 0, 0, SETTINGS, 0, 0, 0, 0, 0]);
    assert_eq!(status(&client.head()), 502);
    assert_eq!(proxy.logged()["response_flags"], "UC");
    endpoint.rest();
    let mut client = proxy.connect();
    client.send(get("/"));
    let mut second = backend.accept();
    assert_eq!(second.exactly(PREFACE.len()), PREFACE);
}
