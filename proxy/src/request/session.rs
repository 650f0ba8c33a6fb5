//! Who served a client before, and what tells it: the wire form of Envoy's `stateful_session`, so that a client may
//! move between an Envoy and a Weir.
//!
//! A cookie holds, as base64, a message with the endpoint's address (field 1) and, where the session has a life, its
//! end in seconds since 1970 (field 2); a header holds the address alone. A cookie with the address alone, which
//! older Envoys wrote, is read too.

use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost::Message;
use weir_config::model::{HeaderOp, SessionPersistence};

use super::head::{Head, Headers};

/// `envoy.Cookie`.
#[derive(Clone, PartialEq, Message)]
struct Cookie {
    #[prost(string, tag = "1")]
    address: String,
    #[prost(uint64, tag = "2")]
    expires: u64,
}

/// A session's settings.
#[derive(Clone, Debug)]
pub struct SessionTable(SessionPersistence);

/// What a request says of its session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Whether the route keeps sessions of such a request.
    pub keeps: bool,
    /// The endpoint that it wants.
    pub endpoint: Option<SocketAddr>,
}

impl SessionTable {
    /// From the model.
    pub fn new(model: &SessionPersistence) -> Self {
        Self(model.clone())
    }

    /// Reads what a request says. `now` is in seconds since 1970.
    pub fn asked<H: Headers + ?Sized>(&self, head: &Head<'_, H>, now: impl FnOnce() -> u64) -> Asked {
        match &self.0 {
            SessionPersistence::Header { name } => {
                let value = head.headers.values(name).next().and_then(|value| STANDARD.decode(value).ok());
                let endpoint = value.and_then(|value| address(&value));
                Asked { keeps: true, endpoint }
            }
            SessionPersistence::Cookie { name, path, .. } if covers(path, head.path) => {
                let value = head.headers.values("cookie").find_map(|line| cookie(line, name));
                let endpoint =
                    value.and_then(|value| STANDARD.decode(value).ok()).and_then(|value| {
                        match Cookie::decode(value.as_slice()) {
                            Ok(cookie) if cookie.expires != 0 && now() > cookie.expires => None,
                            Ok(cookie) => address(cookie.address.as_bytes()),
                            Err(_) => address(&value),
                        }
                    });
                Asked { keeps: true, endpoint }
            }
            SessionPersistence::Cookie { .. } => Asked::default(),
        }
    }

    /// The header that tells a client that `endpoint` served it. `now` is in seconds since 1970.
    pub fn tell(&self, endpoint: SocketAddr, now: u64) -> HeaderOp {
        let address = endpoint.to_string();
        match &self.0 {
            SessionPersistence::Header { name } => {
                HeaderOp { name: name.clone(), value: STANDARD.encode(address), append: false }
            }
            SessionPersistence::Cookie { name, path, ttl } => {
                let expires = if ttl.is_zero() { 0 } else { now.saturating_add(life(*ttl)) };
                let mut value = format!("{name}=\"{}\"", STANDARD.encode(Cookie { address, expires }.encode_to_vec()));
                // A text takes all that is written to it.
                if !ttl.is_zero() {
                    let _ = write!(value, "; Max-Age={}", life(*ttl));
                }
                if !path.is_empty() {
                    let _ = write!(value, "; Path={path}");
                }
                value.push_str("; HttpOnly");
                HeaderOp { name: "set-cookie".to_owned(), value, append: true }
            }
        }
    }
}

/// A life in whole seconds; a part of one is one.
fn life(ttl: Duration) -> u64 {
    ttl.as_secs().max(1)
}

fn address(text: &[u8]) -> Option<SocketAddr> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Whether a cookie of this path goes with requests for `asked` (RFC 6265 section 5.1.4).
fn covers(path: &str, asked: &str) -> bool {
    if path.is_empty() || path.ends_with('/') {
        return asked.starts_with(path);
    }
    asked.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The value of a cookie in one `Cookie` line, without quotes.
fn cookie<'l>(line: &'l [u8], name: &str) -> Option<&'l [u8]> {
    line.split(|byte| *byte == b';').find_map(|pair| {
        let (found, value) = pair.split_at_checked(pair.iter().position(|byte| *byte == b'=')?)?;
        let value = value.get(1..)?.trim_ascii();
        (found.trim_ascii() == name.as_bytes()).then(|| unquoted(value))
    })
}

fn unquoted(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value)
}
