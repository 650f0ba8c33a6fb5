//! Frames that no well-behaved client sends, by the sections of RFC 9113 that forbid them. Whatever comes, the proxy
//! answers with the error that the section names and goes on serving others. (Where a frame's size is wrong `h2` says
//! PROTOCOL_ERROR, which RFC 9113 section 5.4 leaves to it.)

use std::io::Read;

use crate::support::{Backend, Conn, Proxy};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const COMPRESSION_ERROR: u32 = 9;
const ENHANCE_YOUR_CALM: u32 = 11;

/// What becomes of a connection.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// GOAWAY with this code, then the end.
    Goaway(u32),
    /// RST_STREAM of this code; the connection goes on.
    Reset(u32),
    /// A response of this status, in `:status`'s static or literal form.
    Status(u16),
    /// The connection ended without a word.
    Closed,
}
use End::{Goaway, Reset, Status};

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A field as a literal that is not indexed.
fn field(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0, u8::try_from(name.len()).unwrap()];
    bytes.extend_from_slice(name.as_bytes());
    bytes.push(u8::try_from(value.len()).unwrap());
    bytes.extend_from_slice(value.as_bytes());
    bytes
}

/// `GET / HTTP/2` of `a`, with more fields.
fn request(more: &[(&str, &str)]) -> Vec<u8> {
    let mut block = vec![0x82, 0x86, 0x84, 0x41, 1, b'a'];
    more.iter().for_each(|(name, value)| block.extend(field(name, value)));
    block
}

fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &request(&[]))
}

fn post(stream: u32, more: &[(&str, &str)]) -> Vec<u8> {
    let mut block = vec![0x83, 0x86, 0x84, 0x41, 1, b'a'];
    more.iter().for_each(|(name, value)| block.extend(field(name, value)));
    frame(HEADERS, END_HEADERS, stream, &block)
}

fn fields(block: &[Vec<u8>]) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, 1, &block.concat())
}

fn setting(id: u16, value: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
}

/// A connection that has said its preface.
fn connect(proxy: &Proxy) -> Conn {
    let mut client = proxy.connect();
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    client.send(frame(SETTINGS, 0, 0, &[]));
    client
}

/// Reads frames until one that says how it ended.
fn end(client: &mut Conn) -> End {
    loop {
        let mut header = [0; 9];
        if client.stream.read_exact(&mut header).is_err() {
            return End::Closed;
        }
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
        let mut payload = vec![0; length];
        if client.stream.read_exact(&mut payload).is_err() {
            return End::Closed;
        }
        let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
        match header[3] {
            GOAWAY => return Goaway(number(&payload[4..8])),
            RST_STREAM => return Reset(number(&payload)),
            HEADERS => {
                return Status(match payload[0] {
                    0x88 => 200,
                    0x8c => 400,
                    0x8d => 404,
                    // A literal of three digits, in Huffman's code or not.
                    _ => 431,
                });
            }
            _ => {}
        }
    }
}

type Case = (&'static str, Vec<Vec<u8>>, &'static [End]);

#[expect(clippy::too_many_lines, reason = "a table")]
fn cases() -> Vec<Case> {
    let settings_too_long = frame(SETTINGS, ACK, 0, &[0; 6]);
    vec![
        (
            "4.2: a frame beyond the greatest size",
            vec![post(1, &[]), frame(DATA, 0, 1, &[0; 16_385])],
            &[Goaway(FRAME_SIZE_ERROR)],
        ),
        (
            "4.3: a header block that is none",
            vec![frame(HEADERS, END_STREAM | END_HEADERS, 1, &[0xff, 0xff, 0xff, 0xff, 0xff])],
            &[Goaway(COMPRESSION_ERROR), Goaway(PROTOCOL_ERROR)],
        ),
        ("5.1: DATA on an idle stream", vec![frame(DATA, END_STREAM, 1, b"x")], &[Goaway(PROTOCOL_ERROR)]),
        (
            "5.1: WINDOW_UPDATE on an idle stream",
            vec![frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])],
            &[Goaway(PROTOCOL_ERROR)],
        ),
        (
            "5.1: CONTINUATION on an idle stream",
            vec![frame(CONTINUATION, END_HEADERS, 1, &request(&[]))],
            &[Goaway(PROTOCOL_ERROR)],
        ),
        (
            "5.1: DATA after the end of the stream",
            vec![get(1), frame(DATA, END_STREAM, 1, b"x")],
            &[Goaway(STREAM_CLOSED), Reset(STREAM_CLOSED), Goaway(PROTOCOL_ERROR), Reset(PROTOCOL_ERROR)],
        ),
        (
            "5.1: HEADERS after the end of the stream",
            vec![get(1), get(1)],
            &[Goaway(STREAM_CLOSED), Reset(STREAM_CLOSED), Goaway(PROTOCOL_ERROR)],
        ),
        ("5.1.1: an even stream", vec![get(2)], &[Goaway(PROTOCOL_ERROR)]),
        (
            "5.1.1: a stream below one before",
            vec![post(5, &[]), get(3)],
            &[Goaway(PROTOCOL_ERROR), Goaway(STREAM_CLOSED), Reset(STREAM_CLOSED)],
        ),
        ("6.1: DATA on stream 0", vec![frame(DATA, 0, 0, b"x")], &[Goaway(PROTOCOL_ERROR)]),
        (
            "6.1: more padding than frame",
            vec![post(1, &[]), frame(DATA, PADDED, 1, &[9, 0, 0])],
            &[Goaway(PROTOCOL_ERROR)],
        ),
        ("6.2: HEADERS on stream 0", vec![get(0)], &[Goaway(PROTOCOL_ERROR)]),
        (
            "6.2: more padding than frame",
            vec![frame(HEADERS, PADDED | END_HEADERS, 1, &[9, 0x82])],
            &[Goaway(PROTOCOL_ERROR)],
        ),
        (
            "6.3: PRIORITY of another length",
            vec![frame(PRIORITY, 0, 1, &[0; 4])],
            &[Goaway(PROTOCOL_ERROR), Goaway(FRAME_SIZE_ERROR), Reset(FRAME_SIZE_ERROR)],
        ),
        ("6.4: RST_STREAM on stream 0", vec![frame(RST_STREAM, 0, 0, &[0; 4])], &[Goaway(PROTOCOL_ERROR)]),
        ("6.4: RST_STREAM on an idle stream", vec![frame(RST_STREAM, 0, 1, &[0; 4])], &[Goaway(PROTOCOL_ERROR)]),
        (
            "6.4: RST_STREAM of another length",
            vec![post(1, &[]), frame(RST_STREAM, 0, 1, &[0; 3])],
            &[Goaway(PROTOCOL_ERROR), Goaway(FRAME_SIZE_ERROR)],
        ),
        ("6.5: SETTINGS of a stream", vec![frame(SETTINGS, 0, 1, &[])], &[Goaway(PROTOCOL_ERROR)]),
        ("6.5: an ACK with a payload", vec![settings_too_long], &[Goaway(PROTOCOL_ERROR), Goaway(FRAME_SIZE_ERROR)]),
        (
            "6.5: half a setting",
            vec![frame(SETTINGS, 0, 0, &[0; 3])],
            &[Goaway(PROTOCOL_ERROR), Goaway(FRAME_SIZE_ERROR)],
        ),
        ("6.5.2: ENABLE_PUSH is 0 or 1", vec![setting(2, 2)], &[Goaway(PROTOCOL_ERROR)]),
        (
            "6.5.2: a window beyond the greatest",
            vec![setting(4, 1 << 31)],
            &[Goaway(PROTOCOL_ERROR), Goaway(FLOW_CONTROL_ERROR)],
        ),
        ("6.5.2: frames below the least", vec![setting(5, 16_383)], &[Goaway(PROTOCOL_ERROR)]),
        (
            "6.6: a client does not push",
            vec![frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2, 0x82])],
            &[Goaway(PROTOCOL_ERROR)],
        ),
        ("6.7: PING of a stream", vec![frame(PING, 0, 1, &[0; 8])], &[Goaway(PROTOCOL_ERROR)]),
        (
            "6.7: PING of another length",
            vec![frame(PING, 0, 0, &[0; 7])],
            &[Goaway(PROTOCOL_ERROR), Goaway(FRAME_SIZE_ERROR)],
        ),
        ("6.8: GOAWAY of a stream", vec![frame(GOAWAY, 0, 1, &[0; 8])], &[Goaway(PROTOCOL_ERROR)]),
        ("6.9: a window that grows by nothing", vec![frame(WINDOW_UPDATE, 0, 0, &[0; 4])], &[Goaway(PROTOCOL_ERROR)]),
        (
            "6.9: a stream's window that grows by nothing",
            vec![post(1, &[]), frame(WINDOW_UPDATE, 0, 1, &[0; 4])],
            &[Reset(PROTOCOL_ERROR), Goaway(PROTOCOL_ERROR)],
        ),
        (
            "6.9: WINDOW_UPDATE of another length",
            vec![frame(WINDOW_UPDATE, 0, 0, &[0; 3])],
            &[Goaway(PROTOCOL_ERROR), Goaway(FRAME_SIZE_ERROR)],
        ),
        (
            "6.9.1: a window beyond the greatest",
            vec![frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff])],
            &[Goaway(FLOW_CONTROL_ERROR)],
        ),
        (
            "6.9.1: a stream's window beyond the greatest",
            vec![post(1, &[]), frame(WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff])],
            &[Reset(FLOW_CONTROL_ERROR), Goaway(FLOW_CONTROL_ERROR)],
        ),
        (
            "6.10: another frame within a header block",
            vec![frame(HEADERS, END_STREAM, 1, &request(&[])), frame(PING, 0, 0, &[0; 8])],
            &[Goaway(PROTOCOL_ERROR)],
        ),
        (
            "6.10: CONTINUATION of another stream",
            vec![frame(HEADERS, END_STREAM, 1, &request(&[])), frame(CONTINUATION, END_HEADERS, 3, &[])],
            &[Goaway(PROTOCOL_ERROR)],
        ),
        (
            "8.1.1: a body longer than its length",
            vec![post(1, &[("content-length", "1")]), frame(DATA, END_STREAM, 1, b"xx")],
            &[Reset(PROTOCOL_ERROR)],
        ),
        (
            "8.1.1: a body shorter than its length",
            vec![post(1, &[("content-length", "3")]), frame(DATA, END_STREAM, 1, b"xx")],
            &[Reset(PROTOCOL_ERROR)],
        ),
        (
            "8.2.1: a name with capitals",
            vec![frame(HEADERS, END_STREAM | END_HEADERS, 1, &request(&[("X-A", "1")]))],
            &[Reset(PROTOCOL_ERROR), Goaway(PROTOCOL_ERROR)],
        ),
        (
            "8.2.2: a field of the connection",
            vec![frame(HEADERS, END_STREAM | END_HEADERS, 1, &request(&[("connection", "close")]))],
            &[Reset(PROTOCOL_ERROR)],
        ),
        (
            "8.2.2: a transfer encoding",
            vec![frame(HEADERS, END_STREAM | END_HEADERS, 1, &request(&[("transfer-encoding", "chunked")]))],
            &[Reset(PROTOCOL_ERROR)],
        ),
        (
            "8.2.2: TE that is not trailers",
            vec![frame(HEADERS, END_STREAM | END_HEADERS, 1, &request(&[("te", "gzip")]))],
            &[Reset(PROTOCOL_ERROR)],
        ),
        (
            "8.3: an unknown pseudo-field",
            vec![frame(HEADERS, END_STREAM | END_HEADERS, 1, &request(&[(":odd", "1")]))],
            &[Reset(PROTOCOL_ERROR), Goaway(PROTOCOL_ERROR)],
        ),
        (
            "8.3: a response's pseudo-field",
            vec![frame(HEADERS, END_STREAM | END_HEADERS, 1, &request(&[(":status", "200")]))],
            &[Reset(PROTOCOL_ERROR), Goaway(PROTOCOL_ERROR)],
        ),
        (
            "8.3: a pseudo-field after a field",
            vec![fields(&[vec![0x82, 0x86], field("x", "1"), vec![0x84]])],
            &[Reset(PROTOCOL_ERROR)],
        ),
        ("8.3.1: no method", vec![fields(&[vec![0x86, 0x84]])], &[Reset(PROTOCOL_ERROR)]),
        ("8.3.1: no path", vec![fields(&[vec![0x82, 0x86]])], &[Status(400), Reset(PROTOCOL_ERROR)]),
        ("8.3.1: an empty path", vec![fields(&[vec![0x82, 0x86], field(":path", "")])], &[Reset(PROTOCOL_ERROR)]),
        ("8.3.1: no scheme", vec![fields(&[vec![0x82, 0x84]])], &[Reset(PROTOCOL_ERROR)]),
        ("8.3.1: two methods", vec![fields(&[vec![0x82, 0x83, 0x86, 0x84]])], &[Reset(PROTOCOL_ERROR)]),
        ("8.3.1: no host at all", vec![fields(&[vec![0x82, 0x86, 0x84]])], &[Status(400)]),
    ]
}

#[test]
fn each_violation_gets_its_error_and_others_are_served() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    let mut wrong = Vec::new();
    for (name, frames, expected) in cases() {
        let mut client = connect(&proxy);
        client.send(frames.concat());
        let end = end(&mut client);
        if !expected.contains(&end) {
            wrong.push(format!("{name}: {end:?}, not one of {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // What was well formed of it may have reached the backend; after it all the proxy serves as before.
    while backend.pending().is_some() {}
    let mut client = proxy.connect();
    client.send(crate::support::get("/"));
    let mut upstream = backend.accept();
    upstream.head();
    upstream.send(crate::support::ok("fine"));
    assert_eq!(crate::support::status(&client.head()), 200);
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
    let flood = std::thread::spawn(move || std::io::Write::write_all(&mut stream, &sent).is_ok());
    let end = end(&mut client);
    assert!(matches!(end, Goaway(ENHANCE_YOUR_CALM | PROTOCOL_ERROR | COMPRESSION_ERROR) | End::Closed), "{end:?}");
    drop(client);
    flood.join().unwrap();
    assert!(backend.pending().is_none());
}

#[test]
fn a_head_that_is_too_large_is_answered_with_431() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    let mut client = connect(&proxy);
    // 60 KiB is Envoy's limit, and Weir's; a field here takes about 230 bytes of it.
    let large = "y".repeat(120);
    let name = "x".repeat(80);
    let block: Vec<u8> = request(&[]).into_iter().chain((0..300).flat_map(|_| field(&name, &large))).collect();
    let mut pieces = block.chunks(16_000).peekable();
    client.send(frame(HEADERS, END_STREAM, 1, pieces.next().unwrap()));
    while let Some(piece) = pieces.next() {
        client.send(frame(CONTINUATION, if pieces.peek().is_none() { END_HEADERS } else { 0 }, 1, piece));
    }
    assert_eq!(end(&mut client), Status(431));
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
            if std::io::Write::write_all(&mut stream, &pair).is_err() {
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

#[test]
fn more_streams_than_are_allowed_are_refused() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    let mut client = connect(&proxy);
    let asked: Vec<u8> = (0..101).flat_map(|n| get(2 * n + 1)).collect();
    client.send(asked);
    const REFUSED_STREAM: u32 = 7;
    assert_eq!(end(&mut client), Reset(REFUSED_STREAM));
}
