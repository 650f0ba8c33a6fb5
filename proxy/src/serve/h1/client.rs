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
use super::note::Note;
use super::reader::{ReadError, Reader, Ready};
use super::reply::{self, Reply};
use super::request_head::{RequestFacts, RequestHead, Storage};
use super::response_head::ResponseHead;
use super::rewrite::{self, RequestContext, ResponseContext};
use super::target::{self, MAX_HOST};
use super::writer::Writer;
use super::{Framing, Refused};
use crate::clock;
use crate::meter::{Metric, TenantId};
use crate::request::Head;
use crate::request::table::ChainTable;
use crate::serve::bill::Bill;
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
    pub(super) worker: Rc<Worker>,
    pub(super) chain: Arc<ChainTable>,
    pub(super) peer: Peer,
    pub(super) facts: RequestFacts,
    pub(super) bill: Bill,
    pub(super) note: Note,
    /// Whether the connection goes on after this exchange, as the response said.
    pub(super) keep: bool,
    /// Framing of the response that began.
    pub(super) framing: Framing,
    /// The outgoing request head.
    head: Vec<u8>,
    id: [u8; 36],
}

impl Client {
    pub(super) fn new(io: ClientStream, worker: Rc<Worker>, chain: Arc<ChainTable>, peer: Peer) -> Self {
        Self {
            io,
            reader: Reader::default(),
            writer: Writer::default(),
            worker,
            chain,
            peer,
            facts: UNKNOWN,
            bill: Bill::new(TenantId::NONE),
            note: Note::default(),
            keep: false,
            framing: Framing::None,
            head: Vec::new(),
            id: [0; 36],
        }
    }

    /// Forgets the exchange before.
    pub(super) fn next(&mut self) {
        self.reader.finish();
        self.bill = Bill::new(TenantId::NONE);
        self.facts = UNKNOWN;
        self.keep = false;
        self.framing = Framing::None;
        self.note.clear();
    }

    /// Reads the head at `range`, decides, and writes the outgoing head.
    pub(super) fn begin(&mut self, range: Range<usize>, now: Instant) -> Result<Plan, Refused> {
        self.id = self.worker.request_id();
        let end = range.end;
        let result = self.compose(range, Step::Decide(clock::at(now)));
        if let Ok(Some(plan)) = &result {
            // Before anything is written: a client that has its answer has been charged for it.
            self.bill = Bill::new(plan.tenant());
            self.worker.count(self.bill.tenant, Metric::Requests, 1);
            if let Some(metric) = plan.refused_as() {
                self.worker.count(self.bill.tenant, metric, 1);
            }
        }
        let framing = if result.is_ok() { self.facts.body } else { Framing::None };
        self.reader.begin_body(end, framing, self.facts.idempotent);
        self.bill.receive(&self.worker, self.reader.taken());
        result?.ok_or(Refused::malformed("head"))
    }

    /// Parses a head and writes the outgoing one; decides unless that is already done.
    fn compose(&mut self, range: Range<usize>, step: Step<'_>) -> Result<Option<Plan>, Refused> {
        let bytes = self.reader.unread().get(range).unwrap_or_default();
        let mut storage = Storage::default();
        let head = RequestHead::parse(bytes, &mut storage)?;
        self.facts = head.facts;
        let http = &self.chain.http;
        let id = std::str::from_utf8(&self.id).unwrap_or_default();
        let (made, planned) = match step {
            Step::Again(plan) => (None, Some(plan)),
            Step::Decide(now) => {
                if http.access_log {
                    self.note.take(&head, id);
                }
                let mut space = [0; MAX_HOST];
                let view = Head {
                    method: head.method,
                    host: target::lower(head.host, &mut space),
                    path: head.target.path,
                    query: head.target.query,
                    headers: head.headers,
                };
                (Some(Plan::make(http, &view, now)), None)
            }
        };
        let plan = made.as_ref().or(planned);
        if let Some(plan) = plan.filter(|plan| plan.route.is_some()) {
            let context = RequestContext {
                peer: &self.peer.text,
                tls: self.peer.tls,
                use_remote_address: http.use_remote_address,
                mutation: plan.request_headers(),
                request_id: id,
            };
            self.head.clear();
            rewrite::request(&head, &context, &mut self.head);
        }
        Ok(made)
    }

    /// A head that cannot be taken: what was read of it is nobody's.
    pub(super) fn refuse_head(&mut self) {
        self.reader.begin_body(self.reader.unread().len(), Framing::None, false);
        self.bill.receive(&self.worker, self.reader.taken());
    }

    /// Bills what was read and not used, on a connection that serves no further request. The rest of a
    /// message is its tenant's, and so is all that follows framing that cannot be read. What would be
    /// another request, or is a head that never ended, belongs to no exchange: it is nobody's.
    pub(super) fn settle(&mut self) {
        self.reader.discard();
        self.bill.receive(&self.worker, self.reader.taken());
        let rest = self.reader.skip() as u64;
        if self.reader.is_whole() {
            self.worker.count(TenantId::NONE, Metric::RequestBytes, rest);
        } else {
            self.bill.receive_more(&self.worker, rest);
        }
    }

    /// Sends what waits and some of `data`, and bills it.
    fn send(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<(usize, usize)>> {
        let Self { bill, worker, writer, io, .. } = self;
        let all = writer.ahead(data);
        bill.send(worker, all, || writer.poll_send(io, cx, data), |(wire, _)| *wire)
    }

    /// What the response says of the connection, and keeps to.
    fn persistence(&mut self, keep: bool) -> Persistence {
        self.keep = keep && self.facts.keep_alive && !self.worker.is_ending(&self.chain);
        match (self.keep, self.facts.minor) {
            (true, 1..) => Persistence::Keep,
            (true, 0) => Persistence::KeepSaid,
            (false, _) => Persistence::Close,
        }
    }
}

/// What a head is read for.
enum Step<'p> {
    /// To decide, at this time of [`clock`].
    Decide(u64),
    /// To be sent again as it was decided.
    Again(&'p Plan),
}

/// Before a head was read.
const UNKNOWN: RequestFacts = RequestFacts {
    minor: 1,
    body: Framing::None,
    keep_alive: false,
    is_head: false,
    idempotent: false,
    expects_continue: false,
    upgrade: false,
};

impl Downstream for Client {
    fn request_head(&mut self) -> &mut Vec<u8> {
        &mut self.head
    }

    fn request_framing(&self) -> Framing {
        self.facts.body
    }

    fn is_head(&self) -> bool {
        self.facts.is_head
    }

    fn is_idempotent(&self) -> bool {
        self.facts.idempotent
    }

    fn wants_upgrade(&self) -> bool {
        self.facts.upgrade
    }

    fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Result<Ready, ReadError>> {
        let result = self.reader.poll_body(&mut self.io, cx);
        self.bill.receive(&self.worker, self.reader.taken());
        result
    }

    fn request_data(&self) -> &[u8] {
        self.reader.data()
    }

    fn take_request(&mut self, n: usize) {
        self.reader.consume(n);
        self.bill.receive(&self.worker, self.reader.taken());
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
        let composed = self.compose(range, Step::Again(plan)).is_ok();
        self.reader.begin_body(end, self.facts.body, false);
        composed
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.reader.poll_gone(&mut self.io, cx)
    }

    fn interim(&mut self, head: &ResponseHead<'_, '_>) {
        // HTTP/1.0 has no interim responses (RFC 9110 section 15.2).
        if self.facts.minor >= 1 {
            let connection = Persistence::Keep;
            let context = ResponseContext { mutation: &UNCHANGED, framing: Framing::None, connection, budget: None };
            rewrite::response(head, &context, self.writer.out());
        }
    }

    fn respond(&mut self, head: &ResponseHead<'_, '_>, plan: &Plan, _from: SocketAddr) {
        self.reader.let_go();
        self.framing = rewrite::client_framing(head.body, self.facts.minor);
        let connection = if head.status == 101 {
            Persistence::Upgrade
        } else {
            // A body that is still on its way is not waited for: the response says that it ends the connection.
            self.persistence(self.framing != Framing::Close && self.reader.is_whole())
        };
        let mutation = plan.response_headers();
        let context = ResponseContext { mutation, framing: self.framing, connection, budget: plan.budget };
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
        self.bill.receive(&self.worker, self.reader.taken());
        let connection = self.persistence(!answer.close && self.reader.is_whole());
        let date = self.worker.date();
        let reply = Reply {
            status: answer.status,
            date: &date,
            connection,
            retry_after: answer.retry_after,
            budget: answer.budget,
            mutation: answer.route.map(|route| &*route.response_headers),
        };
        reply::write(&reply, self.writer.out());
    }
}
