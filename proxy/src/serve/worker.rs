//! What a worker's connections share: counters, the upstream pool, the log. Nothing of it leaves the
//! worker's thread, so nothing is locked.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{Notify, Semaphore};

use super::Options;
use super::stats::{Cells, Stats};
use super::timers::Timers;
use super::upstream::Upstreams;
use crate::log::AccessLog;
use crate::meter::{Meter, Metric, TenantId};
use crate::request::table::ChainTable;

/// The state of a worker's thread.
#[derive(Debug)]
pub(crate) struct Worker {
    /// Its number, by which it counts.
    pub(crate) index: usize,
    /// Counters.
    pub(crate) meter: Arc<Meter>,
    /// Settings.
    pub(crate) options: Arc<Options>,
    /// Connections to endpoints.
    pub(crate) upstreams: Upstreams,
    /// Timers.
    pub(crate) timers: Rc<Timers>,
    /// Handshakes under way.
    pub(crate) handshakes: Semaphore,
    /// Access log.
    pub(crate) log: Option<Arc<AccessLog>>,
    stats: Arc<Stats>,
    /// Connections that it serves, and their streams, each with what wakes it.
    pub(super) connections: RefCell<HashMap<u64, Waker>>,
    next_connection: Cell<u64>,
    /// Rings when a connection has ended.
    pub(super) ended: Notify,
    ending: Arc<AtomicBool>,
    /// Copies of requests that it has under way.
    pub(super) copies: Cell<usize>,
    pub(super) drain_deadline: Cell<Option<Instant>>,
    random: Cell<u64>,
    date: RefCell<(u64, Rc<str>)>,
}

impl Worker {
    pub(super) fn new(
        index: usize,
        options: Arc<Options>,
        meter: Arc<Meter>,
        log: Option<Arc<AccessLog>>,
        ending: Arc<AtomicBool>,
        stats: Arc<Stats>,
        timers: Rc<Timers>,
    ) -> Self {
        Self {
            index,
            meter,
            upstreams: Upstreams::new(options.pool, timers.clone()),
            timers,
            handshakes: Semaphore::new(options.max_handshakes.max(1)),
            options,
            log,
            stats,
            connections: RefCell::default(),
            next_connection: Cell::new(0),
            ended: Notify::new(),
            ending,
            copies: Cell::new(0),
            drain_deadline: Cell::new(None),
            random: Cell::new(rand::random()),
            date: RefCell::new((0, "".into())),
        }
    }

    /// Wakes all connections, to look what has changed.
    pub(super) fn wake(&self) {
        for waker in self.connections.borrow().values() {
            waker.wake_by_ref();
        }
    }

    /// When exchanges must have ended, once the proxy is shutting down.
    pub(crate) fn drain_deadline(&self) -> Option<Instant> {
        self.drain_deadline.get()
    }

    /// Whether connections of `chain` end after the exchange under way.
    pub(crate) fn is_ending(&self, chain: &ChainTable) -> bool {
        self.ending.load(Ordering::Relaxed) || chain.draining.load(Ordering::Relaxed)
    }

    /// The worker's cells of the engine's counters.
    #[inline]
    pub(crate) fn stats(&self) -> &Cells {
        self.stats.of(self.index)
    }

    /// Counts.
    #[inline]
    pub(crate) fn count(&self, tenant: TenantId, metric: Metric, n: u64) {
        self.meter.add(self.index, tenant, metric, n);
    }

    /// A new `x-request-id`: a UUID of version 4. It tells requests apart and is no secret, so a
    /// small generator (splitmix64, seeded by the system) serves.
    pub(crate) fn request_id(&self) -> [u8; 36] {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        const PLACES: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
        let bits = u128::from(self.random()) << 64 | u128::from(self.random());
        let bits = bits & !(0xf << 76) & !(0x3 << 62) | 4 << 76 | 2 << 62;
        let mut id = [b'-'; 36];
        for (place, byte) in PLACES.into_iter().zip(bits.to_be_bytes()) {
            id[place] = HEX[usize::from(byte >> 4)];
            id[place + 1] = HEX[usize::from(byte & 15)];
        }
        id
    }

    /// A number of chance, which is no secret.
    pub(crate) fn random(&self) -> u64 {
        let state = self.random.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.random.set(state);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A random key for a WebSocket handshake (RFC 6455 section 4.1): 16 bytes in base64. It is no secret.
    pub(crate) fn websocket_key(&self) -> [u8; 24] {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let bits = u128::from(self.random()) << 64 | u128::from(self.random());
        let mut key = [b'='; 24];
        for (place, digit) in key.iter_mut().take(21).enumerate() {
            *digit = DIGITS[(bits >> (122 - 6 * place) & 63) as usize];
        }
        key[21] = DIGITS[((bits & 3) << 4) as usize];
        key
    }

    /// Enters a task whose end the worker waits for when it drains, and that it wakes when something changed.
    pub(crate) fn register(self: &Rc<Self>) -> Registered {
        let id = self.next_connection.get();
        self.next_connection.set(id + 1);
        self.connections.borrow_mut().insert(id, Waker::noop().clone());
        Registered { worker: self.clone(), id }
    }

    /// Now, as `Date` wants it; formatted once a second.
    pub(crate) fn date(&self) -> Rc<str> {
        let second = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let mut date = self.date.borrow_mut();
        if date.0 != second || date.1.is_empty() {
            let time = jiff::Timestamp::from_second(i64::try_from(second).unwrap_or(0)).unwrap_or_default();
            *date = (second, time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string().into());
        }
        date.1.clone()
    }
}

/// A task that the worker knows of; forgotten when dropped.
#[derive(Debug)]
pub(crate) struct Registered {
    worker: Rc<Worker>,
    id: u64,
}

impl Registered {
    /// Leaves the task's waker with the worker.
    pub(crate) async fn remember_waker(&self) {
        std::future::poll_fn(|cx| {
            self.worker.connections.borrow_mut().insert(self.id, cx.waker().clone());
            std::task::Poll::Ready(())
        })
        .await;
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.worker.connections.borrow_mut().remove(&self.id);
        self.worker.ended.notify_one();
    }
}
