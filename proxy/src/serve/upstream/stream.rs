//! An exchange's stream on a shared HTTP/2 connection. To the exchange its heads look as HTTP/1.1's do.

use std::net::SocketAddr;
use std::ops::Range;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{Reason, SendStream};

use super::shared::Seat;
use crate::serve::h1::reader::{ReadError, Ready};
use crate::serve::h1::{Framing, Refused};
use crate::serve::h2::body::{self, Incoming};
use crate::serve::h2::head;

/// The endpoint takes no more of the request. It may have answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken;

/// A stream, from its request on.
#[derive(Debug)]
pub(crate) struct Stream {
    seat: Seat,
    pub(super) address: SocketAddr,
    pub(super) reused: bool,
    /// The connection is TLS: `:scheme` is `https`.
    secure: bool,
    to_head: bool,
    /// There until the final head came.
    response: Option<ResponseFuture>,
    /// There until the request was given to its end.
    send: Option<SendStream<Bytes>>,
    /// There from the final head on.
    incoming: Option<Incoming>,
    /// A head that came and was not used yet.
    head: Vec<u8>,
    /// The response must have no body.
    bare: bool,
    /// The request could not be sent.
    failed: Option<ReadError>,
}

impl Stream {
    /// Nothing was sent yet. `secure`: the connection is TLS.
    pub(super) fn new(seat: Seat, address: SocketAddr, secure: bool) -> Self {
        let reused = seat.0.has_served.replace(true);
        Self {
            seat,
            address,
            reused,
            secure,
            to_head: false,
            response: None,
            send: None,
            incoming: None,
            head: Vec::new(),
            bare: false,
            failed: None,
        }
    }

    /// Sends a request's head.
    pub(super) fn begin(&mut self, head: &mut Vec<u8>, framing: Framing) {
        self.to_head = head.starts_with(b"HEAD ");
        let ended = framing == Framing::None;
        let request = head::outgoing(head, self.secure);
        head.clear();
        let Some(request) = request else {
            self.failed = Some(Refused::malformed("request").into());
            return;
        };
        match self.seat.0.requests.borrow_mut().send_request(request, ended) {
            Ok((response, send)) => {
                self.response = Some(response);
                self.send = (!ended).then_some(send);
            }
            // The connection is ending: nothing was sent on it.
            Err(_) => self.failed = Some(ReadError::Unprocessed),
        }
        if self.failed.is_some() {
            self.distrust();
        }
    }

    /// Lets no further exchange begin on the connection: it did not answer this one.
    pub(super) fn distrust(&self) {
        self.seat.0.retire();
    }

    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<Result<usize, Broken>> {
        let Some(send) = &mut self.send else { return Poll::Ready(Err(Broken)) };
        body::poll_send(send, cx, data, |_| {}).map_err(|_| Broken)
    }

    pub(super) fn end_request(&mut self, trailers: &[u8]) {
        if let Some(mut send) = self.send.take() {
            // What went wrong shows in the response.
            let _ = body::end(&mut send, trailers, |_| {});
        }
    }

    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Range<usize>, ReadError>> {
        if let Some(failed) = self.failed {
            return Poll::Ready(Err(failed));
        }
        let Some(response) = &mut self.response else { return Poll::Ready(Err(ReadError::Closed)) };
        match response.poll_informational(cx) {
            Poll::Ready(Some(Ok(interim))) => {
                head::incoming(interim.status(), interim.headers(), false, self.to_head, &mut self.head);
            }
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(self.failure(&error))),
            Poll::Ready(None) | Poll::Pending => match ready!(std::pin::Pin::new(response).poll(cx)) {
                Ok(response) => {
                    let (parts, body) = response.into_parts();
                    let ended = body.is_end_stream();
                    head::incoming(parts.status, &parts.headers, ended, self.to_head, &mut self.head);
                    self.incoming = Some(Incoming::new(body));
                    self.response = None;
                }
                Err(error) => return Poll::Ready(Err(self.failure(&error))),
            },
        }
        Poll::Ready(Ok(0..self.head.len()))
    }

    pub(super) fn unread(&self) -> &[u8] {
        &self.head
    }

    pub(super) fn begin_body(&mut self, framing: Framing) {
        self.head.clear();
        self.bare = framing == Framing::None;
    }

    pub(super) fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Ready, ReadError>> {
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(Err(ReadError::Closed)) };
        match ready!(incoming.poll(cx, |_| {})) {
            Ok(Ready::Data) if self.bare => Poll::Ready(Err(Refused::malformed("unexpected_body").into())),
            Ok(ready) => Poll::Ready(Ok(ready)),
            Err(error) => Poll::Ready(Err(self.failure(&error))),
        }
    }

    pub(super) fn data(&self) -> &[u8] {
        self.incoming.as_ref().map_or(&[], Incoming::data)
    }

    pub(super) fn consume(&mut self, n: usize) {
        if let Some(incoming) = &mut self.incoming {
            incoming.take(n);
        }
    }

    pub(super) fn trailers(&self) -> &[u8] {
        self.incoming.as_ref().map_or(&[], Incoming::trailers)
    }

    /// What an error of the stream means to its exchange.
    fn failure(&self, error: &h2::Error) -> ReadError {
        if error.is_go_away() || error.is_io() {
            self.distrust();
        }
        match error.reason() {
            // RFC 9113 sections 6.8 and 8.7: streams beyond the last one of a GOAWAY, and refused ones, had no effect.
            _ if error.is_remote() && error.is_go_away() => ReadError::Unprocessed,
            Some(Reason::REFUSED_STREAM) if error.is_remote() => ReadError::Unprocessed,
            _ if error.is_remote() => ReadError::Reset,
            Some(_) => Refused::malformed("http2").into(),
            None => ReadError::Closed,
        }
    }
}
