//! A request of a client, whatever protocol carries it: read from a head in HTTP/1.1's form, decided,
//! and written as its upstream gets it.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::classify::Kind;
use super::note::Note;
use super::request_head::{RequestFacts, RequestHead, Storage};
use super::rewrite::{self, RequestContext};
use super::target::{self, MAX_HOST};
use super::{Framing, Refused};
use crate::meter::{Metric, TenantId};
use crate::request::Head;
use crate::request::redirect::{self, Url};
use crate::request::table::ChainTable;
use crate::serve::bill::Bill;
use crate::serve::exchange::{Action, Outcome, Plan};
use crate::serve::peer::Peer;
use crate::serve::record;
use crate::serve::worker::Worker;

/// A request, and what surrounds it.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) worker: Rc<Worker>,
    pub(crate) chain: Arc<ChainTable>,
    pub(crate) peer: Rc<Peer>,
    pub(crate) facts: RequestFacts,
    pub(crate) bill: Bill,
    pub(crate) note: Note,
    /// The outgoing head.
    pub(crate) head: Vec<u8>,
    id: [u8; 36],
}

impl Request {
    /// Nothing was read yet.
    pub(crate) fn new(worker: Rc<Worker>, chain: Arc<ChainTable>, peer: Rc<Peer>) -> Self {
        Self {
            worker,
            chain,
            peer,
            facts: UNKNOWN,
            bill: Bill::new(TenantId::NONE),
            note: Note::default(),
            head: Vec::new(),
            id: [0; 36],
        }
    }

    /// Forgets the exchange before.
    pub(crate) fn next(&mut self) {
        self.bill = Bill::new(TenantId::NONE);
        self.facts = UNKNOWN;
        self.note.clear();
    }

    /// Reads a head, decides, charges its tenant, and writes the outgoing head. `now` is of [`crate::clock`].
    ///
    /// # Errors
    /// The head is not taken; see [`RequestHead::parse`].
    pub(crate) fn begin(&mut self, bytes: &[u8], now: u64) -> Result<Plan, Refused> {
        self.id = self.worker.request_id();
        let plan = self.compose(bytes, Step::Decide(now))?.ok_or(Refused::malformed("head"))?;
        // Before anything is written: a client that has its answer has been charged for it.
        self.bill = Bill::new(plan.tenant());
        self.worker.count(self.bill.tenant, Metric::Requests, 1);
        if let Some(metric) = plan.refused_as() {
            self.worker.count(self.bill.tenant, metric, 1);
        }
        Ok(plan)
    }

    /// Parses a head and writes the outgoing one; decides unless that is already done.
    ///
    /// # Errors
    /// The head is not taken.
    pub(crate) fn compose(&mut self, bytes: &[u8], step: Step<'_>) -> Result<Option<Plan>, Refused> {
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
                if self.peer.is_misdirected(view.host, &self.chain) {
                    (Some(Plan::misdirected()), None)
                } else {
                    let url = self.url(&head);
                    (Some(Plan::make(http, &view, &url, now)), None)
                }
            }
        };
        let plan = made.as_ref().or(planned);
        if let Some(plan) = plan.filter(|plan| matches!(plan.action, Action::Forward(_))) {
            let context = RequestContext {
                peer: &self.peer.text,
                tls: self.peer.tls,
                use_remote_address: http.use_remote_address,
                mutation: plan.request_headers(),
                host: plan.host(),
                path: plan.path(head.target.path),
                request_id: id,
            };
            self.head.clear();
            rewrite::request(&head, &context, &mut self.head);
        }
        Ok(made)
    }

    /// The URL that was asked for.
    fn url<'h>(&self, head: &RequestHead<'h, 'h>) -> Url<'h> {
        let mut forwarded = head.headers.iter().zip(head.kinds).filter(|(_, kind)| **kind == Kind::ForwardedProto);
        let one = forwarded.next().filter(|_| forwarded.next().is_none()).map(|(header, _)| header.value);
        let scheme = redirect::scheme(one, self.chain.http.use_remote_address, self.peer.tls);
        Url { scheme, forwarded_proto: scheme, authority: head.authority }
    }

    /// Counts and logs an exchange that ended, with its plan if its head was taken.
    pub(crate) fn finish(&self, plan: Option<&Plan>, outcome: &Outcome, started: Instant, now: Instant) {
        let duration = now.duration_since(started);
        if plan.is_some() {
            let millis = duration.as_micros().saturating_add(500) / 1000;
            self.worker.count(self.bill.tenant, Metric::ExecutionMs, u64::try_from(millis).unwrap_or(u64::MAX));
        }
        if self.chain.http.access_log {
            record::exchange(&self.worker, &self.peer, &self.note, &self.bill, plan, outcome, duration);
        }
    }
}

/// What a head is read for.
pub(crate) enum Step<'p> {
    /// To decide, at this time of [`crate::clock`].
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
