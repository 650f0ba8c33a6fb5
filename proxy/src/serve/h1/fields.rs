//! Lines of an outgoing head, written straight into the output.

use crate::request::decide::Budget;

/// What a response says of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// Stays, which HTTP/1.1 need not say.
    Keep,
    /// Stays, said to an HTTP/1.0 client that asked.
    KeepSaid,
    /// Ends.
    Close,
    /// Changes its protocol (101).
    Upgrade,
}

/// Writes the start of a response.
pub(super) fn status_line(status: u16, reason: &str, out: &mut Vec<u8>) {
    let mut digits = itoa::Buffer::new();
    put(out, &[b"HTTP/1.1 ", digits.format(status).as_bytes(), b" ", reason.as_bytes(), b"\r\n"]);
}

#[inline]
pub(super) fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// The headers of Envoy's `enable_x_ratelimit_headers: DRAFT_VERSION_03`.
pub fn budget(budget: &Budget, out: &mut Vec<u8>) {
    if !budget.headers {
        return;
    }
    number(out, b"x-ratelimit-limit: ", budget.limit);
    number(out, b"x-ratelimit-remaining: ", budget.remaining);
    number(out, b"x-ratelimit-reset: ", budget.reset);
}

/// A field whose value is a number; `name` ends with `: `.
#[inline]
pub(super) fn number(out: &mut Vec<u8>, name: &'static [u8], value: u32) {
    out.extend_from_slice(name);
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[inline]
pub(super) fn put(out: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        out.extend_from_slice(part);
    }
}
