//! Response heads (RFC 9112 sections 4 and 6.3).

use httparse::Header;

use super::classify::{self, ConnectionOptions, Kind};
use super::request_head::{Storage, describe};
use super::{Framing, Refused};

/// A response head over the upstream connection's buffer.
#[derive(Debug)]
pub struct ResponseHead<'h, 'b> {
    /// Status, from 100 to 599.
    pub status: u16,
    /// Reason phrase; empty where it is missing or not ASCII.
    pub reason: &'b str,
    /// Fields, in order.
    pub headers: &'h [Header<'b>],
    /// Their kinds.
    pub kinds: &'h [Kind],
    /// `Connection` names fields that end here.
    pub names_fields: bool,
    /// Framing of the body.
    pub body: Framing,
    /// Whether the upstream connection may serve another request.
    pub keep_alive: bool,
}

impl<'h, 'b> ResponseHead<'h, 'b> {
    /// Reads a whole head; `to_head` where the request was HEAD.
    ///
    /// # Errors
    /// Whatever two peers could read differently. The client gets 502.
    pub fn parse(bytes: &'b [u8], storage: &'h mut Storage<'b>, to_head: bool) -> Result<Self, Refused> {
        let mut response = httparse::Response::new(&mut []);
        let config = httparse::ParserConfig::default();
        match config.parse_response_with_uninit_headers(&mut response, bytes, &mut storage.headers) {
            Ok(httparse::Status::Complete(length)) if length == bytes.len() => {}
            Ok(_) => return Err(Refused::malformed("head")),
            Err(error) => return Err(Refused::malformed(describe(error))),
        }
        let (Some(status @ 100..=599), Some(minor)) = (response.code, response.version) else {
            return Err(Refused::malformed("status"));
        };
        let headers: &'h [Header<'b>] = response.headers;
        let kinds = storage.kinds.get_mut(..headers.len()).ok_or(Refused::malformed("too_many_headers"))?;
        let mut connection = ConnectionOptions::default();
        let mut length = None;
        let mut chunked = false;
        for (header, kind) in headers.iter().zip(kinds.iter_mut()) {
            *kind = classify::classify(header.name);
            match kind {
                Kind::Connection => connection.add(header.value),
                Kind::ContentLength => {
                    let value = classify::content_length(header.value).ok_or(Refused::malformed("content_length"))?;
                    if length.replace(value).is_some() {
                        return Err(Refused::malformed("several_content_lengths"));
                    }
                }
                Kind::TransferEncoding => {
                    if chunked || !header.value.eq_ignore_ascii_case(b"chunked") {
                        return Err(Refused::malformed("transfer_encoding"));
                    }
                    chunked = true;
                }
                _ => {}
            }
        }
        if chunked && (length.is_some() || minor == 0) {
            return Err(Refused::malformed("length_and_transfer_encoding"));
        }
        let body = match (chunked, length) {
            _ if to_head || status < 200 || matches!(status, 204 | 304) => Framing::None,
            (true, _) => Framing::Chunked,
            (false, Some(0)) => Framing::None,
            (false, Some(length)) => Framing::Length(length),
            (false, None) => Framing::Close,
        };
        Ok(Self {
            status,
            reason: response.reason.unwrap_or_default(),
            headers,
            kinds,
            names_fields: connection.names_fields,
            body,
            keep_alive: connection.persistent(minor) && body != Framing::Close,
        })
    }
}
