//! Frames that no well-behaved client sends, by the sections of RFC 9113 that forbid them. Whatever comes, the proxy
//! answers with the error that the section names and goes on serving others. (Where a frame's size is wrong `h2` says
//! PROTOCOL_ERROR, which RFC 9113 section 5.4 leaves to it.)

use crate::h2_raw::End::{self, Goaway, Reset, Status};
use crate::h2_raw::{
    ACK, COMPRESSION_ERROR, CONTINUATION, DATA, END_HEADERS, END_STREAM, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, GOAWAY,
    HEADERS, PADDED, PING, PRIORITY, PROTOCOL_ERROR, PUSH_PROMISE, RST_STREAM, SETTINGS, STREAM_CLOSED, WINDOW_UPDATE,
    connect, end, field, fields, frame, get, next, post, request, setting,
};
use crate::support::{Backend, Proxy};

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
        (
            "5.1: DATA after RST_STREAM",
            vec![post(1, &[]), frame(RST_STREAM, 0, 1, &[0; 4]), frame(DATA, END_STREAM, 1, b"x")],
            &[Goaway(STREAM_CLOSED), Reset(STREAM_CLOSED), Goaway(PROTOCOL_ERROR)],
        ),
        (
            "5.1: HEADERS after RST_STREAM",
            vec![post(1, &[]), frame(RST_STREAM, 0, 1, &[0; 4]), get(1)],
            &[Goaway(STREAM_CLOSED), Reset(STREAM_CLOSED), Goaway(PROTOCOL_ERROR)],
        ),
        (
            "5.1: CONTINUATION after RST_STREAM",
            vec![post(1, &[]), frame(RST_STREAM, 0, 1, &[0; 4]), frame(CONTINUATION, END_HEADERS, 1, &request(&[]))],
            &[Goaway(STREAM_CLOSED), Goaway(PROTOCOL_ERROR)],
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
        ("6.3: PRIORITY of stream 0", vec![frame(PRIORITY, 0, 0, &[0; 5])], &[Goaway(PROTOCOL_ERROR)]),
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
            "8.1.1: frames of a body that is longer than its length",
            vec![post(1, &[("content-length", "3")]), frame(DATA, 0, 1, b"xx"), frame(DATA, END_STREAM, 1, b"xx")],
            &[Reset(PROTOCOL_ERROR)],
        ),
        (
            "8.1.1: frames of a body that is shorter than its length",
            vec![post(1, &[("content-length", "3")]), frame(DATA, 0, 1, b"x"), frame(DATA, END_STREAM, 1, b"x")],
            &[Reset(PROTOCOL_ERROR)],
        ),
        (
            "8.1: trailers that do not end the stream",
            vec![post(1, &[]), frame(HEADERS, END_HEADERS, 1, &field("x", "1"))],
            &[Reset(PROTOCOL_ERROR), Goaway(PROTOCOL_ERROR)],
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

/// Blocks that RFC 7541 forbids, each after the pseudo-fields of a request. (`h2` calls the error of each
/// PROTOCOL_ERROR. RFC 9113 section 4.3 wants COMPRESSION_ERROR; the connection ends all the same.)
fn blocks() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("2.3.3: an index beyond both tables", vec![0xbf]),
        ("4.2: a size of the table that is not said first", vec![0x20]),
        ("5.1: a number beyond all bounds", vec![0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        ("5.2: a text that is longer than the block", vec![0, 9, b'x']),
        // '0' is five zeros; ones must follow, and fewer than eight of them.
        ("5.2: padding that is not ones", vec![0, 1, b'x', 0x81, 0x00]),
        ("5.2: padding of a whole byte", vec![0, 1, b'x', 0x82, 0x07, 0xff]),
        ("5.2: the end of text within it", vec![0, 1, b'x', 0x84, 0xff, 0xff, 0xff, 0xff]),
        ("6.1: index 0", vec![0x80]),
    ]
}

#[test]
fn a_header_block_that_is_none_ends_the_connection() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    let mut wrong = Vec::new();
    let too_large = ("6.3: a table beyond the greatest", vec![0x3f, 0xe2, 0x1f]);
    let with_request = |(name, block): (&'static str, Vec<u8>)| (name, [request(&[]), block].concat());
    let first = ("6.3: the same before all", [too_large.1.clone(), request(&[])].concat());
    for (name, block) in blocks().into_iter().chain([too_large]).map(with_request).chain([first]) {
        let mut client = connect(&proxy);
        client.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, &block));
        let end = end(&mut client);
        if !matches!(end, Goaway(COMPRESSION_ERROR | PROTOCOL_ERROR)) {
            wrong.push(format!("{name}: {end:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(backend.pending().is_none());
}

/// RFC 9113 sections 3.4 and 8.1 make errors of these. `h2` insists on neither: who says no settings has the initial ones, and
/// pseudo-fields of trailers are left out of them.
#[test]
fn what_is_wrong_and_does_no_harm() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    let mut client = proxy.connect();
    client.send([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), get(1)].concat());
    let mut upstream = backend.accept();
    upstream.head();
    upstream.send(crate::support::ok("fine"));
    assert_eq!(end(&mut client), Status(200));
    let mut client = connect(&proxy);
    let trailers = [vec![0x82], field("x", "1")].concat();
    client.send([post(1, &[]), frame(HEADERS, END_STREAM | END_HEADERS, 1, &trailers)].concat());
    upstream.head();
    assert_eq!(upstream.until(b"\r\n\r\n"), b"0\r\nx: 1\r\n\r\n");
}

#[test]
fn what_is_unknown_is_passed_over() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    let mut client = connect(&proxy);
    client.send(frame(0xfa, 0xff, 0, b"section 4.1"));
    client.send(frame(0xfa, 0xff, 1, b"of an idle stream"));
    client.send(setting(0xfafa, 1));
    client.send(frame(PING, 0xfe, 0, &[7; 8]));
    client.send(frame(HEADERS, 0xd2 | END_STREAM | END_HEADERS, 1, &request(&[])));
    let mut upstream = backend.accept();
    upstream.head();
    upstream.send(crate::support::ok("fine"));
    let mut ping = None;
    let status = loop {
        let (header, payload) = next(&mut client).unwrap();
        match header[3] {
            PING => ping = Some((header[4], payload)),
            HEADERS => break payload[0],
            _ => {}
        }
    };
    assert_eq!((status, ping), (0x88, Some((ACK, vec![7; 8]))));
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
fn more_streams_than_are_allowed_are_refused() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    let mut client = connect(&proxy);
    let asked: Vec<u8> = (0..101).flat_map(|n| get(2 * n + 1)).collect();
    client.send(asked);
    const REFUSED_STREAM: u32 = 7;
    assert_eq!(end(&mut client), Reset(REFUSED_STREAM));
}
