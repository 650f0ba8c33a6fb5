//! An exchange's stream on a shared HTTP/2 connection. To the exchange its heads look as HTTP/1.1's do.

use std::net::SocketAddr;
use std::ops::Range;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{Reason, SendStream};
use http::{HeaderValue, Request, StatusCode};

use super::connection::Connection;
use super::io::Io;
use super::shared::Seat;
use crate::serve::h1::reader::{ReadError, Reader, Ready};
use crate::serve::h1::writer::Writer;
use crate::serve::h1::{Framing, Refused};
use crate::serve::h2::body::{self, Incoming};
use crate::serve::h2::tunnel::Tunnel;
use crate::serve::h2::{head, websocket};

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
    /// It asks for a tunnel.
    opening: Option<Box<Opening>>,
}

/// An extended CONNECT.
#[derive(Debug)]
struct Opening {
    /// There until it is known that the endpoint takes such.
    request: Option<Request<()>>,
    /// What the client's side wants to hear of its key.
    accept: Option<HeaderValue>,
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
            opening: None,
        }
    }

    /// Sends a request's head.
    pub(super) fn begin(&mut self, head: &mut Vec<u8>, framing: Framing, upgrade: bool) {
        self.to_head = head.starts_with(b"HEAD ");
        let request = head::outgoing(head, self.secure);
        // Other protocols are not asked for: an upgrade may be ignored (RFC 9110 section 7.8).
        let tunnel = upgrade && websocket::is_asked_for(head);
        head.clear();
        match request {
            None => self.failed = Some(Refused::malformed("request").into()),
            Some(mut request) if tunnel => {
                let accept = websocket::extend(&mut request);
                self.opening = Some(Box::new(Opening { request: Some(request), accept }));
            }
            Some(request) => self.send_head(request, framing == Framing::None),
        }
    }

    fn send_head(&mut self, request: Request<()>, ended: bool) {
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
            let _ = body::end(&mut send, Bytes::new(), trailers, |_| {});
        }
    }

    /// Sends an extended CONNECT once the endpoint has said that it takes such.
    fn poll_opening(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(request) = self.opening.as_mut().and_then(|opening| opening.request.take()) else {
            return Poll::Ready(());
        };
        match self.seat.0.poll_takes_tunnels(cx) {
            Poll::Ready(true) => self.send_head(request, false),
            Poll::Ready(false) => self.failed = Some(Refused { status: 502, reason: "no_extended_connect" }.into()),
            Poll::Pending => {
                if let Some(opening) = &mut self.opening {
                    opening.request = Some(request);
                }
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }

    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Range<usize>, ReadError>> {
        ready!(self.poll_opening(cx));
        if let Some(failed) = self.failed {
            return Poll::Ready(Err(failed));
        }
        let Some(response) = &mut self.response else { return Poll::Ready(Err(ReadError::Closed)) };
        match response.poll_informational(cx) {
            // RFC 9113 section 8.6: there is no such response in HTTP/2.
            Poll::Ready(Some(Ok(interim))) if interim.status() == StatusCode::SWITCHING_PROTOCOLS => {
                return Poll::Ready(Err(Refused::malformed("unasked_upgrade").into()));
            }
            Poll::Ready(Some(Ok(interim))) => {
                head::incoming(interim.status(), interim.headers(), false, self.to_head, &mut self.head);
            }
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(self.failure(&error))),
            Poll::Ready(None) | Poll::Pending => match ready!(std::pin::Pin::new(response).poll(cx)) {
                Ok(response) => {
                    let (parts, body) = response.into_parts();
                    let ended = body.is_end_stream();
                    match self.opening.as_deref().filter(|_| parts.status.is_success()) {
                        Some(Opening { accept, .. }) => {
                            websocket::opened(&parts.headers, accept.as_ref(), &mut self.head);
                        }
                        None => head::incoming(parts.status, &parts.headers, ended, self.to_head, &mut self.head),
                    }
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
        let switched = self.head.starts_with(b"HTTP/1.1 101 ");
        self.head.clear();
        if self.response.is_none()
            && !switched
            && let Some(mut send) = self.send.take_if(|_| self.opening.is_some())
        {
            // No tunnel: there will be nothing more to say.
            let _ = send.send_data(Bytes::new(), true);
        }
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

    /// The tunnel that it has become, if it has.
    pub(super) fn into_connection(self) -> Option<Box<Connection>> {
        let Self { incoming, send, seat, address, reused, .. } = self;
        let io = Io::Stream(Box::new(Tunnel::new(incoming?, send?, seat)));
        let (reader, writer) = (Reader::default(), Writer::default());
        Some(Box::new(Connection { io, reader, writer, address, settings: 0, reused }))
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
