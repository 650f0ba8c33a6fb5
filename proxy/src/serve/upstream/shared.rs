//! HTTP/2 connections to endpoints, which many exchanges of this worker share: few connections, balanced by how
//! many streams each has open.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::hash::BuildHasherDefault;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Mutex;
use weir_config::model::Http2Options;

use super::pool::{Key, KeyHasher};
use super::settled::Settled;
use crate::request::cluster::ClusterSlot;
use crate::serve::h2::connection_window;
use crate::serve::h2::pulse::{Pulse, Silent};
use crate::serve::timers::Timers;

/// Streams of one connection, at most, whatever more the endpoint allows, where the cluster says nothing.
const STREAMS: u32 = 100;
/// Connections to one endpoint of one cluster. When all are full, streams wait on the one with the fewest.
const CONNECTIONS: usize = 16;
/// Bytes of a response that may wait for the client that reads it, where the cluster says nothing.
const WINDOW: u32 = 128 * 1024;
/// Bytes of a request that wait for the endpoint's connection, at most.
const SEND_BUFFER: usize = 64 * 1024;
/// Largest response head, in bytes (Envoy's 60 KiB).
const MAX_HEAD: u32 = 60 * 1024;
/// Streams that were reset and are remembered, and for how long, so that frames that crossed a reset are no errors.
const REMEMBERED_RESETS: (usize, Duration) = (256, Duration::from_secs(5));

/// A connection.
pub(crate) struct Shared {
    pub(super) requests: RefCell<SendRequest<Bytes>>,
    open: Cell<usize>,
    pub(super) has_served: Cell<bool>,
    /// No further stream is begun: it ended, the endpoint is leaving it, or does not answer on it.
    over: Rc<Cell<bool>>,
    idle_since: Cell<Instant>,
    settled: Rc<Settled>,
    /// What it was made with.
    options: Option<Arc<Http2Options>>,
    /// Most streams at one time.
    streams: usize,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("open", &self.open).field("over", &self.over).finish_non_exhaustive()
    }
}

impl Shared {
    /// Begins no further stream here.
    pub(super) fn retire(&self) {
        self.over.set(true);
    }

    /// Whether the endpoint takes extended CONNECT (RFC 8441 section 3), once that is known.
    pub(super) fn poll_takes_tunnels(&self, cx: &mut Context<'_>) -> Poll<bool> {
        let takes = || self.requests.borrow().is_extended_connect_protocol_enabled();
        // A connection that has ended takes nothing at all, which shows when it is tried.
        Poll::Ready(takes() || !ready!(self.settled.poll(cx)) || takes())
    }

    fn has_room(&self) -> bool {
        self.open.get() < self.requests.borrow().current_max_send_streams().min(self.streams)
    }

    fn is_idle_at(&self, now: Instant, limit: Duration) -> bool {
        self.open.get() == 0 && now.duration_since(self.idle_since.get()) >= limit
    }
}

/// A stream's place on a connection; free again when dropped.
#[derive(Debug)]
pub(crate) struct Seat(pub(super) Rc<Shared>);

impl Seat {
    fn take(shared: &Rc<Shared>) -> Self {
        shared.open.set(shared.open.get() + 1);
        Self(shared.clone())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
        if self.0.open.get() == 0 {
            self.0.idle_since.set(Instant::now());
        }
    }
}

/// Connections to one endpoint of one cluster.
#[derive(Debug)]
struct Place {
    slot: Weak<ClusterSlot>,
    connections: Vec<Rc<Shared>>,
    /// One connects at a time: whoever waits may find room on what came of it.
    gate: Rc<Mutex<()>>,
    /// When a connect failed last.
    failed: Option<Instant>,
}

/// The connections of a worker.
#[derive(Debug)]
pub(super) struct SharedPool {
    places: RefCell<HashMap<Key, Place, BuildHasherDefault<KeyHasher>>>,
    timers: Rc<Timers>,
}

impl SharedPool {
    pub(super) fn new(timers: Rc<Timers>) -> Self {
        Self { places: RefCell::default(), timers }
    }

    /// A place on a connection with these `options`, or on a `new` one, which `connect` makes.
    ///
    /// # Errors
    /// What `connect` says; or the same in a word, where a connect failed while this one waited for it.
    pub(super) async fn seat<S, F>(
        &self,
        key: Key,
        slot: &Arc<ClusterSlot>,
        options: Option<Arc<Http2Options>>,
        new: bool,
        connect: impl FnOnce() -> F,
    ) -> io::Result<Seat>
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
        F: Future<Output = io::Result<S>>,
    {
        let began = Instant::now();
        if !new && let Some(seat) = self.free(key, options.as_ref()) {
            return Ok(seat);
        }
        let gate = self.gate(key, slot);
        let _turn = gate.lock().await;
        if !new && let Some(seat) = self.free(key, options.as_ref()) {
            return Ok(seat);
        }
        if self.places.borrow().get(&key).and_then(|place| place.failed).is_some_and(|failed| failed > began) {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let opened = match connect().await {
            Ok(io) => open(io, options, &self.timers).await,
            Err(error) => Err(error),
        };
        let mut places = self.places.borrow_mut();
        let place = places.entry(key).or_insert_with(|| Place::new(slot));
        match opened {
            Ok(shared) => {
                let seat = Seat::take(&shared);
                place.connections.push(shared);
                Ok(seat)
            }
            Err(error) => {
                place.failed = Some(Instant::now());
                Err(error)
            }
        }
    }

    /// A place on the connection that has the fewest streams, if it has room or there may be no further one.
    fn free(&self, key: Key, options: Option<&Arc<Http2Options>>) -> Option<Seat> {
        let mut places = self.places.borrow_mut();
        let connections = &mut places.get_mut(&key)?.connections;
        // Those of other settings end with their last stream.
        connections.retain(|shared| !shared.over.get() && shared.options.as_ref() == options);
        let fewest = connections.iter().min_by_key(|shared| (!shared.has_room(), shared.open.get()))?;
        (fewest.has_room() || connections.len() >= CONNECTIONS).then(|| Seat::take(fewest))
    }

    fn gate(&self, key: Key, slot: &Arc<ClusterSlot>) -> Rc<Mutex<()>> {
        self.places.borrow_mut().entry(key).or_insert_with(|| Place::new(slot)).gate.clone()
    }

    /// Lets go of what is over, or idle for `limit`, or belongs to an endpoint that is gone: it ends with its last stream.
    pub(super) fn sweep(&self, now: Instant, limit: Duration) {
        self.places.borrow_mut().retain(|key, place| {
            let serves = |slot: Arc<ClusterSlot>| slot.state.load().endpoints.iter().any(|e| e.address == key.address);
            if !place.slot.upgrade().is_some_and(serves) {
                return false;
            }
            place.connections.retain(|shared| !shared.over.get() && !shared.is_idle_at(now, limit));
            !place.connections.is_empty() || Rc::strong_count(&place.gate) > 1
        });
    }

    /// Closes what is idle; false if nothing is.
    pub(super) fn shed(&self) -> bool {
        let mut shed = false;
        for place in self.places.borrow_mut().values_mut() {
            let before = place.connections.len();
            place.connections.retain(|shared| shared.open.get() > 0);
            shed |= place.connections.len() < before;
        }
        shed
    }
}

impl Place {
    fn new(slot: &Arc<ClusterSlot>) -> Self {
        Self { slot: Arc::downgrade(slot), connections: Vec::new(), gate: Rc::default(), failed: None }
    }
}

/// Begins HTTP/2 on a connection. A task of its own moves its frames, until it ends: by the endpoint, or when
/// nobody holds it any more and its last stream is over.
async fn open<S: AsyncRead + AsyncWrite + Unpin + 'static>(
    io: S,
    options: Option<Arc<Http2Options>>,
    timers: &Rc<Timers>,
) -> io::Result<Rc<Shared>> {
    let given = options.as_deref();
    let streams = given.and_then(|given| given.max_concurrent_streams).unwrap_or(STREAMS);
    let window = given.and_then(|given| given.stream_window).unwrap_or(WINDOW);
    let keepalive = given.and_then(|given| given.keepalive);
    let (remembered, remember) = REMEMBERED_RESETS;
    let (requests, mut connection) = Builder::new()
        .enable_push(false)
        .initial_max_send_streams(streams as usize)
        .initial_window_size(window)
        .initial_connection_window_size(connection_window(given, window, streams))
        .max_header_list_size(MAX_HEAD)
        .max_send_buffer_size(SEND_BUFFER)
        .max_concurrent_reset_streams(remembered)
        .reset_stream_duration(remember)
        .handshake::<_, Bytes>(io)
        .await
        .map_err(io::Error::other)?;
    let over = Rc::<Cell<bool>>::default();
    let settled = Rc::<Settled>::default();
    let (ended, news) = (over.clone(), settled.clone());
    let mut pulse = Pulse::new(connection.ping_pong(), keepalive, timers);
    tokio::task::spawn_local(async move {
        let end = poll_fn(|cx| match Pin::new(&mut connection).poll(cx) {
            Poll::Ready(end) => Poll::Ready(Some(end)),
            Poll::Pending => news.drive(&mut pulse, cx).map(|Silent| None),
        });
        match end.await {
            Some(Ok(())) => {}
            Some(Err(error)) => tracing::debug!(%error, "an HTTP/2 connection to an endpoint ended"),
            None => tracing::debug!("an HTTP/2 connection to an endpoint ended: no PING was answered"),
        }
        ended.set(true);
        news.settle(false);
    });
    Ok(Rc::new(Shared {
        requests: RefCell::new(requests),
        open: Cell::new(0),
        has_served: Cell::new(false),
        over,
        idle_since: Cell::new(Instant::now()),
        settled,
        options,
        streams: streams as usize,
    }))
}
