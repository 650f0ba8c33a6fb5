//! Why connections end is counted, each for its one reason.

use std::net::Shutdown;
use std::time::Duration;

use weir_config::model::{HttpOptions, ResourceType};

use crate::h2_raw::{End, PING, SETTINGS, connect, end, frame, get};
use crate::support::{Backend, Proxy, Setup, eventually, http};

/// Waits until one connection of HTTP/2 has ended for this reason, and sees that none has for another.
fn ended(proxy: &Proxy, reason: &str) {
    eventually(reason, || (proxy.stats.totals().http2_ended(reason) == 1).then_some(()));
    let all: u64 = proxy.stats.totals().http2_ended.iter().map(|(_, count)| count).sum();
    let others = all - proxy.stats.totals().http2_ended(reason);
    assert_eq!(others, 0, "for another reason too: {:?}", proxy.stats.totals().http2_ended);
}

fn proxy(http: HttpOptions) -> Proxy {
    Proxy::with(Setup { http, ..Setup::default() }, &[Backend::new().address])
}

#[test]
fn a_client_that_closes() {
    let proxy = proxy(http());
    let mut client = connect(&proxy);
    client.stream.shutdown(Shutdown::Write).unwrap();
    client.rest();
    ended(&proxy, "closed");
}

#[test]
fn a_client_against_the_protocol() {
    let proxy = proxy(http());
    let mut client = connect(&proxy);
    client.send(get(2));
    client.rest();
    ended(&proxy, "protocol_error");
}

#[test]
fn a_client_whose_preface_is_none() {
    let proxy = proxy(http());
    let mut client = proxy.connect();
    client.send(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n");
    client.rest();
    ended(&proxy, "handshake");
}

#[test]
fn a_client_that_does_nothing() {
    let proxy = proxy(HttpOptions { idle_timeout: Some(Duration::from_millis(50)), ..http() });
    let mut client = connect(&proxy);
    assert_eq!(end(&mut client), End::Goaway(0));
    drop(client);
    ended(&proxy, "idle");
}

#[test]
fn a_proxy_that_drains_and_a_listener_that_goes() {
    let proxy = proxy(http());
    let mut client = connect(&proxy);
    eventually("settings", || client.has_bytes().then_some(()));
    proxy.remove(ResourceType::Listener, "l");
    assert_eq!(end(&mut client), End::Goaway(0));
    drop(client);
    ended(&proxy, "drained");
    let proxy = self::proxy(http());
    let mut client = connect(&proxy);
    eventually("settings", || client.has_bytes().then_some(()));
    proxy.drain.send_replace(true);
    assert_eq!(end(&mut client), End::Goaway(0));
    drop(client);
    ended(&proxy, "drained");
}

#[test]
fn a_flood() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    let mut client = connect(&proxy);
    // One that means nothing is no flood.
    client.send([frame(SETTINGS, 0, 0, &[]), frame(PING, 0, 0, &[0; 8])].concat());
    let mut stream = client.stream.try_clone().unwrap();
    // A head that never ends.
    let flood = std::thread::spawn(move || {
        use std::io::Write;
        let piece = [vec![0x40, 1, b'x', 100], vec![b'y'; 100]].concat();
        let _ = stream.write_all(&frame(1, 1, 1, &[0x82, 0x86, 0x84, 0x41, 1, b'a']));
        while stream.write_all(&frame(9, 0, 1, &piece)).is_ok() {}
    });
    client.rest();
    flood.join().unwrap();
    ended(&proxy, "abuse");
}
