//! One exchange, whatever the client's protocol: connect or retry, stream both ways, answer where
//! there is no upstream's answer.

mod kept;
mod mirror;
mod plan;
mod relay;
mod retry;

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use weir_config::model::HeaderMutation;

pub(crate) use plan::{Action, Plan, UNCHANGED};
use relay::{End, Relay};

use super::deadline::{Deadline, after};
use super::flag::Flag;
use super::h1::Framing;
use super::h1::reader::{ReadError, Ready};
use super::h1::response_head::ResponseHead;
use super::upstream::{Connection, Reuse};
use super::worker::Worker;
use crate::balance::Tries;
use crate::request::cluster::ClusterSlot;
use crate::request::decide::Budget;
use crate::request::table::{ChainTable, RouteTable};

/// The client's side of an exchange: where its body comes from and its response goes to. Each
/// protocol has one; nothing here is called after the exchange has ended.
pub(crate) trait Downstream {
    /// The request's head, as the upstream gets it. The upstream's buffer is swapped with it.
    fn request_head(&mut self) -> &mut Vec<u8>;
    /// Framing of the request's body toward the upstream.
    fn request_framing(&self) -> Framing;
    /// Whether the method is HEAD.
    fn is_head(&self) -> bool;
    /// Whether the request may be sent again (RFC 9110 section 9.2.2).
    fn is_idempotent(&self) -> bool;
    /// Whether the request asks for another protocol.
    fn wants_upgrade(&self) -> bool;
    /// How long the client waits for the response, where it says so (`grpc-timeout`).
    fn deadline(&self) -> Option<Duration> {
        None
    }
    /// Waits for some of the request's body, or its end.
    fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Result<Ready, ReadError>>;
    /// What of the body is ready.
    fn request_data(&self) -> &[u8];
    /// Uses some of it.
    fn take_request(&mut self, n: usize);
    /// Trailer lines of a body that ended.
    fn request_trailers(&self) -> &[u8];
    /// Makes the request ready to be sent again; false if it is no longer held.
    fn rewind(&mut self, plan: &Plan) -> bool;
    /// Ready if the client went away. Asked after the whole request was read.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()>;
    /// Passes on an interim response (1xx but 101).
    fn interim(&mut self, head: &ResponseHead<'_, '_>);
    /// Whether a response of this status is not what is wanted: it is not passed on, and the exchange ends with
    /// [`End::Declined`]. Asked before [`Self::respond`].
    fn declines(&mut self, _status: u16) -> bool {
        false
    }
    /// Passes on the final head, or 101, that the endpoint `from` gave.
    fn respond(&mut self, head: &ResponseHead<'_, '_>, plan: &Plan, from: SocketAddr);
    /// Writes what waits and some of `data`, of which it gives how much was taken.
    fn poll_response(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>>;
    /// Ends the response's body.
    fn end_response(&mut self, trailers: &[u8]);
    /// Writes all that waits.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// Begins an answer of our own. No response has begun.
    fn answer(&mut self, answer: Answer<'_>);
}

/// An answer of our own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer<'a> {
    /// Status.
    pub(crate) status: u16,
    /// Seconds until it is worth another try.
    pub(crate) retry_after: Option<u32>,
    /// Where else to go.
    pub(crate) location: Option<&'a [u8]>,
    /// State of the budget that was asked.
    pub(crate) budget: Option<Budget>,
    /// Headers of the proxy's own, after all other changes.
    pub(crate) own: Option<&'a HeaderMutation>,
    /// The route that answers (`direct_response`, `redirect`).
    pub(crate) route: Option<&'a RouteTable>,
    /// Whether the connection ends with it, where it can carry only one exchange at a time.
    pub(crate) close: bool,
    /// It answers a client whose own deadline passed ([`Downstream::deadline`]).
    pub(crate) deadline: bool,
}

impl Answer<'_> {
    /// A status and nothing else; the connection goes on.
    pub(crate) fn refusal(status: u16) -> Self {
        Self {
            status,
            retry_after: None,
            location: None,
            budget: None,
            own: None,
            route: None,
            close: false,
            deadline: false,
        }
    }
}

/// How an exchange ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Status that the client got; 0 if none.
    pub(crate) status: u16,
    /// Why.
    pub(crate) flag: Flag,
    /// More on it, where there is more (`response_code_details`).
    pub(crate) details: &'static str,
    /// The endpoint that served it.
    pub(crate) endpoint: Option<SocketAddr>,
    /// The response was written to its last byte.
    pub(crate) complete: bool,
    /// The connection now speaks another protocol.
    pub(crate) upgraded: Option<Box<Connection>>,
}

impl Outcome {
    /// An end of this status and flag, with nothing else to say.
    pub(crate) fn new(status: u16, flag: Flag) -> Self {
        Self { status, flag, details: "", endpoint: None, complete: false, upgraded: None }
    }
}

/// What surrounds an exchange.
#[derive(Debug)]
pub(crate) struct Surroundings<'s> {
    /// The worker.
    pub(crate) worker: &'s Rc<Worker>,
    /// The chain that the connection arrived at.
    pub(crate) chain: &'s Arc<ChainTable>,
    /// The connection's timer.
    pub(crate) deadline: &'s mut Deadline,
    /// When the exchange, or this try of it, began.
    pub(crate) now: Instant,
    /// When the exchange ended, where the clock was read then.
    pub(crate) ended: Option<Instant>,
}

/// Carries out `plan`.
pub(crate) async fn run<D: Downstream>(down: &mut D, plan: &Plan, around: &mut Surroundings<'_>) -> Outcome {
    match &plan.action {
        Action::Answer { status, flag, location } => {
            let retry_after = plan.budget.filter(|_| *flag == Flag::RateLimited).map(|b| b.reset.max(1));
            let route = plan.route.as_deref().filter(|_| *flag == Flag::None && !plan.is_preflight());
            let own = plan.own_headers(None);
            let own = own.as_deref();
            let location = location.as_deref();
            let answer = Answer { retry_after, location, budget: plan.budget, own, route, ..Answer::refusal(*status) };
            self::answer(down, answer, Outcome::new(*status, *flag), around).await
        }
        Action::Forward(cluster) => match plan.kept() {
            None => forward(down, plan, cluster, &mut plan.tries(), around).await,
            // Boxed, so that plain exchanges do not bear its size.
            Some(extras) => Box::pin(retry::forward(down, plan, cluster, extras, around)).await,
        },
    }
}

/// Writes an answer of our own.
pub(crate) async fn answer<D: Downstream>(
    down: &mut D,
    answer: Answer<'_>,
    mut outcome: Outcome,
    around: &mut Surroundings<'_>,
) -> Outcome {
    down.answer(answer);
    let until = after(Instant::now(), around.chain.http.stream_idle_timeout);
    outcome.complete = matches!(around.deadline.limit(until, |cx| down.poll_flush(cx)).await, Some(Ok(())));
    outcome
}

async fn forward<D: Downstream>(
    down: &mut D,
    plan: &Plan,
    cluster: &Arc<ClusterSlot>,
    tries: &mut Tries,
    around: &mut Surroundings<'_>,
) -> Outcome {
    let upstreams = &around.worker.upstreams;
    let repeatable = down.is_idempotent() && down.request_framing() == Framing::None;
    let mut reuse = if repeatable { Reuse::Any } else { Reuse::Checked };
    loop {
        let mut up = match upstreams.acquire(cluster, tries, reuse, around.worker.stats()).await {
            Ok(up) => up,
            Err(flag) => {
                let route = plan.route.as_ref().filter(|_| flag == Flag::NoCluster);
                let status = route.map_or(503, |route| route.missing);
                return refuse(down, status, Outcome::new(status, flag), plan, around).await;
            }
        };
        let reused = up.is_reused();
        if !reused {
            // The connect took its time.
            around.now = Instant::now();
        }
        let (framing, upgrade) = (down.request_framing(), down.wants_upgrade());
        up.begin(down.request_head(), framing, upgrade);
        let mut relay = Relay::new(down, &mut up, plan, around);
        let end = std::future::poll_fn(|cx| relay.poll(cx)).await;
        let (status, whole, untouched) = (relay.status(), relay.is_request_whole(), relay.is_untouched());
        if matches!(end, End::RouteTimeout | End::Idle) {
            up.distrust();
        }
        let mut outcome = Outcome { endpoint: Some(up.address()), ..Outcome::new(status, Flag::None) };
        match end {
            End::Complete { reusable } => {
                let now = *around.ended.insert(Instant::now());
                if reusable {
                    upstreams.release(cluster, up, now);
                }
                outcome.complete = true;
                return outcome;
            }
            End::Upgraded => {
                outcome.complete = true;
                outcome.upgraded = up.into_connection();
                return outcome;
            }
            // The endpoint closed an idle connection just when it was used again: what may be sent
            // twice is sent once more, on a connection that cannot be stale.
            End::UpstreamClosed if reused && untouched && down.is_idempotent() && down.rewind(plan) => {
                reuse = Reuse::Never;
            }
            // Nothing was done with it, whatever it is: another connection may have it.
            End::UpstreamUnprocessed if untouched && reuse != Reuse::Never && down.rewind(plan) => {
                reuse = Reuse::Never;
            }
            End::UpstreamClosed
            | End::UpstreamReset
            | End::UpstreamUnprocessed
            | End::UpstreamRefused(_)
            | End::RouteTimeout
            | End::ClientDeadline
            | End::Idle
            | End::RequestRefused(_)
                if status == 0 =>
            {
                let (own, flag, details) = own_answer(&end, whole);
                outcome = Outcome { status: own, flag, details, ..outcome };
                return refuse(down, own, outcome, plan, around).await;
            }
            _ => {
                let (_, flag, details) = own_answer(&end, whole);
                return Outcome { flag, details, ..outcome };
            }
        }
    }
}

/// Details of an exchange that took longer than its client said it would wait.
const CLIENT_DEADLINE: &str = "client_deadline";

/// Details of an exchange with which the endpoint did nothing.
const UNPROCESSED: &str = "upstream_unprocessed";

/// Status, flag and details of an end that was not as it should be.
fn own_answer(end: &End, whole: bool) -> (u16, Flag, &'static str) {
    match end {
        End::UpstreamClosed => (502, Flag::UpstreamConnectionTermination, "upstream_closed"),
        End::UpstreamReset => (502, Flag::UpstreamRemoteReset, "upstream_reset"),
        End::UpstreamUnprocessed => (503, Flag::UpstreamRemoteReset, UNPROCESSED),
        End::UpstreamRefused(refused) => (502, Flag::UpstreamProtocolError, refused.reason),
        End::ClientDeadline => (504, Flag::UpstreamRequestTimeout, CLIENT_DEADLINE),
        End::RouteTimeout => (504, Flag::UpstreamRequestTimeout, "route_timeout"),
        // As Envoy: whose silence it was decides the status.
        End::Idle => (if whole { 504 } else { 408 }, Flag::StreamIdleTimeout, "stream_idle_timeout"),
        End::RequestRefused(refused) => (refused.status, Flag::DownstreamProtocolError, refused.reason),
        End::ClientGone => (0, Flag::DownstreamConnectionTermination, "client_gone"),
        // Whoever declines it says what becomes of it.
        End::Declined(status) => (*status, Flag::None, "declined"),
        End::Drained => (0, Flag::Drained, "drain_timeout"),
        End::Complete { .. } | End::Upgraded => (0, Flag::None, ""),
    }
}

async fn refuse<D: Downstream>(
    down: &mut D,
    status: u16,
    outcome: Outcome,
    plan: &Plan,
    around: &mut Surroundings<'_>,
) -> Outcome {
    let close = matches!(outcome.flag, Flag::DownstreamProtocolError | Flag::StreamIdleTimeout);
    let own = plan.own_headers(None);
    let (own, deadline) = (own.as_deref(), outcome.details == CLIENT_DEADLINE);
    let answer = Answer { close, deadline, own, ..Answer::refusal(status) };
    self::answer(down, answer, outcome, around).await
}

/// How long an exchange goes on after its chain or the whole proxy began to end.
pub(super) fn drained_at(worker: &Worker, chain: &ChainTable, noticed: &mut Option<Instant>) -> Option<Instant> {
    if let Some(at) = worker.drain_deadline() {
        return Some(at);
    }
    if !chain.draining.load(std::sync::atomic::Ordering::Relaxed) {
        return None;
    }
    let timeout: Duration = worker.options.drain_timeout;
    Some(*noticed.get_or_insert_with(|| after(Instant::now(), timeout)))
}
