//! Heads between HTTP/2's form and HTTP/1.1's, in which they are read and rewritten.

use http::header::{CONTENT_LENGTH, COOKIE, HOST};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};

use crate::serve::h1::Refused;
use crate::serve::h1::classify::{Kind, classify, trim};

/// Writes a client's request as HTTP/1.1 would have it. A body of unknown length goes in chunks; cookies are
/// one field again (RFC 9113 section 8.2.3); an extended CONNECT (RFC 8441) is the upgrade that it stands for.
/// `key` is what a WebSocket handshake of HTTP/1.1 wants to see answered.
///
/// # Errors
/// What cannot be said so: 501 for other CONNECTs; 400 where `Host` contradicts `:authority`.
pub(super) fn request(parts: &Parts, ended: bool, key: &str, out: &mut Vec<u8>) -> Result<(), Refused> {
    let protocol = parts.extensions.get::<h2::ext::Protocol>().map(h2::ext::Protocol::as_str);
    let method = match (&parts.method, protocol) {
        (&Method::CONNECT, Some("websocket")) => "GET",
        (&Method::CONNECT, _) => return Err(Refused::unimplemented("connect")),
        (method, _) => method.as_str(),
    };
    let path = parts.uri.path_and_query().ok_or(Refused::malformed("no_path"))?.as_str();
    put(out, &[method.as_bytes(), b" ", path.as_bytes(), b" HTTP/1.1\r\n"]);
    let authority = parts.uri.authority().map(|authority| authority.as_str());
    if let Some(authority) = authority {
        field(out, b"host", authority.as_bytes());
        if parts.headers.get_all(HOST).iter().any(|host| !host.as_bytes().eq_ignore_ascii_case(authority.as_bytes())) {
            return Err(Refused::malformed("host_contradicts_authority"));
        }
    }
    for (name, value) in &parts.headers {
        if *name != COOKIE && !(*name == HOST && authority.is_some()) {
            field(out, name.as_str().as_bytes(), value.as_bytes());
        }
    }
    cookies(&parts.headers, out);
    if protocol.is_some() {
        field(out, b"connection", b"upgrade");
        field(out, b"upgrade", b"websocket");
        field(out, b"sec-websocket-key", key.as_bytes());
    } else if !ended && !parts.headers.contains_key(CONTENT_LENGTH) {
        field(out, b"transfer-encoding", b"chunked");
    } else if ended && wants_length(&parts.method) && !parts.headers.contains_key(CONTENT_LENGTH) {
        field(out, b"content-length", b"0");
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// Methods whose request a server expects to have a length, if only 0 (RFC 9110 section 8.6).
fn wants_length(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

fn cookies(headers: &HeaderMap, out: &mut Vec<u8>) {
    let mut before: &[u8] = b"cookie: ";
    for cookie in headers.get_all(COOKIE) {
        put(out, &[before, cookie.as_bytes()]);
        before = b"; ";
    }
    if before == b"; " {
        out.extend_from_slice(b"\r\n");
    }
}

/// A response from its head in HTTP/1.1's form, which is our own writing. Fields of one hop are left out.
pub(super) fn response(text: &[u8]) -> Option<Response<()>> {
    let (start, rest) = split_line(text)?;
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_bytes(start.get(9..12)?).ok()?;
    *response.version_mut() = Version::HTTP_2;
    fields(rest, response.headers_mut());
    Some(response)
}

/// A request to an endpoint from its head in HTTP/1.1's form. `https`: the connection is TLS.
pub(crate) fn outgoing(text: &[u8], https: bool) -> Option<Request<()>> {
    let (start, rest) = split_line(text)?;
    let mut parts = start.split(|byte| *byte == b' ');
    let method = Method::from_bytes(parts.next()?).ok()?;
    let path = std::str::from_utf8(parts.next()?).ok()?;
    let mut request = Request::new(());
    fields(rest, request.headers_mut());
    let authority = request.headers_mut().remove(HOST)?;
    let scheme = if https { "https" } else { "http" };
    let uri = Uri::builder().scheme(scheme).authority(authority.as_bytes()).path_and_query(path);
    *request.method_mut() = method;
    *request.uri_mut() = uri.build().ok()?;
    *request.version_mut() = Version::HTTP_2;
    Some(request)
}

/// Writes an endpoint's response as HTTP/1.1 would have it. `ended`: there is no body.
pub(crate) fn incoming(status: StatusCode, headers: &HeaderMap, ended: bool, to_head: bool, out: &mut Vec<u8>) {
    put(out, &[b"HTTP/1.1 ", status.as_str().as_bytes(), b" \r\n"]);
    for (name, value) in headers {
        field(out, name.as_str().as_bytes(), value.as_bytes());
    }
    let bare = to_head || status.is_informational() || matches!(status.as_u16(), 204 | 304);
    if ended && !bare && !headers.contains_key(CONTENT_LENGTH) {
        field(out, b"content-length", b"0");
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes trailers as lines.
pub(crate) fn trailer_lines(trailers: &HeaderMap, out: &mut Vec<u8>) {
    for (name, value) in trailers {
        field(out, name.as_str().as_bytes(), value.as_bytes());
    }
}

/// The fields of a head in HTTP/1.1's form.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    fields_of(split_line(text).map_or(&[], |(_, rest)| rest))
}

/// Names and values of lines, up to an empty one or the end.
fn fields_of(mut lines: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    std::iter::from_fn(move || {
        let (line, rest) = split_line(lines)?;
        lines = rest;
        let (name, value) = line.split_at(memchr::memchr(b':', line)?);
        Some((name, trim(value.get(1..).unwrap_or_default())))
    })
}

/// Fields from lines, up to an empty one or the end; without those that HTTP/2 forbids (RFC 9113 section 8.2.2).
pub(crate) fn fields(lines: &[u8], into: &mut HeaderMap) {
    for (name, value) in fields_of(lines) {
        let text = std::str::from_utf8(name).unwrap_or_default();
        match classify(text) {
            Kind::Connection | Kind::TransferEncoding | Kind::Hop | Kind::Upgrade => continue,
            Kind::Te if !value.eq_ignore_ascii_case(b"trailers") => continue,
            _ => {}
        }
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            // There is room for more than any head that was taken has.
            let _ = into.try_append(name, value);
        }
    }
}

fn split_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut from = 0;
    // A search for two bytes would be prepared anew for each line.
    while let Some(at) = memchr::memchr(b'\r', text.get(from..)?) {
        let end = from + at;
        if text.get(end + 1) == Some(&b'\n') {
            return Some((text.get(..end)?, text.get(end + 2..)?));
        }
        from = end + 1;
    }
    None
}

pub(super) fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    put(out, &[name, b": ", value, b"\r\n"]);
}

pub(super) fn put(out: &mut Vec<u8>, parts: &[&[u8]]) {
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::serve::h1::classify::trim;

    proptest! {
        /// Whatever bytes HTTP/2 lets a field hold, it is one field of the same value afterwards, and no more.
        #[test]
        fn no_field_becomes_two(fields in prop::collection::vec(("x-[a-z]{1,8}", prop::collection::vec(any::<u8>(), 0..40)), 0..12)) {
            let fields: Vec<_> = fields.into_iter()
                .filter_map(|(name, value)| Some((name, HeaderValue::from_bytes(&value).ok()?)))
                .collect();
            let mut request = Request::get("http://a/");
            for (name, value) in &fields {
                request = request.header(name, value);
            }
            let (parts, ()) = request.body(()).unwrap().into_parts();
            let mut out = Vec::new();
            super::request(&parts, true, "", &mut out).unwrap();
            let mut headers = [httparse::EMPTY_HEADER; 32];
            let mut read = httparse::Request::new(&mut headers);
            prop_assert_eq!(read.parse(&out).unwrap(), httparse::Status::Complete(out.len()));
            let mut came: Vec<_> = read.headers.iter().skip(1).map(|h| (h.name.to_owned(), h.value.to_vec())).collect();
            let mut sent: Vec<_> = fields.iter().map(|(n, v)| (n.clone(), trim(v.as_bytes()).to_vec())).collect();
            came.sort();
            sent.sort();
            prop_assert_eq!(came, sent);
        }
    }

    fn text(request: http::request::Builder, ended: bool) -> Result<String, Refused> {
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let mut out = Vec::new();
        super::request(&parts, ended, "a2V5", &mut out).map(|()| String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_request_is_said_as_http_1_1_would() {
        let request = Request::get("http://a.test:8080/p?q").header("x-a", "1").header("x-a", "2");
        let expected = "GET /p?q HTTP/1.1\r\nhost: a.test:8080\r\nx-a: 1\r\nx-a: 2\r\n\r\n";
        assert_eq!(text(request, true).unwrap(), expected);
    }

    #[test]
    fn cookies_are_one_field() {
        let request = Request::get("http://a/").header("cookie", "a=1").header("cookie", "b=2");
        assert_eq!(text(request, true).unwrap(), "GET / HTTP/1.1\r\nhost: a\r\ncookie: a=1; b=2\r\n\r\n");
    }

    #[test]
    fn a_body_has_a_length_or_chunks() {
        let post = || Request::post("http://a/");
        assert!(text(post(), false).unwrap().contains("\r\ntransfer-encoding: chunked\r\n"));
        assert!(text(post(), true).unwrap().contains("\r\ncontent-length: 0\r\n"));
        let with_length = text(post().header("content-length", "3"), false).unwrap();
        assert!(!with_length.contains("transfer-encoding") && with_length.contains("content-length: 3\r\n"));
    }

    #[test]
    fn a_host_must_not_contradict_the_authority() {
        assert_eq!(
            text(Request::get("http://a/").header("host", "A"), true).unwrap(),
            "GET / HTTP/1.1\r\nhost: a\r\n\r\n"
        );
        assert_eq!(text(Request::get("http://a/").header("host", "b"), true).unwrap_err().status, 400);
    }

    #[test]
    fn an_extended_connect_is_the_upgrade_that_it_stands_for() {
        let connect = |protocol: &'static str| {
            Request::connect("http://a/chat").extension(h2::ext::Protocol::from_static(protocol))
        };
        let text_of = text(connect("websocket"), false).unwrap();
        assert!(text_of.starts_with("GET /chat HTTP/1.1\r\nhost: a\r\n"));
        assert!(text_of.contains("connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: a2V5\r\n"));
        assert_eq!(text(connect("connect-udp"), false).unwrap_err().status, 501);
        assert_eq!(text(Request::connect("a:80"), false).unwrap_err().status, 501);
    }

    #[test]
    fn an_answer_loses_what_belongs_to_one_hop() {
        let head = b"HTTP/1.1 404 Not Found\r\ndate: d\r\nconnection: close\r\nx-a: 1\r\nx-a: \xe4\r\nx-e: \r\n\r\n";
        let response = super::response(head).unwrap();
        assert_eq!(response.status(), 404);
        let fields: Vec<_> = response.headers().iter().map(|(n, v)| (n.as_str(), v.as_bytes())).collect();
        assert_eq!(fields, [("date", &b"d"[..]), ("x-a", b"1"), ("x-a", b"\xe4"), ("x-e", b"")]);
    }

    #[test]
    fn a_request_to_an_endpoint_has_its_pseudo_fields() {
        let head =
            b"POST /a?b HTTP/1.1\r\nhost: h:1\r\nte: trailers\r\nconnection: te\r\ntransfer-encoding: chunked\r\n\r\n";
        let request = outgoing(head, false).unwrap();
        assert_eq!((request.method().as_str(), request.uri().to_string().as_str()), ("POST", "http://h:1/a?b"));
        let names: Vec<_> = request.headers().keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["te"]);
    }
}
