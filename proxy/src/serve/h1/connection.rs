//! An HTTP/1.1 connection: request after request, until one side ends it.

use std::future::poll_fn;
use std::ops::Range;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::AsyncWrite;

use super::client::Client;
use super::reader::ReadError;
use super::{Framing, Refused};
use crate::request::table::ChainTable;
use crate::serve::deadline::{Deadline, after};
use crate::serve::exchange::{self, Answer, Outcome, Plan, Surroundings};
use crate::serve::flag::Flag;
use crate::serve::peer::Peer;
use crate::serve::stream::ClientStream;
use crate::serve::worker::Worker;
use crate::serve::{h2, tunnel};

/// How long a client that was answered early may go on sending, and how much, so that the answer
/// is not lost to a reset (RFC 9112 section 9.6).
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: u64 = 1024 * 1024;
/// A head that the listener sets no limit for must be whole within this.
const HEAD_TIMEOUT: Duration = Duration::from_secs(3600);

/// Serves a connection to its end.
pub(crate) async fn serve(io: ClientStream, worker: Rc<Worker>, chain: Arc<ChainTable>, peer: Peer) {
    let mut client = Client::new(io, worker.clone(), chain.clone(), peer);
    let mut deadline = Deadline::new(&worker.timers);
    let mut now = Instant::now();
    let mut first = true;
    loop {
        let next = next_head(&mut client, &mut deadline, &chain, &mut now, first).await;
        if first && h2::is_preface(client.reader.unread()) && !client.request.peer.speaks_http1 {
            let Client { io, reader, request, .. } = client;
            // Boxed: what it needs is more than an HTTP/1.1 connection does.
            let rest = h2::Rest::new(reader.into_buffer(), io);
            return Box::pin(h2::serve(rest, worker, chain, request.peer)).await;
        }
        let (started, head) = match next {
            Next::Head(started, range) => (started, client.begin(range, now)),
            Next::Refused(started, refused) => {
                client.refuse_head();
                (started, Err(refused))
            }
            Next::Quiet => break,
        };
        first = false;
        let mut around = Surroundings { worker: &worker, chain: &chain, deadline: &mut deadline, now, ended: None };
        let (plan, mut outcome) = exchange(&mut client, &mut around, head).await;
        now = around.ended.unwrap_or_else(Instant::now);
        let upgraded = outcome.upgraded.take();
        let orderly = plan.is_some() && client.reader.is_whole() && client.reader.unread().is_empty();
        if upgraded.is_none() && !(outcome.complete && client.keep) {
            client.settle();
        }
        client.request.finish(plan.as_ref(), &outcome, started, now);
        if let Some(up) = upgraded {
            // `plan` holds the tenant's place meanwhile.
            let tenant = client.request.bill.tenant;
            tunnel::run(
                client.io,
                client.reader.into_buffer(),
                up,
                &worker,
                &chain,
                chain.http.stream_idle_timeout,
                tenant,
            )
            .await;
            drop(plan);
            return;
        }
        if !outcome.complete {
            return cut(client, outcome.status);
        }
        if !client.keep {
            return close(&mut client, &mut deadline, orderly).await;
        }
        client.next();
    }
    client.settle();
    let _ = poll_fn(|cx| Pin::new(&mut client.io).poll_shutdown(cx)).await;
}

/// What came instead of, or with, the next head.
enum Next {
    Head(Instant, Range<usize>),
    Refused(Instant, Refused),
    /// Nothing to answer: the connection ends.
    Quiet,
}

/// Waits for the next head: as long as an idle connection may, until its first byte; from then as
/// long as a head may take. A connection that is to end waits for no next request, but for a first
/// one: it was accepted to be served. Nothing waits beyond the drain deadline. `now` is kept up.
async fn next_head(
    client: &mut Client,
    deadline: &mut Deadline,
    chain: &ChainTable,
    now: &mut Instant,
    first: bool,
) -> Next {
    let http = &chain.http;
    let head_timeout = if http.request_headers_timeout.is_zero() { HEAD_TIMEOUT } else { http.request_headers_timeout };
    let idle_until = after(*now, http.idle_timeout);
    let (mut started, mut noticed, mut woken) = (None, None, false);
    poll_fn(|cx| {
        if std::mem::replace(&mut woken, true) {
            *now = Instant::now();
        }
        let polled = client.reader.poll_head(&mut client.io, cx, http.max_head_bytes);
        let begun = !client.reader.unread().is_empty();
        match polled {
            Poll::Ready(Ok(range)) => {
                return Poll::Ready(Next::Head(started.unwrap_or(*now), range));
            }
            Poll::Ready(Err(ReadError::Refused(refused))) => {
                return Poll::Ready(Next::Refused(started.unwrap_or(*now), refused));
            }
            Poll::Ready(Err(ReadError::Closed | ReadError::Reset | ReadError::Unprocessed)) => {
                return Poll::Ready(Next::Quiet);
            }
            Poll::Pending if !begun && !first && client.request.worker.is_ending(chain) => {
                return Poll::Ready(Next::Quiet);
            }
            Poll::Pending => {}
        }
        if begun && started.is_none() {
            started = Some(*now);
        }
        let until = started.map_or(idle_until, |started| after(started, head_timeout));
        let drained = exchange::drained_at(&client.request.worker, chain, &mut noticed);
        let until = drained.map_or(until, |at| at.min(until));
        deadline.poll(cx, until, *now).map(|()| match started {
            Some(started) => Next::Refused(started, Refused { status: 408, reason: "head_timeout" }),
            None => Next::Quiet,
        })
    })
    .await
}

async fn exchange(
    client: &mut Client,
    around: &mut Surroundings<'_>,
    head: Result<Plan, Refused>,
) -> (Option<Plan>, Outcome) {
    match head {
        Ok(plan) => {
            let outcome = exchange::run(client, &plan, around).await;
            (Some(plan), outcome)
        }
        Err(Refused { status, reason }) => {
            let answer = Answer { close: true, ..Answer::refusal(status) };
            let flag = if status == 408 { Flag::StreamIdleTimeout } else { Flag::DownstreamProtocolError };
            let outcome = Outcome { details: reason, ..Outcome::new(status, flag) };
            (None, exchange::answer(client, answer, outcome, around).await)
        }
    }
}

/// Ends a connection whose response was cut short, so that the client sees it: chunks and lengths
/// show it by themselves, a body that lasts until the end needs a reset.
fn cut(client: Client, status: u16) {
    if status != 0 && client.framing == Framing::Close {
        let ClientStream::Plain(io) = &client.io else { return };
        let _ = socket2::SockRef::from(io).set_linger(Some(Duration::ZERO));
    }
}

/// Ends a connection: says so, then reads what the client may still be sending, unless nothing is
/// to come.
async fn close(client: &mut Client, deadline: &mut Deadline, orderly: bool) {
    let until = after(Instant::now(), LINGER);
    let shutdown = deadline.limit(until, |cx| Pin::new(&mut client.io).poll_shutdown(cx)).await;
    if orderly || !matches!(shutdown, Some(Ok(()))) {
        return;
    }
    let mut left = LINGER_BYTES;
    let drained = |cx: &mut Context<'_>| -> Poll<()> {
        while left > 0 {
            match ready!(client.reader.poll_more(&mut client.io, cx)) {
                Ok(n @ 1..) => {
                    left = left.saturating_sub(n as u64);
                    client.settle();
                }
                Ok(0) | Err(_) => break,
            }
        }
        Poll::Ready(())
    };
    deadline.limit(until, drained).await;
}
