//! A client's HTTP/2 connection: its frames in one task, each stream's exchange in another.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream};
use tokio::io::{AsyncRead, AsyncWrite};

use super::cork::{Pull, cork};
use super::pulse::Pulse;
use super::stream::Stream;
use super::{
    MAX_STREAMS, REMEMBER_RESETS, REMEMBERED_RESETS, RESETS_BEFORE_ACCEPT, RESETS_BY_ERROR, SEND_BUFFER, WINDOW,
    connection_window,
};
use crate::clock;
use crate::request::table::ChainTable;
use crate::serve::buffer::Buffer;
use crate::serve::deadline::{self, Deadline, after};
use crate::serve::ended::End;
use crate::serve::exchange::{self, Answer, Outcome, Surroundings, drained_at};
use crate::serve::flag::Flag;
use crate::serve::h1::request::Request;
use crate::serve::peer::Peer;
use crate::serve::tunnel;
use crate::serve::worker::Worker;

/// How long a client may take to end a connection that it was told is over.
const FAREWELL: Duration = Duration::from_secs(5);
/// Streams that a client may have reset before it is asked whether it does anything else: from then on, if more than
/// half of its streams ended so, the connection does (Envoy's `premature_reset_total_stream_count`).
const RESETS: u64 = 500;

/// What the streams of a connection tell it.
#[derive(Debug, Default)]
struct Shared {
    open: Cell<usize>,
    total: Cell<u64>,
    /// Streams whose client went away before the response was whole.
    given_up: Cell<u64>,
    /// Why the client was told that the connection is over.
    over: Cell<Option<End>>,
}

impl Shared {
    fn is_abused(&self) -> bool {
        self.given_up.get() >= RESETS && self.given_up.get() * 2 > self.total.get()
    }
}

/// A stream that is open; not any more when dropped.
struct Open(Rc<Shared>);

impl Open {
    fn new(shared: &Rc<Shared>) -> Self {
        shared.open.set(shared.open.get() + 1);
        shared.total.set(shared.total.get() + 1);
        Self(shared.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
    }
}

/// Serves a connection to its end, and counts why it came.
pub(crate) async fn serve<S>(io: S, worker: Rc<Worker>, chain: Arc<ChainTable>, peer: Rc<Peer>)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let end = serve_to_end(io, &worker, chain, peer).await;
    worker.stats().http2_ended(end);
}

async fn serve_to_end<S>(io: S, worker: &Rc<Worker>, chain: Arc<ChainTable>, peer: Rc<Peer>) -> End
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (io, pull) = cork(io);
    let handshake = pin!(settings(&chain).handshake::<_, Bytes>(io));
    let opened = deadline::within(&worker.timers, worker.options.handshake_timeout, handshake).await;
    let Some(Ok(mut connection)) = opened else {
        tracing::debug!(peer = %peer.address, "no HTTP/2 connection came about");
        return End::Handshake;
    };
    let keepalive = chain.http.http2.as_ref().and_then(|given| given.keepalive);
    let mut pulse = Pulse::new(connection.ping_pong(), keepalive, &worker.timers);
    let shared = Rc::<Shared>::default();
    let serve = |request: http::Request<RecvStream>, respond: SendResponse<Bytes>| {
        let open = Open::new(&shared);
        let stream = Request::new(worker.clone(), chain.clone(), peer.clone());
        let (worker, chain) = (worker.clone(), chain.clone());
        // In a box: the runtime would copy the whole exchange, which is large, six times.
        tokio::task::spawn_local(Box::pin(async move {
            let registered = worker.register();
            registered.remember_waker().await;
            exchange(stream, request, respond, &worker, &chain, &open.0).await;
            drop((registered, open));
        }));
    };
    pull.begin();
    let run = pin!(run(&mut connection, &mut pulse, worker, &chain, &shared, serve));
    let end = written(run, &pull).await;
    // However it went after that.
    shared.over.get().unwrap_or(end)
}

/// Carries on `run`, and writes what of it is to be written each time that it comes to rest.
async fn written<S: AsyncWrite + Unpin>(mut run: Pin<&mut impl Future<Output = End>>, pull: &Pull<S>) -> End {
    poll_fn(|cx| {
        let ended = run.as_mut().poll(cx);
        match pull.poll_flush(cx) {
            // Nobody takes it any more.
            Poll::Ready(Err(_)) if ended.is_pending() => Poll::Ready(End::Broken),
            _ => ended,
        }
    })
    .await
}

/// Limits of `h2`, each said, so that none changes unseen with the crate.
fn settings(chain: &ChainTable) -> Builder {
    let given = chain.http.http2.as_deref();
    let streams = given.and_then(|given| given.max_concurrent_streams).unwrap_or(MAX_STREAMS);
    let window = given.and_then(|given| given.stream_window).unwrap_or(WINDOW);
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(streams)
        .initial_window_size(window)
        .initial_connection_window_size(connection_window(given, window, streams))
        .max_header_list_size(u32::try_from(chain.http.max_head_bytes).unwrap_or(u32::MAX))
        .max_send_buffer_size(SEND_BUFFER)
        .max_concurrent_reset_streams(REMEMBERED_RESETS)
        .reset_stream_duration(REMEMBER_RESETS)
        .max_pending_accept_reset_streams(RESETS_BEFORE_ACCEPT)
        .max_local_error_reset_streams(Some(RESETS_BY_ERROR))
        .enable_connect_protocol();
    builder
}

/// Moves frames and begins exchanges, until the connection ends: by the client, or its silence; by idleness; or because its chain or
/// the proxy ends, which it is told (GOAWAY), so that streams under way finish and no new ones come.
async fn run<S: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<S, Bytes>,
    pulse: &mut Pulse,
    worker: &Worker,
    chain: &ChainTable,
    shared: &Shared,
    serve: impl Fn(http::Request<RecvStream>, SendResponse<Bytes>),
) -> End {
    let mut deadline = Deadline::new(&worker.timers);
    // When the client was told that it is over.
    let (mut used, mut told, mut noticed) = (Instant::now(), None, None);
    poll_fn(|cx| {
        let now = Instant::now();
        loop {
            match connection.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => serve(request, respond),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(End::from(&error)),
                Poll::Ready(None) => return Poll::Ready(End::Closed),
                Poll::Pending => break,
            }
        }
        if pulse.poll(cx, false).is_ready() {
            // Its streams find that it is over.
            return Poll::Ready(End::Silent);
        }
        if shared.open.get() > 0 {
            used = now;
        }
        if shared.is_abused() && shared.over.get() != Some(End::Abuse) {
            told = Some(now);
            shared.over.set(Some(End::Abuse));
            connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
            cx.waker().wake_by_ref();
        }
        let idle = after(used, chain.http.idle_timeout);
        let ending = worker.is_ending(chain);
        if told.is_none() && (ending || now >= idle) {
            connection.graceful_shutdown();
            told = Some(now);
            shared.over.set(Some(if ending { End::Drained } else { End::Idle }));
            // What was queued is written at once.
            cx.waker().wake_by_ref();
        }
        let until = match told {
            Some(told) if shared.open.get() == 0 => after(told.max(used), FAREWELL),
            // Streams end by themselves, at the latest with the drain.
            Some(_) => after(now, FAREWELL),
            None => idle,
        };
        let drained = drained_at(worker, chain, &mut noticed).filter(|_| shared.open.get() == 0);
        let until = drained.map_or(until, |at| at.min(until));
        match deadline.poll(cx, until, now) {
            Poll::Ready(()) if told.is_some() && shared.open.get() == 0 => Poll::Ready(End::Closed),
            Poll::Ready(()) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Carries out the exchange of a stream.
async fn exchange(
    request: Request,
    asked: http::Request<RecvStream>,
    respond: SendResponse<Bytes>,
    worker: &Rc<Worker>,
    chain: &Arc<ChainTable>,
    shared: &Shared,
) {
    let started = Instant::now();
    let (parts, body) = asked.into_parts();
    let mut stream = Stream::new(request, body, respond);
    let head = stream.begin(&parts, clock::at(started));
    drop(parts);
    let mut deadline = Deadline::new(&worker.timers);
    let mut around = Surroundings { worker, chain, deadline: &mut deadline, now: started, ended: None };
    let (plan, mut outcome) = match head {
        Ok(plan) => {
            let outcome = exchange::run(&mut stream, &plan, &mut around).await;
            (Some(plan), outcome)
        }
        Err(refused) => {
            let answer = Answer::refusal(refused.status);
            let outcome =
                Outcome { details: refused.reason, ..Outcome::new(refused.status, Flag::DownstreamProtocolError) };
            (None, exchange::answer(&mut stream, answer, outcome, &mut around).await)
        }
    };
    let now = around.ended.unwrap_or_else(Instant::now);
    if let Some(up) = outcome.upgraded.take() {
        stream.request.finish(plan.as_ref(), &outcome, started, now);
        let tenant = stream.request.bill.tenant;
        if let Some(client) = stream.into_tunnel() {
            // `plan` holds the tenant's place meanwhile.
            tunnel::run(client, Buffer::default(), up, worker, chain, chain.http.stream_idle_timeout, tenant).await;
        }
        return;
    }
    if !outcome.complete {
        stream.reset(reason(outcome.flag));
        if outcome.flag == Flag::DownstreamConnectionTermination {
            shared.given_up.set(shared.given_up.get() + 1);
        }
    }
    stream.settle();
    stream.request.finish(plan.as_ref(), &outcome, started, now);
}

/// What a client is told of a response that ends too soon.
fn reason(flag: Flag) -> Reason {
    match flag {
        Flag::DownstreamProtocolError => Reason::PROTOCOL_ERROR,
        Flag::UpstreamRequestTimeout | Flag::StreamIdleTimeout | Flag::Drained => Reason::CANCEL,
        _ => Reason::INTERNAL_ERROR,
    }
}
