//! Clients that send much of what costs them little. Each is sent away, or its own connection stands still, and others
//! are served meanwhile.

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use crate::h2_raw::End::{self, Goaway, Reset, Status};
use crate::h2_raw::{
    COMPRESSION_ERROR, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, HEADERS, PING, PRIORITY,
    PROTOCOL_ERROR, RST_STREAM, SETTINGS, WINDOW_UPDATE, connect, end, field, frame, get, post, request,
};
use crate::support::{Backend, Conn, Proxy};
/// What became of a flood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flood {
    /// The connection ended.
    Ended,
    /// The proxy reads no more of it.
    Stalled,
    /// All of it was taken.
    Taken,
}

/// Sends what `piece` is over and over, reading nothing, while others ask for something.
fn flood(proxy: &Proxy, backend: &Backend, first: &[u8], piece: &[u8]) -> Flood {
    const WHOLE: usize = 24 << 20;
    let mut client = connect(proxy);
    client.send(first);
    let chunk = piece.repeat((256 * 1024 / piece.len()).max(1));
    let mut stream = client.stream.try_clone().unwrap();
    stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let sender = std::thread::spawn(move || {
        for _ in 0..WHOLE / chunk.len() {
            match stream.write_all(&chunk) {
                Ok(()) => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Flood::Stalled;
                }
                Err(_) => return Flood::Ended,
            }
        }
        Flood::Taken
    });
    let mut held = Vec::new();
    for _ in 0..10 {
        served(proxy, backend, &mut held);
    }
    let flood = sender.join().unwrap();
    served(proxy, backend, &mut held);
    flood
}

/// Another client is served. What the flood has had sent on is held, and not answered.
fn served(proxy: &Proxy, backend: &Backend, held: &mut Vec<Conn>) {
    let mut client = proxy.connect();
    client.send(crate::support::get("/other"));
    let mut upstream = backend.accept();
    while !asks(&mut upstream) {
        held.push(upstream);
        upstream = backend.accept();
    }
    upstream.send(crate::support::ok("fine"));
    assert_eq!(crate::support::status(&client.head()), 200);
}

/// Whether it is the other client's. Of the flood's some end before they have asked for anything.
fn asks(upstream: &mut Conn) -> bool {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match upstream.stream.read(&mut byte) {
            Ok(1..) => head.extend(byte),
            _ => return false,
        }
    }
    head.starts_with(b"GET /other ")
}

#[test]
fn answers_that_nobody_reads_are_not_heaped_up() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    // CVE-2019-9512 and CVE-2019-9515: each wants an answer.
    for piece in [frame(PING, 0, 0, &[0; 8]), frame(SETTINGS, 0, 0, &[])] {
        let flood = flood(&proxy, &backend, b"", &piece);
        assert!(matches!(flood, Flood::Stalled | Flood::Ended), "{flood:?}");
    }
}

#[test]
fn frames_that_say_nothing_are_not_kept() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    let before = resident();
    // CVE-2019-9518: without content. Each flood has two million frames, if it is let.
    for piece in [frame(DATA, 0, 1, b""), frame(PRIORITY, 0, 3, &[0; 5]), frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])] {
        flood(&proxy, &backend, &post(1, &[]), &piece);
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes more");
}

#[test]
fn small_pieces_of_bodies_that_nobody_takes_are_bounded() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    let before = resident();
    // A window bounds the bytes, not what it costs to hold them.
    let streams: Vec<u8> = (0..100).flat_map(|n| post(2 * n + 1, &[])).collect();
    let piece: Vec<u8> = (0..100).flat_map(|n| frame(DATA, 0, 2 * n + 1, b"x")).collect();
    let flood = flood(&proxy, &backend, &streams, &piece);
    assert!(matches!(flood, Flood::Stalled | Flood::Ended), "{flood:?}");
    let grown = resident().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes more");
}

/// Bytes of memory that this process holds.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
fn a_head_that_grows_when_it_is_unpacked_ends_the_connection() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    let mut client = connect(&proxy);
    // CVE-2016-6581: 3,900 bytes go to the table, and each byte after them stands for as many.
    let value = "y".repeat(3900);
    let mut block = request(&[]);
    block.extend([0x40, 1, b'x', 0x7f]);
    block.extend([0xbd, 0x1d]);
    block.extend(value.bytes());
    block.extend([0xbe; 10_000]);
    client.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, &block));
    assert_eq!(end(&mut client), Goaway(ENHANCE_YOUR_CALM));
    assert!(backend.pending().is_none());
}

#[test]
fn a_head_that_never_ends_ends_the_connection() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    let mut client = connect(&proxy);
    let mut sent = frame(HEADERS, END_STREAM, 1, &request(&[]));
    // A flood of CONTINUATION frames (CVE-2024-27316): each of them little, none the last.
    for n in 0..20_000 {
        sent.extend(frame(
            CONTINUATION,
            0,
            1,
            &field(&format!("x-{n}"), "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"),
        ));
    }
    let mut stream = client.stream.try_clone().unwrap();
    // The proxy need not read it all.
    let flood = std::thread::spawn(move || stream.write_all(&sent).is_ok());
    let end = end(&mut client);
    assert!(matches!(end, Goaway(ENHANCE_YOUR_CALM | PROTOCOL_ERROR | COMPRESSION_ERROR) | End::Closed), "{end:?}");
    drop(client);
    flood.join().unwrap();
    assert!(backend.pending().is_none());
}

#[test]
fn a_client_that_only_resets_is_sent_away() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    let mut client = connect(&proxy);
    let mut stream = client.stream.try_clone().unwrap();
    // CVE-2023-44487: a request and its reset, over and over.
    let flood = std::thread::spawn(move || {
        for n in 0..20_000 {
            let pair = [get(2 * n + 1), frame(RST_STREAM, 0, 2 * n + 1, &[0, 0, 0, 8])].concat();
            if stream.write_all(&pair).is_err() {
                return;
            }
        }
    });
    let mut last = end(&mut client);
    while matches!(last, Reset(_) | Status(_)) {
        last = end(&mut client);
    }
    assert!(matches!(last, Goaway(ENHANCE_YOUR_CALM) | End::Closed), "{last:?}");
    drop(client);
    flood.join().unwrap();
    let mut rest = Vec::new();
    while let Some(mut upstream) = backend.pending() {
        let _ = upstream.stream.read_to_end(&mut rest);
    }
}
