//! The tables of byte sequences, through the engine.

use crate::requests::{CASES, Expect};
use crate::support::{Backend, Conn, Proxy, status};

/// Reads one request to its end, with a chunked body in brackets, and without the fields that Weir always adds.
fn read_request(conn: &mut Conn) -> String {
    let head = conn.head();
    let mut text: String = head
        .split_inclusive("\r\n")
        .filter(|line| !line.starts_with("x-request-id: ") && !line.starts_with("x-forwarded-proto: "))
        .collect();
    let length = |line: &str| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok();
    if let Some(length) = head.split("\r\n").find_map(length) {
        text += &String::from_utf8_lossy(&conn.exactly(length));
    } else if head.contains("transfer-encoding: chunked") {
        text.push('[');
        loop {
            let line = String::from_utf8(conn.until(b"\r\n")).unwrap();
            let size = usize::from_str_radix(line.trim_end(), 16).expect("a bare chunk size");
            if size == 0 {
                break;
            }
            text += &String::from_utf8_lossy(&conn.exactly(size));
            assert_eq!(conn.exactly(2), b"\r\n");
        }
        text.push(']');
        loop {
            let line = conn.until(b"\r\n");
            if line == b"\r\n" {
                break;
            }
            text += &String::from_utf8_lossy(&line);
        }
    }
    text
}

#[test]
fn requests_are_refused_or_reach_the_backend_exactly() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    for (name, bytes, expect) in CASES {
        let mut client = proxy.connect();
        client.send(bytes);
        match expect {
            Expect::Reaches(text) => {
                let mut upstream = backend.accept();
                assert_eq!(read_request(&mut upstream), *text, "{name}");
                upstream.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                assert_eq!(status(&client.head()), 200, "{name}");
            }
            Expect::Refused(code) => {
                let head = client.head();
                assert_eq!(status(&head), *code, "{name}");
                assert!(head.contains("connection: close\r\n"), "{name}: {head}");
                assert!(client.rest().0.is_empty(), "{name}");
                cut_short(&backend, name);
            }
            Expect::Silence => {
                client.end();
                assert!(client.rest().0.is_empty(), "{name}");
                cut_short(&backend, name);
            }
        }
    }
}

/// If anything reached the backend, it is seen not to be whole.
fn cut_short(backend: &Backend, name: &str) {
    while let Some(mut upstream) = backend.pending() {
        let (bytes, _) = upstream.rest();
        let text = String::from_utf8_lossy(&bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let length = head.split("\r\n").find_map(|l| l.strip_prefix("content-length: ")?.parse::<usize>().ok());
        match length {
            Some(length) => assert!(body.len() < length, "{name}: {text:?}"),
            None => assert!(!body.ends_with("0\r\n\r\n") && !head.starts_with("GET"), "{name}: {text:?}"),
        }
    }
}

/// What an upstream says, and what the client gets: a status, or exact bytes.
enum Client {
    Gets(&'static str),
    Is502,
    /// The head arrives, and then the connection ends before the body does.
    SeesTruncation,
}
use Client::{Gets, Is502, SeesTruncation};

const RESPONSES: &[(&str, &[u8], Client)] = &[
    (
        "length",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        Gets("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"),
    ),
    (
        "no reason phrase",
        b"HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n",
        Gets("HTTP/1.1 200 \r\ncontent-length: 0\r\n\r\n"),
    ),
    (
        "chunks",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;x=y\r\nhi\r\n0\r\nt: 1\r\n\r\n",
        Gets("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nt: 1\r\n\r\n"),
    ),
    (
        "until the end",
        b"HTTP/1.1 200 OK\r\n\r\nhi",
        Gets("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
    ),
    (
        "until the end, http/1.0",
        b"HTTP/1.0 200 OK\r\n\r\nhi",
        Gets("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
    ),
    ("204", b"HTTP/1.1 204 No Content\r\nx: 1\r\n\r\n", Gets("HTTP/1.1 204 No Content\r\nx: 1\r\n\r\n")),
    (
        "204 loses its length",
        b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n",
        Gets("HTTP/1.1 204 No Content\r\n\r\n"),
    ),
    (
        "304 keeps its length",
        b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n",
        Gets("HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n"),
    ),
    (
        "interim responses",
        b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        Gets("HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
    ),
    (
        "hop-by-hop goes",
        b"HTTP/1.1 200 OK\r\nconnection: close, x\r\nkeep-alive: 5\r\nx: 1\r\nserver: s\r\ncontent-length: 0\r\n\r\n",
        Gets("HTTP/1.1 200 OK\r\nserver: s\r\ncontent-length: 0\r\n\r\n"),
    ),
    (
        "length and chunked",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        Is502,
    ),
    ("two lengths", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nhi", Is502),
    ("two equal lengths", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nhi", Is502),
    ("length is no number", b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\nhi", Is502),
    ("unknown coding", b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nhi", Is502),
    ("chunked in http/1.0", b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", Is502),
    ("bare line feeds", b"HTTP/1.1 200 OK\ncontent-length: 0\n\n", Is502),
    ("folded field", b"HTTP/1.1 200 OK\r\nx: 1\r\n 2\r\ncontent-length: 0\r\n\r\n", Is502),
    ("space before colon", b"HTTP/1.1 200 OK\r\ncontent-length : 0\r\n\r\n", Is502),
    ("no http", b"SSH-2.0-OpenSSH\r\n\r\n", Is502),
    ("http/0.9", b"<html>hi</html>\r\n\r\n", Is502),
    ("http/2", b"HTTP/2 200\r\n\r\n", Is502),
    ("status out of range", b"HTTP/1.1 999 Odd\r\ncontent-length: 0\r\n\r\n", Is502),
    ("status of two digits", b"HTTP/1.1 20 OK\r\ncontent-length: 0\r\n\r\n", Is502),
    ("unasked switch", b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n", Is502),
    ("nothing", b"", Is502),
    ("end in the head", b"HTTP/1.1 200 OK\r\nconte", Is502),
    ("end in a body with a length", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel", SeesTruncation),
    ("end in a chunk", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel", SeesTruncation),
    ("end before the last chunk", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n", SeesTruncation),
    ("bad chunk", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\nx\r\n", SeesTruncation),
];

#[test]
fn responses_are_passed_on_exactly_or_become_502() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    for (name, bytes, expect) in RESPONSES {
        let mut client = proxy.connect();
        client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        let mut upstream = backend.accept();
        upstream.head();
        upstream.send(bytes);
        drop(upstream);
        match expect {
            Gets(text) => assert_eq!(String::from_utf8_lossy(&client.exactly(text.len())), *text, "{name}"),
            Is502 => assert_eq!(status(&client.head()), 502, "{name}"),
            SeesTruncation => {
                assert_eq!(status(&client.head()), 200, "{name}");
                let (body, _) = client.rest();
                assert!(body.len() < 10 && !body.ends_with(b"0\r\n\r\n"), "{name}: {body:?}");
            }
        }
    }
}

#[test]
fn a_body_until_the_end_is_cut_by_a_reset_for_a_client_without_chunks() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.0\r\nhost: a\r\n\r\n");
    let mut upstream = backend.accept();
    upstream.head();
    upstream.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n");
    assert!(!client.head().contains("chunked"));
    assert_eq!(client.exactly(3), b"hel");
    drop(upstream);
    assert!(!client.rest().1, "a reset");
}
