//! WebSocket between its two handshakes: the upgrade of HTTP/1.1 (RFC 6455), in whose form heads are read, and the
//! extended CONNECT of HTTP/2 (RFC 8441).

use aws_lc_rs::digest;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use h2::ext::Protocol;
use http::header::{CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY};
use http::{HeaderMap, HeaderValue, Method, Request};

use super::head::{field, lines, put};
use crate::serve::h1::classify::{Kind, classify};

/// What is appended to a key before it is hashed (RFC 6455 section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Whether an upgrade, from its head in HTTP/1.1's form, asks for WebSocket and nothing else.
pub(crate) fn is_asked_for(text: &[u8]) -> bool {
    let mut upgrades = lines(text)
        .filter(|(name, _)| classify(std::str::from_utf8(name).unwrap_or_default()) == Kind::Upgrade)
        .map(|(_, value)| value);
    let first = upgrades.next();
    text.starts_with(b"GET ")
        && first.is_some_and(|value| value.eq_ignore_ascii_case(b"websocket"))
        && upgrades.next().is_none()
}

/// Makes `request` the extended CONNECT that stands for the upgrade which it was. Gives what whoever sent a key wants
/// to hear: between these two peers the key says nothing (RFC 8441 section 5), so it does not go on.
pub(crate) fn extend(request: &mut Request<()>) -> Option<HeaderValue> {
    *request.method_mut() = Method::CONNECT;
    request.extensions_mut().insert(Protocol::from_static("websocket"));
    let key = request.headers_mut().remove(SEC_WEBSOCKET_KEY)?;
    HeaderValue::from_str(&accept(key.as_bytes())).ok()
}

/// The answer to a key.
fn accept(key: &[u8]) -> String {
    let mut hash = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(key);
    hash.update(GUID);
    BASE64_STANDARD.encode(hash.finish())
}

/// Writes the head of a 2xx, which opens the tunnel, as the 101 that HTTP/1.1 would have.
pub(crate) fn opened(headers: &HeaderMap, accept: Option<&HeaderValue>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\n");
    for (name, value) in headers {
        if *name != CONTENT_LENGTH && *name != SEC_WEBSOCKET_ACCEPT {
            field(out, name.as_str().as_bytes(), value.as_bytes());
        }
    }
    if let Some(accept) = accept {
        field(out, SEC_WEBSOCKET_ACCEPT.as_str().as_bytes(), accept.as_bytes());
    }
    put(out, &[b"connection: upgrade\r\nupgrade: websocket\r\n\r\n"]);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6455 section 1.3.
    #[test]
    fn a_key_is_answered_as_the_rfc_says() {
        assert_eq!(accept(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn websocket_alone_becomes_a_connect() {
        let head = |upgrade| format!("GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\n{upgrade}\r\n");
        assert!(is_asked_for(head("Upgrade: WebSocket\r\n").as_bytes()));
        for other in ["upgrade: h2c\r\n", "upgrade: websocket, h2c\r\n", "upgrade: websocket\r\nupgrade: h2c\r\n", ""] {
            assert!(!is_asked_for(head(other).as_bytes()), "{other:?}");
        }
        assert!(!is_asked_for(head("upgrade: websocket\r\n").replace("GET", "PUT").as_bytes()));
    }

    #[test]
    fn what_opens_a_tunnel_is_said_as_a_switch() {
        let headers = HeaderMap::from_iter([
            (CONTENT_LENGTH, HeaderValue::from_static("0")),
            (SEC_WEBSOCKET_ACCEPT, HeaderValue::from_static("theirs")),
            (http::header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("chat")),
        ]);
        let mut out = Vec::new();
        opened(&headers, Some(&HeaderValue::from_static("ours")), &mut out);
        let expected = "HTTP/1.1 101 Switching Protocols\r\nsec-websocket-protocol: chat\r\n\
            sec-websocket-accept: ours\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
