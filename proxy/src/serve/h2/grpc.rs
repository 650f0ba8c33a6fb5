//! gRPC: how refusals look to its clients, and the deadline that they send (gRPC over HTTP/2, the protocol's
//! specification).

use std::time::Duration;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

const STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Whether the request is gRPC's, by its content type.
pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    let rest = headers.get(CONTENT_TYPE).and_then(|value| value.as_bytes().strip_prefix(b"application/grpc"));
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// Turns an answer of our own into one that gRPC's clients understand: status 200, and the meaning in
/// `grpc-status`. Sent without a body it is "trailers only".
pub(super) fn refusal(response: &mut Response<()>, deadline: bool) {
    let status = if deadline { DEADLINE_EXCEEDED } else { status(response.status().as_u16()) };
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(STATUS, HeaderValue::from_static(status));
}

/// The client's own deadline passed.
const DEADLINE_EXCEEDED: &str = "4";

/// The gRPC status of an HTTP status, as gRPC's own mapping and Envoy's have it.
fn status(http: u16) -> &'static str {
    match http {
        // INTERNAL, UNAUTHENTICATED, PERMISSION_DENIED, UNIMPLEMENTED, UNAVAILABLE, UNKNOWN
        400 => "13",
        401 => "16",
        403 => "7",
        404 => "12",
        429 | 502..=504 => "14",
        _ => "2",
    }
}

/// `grpc-timeout`: one to eight digits and a unit.
pub(super) fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(amount * 3600),
        "M" => Duration::from_secs(amount * 60),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))])
    }

    #[test]
    fn grpc_is_known_by_its_content_type() {
        for (value, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;x=y", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            assert_eq!(is_grpc(&headers("content-type", value)), expected, "{value}");
        }
    }

    #[test]
    fn timeouts_have_a_unit() {
        let parse = |value| timeout(&headers("grpc-timeout", value));
        assert_eq!(parse("1H"), Some(Duration::from_secs(3600)));
        assert_eq!(parse("2M"), Some(Duration::from_secs(120)));
        assert_eq!(parse("3S"), Some(Duration::from_secs(3)));
        assert_eq!(parse("250m"), Some(Duration::from_millis(250)));
        assert_eq!(parse("99999999u"), Some(Duration::from_micros(99_999_999)));
        assert_eq!(parse("1n"), Some(Duration::from_nanos(1)));
        for bad in ["", "1", "S", "123456789S", "-1S", "1.5S", "1s", "1 S"] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_refusal_is_trailers_only() {
        for (http, grpc) in [(400, "13"), (401, "16"), (403, "7"), (404, "12"), (429, "14"), (503, "14"), (500, "2")] {
            let mut response = Response::builder().status(http).header("content-length", "0").body(()).unwrap();
            refusal(&mut response, false);
            assert_eq!(
                (response.status().as_u16(), &response.headers()["grpc-status"]),
                (200, &HeaderValue::from_static(grpc))
            );
            assert!(!response.headers().contains_key("content-length"));
        }
    }
}
