//! The texts are what Envoy 1.40 sent, and took.

use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;
use weir_config::model::SessionPersistence;

use crate::request::head::Head;
use crate::request::session::{Asked, SessionTable};

fn cookie(path: &str, ttl: u64) -> SessionTable {
    let (name, path) = ("sess".to_owned(), path.to_owned());
    SessionTable::new(&SessionPersistence::Cookie { name, path, ttl: Duration::from_secs(ttl) })
}

fn header() -> SessionTable {
    SessionTable::new(&SessionPersistence::Header { name: "x-sess".into() })
}

fn asked(table: &SessionTable, path: &str, (name, value): (&str, &str), now: u64) -> Asked {
    let headers = [httparse::Header { name, value: value.as_bytes() }];
    table.asked(&Head { method: "GET", host: "h", path, query: None, headers: &headers[..] }, || now)
}

fn endpoint(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

#[test]
fn what_envoy_wrote_is_read() {
    let wants = |value: &str, now| asked(&cookie("/s", 60), "/s/x", ("Cookie", value), now).endpoint;
    assert_eq!(wants("sess=\"Cg8xMjcuMC4wLjE6MTkwMDE=\"", 0), Some(endpoint(19001)));
    assert_eq!(wants("a=b; sess=\"Cg8xMjcuMC4wLjE6MTkwMDEQ1MW32AY=\"", 1_796_072_148), Some(endpoint(19001)));
    assert_eq!(wants("sess=\"Cg8xMjcuMC4wLjE6MTkwMDEQ1MW32AY=\"", 1_796_072_149), None, "its life is over");
    assert_eq!(wants("a=b;sess=MTI3LjAuMC4xOjE5MDAx ;c=d", 0), Some(endpoint(19001)), "the older form");
    let wants = |value: &str| asked(&header(), "/", ("X-Sess", value), 0).endpoint;
    assert_eq!(wants("MTI3LjAuMC4xOjE5MDAy"), Some(endpoint(19002)));
}

#[test]
fn what_is_written_is_what_envoy_writes() {
    let op = cookie("/s", 0).tell(endpoint(19001), 7);
    assert_eq!((op.name.as_str(), op.append), ("set-cookie", true));
    assert_eq!(op.value, "sess=\"Cg8xMjcuMC4wLjE6MTkwMDE=\"; Path=/s; HttpOnly");
    let op = cookie("/s", 60).tell(endpoint(19001), 1_796_072_088);
    assert_eq!(op.value, "sess=\"Cg8xMjcuMC4wLjE6MTkwMDEQ1MW32AY=\"; Max-Age=60; Path=/s; HttpOnly");
    let op = header().tell(endpoint(19002), 7);
    assert_eq!((op.name.as_str(), op.value.as_str(), op.append), ("x-sess", "MTI3LjAuMC4xOjE5MDAy", false));
}

#[test]
fn a_cookie_is_kept_where_its_path_goes() {
    for (path, asked_for, keeps) in [
        ("", "/a", true),
        ("/", "/a", true),
        ("/a", "/a", true),
        ("/a", "/a/b", true),
        ("/a", "/ab", false),
        ("/a/", "/a", false),
        ("/a/", "/a/b", true),
    ] {
        assert_eq!(asked(&cookie(path, 0), asked_for, ("x", "y"), 0).keeps, keeps, "{path} {asked_for}");
    }
}

proptest! {
    #[test]
    fn what_is_told_is_understood(port in any::<u16>(), ttl in 0u64..100, six in any::<bool>(), now in 0u64..1 << 40) {
        let ip = if six { "::1" } else { "10.0.0.9" };
        let endpoint = SocketAddr::new(ip.parse().unwrap(), port);
        let op = cookie("/", ttl).tell(endpoint, now);
        let sent = op.value.split(';').next().unwrap();
        prop_assert_eq!(asked(&cookie("/", ttl), "/", ("cookie", sent), now).endpoint, Some(endpoint));
        let op = header().tell(endpoint, now);
        prop_assert_eq!(asked(&header(), "/", (&op.name, &op.value), now).endpoint, Some(endpoint));
    }

    #[test]
    fn anything_else_wants_nobody(value in "[ -~]{0,40}", now in any::<u64>()) {
        let _ = asked(&cookie("/", 1), "/", ("cookie", &format!("sess={value}")), now);
        let _ = asked(&header(), "/", ("x-sess", &value), now);
    }
}
