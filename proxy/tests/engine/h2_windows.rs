//! Flow control as a client sees it that gives little (RFC 9113 sections 5.2 and 6.9).

use crate::h2_raw::{ACK, DATA, PING, WINDOW_UPDATE, connect, frame, get, next, setting};
use crate::support::{Backend, Conn, Proxy, ok};

const INITIAL_WINDOW_SIZE: u16 = 4;

/// A client whose request is answered with `body`, and who has said before how large its windows are.
fn asked(window: u32, body: &str) -> (Proxy, Conn) {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    let mut client = connect(&proxy);
    client.send([setting(INITIAL_WINDOW_SIZE, window), get(1)].concat());
    let mut upstream = backend.accept();
    upstream.head();
    upstream.send(ok(body));
    (proxy, client)
}

fn grow(client: &mut Conn, by: u32) {
    client.send(frame(WINDOW_UPDATE, 0, 1, &by.to_be_bytes()));
}

/// What comes of the body until `n` bytes are here.
fn body(client: &mut Conn, n: usize) -> String {
    let mut body = Vec::new();
    while body.len() < n {
        let (header, payload) = next(client).expect("the connection goes on");
        if header[3] == DATA {
            body.extend(payload);
        }
    }
    String::from_utf8(body).unwrap()
}

/// What of the body comes before the answer to a PING that is sent now.
fn more(client: &mut Conn) -> usize {
    client.send(frame(PING, 0, 0, &[1; 8]));
    let mut bytes = 0;
    loop {
        let (header, payload) = next(client).expect("the connection goes on");
        match header[3] {
            DATA => bytes += payload.len(),
            PING if header[4] & ACK != 0 => return bytes,
            _ => {}
        }
    }
}

#[test]
fn a_window_of_one_byte_lets_one_byte_pass() {
    let (_proxy, mut client) = asked(1, "hello");
    assert_eq!(body(&mut client, 1), "h");
    assert_eq!(more(&mut client), 0);
    for expected in ["e", "l", "l", "o"] {
        grow(&mut client, 1);
        assert_eq!(body(&mut client, 1), expected);
    }
}

#[test]
fn nothing_comes_before_there_is_a_window() {
    let (_proxy, mut client) = asked(0, "hello");
    assert_eq!(more(&mut client), 0);
    client.send(setting(INITIAL_WINDOW_SIZE, 2));
    assert_eq!(body(&mut client, 2), "he");
    grow(&mut client, 1000);
    assert_eq!(body(&mut client, 3), "llo");
}

#[test]
fn a_window_that_settings_made_negative_has_to_be_filled_first() {
    let (_proxy, mut client) = asked(10, "0123456789abcdefghij");
    assert_eq!(body(&mut client, 10), "0123456789");
    client.send(setting(INITIAL_WINDOW_SIZE, 3));
    // Minus 7 now.
    grow(&mut client, 7);
    assert_eq!(more(&mut client), 0);
    grow(&mut client, 2);
    assert_eq!(body(&mut client, 2), "ab");
    assert_eq!(more(&mut client), 0);
    client.send(setting(INITIAL_WINDOW_SIZE, 100));
    assert_eq!(body(&mut client, 8), "cdefghij");
}
