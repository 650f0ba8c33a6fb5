//! A worker: one thread, one runtime, its connections and its upstream pool. Nothing of a
//! connection leaves its thread, so nothing is locked and no future need be `Send`.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Waker;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{Mutex, Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::LocalSet;
use tokio::time::{Instant, MissedTickBehavior};

use super::stats::{Cells, Stats};
use super::upstream::Upstreams;
use super::{Options, handshake};
use crate::log::AccessLog;
use crate::meter::{Meter, Metric, TenantId};
use crate::request::table::{ChainTable, ListenerTable};

/// Time between two sweeps of the pool.
const SWEEP: Duration = Duration::from_secs(2);
/// After the drain deadline exchanges end by themselves; what has not by then is dropped.
const GRACE: Duration = Duration::from_millis(500);

/// What a worker is told.
#[derive(Debug)]
pub(super) enum Command {
    /// A connection is its to serve.
    Connection(Arrived),
    /// Chains were removed: idle connections look whether theirs was.
    Look,
    /// Finish by then.
    Drain(Instant),
    /// Panic.
    #[cfg(test)]
    Panic,
}

/// An accepted connection.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) io: std::net::TcpStream,
    pub(super) peer: std::net::SocketAddr,
    pub(super) listener: Arc<ListenerTable>,
    pub(super) _place: Place,
}

/// A connection's place among those that may be open; freed when dropped.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) _permit: OwnedSemaphorePermit,
    pub(super) load: Arc<AtomicUsize>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.load.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the accepting side holds of a worker.
#[derive(Debug)]
pub(super) struct Handle {
    /// Bounded by the limit of connections: each message but a few is one.
    pub(super) commands: mpsc::UnboundedSender<Command>,
    /// Connections that it serves.
    pub(super) load: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

impl Handle {
    /// Starts a worker's thread.
    pub(super) fn start(
        index: usize,
        options: Arc<Options>,
        meter: Arc<Meter>,
        log: Option<Arc<AccessLog>>,
        ending: Arc<AtomicBool>,
        stats: Arc<Stats>,
    ) -> io::Result<Self> {
        let (commands, received) = mpsc::unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let run = move || {
            let received = Rc::new(Mutex::new(received));
            // A panic within a connection ends that connection. One outside ends those of this worker, which
            // then begins anew: a worker that is gone would go on being handed connections.
            loop {
                let worker = Rc::new(Worker::new(
                    index,
                    options.clone(),
                    meter.clone(),
                    log.clone(),
                    ending.clone(),
                    stats.clone(),
                ));
                // The set is dropped first: connections that are left end here. As a task of the set the
                // worker is polled when it was woken, not whenever a connection was.
                let serve = || {
                    let set = LocalSet::new();
                    let run = set.spawn_local(worker.run(received.clone()));
                    set.block_on(&runtime, run)
                };
                match catch_unwind(AssertUnwindSafe(serve)) {
                    Ok(Ok(())) => return,
                    _ => {
                        tracing::error!(worker = index, "a worker panicked; its connections ended, and it begins anew")
                    }
                }
            }
        };
        let thread = Builder::new().name(format!("worker-{index}")).spawn(run)?;
        Ok(Self { commands, load: Arc::default(), thread })
    }

    /// Waits for the thread to end.
    pub(super) fn join(self) {
        drop(self.commands);
        if self.thread.join().is_err() {
            tracing::error!("a worker ended by a panic");
        }
    }
}

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
    /// Handshakes under way.
    pub(crate) handshakes: Semaphore,
    /// Access log.
    pub(crate) log: Option<Arc<AccessLog>>,
    stats: Arc<Stats>,
    connections: RefCell<HashMap<u64, Waker>>,
    next_connection: Cell<u64>,
    ended: Notify,
    ending: Arc<AtomicBool>,
    drain_deadline: Cell<Option<Instant>>,
    random: Cell<u64>,
    date: RefCell<(u64, Rc<str>)>,
    names: RefCell<Vec<Option<Arc<str>>>>,
}

impl Worker {
    fn new(
        index: usize,
        options: Arc<Options>,
        meter: Arc<Meter>,
        log: Option<Arc<AccessLog>>,
        ending: Arc<AtomicBool>,
        stats: Arc<Stats>,
    ) -> Self {
        Self {
            index,
            meter,
            upstreams: Upstreams::new(options.pool),
            handshakes: Semaphore::new(options.max_handshakes.max(1)),
            options,
            log,
            stats,
            connections: RefCell::default(),
            next_connection: Cell::new(0),
            ended: Notify::new(),
            ending,
            drain_deadline: Cell::new(None),
            random: Cell::new(rand::random()),
            date: RefCell::new((0, "".into())),
            names: RefCell::default(),
        }
    }

    async fn run(self: Rc<Self>, commands: Rc<Mutex<mpsc::UnboundedReceiver<Command>>>) {
        let mut commands = commands.lock().await;
        let mut told_all = false;
        let mut sweep = tokio::time::interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let deadline = self.drain_deadline.get();
            if deadline.is_some() && self.connections.borrow().is_empty() && commands.is_empty() {
                return;
            }
            let end = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at + GRACE).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                command = commands.recv(), if !told_all => match command {
                    Some(Command::Connection(arrived)) => self.serve(arrived),
                    Some(Command::Look) => self.wake(),
                    #[cfg(test)]
                    Some(Command::Panic) => panic!("a test asked for it"),
                    Some(Command::Drain(at)) => {
                        self.drain_deadline.set(Some(at));
                        self.wake();
                    }
                    // The engine is gone. It has said by when to finish, unless it never ran.
                    None => {
                        told_all = true;
                        self.drain_deadline.set(self.drain_deadline.get().or_else(|| Some(Instant::now())));
                    }
                },
                now = sweep.tick() => self.upstreams.sweep(now),
                () = self.ended.notified() => {}
                () = end => return,
            }
        }
    }

    fn serve(self: &Rc<Self>, arrived: Arrived) {
        let id = self.next_connection.get();
        self.next_connection.set(id + 1);
        self.connections.borrow_mut().insert(id, Waker::noop().clone());
        self.stats().connection();
        let entered = Entered { worker: self.clone(), id };
        tokio::task::spawn_local(async move {
            entered.remember_waker().await;
            handshake::serve(arrived, &entered.worker).await;
        });
    }

    fn wake(&self) {
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

    /// A tenant's name, without the lock that the meter's own table has.
    pub(crate) fn tenant_name(&self, tenant: TenantId) -> Arc<str> {
        let mut names = self.names.borrow_mut();
        let place = tenant.0 as usize;
        if names.len() <= place {
            names.resize(place + 1, None);
        }
        match names.get_mut(place) {
            Some(name) => name.get_or_insert_with(|| self.meter.name(tenant)).clone(),
            None => self.meter.name(tenant),
        }
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

    fn random(&self) -> u64 {
        let state = self.random.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.random.set(state);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
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

/// A connection that the worker knows of; forgotten when dropped.
struct Entered {
    worker: Rc<Worker>,
    id: u64,
}

impl Entered {
    /// Leaves the task's waker with the worker.
    async fn remember_waker(&self) {
        std::future::poll_fn(|cx| {
            self.worker.connections.borrow_mut().insert(self.id, cx.waker().clone());
            std::task::Poll::Ready(())
        })
        .await;
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.worker.connections.borrow_mut().remove(&self.id);
        self.worker.stats().connection_ended();
        self.worker.ended.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever comes after a panic is served: here, with the end of the connection that no chain takes.
    #[test]
    fn a_worker_that_panicked_begins_anew() {
        let meter = Arc::new(Meter::new(1));
        let worker = Handle::start(0, Arc::default(), meter, None, Arc::default(), Arc::new(Stats::new(1))).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let table = Arc::new(ListenerTable::new("l".into(), listener.local_addr().unwrap(), Vec::new()));
        let permits = Arc::new(Semaphore::new(1));
        for _ in 0..3 {
            worker.commands.send(Command::Panic).unwrap();
            let mut client = std::net::TcpStream::connect(table.address).unwrap();
            let (io, peer) = listener.accept().unwrap();
            let permit = permits.clone().try_acquire_owned().unwrap();
            worker.load.fetch_add(1, Ordering::Relaxed);
            let place = Place { _permit: permit, load: worker.load.clone() };
            let arrived = Arrived { io, peer, listener: table.clone(), _place: place };
            worker.commands.send(Command::Connection(arrived)).unwrap();
            assert_eq!(std::io::Read::read(&mut client, &mut [0]).unwrap(), 0, "it is closed");
            while permits.available_permits() == 0 {
                std::thread::yield_now();
            }
        }
        assert_eq!(worker.load.load(Ordering::Relaxed), 0);
        worker.commands.send(Command::Drain(Instant::now())).unwrap();
        worker.join();
    }
}
