//! The engine: accept, HTTP/1.1, HTTP/2, exchange, tunnel, upstream.
//!
//! One thread a worker, each with a runtime of its own: a connection, its buffers and the pool of
//! upstream connections stay on one thread. A client's connection is one task; while an exchange
//! lasts, the same task drives its upstream connection, both ways at once.
//!
//! What is allocated:
//!
//! - for each connection of a client: its task, its timer, the peer's address as text, SNI, five texts
//!   for the access log, and two output buffers that grow to the size of a head (TLS: the handshake's
//!   state, until it is over, and rustls's own);
//! - for each connection to an endpoint: itself, its socket's registration, and an output buffer; its
//!   places in the pool are kept from use to use;
//! - for each request nothing (`tests/costs` counts), but where it is out of the ordinary: a path that
//!   has to be rewritten takes a text, endpoints that refuse a list, trailers a buffer, a head or a
//!   body's wait beyond 16 KiB a larger read buffer; a redirect its location, a CORS policy and a session that is
//!   told the headers; a route that retries or mirrors a box and its request's head and body. Read buffers come from the thread's shelf.
//!
//! System calls of a request on kept connections: two reads, two writes, and a wait for each side;
//! one more, a look at the pooled connection, where the request could not be sent again.
//!
//! Of pingora-core only the program's start uses the server and its signals. Its stream type costs
//! a box, a second buffer each way and timers for each read ([`stream::ClientStream`] says more),
//! its listeners stand still, and its pool is one for all tenants.

mod accept;
mod arrived;
mod bill;
mod buffer;
mod datagrams;
mod deadline;
mod ended;
mod exchange;
mod flag;
pub mod h1;
mod h2;
mod handshake;
mod peer;
mod record;
mod session_room;
mod stats;
mod stream;
mod tcp;
mod thread;
mod timers;
mod tunnel;
mod upstream;
mod worker;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

pub use accept::{ListenerStatus, Statuses};
pub use stats::{Stats, Totals};
pub use upstream::PoolLimits;

use accept::{Hub, Sockets};
use thread::{Command, Handle};

use crate::live::Listeners;
use crate::log::AccessLog;
use crate::meter::Meter;

/// Settings of the engine.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bound in place of all addresses, by listeners of its family that name none.
    pub bind: Option<IpAddr>,
    /// Worker threads, at least one. The meter and the log must be made for as many.
    pub workers: usize,
    /// How long exchanges may go on after shutdown began, or after their listener was removed.
    pub drain_timeout: Duration,
    /// Connections of clients at one time. Beyond it they wait in the kernel's queue.
    pub max_connections: usize,
    /// UDP sessions at one time, of all listeners; each has a socket. Beyond it new ones take the place of others.
    pub max_sessions: usize,
    /// How long a TLS handshake may take.
    pub handshake_timeout: Duration,
    /// TLS handshakes that a worker has under way at one time; others wait.
    pub max_handshakes: usize,
    /// Bounds of each worker's idle upstream connections.
    pub pool: PoolLimits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bind: None,
            workers: 1,
            drain_timeout: Duration::from_secs(30),
            max_connections: 65_536,
            max_sessions: 65_536,
            handshake_timeout: Duration::from_secs(10),
            max_handshakes: 512,
            pool: PoolLimits::default(),
        }
    }
}

/// The engine, before it runs.
#[derive(Debug)]
pub struct Engine {
    listeners: watch::Receiver<Arc<Listeners>>,
    hub: Arc<Hub>,
    options: Arc<Options>,
    stats: Arc<Stats>,
}

impl Engine {
    /// Starts the workers. `log` gets the exchanges of chains that ask for it.
    ///
    /// # Errors
    /// A thread or its runtime cannot be made.
    pub fn new(
        listeners: watch::Receiver<Arc<Listeners>>,
        meter: Arc<Meter>,
        log: Option<Arc<AccessLog>>,
        options: Options,
    ) -> io::Result<Self> {
        let options = Arc::new(options);
        let stats = Arc::new(Stats::new(options.workers.max(1)));
        let ending = Arc::<AtomicBool>::default();
        let workers = (0..options.workers.max(1))
            .map(|index| {
                Handle::start(index, options.clone(), meter.clone(), log.clone(), ending.clone(), stats.clone())
            })
            .collect::<io::Result<_>>()?;
        let connections = Arc::new(Semaphore::new(options.max_connections.clamp(1, Semaphore::MAX_PERMITS)));
        let hub = Hub {
            bind: options.bind,
            workers,
            connections,
            sessions: session_room::Whole::new(options.max_sessions),
            statuses: watch::Sender::default(),
            ending,
        };
        Ok(Self { listeners, hub: Arc::new(hub), options, stats })
    }

    /// What became of each listener: bound where, or why not. For `/listeners` and readiness.
    pub fn statuses(&self) -> watch::Receiver<Statuses> {
        self.hub.statuses.subscribe()
    }

    /// The engine's counters of itself.
    pub fn stats(&self) -> Arc<Stats> {
        self.stats.clone()
    }

    /// Serves until `shutdown` turns true and all exchanges have ended, or the drain timeout has
    /// passed. When `drain` turns true, listeners stop accepting and connections end after the
    /// exchange under way; the engine still waits for `shutdown`. Runs on any tokio runtime.
    pub async fn run(mut self, mut shutdown: watch::Receiver<bool>, mut drain: watch::Receiver<bool>) {
        let mut sockets = Some(Sockets::new(self.hub.clone()));
        let first = self.listeners.borrow_and_update().clone();
        if let Some(sockets) = &mut sockets {
            sockets.apply(first);
        }
        loop {
            tokio::select! {
                () = turned(&mut shutdown) => break,
                () = turned(&mut drain), if sockets.is_some() => self.drain(sockets.take()).await,
                Ok(()) = self.listeners.changed() => {
                    let listeners = self.listeners.borrow_and_update().clone();
                    if let Some(sockets) = &mut sockets {
                        sockets.apply(listeners);
                    }
                }
            }
        }
        if sockets.is_some() {
            self.drain(sockets.take()).await;
        }
        let Self { hub, .. } = self;
        // Workers end by themselves; waiting for a thread must not hold this one.
        let joined = tokio::task::spawn_blocking(move || {
            if let Ok(hub) = Arc::try_unwrap(hub) {
                hub.workers.into_iter().for_each(Handle::join);
            }
        });
        let _ = joined.await;
    }

    async fn drain(&self, sockets: Option<Sockets>) {
        self.hub.ending.store(true, Ordering::Relaxed);
        if let Some(sockets) = sockets {
            sockets.close().await;
        }
        let by = accept::drain_by(self.options.drain_timeout);
        self.hub.tell(|| Command::Drain(by));
    }
}

/// Waits until the flag is true; forever where nobody can set it any more.
async fn turned(flag: &mut watch::Receiver<bool>) {
    if flag.wait_for(|set| *set).await.is_err() {
        std::future::pending::<()>().await;
    }
}
