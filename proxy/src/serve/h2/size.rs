//! What messages of HTTP/2 are billed for: the bytes of a text that stands for them, since the bytes of
//! HPACK depend on what else a connection carried, and frames are the proxy's and the client's affair.
//!
//! A request is `METHOD SP path SP HTTP/2 CRLF`, `host: authority CRLF`, each field `name: value CRLF`, CRLF; a
//! response `HTTP/2 SP code CRLF`, its fields, CRLF. Trailers are lines of fields and CRLF. Of DATA the payload
//! counts, without padding.

use http::HeaderMap;
use http::request::Parts;

/// The head of a request.
pub(super) fn request(parts: &Parts) -> u64 {
    let path = parts.uri.path_and_query().map_or(0, |path| path.as_str().len());
    let host = parts.uri.authority().map_or(0, |authority| line("host".len(), authority.as_str().len()));
    fields(&parts.headers) + host + (parts.method.as_str().len() + path + "  HTTP/2\r\n".len()) as u64
}

/// The head of a response.
pub(super) fn response(headers: &HeaderMap) -> u64 {
    fields(headers) + "HTTP/2 200\r\n".len() as u64
}

/// Fields, and the empty line that ends them. As trailers: all of it, or nothing where there are none.
pub(super) fn fields(headers: &HeaderMap) -> u64 {
    headers.iter().map(|(name, value)| line(name.as_str().len(), value.len())).sum::<u64>() + "\r\n".len() as u64
}

fn line(name: usize, value: usize) -> u64 {
    (name + ": ".len() + value + "\r\n".len()) as u64
}

#[cfg(test)]
mod tests {
    use http::{Request, Response};

    #[test]
    fn the_size_is_that_of_the_text() {
        let request = Request::post("http://a.test/p?q=1").header("cookie", "a=1").header("cookie", "b=2").body(());
        let (parts, ()) = request.unwrap().into_parts();
        let text = "POST /p?q=1 HTTP/2\r\nhost: a.test\r\ncookie: a=1\r\ncookie: b=2\r\n\r\n";
        assert_eq!(super::request(&parts), text.len() as u64);
        let response = Response::builder().status(404).header("x", "yz").body(()).unwrap();
        assert_eq!(super::response(response.headers()), "HTTP/2 404\r\nx: yz\r\n\r\n".len() as u64);
    }
}
