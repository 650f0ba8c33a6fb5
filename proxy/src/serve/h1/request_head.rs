//! Request heads: httparse's tokens, and what it leaves open (RFC 9112 sections 3 and 6).

use std::mem::MaybeUninit;

use httparse::Header;

use super::classify::{self, ConnectionOptions, Kind};
use super::target::{self, Target};
use super::{Framing, MAX_HEADERS, Refused};

/// Room for the fields of a head, on the stack.
#[derive(Debug)]
pub struct Storage<'b> {
    pub(super) headers: [MaybeUninit<Header<'b>>; MAX_HEADERS],
    pub(super) kinds: [Kind; MAX_HEADERS],
    /// A target whose path had to be rewritten.
    target: String,
}

impl Default for Storage<'_> {
    fn default() -> Self {
        Self {
            headers: [const { MaybeUninit::uninit() }; MAX_HEADERS],
            kinds: [Kind::Other; MAX_HEADERS],
            target: String::new(),
        }
    }
}

/// What matters of a head after its bytes are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestFacts {
    /// Minor version: 0 or 1.
    pub minor: u8,
    /// Framing of the body.
    pub body: Framing,
    /// Whether the client wants the connection to stay.
    pub keep_alive: bool,
    /// The method is HEAD: the response has no body.
    pub is_head: bool,
    /// The method may be sent again (RFC 9110 section 9.2.2).
    pub idempotent: bool,
    /// `Expect: 100-continue`: the body may be held back until asked for.
    pub expects_continue: bool,
    /// The client offers another protocol on this connection.
    pub upgrade: bool,
}

/// A request head over the connection's buffer.
#[derive(Debug)]
pub struct RequestHead<'h, 'b> {
    /// Method.
    pub method: &'b str,
    /// Target, its path in normal form.
    pub target: Target<'h>,
    /// The authority that is served, as it came: Host, or an absolute target's own.
    pub authority: &'h str,
    /// The same without port.
    pub host: &'h str,
    /// Fields, in order.
    pub headers: &'h [Header<'b>],
    /// Their kinds.
    pub kinds: &'h [Kind],
    /// `Connection` names fields that end here.
    pub names_fields: bool,
    /// `TE: trailers`
    pub te_trailers: bool,
    /// The rest.
    pub facts: RequestFacts,
}

impl<'h, 'b> RequestHead<'h, 'b> {
    /// Reads a whole head, as [`super::scan::Scanner`] found it.
    ///
    /// # Errors
    /// Whatever two peers could read differently, and what is not served here.
    pub fn parse(bytes: &'b [u8], storage: &'h mut Storage<'b>) -> Result<Self, Refused> {
        let mut request = httparse::Request::new(&mut []);
        match request.parse_with_uninit_headers(bytes, &mut storage.headers) {
            Ok(httparse::Status::Complete(length)) if length == bytes.len() => {}
            Ok(_) => return Err(Refused::malformed("head")),
            Err(httparse::Error::TooManyHeaders) => return Err(Refused::too_large("too_many_headers")),
            Err(httparse::Error::Version) if is_other_version(bytes) => {
                return Err(Refused { status: 505, reason: "http_version" });
            }
            Err(error) => return Err(Refused::malformed(describe(error))),
        }
        let (Some(method), Some(text), Some(minor)) = (request.method, request.path, request.version) else {
            return Err(Refused::malformed("head"));
        };
        let headers: &'h [Header<'b>] = request.headers;
        let target = Target::parse(method, text, &mut storage.target)?;
        let mut fields = Fields::default();
        let kinds = storage.kinds.get_mut(..headers.len()).ok_or(Refused::too_large("too_many_headers"))?;
        for (header, kind) in headers.iter().zip(kinds.iter_mut()) {
            *kind = classify::classify(header.name);
            fields.add(*kind, header.value)?;
        }
        let host = fields.host.ok_or(Refused::malformed("no_host"))?;
        let authority = target.authority.unwrap_or(host);
        if target.authority.is_some() {
            target::host(host)?;
        }
        let facts = RequestFacts {
            minor,
            body: fields.framing(minor)?,
            keep_alive: fields.connection.persistent(minor),
            is_head: method == "HEAD",
            idempotent: matches!(method, "GET" | "HEAD" | "PUT" | "DELETE" | "OPTIONS" | "TRACE"),
            // RFC 9110 section 10.1.1: ignored from an HTTP/1.0 client.
            expects_continue: fields.expect && minor >= 1,
            upgrade: minor >= 1 && fields.connection.upgrade && fields.upgrade,
        };
        Ok(Self {
            method,
            target,
            authority,
            host: target::host(authority)?,
            headers,
            kinds,
            names_fields: fields.connection.names_fields,
            te_trailers: fields.te_trailers,
            facts,
        })
    }
}

/// What the fields say together.
#[derive(Debug, Default)]
struct Fields<'b> {
    host: Option<&'b str>,
    length: Option<u64>,
    chunked: bool,
    connection: ConnectionOptions,
    upgrade: bool,
    expect: bool,
    te_trailers: bool,
}

impl<'b> Fields<'b> {
    fn add(&mut self, kind: Kind, value: &'b [u8]) -> Result<(), Refused> {
        match kind {
            Kind::Host => {
                if self.host.is_some() {
                    return Err(Refused::malformed("several_hosts"));
                }
                self.host = Some(std::str::from_utf8(value).map_err(|_| Refused::malformed("host"))?);
            }
            Kind::ContentLength => {
                if self.length.is_some() {
                    return Err(Refused::malformed("several_content_lengths"));
                }
                self.length = Some(classify::content_length(value).ok_or(Refused::malformed("content_length"))?);
            }
            Kind::TransferEncoding => {
                if self.chunked {
                    return Err(Refused::malformed("several_transfer_encodings"));
                }
                if value.is_empty() {
                    return Err(Refused::malformed("transfer_encoding"));
                }
                if !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Refused::unimplemented("transfer_encoding"));
                }
                self.chunked = true;
            }
            Kind::Connection => self.connection.add(value),
            // h2c would hand the rest of the connection, past all routing, to whatever the upstream makes of it.
            Kind::Upgrade => {
                self.upgrade = !value.is_empty()
                    && !classify::members(value).any(|m| m.get(..3).is_some_and(|p| p.eq_ignore_ascii_case(b"h2c")));
            }
            Kind::Expect => {
                if !value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(Refused { status: 417, reason: "expectation" });
                }
                self.expect = true;
            }
            Kind::Te => self.te_trailers |= classify::members(value).any(|m| m.eq_ignore_ascii_case(b"trailers")),
            Kind::Hop | Kind::Other | Kind::ForwardedFor | Kind::ForwardedProto | Kind::RequestId => {}
        }
        Ok(())
    }

    fn framing(&self, minor: u8) -> Result<Framing, Refused> {
        match (self.chunked, self.length) {
            (true, Some(_)) => Err(Refused::malformed("length_and_transfer_encoding")),
            (true, None) if minor == 0 => Err(Refused::malformed("transfer_encoding_in_http_1_0")),
            (true, None) => Ok(Framing::Chunked),
            (false, None | Some(0)) => Ok(Framing::None),
            (false, Some(length)) => Ok(Framing::Length(length)),
        }
    }
}

/// The request line is well formed but for a version that is neither 1.0 nor 1.1.
fn is_other_version(head: &[u8]) -> bool {
    let line = head.split(|b| *b == b'\r').next().unwrap_or_default();
    let mut parts = line.split(|b| *b == b' ').skip(2);
    let (Some(version), None) = (parts.next(), parts.next()) else { return false };
    match version.strip_prefix(b"HTTP/") {
        Some([major, b'.', minor]) => {
            major.is_ascii_digit() && minor.is_ascii_digit() && !matches!((major, minor), (b'1', b'0' | b'1'))
        }
        _ => false,
    }
}

/// A name for httparse's errors.
pub(super) fn describe(error: httparse::Error) -> &'static str {
    match error {
        httparse::Error::HeaderName => "header_name",
        httparse::Error::HeaderValue => "header_value",
        httparse::Error::NewLine => "line_end",
        httparse::Error::Status => "status_line",
        httparse::Error::Token => "request_line",
        httparse::Error::TooManyHeaders => "too_many_headers",
        httparse::Error::Version => "http_version",
    }
}
