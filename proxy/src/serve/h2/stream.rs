//! The client's side of an exchange on one stream.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::request::Parts;
use http::{HeaderName, Response, StatusCode};

use super::body::{self, Came, Incoming};
use super::tunnel::Tunnel;
use super::{grpc, head, size};
use crate::serve::exchange::{Answer, Downstream, Plan, UNCHANGED};
use crate::serve::h1::fields::Persistence;
use crate::serve::h1::reader::{ReadError, Ready};
use crate::serve::h1::reply::{self, Reply};
use crate::serve::h1::request::{Request, Step};
use crate::serve::h1::response_head::ResponseHead;
use crate::serve::h1::rewrite::{self, ResponseContext};
use crate::serve::h1::{Framing, Refused};

/// Bytes of a body that are kept so that the request can be sent again, as many as HTTP/1.1 keeps.
const HELD: usize = 16 * 1024;

/// Room for a head as most are, so that its buffer does not grow piece by piece.
const HEAD: usize = 512;

/// A stream, and the request on it.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) request: Request,
    incoming: Incoming,
    respond: SendResponse<Bytes>,
    /// There once the response began.
    send: Option<SendStream<Bytes>>,
    /// The request's head in HTTP/1.1's form.
    text: Vec<u8>,
    out: Vec<u8>,
    held: Held,
    /// What of the response is to be sent next: with the stream's end, if nothing comes after it.
    last: Bytes,
    is_grpc: bool,
    pub(super) deadline: Option<Duration>,
    /// The response was given to its end.
    ended: bool,
    /// Nothing can be sent any more.
    broken: bool,
}

/// What of a body was sent on, as long as it is little.
#[derive(Debug, Default)]
struct Held {
    sent: VecDeque<Bytes>,
    bytes: usize,
    /// What is to be sent again, before anything else.
    again: VecDeque<Bytes>,
    lost: bool,
}

impl Held {
    fn keep(&mut self, bytes: Bytes) {
        self.bytes += bytes.len();
        if self.lost || self.bytes > HELD {
            self.let_go();
        } else {
            self.sent.push_back(bytes);
        }
    }

    fn let_go(&mut self) {
        self.lost = true;
        self.sent.clear();
    }

    fn rewind(&mut self) -> bool {
        self.sent.append(&mut self.again);
        (self.again, self.bytes) = (std::mem::take(&mut self.sent), 0);
        !self.lost
    }
}

impl Stream {
    pub(super) fn new(request: Request, body: RecvStream, respond: SendResponse<Bytes>) -> Self {
        Self {
            request,
            incoming: Incoming::new(body),
            respond,
            send: None,
            text: Vec::with_capacity(HEAD),
            out: Vec::with_capacity(HEAD),
            held: Held::default(),
            last: Bytes::new(),
            is_grpc: false,
            deadline: None,
            ended: false,
            broken: false,
        }
    }

    /// Reads the head, decides, and writes the outgoing head. `now` is of [`crate::clock`].
    ///
    /// # Errors
    /// The head is not taken.
    pub(super) fn begin(&mut self, parts: &Parts, now: u64) -> Result<Plan, Refused> {
        self.is_grpc = grpc::is_grpc(&parts.headers);
        self.deadline = grpc::timeout(&parts.headers).filter(|_| self.is_grpc);
        let key = self.request.worker.websocket_key();
        let key = std::str::from_utf8(&key).unwrap_or_default();
        let ended = self.incoming.is_whole();
        self.request.head.reserve(HEAD);
        let written = head::request(parts, ended, key, &mut self.text);
        let plan = written.and_then(|()| self.request.begin(&self.text, now));
        self.request.note.minor = 2;
        let Request { bill, worker, .. } = &mut self.request;
        bill.receive_more(worker, size::request(parts));
        plan
    }

    /// Bills what of the body is here and was not used: it will not be.
    pub(super) fn settle(&mut self) {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        while !self.incoming.is_whole() {
            let Poll::Ready(Ok(Ready::Data)) = self.poll_incoming(&mut cx) else { return };
            self.incoming.take(self.incoming.data().len());
        }
    }

    /// The stream, once its response opened a tunnel; none where it has none.
    pub(super) fn into_tunnel(self) -> Option<Tunnel> {
        Some(Tunnel::new(self.incoming, self.send?, ()))
    }

    /// Ends the stream before its response is whole.
    pub(super) fn reset(&mut self, reason: Reason) {
        match &mut self.send {
            Some(send) => send.send_reset(reason),
            None => self.respond.send_reset(reason),
        }
    }

    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<Result<Ready, h2::Error>> {
        let Request { bill, worker, .. } = &mut self.request;
        self.incoming.poll(cx, |came| {
            let n = match came {
                Came::Data(n) => *n as u64,
                Came::Trailers(trailers) => size::fields(trailers),
            };
            bill.receive_more(worker, n);
        })
    }

    /// Gives a final response to the connection, and bills it.
    fn send_head(&mut self, response: Response<()>, ends: bool) {
        let Request { bill, worker, .. } = &mut self.request;
        bill.send_more(worker, size::response(response.headers()));
        match self.respond.send_response(response, ends) {
            Ok(send) => self.send = Some(send),
            Err(_) => self.broken = true,
        }
        self.ended = ends;
    }

    fn connection_is_gone() -> io::Error {
        io::ErrorKind::BrokenPipe.into()
    }
}

impl Downstream for Stream {
    fn request_head(&mut self) -> &mut Vec<u8> {
        &mut self.request.head
    }

    fn request_framing(&self) -> Framing {
        self.request.facts.body
    }

    fn is_head(&self) -> bool {
        self.request.facts.is_head
    }

    fn is_idempotent(&self) -> bool {
        self.request.facts.idempotent
    }

    fn wants_upgrade(&self) -> bool {
        self.request.facts.upgrade
    }

    fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Result<Ready, ReadError>> {
        if self.request.facts.upgrade || !self.held.again.is_empty() {
            // What comes on a stream that asks for another protocol is that protocol's.
            let ready = if self.held.again.is_empty() { Ready::End } else { Ready::Data };
            return Poll::Ready(Ok(ready));
        }
        // Whether the client reset the stream or sent what `h2` refuses, the stream is over.
        self.poll_incoming(cx).map_err(|_| ReadError::Closed)
    }

    fn request_data(&self) -> &[u8] {
        self.held.again.front().map_or(self.incoming.data(), |chunk| chunk)
    }

    fn take_request(&mut self, n: usize) {
        match self.held.again.front_mut() {
            Some(chunk) => {
                let taken = chunk.split_to(n);
                if chunk.is_empty() {
                    self.held.again.pop_front();
                }
                self.held.keep(taken);
            }
            None => {
                if !self.held.lost && n > 0 {
                    self.held.keep(self.incoming.chunk().slice(..n));
                }
                self.incoming.take(n);
            }
        }
    }

    fn request_trailers(&self) -> &[u8] {
        self.incoming.trailers()
    }

    fn rewind(&mut self, plan: &Plan) -> bool {
        self.held.rewind() && self.request.compose(&self.text, Step::Again(plan)).is_ok()
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let reset = match &mut self.send {
            Some(_) if self.ended => return Poll::Pending,
            Some(send) => ready!(send.poll_reset(cx)),
            None => ready!(self.respond.poll_reset(cx)),
        };
        drop(reset);
        Poll::Ready(())
    }

    fn interim(&mut self, head: &ResponseHead<'_, '_>) {
        let context = ResponseContext {
            mutation: &UNCHANGED,
            own: None,
            framing: Framing::None,
            connection: Persistence::Keep,
            budget: None,
        };
        self.out.clear();
        rewrite::response(head, &context, &mut self.out);
        let Some(response) = head::response(&self.out) else { return };
        let Request { bill, worker, .. } = &mut self.request;
        bill.send_more(worker, size::response(response.headers()));
        self.broken |= self.respond.send_informational(response).is_err();
    }

    fn respond(&mut self, head: &ResponseHead<'_, '_>, plan: &Plan, from: SocketAddr) {
        self.held.let_go();
        let own = plan.own_headers(Some(from));
        let context = ResponseContext {
            mutation: plan.response_headers(),
            own: own.as_deref(),
            framing: Framing::None,
            connection: Persistence::Keep,
            budget: plan.budget,
        };
        self.out.clear();
        rewrite::response(head, &context, &mut self.out);
        let Some(mut response) = head::response(&self.out) else {
            self.broken = true;
            return;
        };
        if head.status == 101 {
            // RFC 8441 section 5: the tunnel begins with any 2xx, and the key is not used.
            *response.status_mut() = StatusCode::OK;
            response.headers_mut().remove(HeaderName::from_static("sec-websocket-accept"));
            return self.send_head(response, false);
        }
        if self.request.facts.upgrade && response.status().is_success() {
            // To the client it would mean that the tunnel is open.
            *response.status_mut() = StatusCode::BAD_GATEWAY;
        }
        self.send_head(response, head.body == Framing::None);
    }

    fn poll_response(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let Some(send) = self.send.as_mut().filter(|_| !self.broken) else {
            return Poll::Ready(Err(Self::connection_is_gone()));
        };
        let Request { bill, worker, .. } = &mut self.request;
        let mut sent = body::send_piece(send, std::mem::take(&mut self.last));
        if sent.is_ok() {
            match ready!(body::poll_piece(send, cx, data, |n| bill.send_more(worker, n as u64))) {
                Ok(piece) => self.last = piece,
                Err(error) => sent = Err(error),
            }
        }
        Poll::Ready(sent.map(|()| self.last.len()).map_err(|_| Self::connection_is_gone()))
    }

    fn end_response(&mut self, trailers: &[u8]) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let Some(send) = &mut self.send else { return };
        let Request { bill, worker, .. } = &mut self.request;
        let ended = body::end(send, std::mem::take(&mut self.last), trailers, |trailers| {
            bill.send_more(worker, size::fields(trailers))
        });
        self.broken |= ended.is_err();
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(send) = self.send.as_mut().filter(|_| !self.last.is_empty()) {
            self.broken |= body::send_piece(send, std::mem::take(&mut self.last)).is_err();
        }
        // What was given to the connection is written by its own task.
        Poll::Ready(if self.broken { Err(Self::connection_is_gone()) } else { Ok(()) })
    }

    fn answer(&mut self, answer: Answer<'_>) {
        let date = self.request.worker.date();
        let reply = Reply {
            status: answer.status,
            date: &date,
            connection: Persistence::Keep,
            retry_after: answer.retry_after,
            location: answer.location,
            own: answer.own,
            budget: answer.budget,
            mutation: answer.route.map(|route| &*route.response_headers),
        };
        self.out.clear();
        reply::write(&reply, &mut self.out);
        let Some(mut response) = head::response(&self.out) else {
            self.broken = true;
            return;
        };
        if self.is_grpc {
            grpc::refusal(&mut response, answer.deadline);
        }
        self.send_head(response, true);
    }
}
