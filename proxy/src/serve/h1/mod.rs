//! HTTP/1.1: heads, bodies and rewriting as pure functions over bytes; the connection on top.

pub mod body;
pub mod classify;
mod client;
pub(crate) mod connection;
pub mod fields;
pub(crate) mod note;
pub mod path;
pub(crate) mod reader;
pub mod reply;
pub(crate) mod request;
pub mod request_head;
pub mod response_head;
pub mod rewrite;
pub mod scan;
pub mod target;
pub mod trailers;
pub(crate) mod writer;

/// Most header fields of one head; more are refused with 431 (Envoy's `max_headers_count` default).
pub const MAX_HEADERS: usize = 100;

/// A message that is not taken, and the status that says so (RFC 9110 section 15).
///
/// For a request the status goes to the client; for a response the client gets 502, whatever
/// stands here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Status of the answer.
    pub status: u16,
    /// What is wrong, for the access log (Envoy's `response_code_details`).
    pub reason: &'static str,
}

impl Refused {
    /// 400: the bytes are not HTTP/1.1, or can be read in two ways.
    pub const fn malformed(reason: &'static str) -> Self {
        Self { status: 400, reason }
    }

    /// 431: more head than is taken.
    pub const fn too_large(reason: &'static str) -> Self {
        Self { status: 431, reason }
    }

    /// 501: well formed, and not implemented here.
    pub const fn unimplemented(reason: &'static str) -> Self {
        Self { status: 501, reason }
    }
}

/// How a body is delimited (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// So many bytes.
    Length(u64),
    /// Chunks, then trailers.
    Chunked,
    /// All until the connection ends. Only responses have it.
    Close,
}
