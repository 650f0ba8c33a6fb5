//! The client's side of an HTTP/1.1 exchange.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::AsyncWrite;

use super::fields::Persistence;
use super::reader::{ReadError, Reader, Ready};
use super::reply::{self, Reply};
use super::request::{Request, Step};
use super::response_head::ResponseHead;
use super::rewrite::{self, ResponseContext};
use super::writer::Writer;
use super::{Framing, Refused};
use crate::clock;
use crate::meter::{Metric, TenantId};
use crate::request::table::ChainTable;
use crate::serve::exchange::{Answer, Downstream, Plan, UNCHANGED};
use crate::serve::peer::Peer;
use crate::serve::stream::ClientStream;
use crate::serve::worker::Worker;

/// A client's connection, and the request that it is at.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) io: ClientStream,
    pub(super) reader: Reader,
    pub(super) writer: Writer,
    pub(super) request: Request,
    /// Whether the connection goes on after this exchange, as the response said.
    pub(super) keep: bool,
    /// Framing of the response that began.
    pub(super) framing: Framing,
}

impl Client {
    pub(super) fn new(io: ClientStream, worker: Rc<Worker>, chain: Arc<ChainTable>, peer: Peer) -> Self {
        Self {
            io,
            reader: Reader::default(),
            writer: Writer::default(),
            request: Request::new(worker, chain, Rc::new(peer)),
            keep: false,
            framing: Framing::None,
        }
    }

    /// Forgets the exchange before.
    pub(super) fn next(&mut self) {
        self.reader.finish();
        self.request.next();
        self.keep = false;
        self.framing = Framing::None;
    }

    /// Reads the head at `range`, decides, and writes the outgoing head.
    pub(super) fn begin(&mut self, range: Range<usize>, now: Instant) -> Result<Plan, Refused> {
        let end = range.end;
        let bytes = self.reader.unread().get(range).unwrap_or_default();
        let result = self.request.begin(bytes, clock::at(now));
        let Request { facts, .. } = &self.request;
        let framing = if result.is_ok() { facts.body } else { Framing::None };
        self.reader.begin_body(end, framing, facts.idempotent);
        self.charge();
        result
    }

    /// Bills what of the request was used so far.
    fn charge(&mut self) {
        self.request.bill.receive(&self.request.worker, self.reader.taken());
    }

    /// A head that cannot be taken: what was read of it is nobody's.
    pub(super) fn refuse_head(&mut self) {
        self.reader.begin_body(self.reader.unread().len(), Framing::None, false);
        self.charge();
    }

    /// Bills what was read and not used, on a connection that serves no further request. The rest of a
    /// message is its tenant's, and so is all that follows framing that cannot be read. What would be
    /// another request, or is a head that never ended, belongs to no exchange: it is nobody's.
    pub(super) fn settle(&mut self) {
        self.reader.discard();
        self.charge();
        let rest = self.reader.skip() as u64;
        if self.reader.is_whole() {
            self.request.worker.count(TenantId::NONE, Metric::RequestBytes, rest);
        } else {
            self.request.bill.receive_more(&self.request.worker, rest);
        }
    }

    /// Sends what waits and some of `data`, and bills it.
    fn send(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<(usize, usize)>> {
        let Self { request: Request { bill, worker, .. }, writer, io, .. } = self;
        let all = writer.ahead(data);
        bill.send(worker, all, || writer.poll_send(io, cx, data), |(wire, _)| *wire)
    }

    /// What the response says of the connection, and keeps to.
    fn persistence(&mut self, keep: bool) -> Persistence {
        let Request { facts, worker, chain, .. } = &self.request;
        self.keep = keep && facts.keep_alive && !worker.is_ending(chain);
        match (self.keep, facts.minor) {
            (true, 1..) => Persistence::Keep,
            (true, 0) => Persistence::KeepSaid,
            (false, _) => Persistence::Close,
        }
    }
}

impl Downstream for Client {
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

    fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Result<Ready, ReadError>> {
        let result = self.reader.poll_body(&mut self.io, cx);
        self.charge();
        result
    }

    fn request_data(&self) -> &[u8] {
        self.reader.data()
    }

    fn take_request(&mut self, n: usize) {
        self.reader.consume(n);
        self.charge();
    }

    fn request_trailers(&self) -> &[u8] {
        self.reader.trailers()
    }

    fn rewind(&mut self, plan: &Plan) -> bool {
        if !self.reader.rewind() {
            return false;
        }
        let mut scanner = super::scan::Scanner::default();
        let Ok(Some(range)) = scanner.scan(self.reader.unread()) else { return false };
        let end = range.end;
        let bytes = self.reader.unread().get(range).unwrap_or_default();
        let composed = self.request.compose(bytes, Step::Again(plan)).is_ok();
        self.reader.begin_body(end, self.request.facts.body, false);
        composed
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.reader.poll_gone(&mut self.io, cx)
    }

    fn interim(&mut self, head: &ResponseHead<'_, '_>) {
        // HTTP/1.0 has no interim responses (RFC 9110 section 15.2).
        if self.request.facts.minor >= 1 {
            let connection = Persistence::Keep;
            let context =
                ResponseContext { mutation: &UNCHANGED, own: None, framing: Framing::None, connection, budget: None };
            rewrite::response(head, &context, self.writer.out());
        }
    }

    fn respond(&mut self, head: &ResponseHead<'_, '_>, plan: &Plan, from: SocketAddr) {
        self.reader.let_go();
        self.framing = rewrite::client_framing(head.body, self.request.facts.minor);
        let connection = if head.status == 101 {
            Persistence::Upgrade
        } else {
            // A body that is still on its way is not waited for: the response says that it ends the connection.
            self.persistence(self.framing != Framing::Close && self.reader.is_whole())
        };
        let mutation = plan.response_headers();
        let own = plan.own_headers(Some(from));
        let own = own.as_deref();
        let context = ResponseContext { mutation, own, framing: self.framing, connection, budget: plan.budget };
        rewrite::response(head, &context, self.writer.out());
        self.writer.begin_body(self.framing);
    }

    fn poll_response(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.send(cx, data).map_ok(|(_, taken)| taken)
    }

    fn end_response(&mut self, trailers: &[u8]) {
        self.writer.end_body(trailers);
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.writer.is_empty() {
            ready!(self.send(cx, &[]))?;
        }
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn answer(&mut self, answer: Answer<'_>) {
        // A body that is already here is passed over, so that the connection can go on.
        self.reader.discard();
        self.charge();
        let connection = self.persistence(!answer.close && self.reader.is_whole());
        let date = self.request.worker.date();
        let reply = Reply {
            status: answer.status,
            date: &date,
            connection,
            retry_after: answer.retry_after,
            budget: answer.budget,
            location: answer.location,
            own: answer.own,
            mutation: answer.route.map(|route| &*route.response_headers),
        };
        reply::write(&reply, self.writer.out());
    }
}
