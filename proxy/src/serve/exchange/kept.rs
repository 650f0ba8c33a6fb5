//! A client's side of which the request is kept while it may have to be sent again, and copied as it passes. Toward
//! the relay it is like any other; what is not passed on to the client, [`super::retry`] decides about.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::mirror::Copies;
use super::{Answer, Downstream, Plan};
use crate::request::cluster::ClusterSlot;
use crate::request::retry::{Counted, Failure, Retries, RetryLimit, RetryTable};
use crate::serve::h1::Framing;
use crate::serve::h1::reader::{ReadError, Ready};
use crate::serve::h1::response_head::ResponseHead;
use crate::serve::stats::Cells;

/// Most bytes of a body that are kept. A request with more is sent once.
pub(super) const MOST_KEPT: usize = 64 * 1024;

/// How a try ended, as far as the client is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The client has a response, or is gone.
    Passed,
    /// A response was declined: another try may begin.
    Declined,
    /// There was none. The client has not been answered.
    Unanswered,
}

/// Tries that may still be made.
pub(super) struct Attempts<'p> {
    /// The policy.
    pub(super) table: &'p RetryTable,
    /// The cluster's, of all its requests.
    retries: &'p Retries,
    /// How many of those there may be.
    limit: RetryLimit,
    /// Retries made.
    pub(super) made: u32,
    /// Held while a retry is under way that has no response yet.
    permit: Option<Counted<'p>>,
}

impl<'p> Attempts<'p> {
    pub(super) fn new(table: &'p RetryTable, cluster: &'p ClusterSlot) -> Self {
        Self { table, retries: &cluster.retries, limit: cluster.state.load().retries, made: 0, permit: None }
    }
}

/// See the module.
pub(super) struct Kept<'d, 'p, D> {
    down: &'d mut D,
    stats: &'p Cells,
    attempts: Option<Attempts<'p>>,
    copies: Copies,
    /// The head as it goes out, and as it goes out with the next try.
    out: Vec<u8>,
    head: Vec<u8>,
    /// What was taken of the body; none where it was let go.
    body: Option<Vec<u8>>,
    /// How much of it this try has taken.
    at: usize,
    ended: Ended,
    /// Something was passed on to the client.
    begun: bool,
    /// When the exchange began, when this try did, and when the request was whole.
    began: Instant,
    try_began: Instant,
    /// When this try had a connection, on which its request is sent.
    sent_at: Option<Instant>,
    whole_at: Option<Instant>,
    /// The route's limit, from then on.
    timeout: Option<Duration>,
}

impl<'d, 'p, D: Downstream> Kept<'d, 'p, D> {
    /// Begins the first try. `timeout` is the route's.
    pub(super) fn new(
        down: &'d mut D,
        attempts: Option<Attempts<'p>>,
        copies: Copies,
        timeout: Option<Duration>,
        stats: &'p Cells,
        now: Instant,
    ) -> Self {
        let out = std::mem::take(down.request_head());
        Self {
            head: out.clone(),
            body: Some(Vec::new()),
            down,
            stats,
            attempts,
            copies,
            out,
            at: 0,
            ended: Ended::Passed,
            begun: false,
            began: now,
            try_began: now,
            sent_at: None,
            whole_at: None,
            timeout,
        }
    }

    /// How the try ended.
    pub(super) fn ended(&self) -> Ended {
        self.ended
    }

    /// The client's own side.
    pub(super) fn down(&mut self) -> &mut D {
        self.down
    }

    /// The retries, where the route has any.
    pub(super) fn attempts(&self) -> Option<&Attempts<'p>> {
        self.attempts.as_ref()
    }

    /// Whether another try may begin: counts it, if so.
    pub(super) fn grant(&mut self) -> bool {
        let Some(attempts) = self.attempts.as_mut().filter(|_| self.body.is_some() && !self.begun) else {
            return false;
        };
        attempts.permit = None;
        if attempts.made >= attempts.table.attempts {
            return false;
        }
        attempts.permit = attempts.retries.retry(attempts.limit);
        if attempts.permit.is_none() {
            self.stats.retry_refused();
            return false;
        }
        attempts.made += 1;
        self.stats.retry();
        true
    }

    /// Counts a request that goes out anew within a try, since its connection was closed. Where that would be retried
    /// it is a retry: an endpoint gets no request more often than the route says. Within the budget it is not: an
    /// idle connection may end at any time, and no request should fail by that.
    fn count_again(&mut self) -> bool {
        let Some(attempts) = self.attempts.as_mut().filter(|attempts| attempts.table.wants(Failure::Reset)) else {
            return true;
        };
        let left = attempts.made < attempts.table.attempts;
        if left {
            attempts.made += 1;
            self.stats.retry();
        }
        left
    }

    /// Begins another try.
    pub(super) fn restart(&mut self, now: Instant) {
        self.ended = Ended::Passed;
        self.try_began = now;
        self.sent_at = None;
        self.replay();
    }

    fn replay(&mut self) {
        self.at = 0;
        self.out.clear();
        self.out.extend_from_slice(&self.head);
    }

    /// When the route's time is over, once that is known.
    pub(super) fn ends_at(&self) -> Option<Instant> {
        self.whole_at?.checked_add(self.timeout?)
    }

    /// Whether what ended this try was that it took too long, and another may yet be quicker.
    pub(super) fn was_slow(&self) -> bool {
        let Some(per_try) = self.per_try() else { return false };
        let others = [self.client_left(), self.route_left()];
        others.into_iter().flatten().all(|left| per_try < left)
    }

    /// Whether what ended this try was the end of the route's time.
    pub(super) fn was_late(&self) -> bool {
        self.route_left().is_some_and(|left| self.client_left().is_none_or(|client| left <= client))
    }

    /// A try's limit, from when it had a connection. As at Envoy it counts from when the request is whole: whoever is
    /// slow to send it is not answered for.
    fn per_try(&self) -> Option<Duration> {
        let per_try = self.attempts.as_ref()?.table.per_try?;
        Some(self.whole_at?.saturating_duration_since(self.sent_at?).saturating_add(per_try))
    }

    /// What was left of the client's patience when this try began.
    fn client_left(&self) -> Option<Duration> {
        let spent = self.try_began.saturating_duration_since(self.began);
        Some(self.down.deadline()?.saturating_sub(spent))
    }

    /// What was left of the route's time when this try began; the first one is the relay's to watch.
    fn route_left(&self) -> Option<Duration> {
        let again = self.attempts.as_ref().is_some_and(|attempts| attempts.made > 0);
        self.ends_at().filter(|_| again).map(|at| at.saturating_duration_since(self.try_began))
    }

    /// Ready if the client went away. Nobody asks before the whole request was read.
    pub(super) fn poll_away(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.whole_at.is_some() { self.down.poll_gone(cx) } else { Poll::Pending }
    }

    /// What of the body is here again.
    fn again(&self) -> &[u8] {
        self.body.as_ref().and_then(|body| body.get(self.at..)).unwrap_or_default()
    }

    /// Keeps and copies what is taken for the first time.
    fn keep(&mut self, n: usize) {
        let data = self.down.request_data().get(..n).unwrap_or_default();
        self.copies.push(data, self.stats);
        if let Some(body) = &mut self.body {
            if body.len() + n > MOST_KEPT {
                self.body = None;
                self.at = 0;
            } else {
                body.extend_from_slice(data);
                self.at = body.len();
            }
        }
    }
}

impl<D: Downstream> Downstream for Kept<'_, '_, D> {
    fn request_head(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    fn request_framing(&self) -> Framing {
        self.down.request_framing()
    }

    fn is_head(&self) -> bool {
        self.down.is_head()
    }

    fn is_idempotent(&self) -> bool {
        self.down.is_idempotent()
    }

    fn wants_upgrade(&self) -> bool {
        self.down.wants_upgrade()
    }

    fn deadline(&self) -> Option<Duration> {
        let per_try = self.per_try().filter(|_| !self.begun);
        [per_try, self.client_left(), self.route_left()].into_iter().flatten().min()
    }

    fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Result<Ready, ReadError>> {
        self.sent_at.get_or_insert_with(Instant::now);
        if !self.again().is_empty() {
            return Poll::Ready(Ok(Ready::Data));
        }
        if self.whole_at.is_some() {
            return Poll::Ready(Ok(Ready::End));
        }
        let polled = self.down.poll_request(cx);
        if let Poll::Ready(Ok(Ready::End)) = polled {
            self.whole_at = Some(Instant::now());
            self.copies.end(self.down.request_trailers());
        }
        polled
    }

    fn request_data(&self) -> &[u8] {
        match self.again() {
            [] => self.down.request_data(),
            again => again,
        }
    }

    fn take_request(&mut self, n: usize) {
        if !self.again().is_empty() {
            self.at += n;
            return;
        }
        self.keep(n);
        self.down.take_request(n);
    }

    fn request_trailers(&self) -> &[u8] {
        self.down.request_trailers()
    }

    fn rewind(&mut self, _: &Plan) -> bool {
        // What the client's side holds is not asked for: copies would get it twice.
        let again = self.body.is_some() && self.count_again();
        if again {
            self.replay();
        }
        again
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.down.poll_gone(cx)
    }

    fn interim(&mut self, head: &ResponseHead<'_, '_>) {
        self.begun = true;
        self.down.interim(head);
    }

    fn declines(&mut self, status: u16) -> bool {
        let wanted = self.attempts.as_ref().is_some_and(|attempts| attempts.table.wants_status(status));
        let declined = wanted && self.grant();
        if declined {
            self.ended = Ended::Declined;
        }
        declined
    }

    fn respond(&mut self, head: &ResponseHead<'_, '_>, plan: &Plan, from: SocketAddr) {
        self.begun = true;
        self.body = None;
        self.at = 0;
        if let Some(attempts) = &mut self.attempts {
            attempts.permit = None;
        }
        self.down.respond(head, plan, from);
    }

    fn poll_response(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.down.poll_response(cx, data)
    }

    fn end_response(&mut self, trailers: &[u8]) {
        self.down.end_response(trailers);
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.ended == Ended::Unanswered { Poll::Ready(Ok(())) } else { self.down.poll_flush(cx) }
    }

    fn answer(&mut self, _: Answer<'_>) {
        self.ended = Ended::Unanswered;
    }
}
