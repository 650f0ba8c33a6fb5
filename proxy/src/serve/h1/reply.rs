//! Answers of our own. Their bodies are empty, so that nothing in them tells one refusal from another.

use weir_config::model::HeaderMutation;

use super::classify::{Kind, classify};
use super::fields::{self, Persistence, field, number, status_line};
use crate::request::decide::Budget;

const LOCATION: &str = "location";

/// An answer that no upstream gave.
#[derive(Clone, Copy, Debug)]
pub struct Reply<'a> {
    /// Status.
    pub status: u16,
    /// Now, as `Date` wants it (RFC 9110 section 6.6.1).
    pub date: &'a str,
    /// What it says of the connection.
    pub connection: Persistence,
    /// Seconds until it is worth another try.
    pub retry_after: Option<u32>,
    /// State of the budget that was asked.
    pub budget: Option<Budget>,
    /// Where else to go.
    pub location: Option<&'a [u8]>,
    /// Headers of the proxy's own.
    pub own: Option<&'a HeaderMutation>,
    /// The route's changes, for a `direct_response` or a `redirect`.
    pub mutation: Option<&'a HeaderMutation>,
}

/// Writes an answer after what `out` holds. To HEAD it is the same: there is no body.
pub fn write(reply: &Reply<'_>, out: &mut Vec<u8>) {
    status_line(reply.status, reason(reply.status), out);
    field(out, "date", reply.date.as_bytes());
    if !matches!(reply.status, 204 | 304) {
        out.extend_from_slice(b"content-length: 0\r\n");
    }
    if let Some(seconds) = reply.retry_after {
        number(out, b"retry-after: ", seconds);
    }
    if let Some(budget) = &reply.budget {
        fields::budget(budget, out);
    }
    match reply.connection {
        Persistence::Close => out.extend_from_slice(b"connection: close\r\n"),
        Persistence::KeepSaid => out.extend_from_slice(b"connection: keep-alive\r\n"),
        Persistence::Keep | Persistence::Upgrade => {}
    }
    let replaced = |m: &HeaderMutation| {
        m.remove.iter().any(|name| name == LOCATION) || m.ops.iter().any(|op| !op.append && op.name == LOCATION)
    };
    if let Some(location) = reply.location.filter(|_| !reply.mutation.is_some_and(replaced)) {
        field(out, LOCATION, location);
    }
    let own = |name: &str| reply.own.iter().flat_map(|own| &own.ops).any(|op| !op.append && op.name == name);
    let route = reply.mutation.iter().flat_map(|m| &m.ops).filter(|op| !own(&op.name));
    for op in route.chain(reply.own.iter().flat_map(|own| &own.ops)) {
        if classify(&op.name) == Kind::Other {
            field(out, &op.name, op.value.as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Reason phrases of what Weir says itself; other statuses of a `direct_response` have none.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        408 => "Request Timeout",
        413 => "Content Too Large",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}
