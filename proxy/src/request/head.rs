//! A borrowed view of a request's head, the same for HTTP/1.1 and HTTP/2.

/// Headers of a request. Names are compared without case; `name` is given in lower case.
pub trait Headers {
    /// The values of `name`, in order.
    fn values<'h>(&'h self, name: &'h str) -> impl Iterator<Item = &'h [u8]>;
}

/// What is decided on.
#[derive(Debug)]
pub struct Head<'h, H: ?Sized> {
    /// Method, as it came.
    pub method: &'h str,
    /// Host without port, in lower case.
    pub host: &'h str,
    /// Path, without query.
    pub path: &'h str,
    /// Query, without `?`.
    pub query: Option<&'h str>,
    /// Headers.
    pub headers: &'h H,
}

/// HTTP/1.1 heads, over the connection's buffer.
impl Headers for [httparse::Header<'_>] {
    fn values<'h>(&'h self, name: &'h str) -> impl Iterator<Item = &'h [u8]> {
        self.iter().filter(move |h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value)
    }
}
