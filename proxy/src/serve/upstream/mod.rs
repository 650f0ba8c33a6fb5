//! Connections to endpoints: idle ones of this worker, or new ones.

mod connection;
mod io;
mod pool;
mod settled;
mod shared;
mod side;
mod stream;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use connection::Connection;
use connection::Tls;
use pool::{Key, Pool};
use shared::SharedPool;
pub(crate) use side::Upstream;
pub(crate) use stream::Broken;
use stream::Stream;

use weir_config::model::UpstreamProtocol;

use crate::balance::{self, Tries};
use crate::request::cluster::ClusterSlot;
use crate::serve::flag::Flag;
use crate::serve::stats::Cells;
use crate::serve::timers::Timers;

/// Bounds of a worker's idle connections.
#[derive(Clone, Copy, Debug)]
pub struct PoolLimits {
    /// To one endpoint of one cluster.
    pub per_endpoint: usize,
    /// In all.
    pub total: usize,
    /// How long a connection waits for its next request.
    pub idle: Duration,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self { per_endpoint: 128, total: 4096, idle: Duration::from_secs(60) }
    }
}

/// Whether an idle connection will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reuse {
    /// One that may turn out to be closed: the request can be sent again.
    Any,
    /// One that was asked just now.
    Checked,
    /// None: a new connection.
    Never,
    /// None, and no HTTP will be spoken on it, whatever the cluster speaks.
    Bytes,
}

/// The upstream side of a worker.
#[derive(Debug)]
pub(crate) struct Upstreams {
    /// Boxed, since they are moved often and are large.
    pool: RefCell<Pool<Box<Connection>>>,
    shared: SharedPool,
    limits: PoolLimits,
    timers: Rc<Timers>,
}

impl Upstreams {
    /// Nothing is connected.
    pub(crate) fn new(limits: PoolLimits, timers: Rc<Timers>) -> Self {
        Self { pool: RefCell::new(Pool::new(limits)), shared: SharedPool::new(timers.clone()), limits, timers }
    }

    /// A connection to an endpoint of `slot`, as [`balance::pick`] chooses it. Where a connect fails another
    /// endpoint is tried, since nothing was sent; `tries` collects those that failed.
    ///
    /// # Errors
    /// `NC` if the cluster is not known, `UH` if it has no endpoint, `UF` if none could be reached.
    pub(crate) async fn acquire(
        &self,
        slot: &Arc<ClusterSlot>,
        tries: &mut Tries,
        reuse: Reuse,
        stats: &Cells,
    ) -> Result<Upstream, Flag> {
        loop {
            let (address, timeout, protocol, http2, origin) = {
                let table = slot.state.load();
                if !table.known {
                    return Err(Flag::NoCluster);
                }
                match balance::pick(slot, &table, tries) {
                    Some(endpoint) if tries.go_on() => (
                        endpoint.address,
                        table.connect_timeout,
                        table.protocol,
                        table.http2.clone(),
                        table.tls.clone(),
                    ),
                    _ if tries.is_first() => return Err(Flag::NoHealthyUpstream),
                    _ => return Err(Flag::UpstreamConnectionFailure),
                }
            };
            let tls = origin.as_deref().map(|origin| Tls {
                origin,
                config: if reuse == Reuse::Bytes { &origin.bytes } else { &origin.exchanges },
            });
            let fresh = matches!(reuse, Reuse::Never | Reuse::Bytes);
            let connect = async || {
                let connected = Connection::connect(address, timeout, tls, &self.timers).await;
                stats.upstream_connect(connected.is_ok());
                connected
            };
            let key = Key { cluster: slot.id, address, settings: tls.map_or(0, |tls| tls.origin.id) };
            if protocol == UpstreamProtocol::Http2 && reuse != Reuse::Bytes {
                let io = async || connect().await.map(|connection| connection.io);
                match self.shared.seat(key, slot, http2, fresh, io).await {
                    Ok(seat) => return Ok(Upstream::Http2(Box::new(Stream::new(seat, address, tls.is_some())))),
                    Err(error) if no_file(&error) && self.shed() => {}
                    Err(error) => failed(slot, address, &error, tries),
                }
                continue;
            }
            if !fresh && let Some(upstream) = self.idle(key, reuse == Reuse::Checked) {
                return Ok(Upstream::Http1(upstream));
            }
            match connect().await {
                Ok(upstream) => return Ok(Upstream::Http1(Box::new(upstream))),
                // Files of idle connections are for those who need one now.
                Err(error) if no_file(&error) && self.shed() => {}
                Err(error) => failed(slot, address, &error, tries),
            }
        }
    }

    /// Closes an idle connection, or more; false if none is.
    fn shed(&self) -> bool {
        self.pool.borrow_mut().shed() || self.shared.shed()
    }

    fn idle(&self, key: Key, check: bool) -> Option<Box<Connection>> {
        let mut pool = self.pool.borrow_mut();
        loop {
            let mut upstream = pool.take(key)?;
            if upstream.seems_alive() && (!check || upstream.is_alive()) {
                upstream.reused = true;
                return Some(upstream);
            }
        }
    }

    /// Takes back a connection whose exchange ended well, unless its endpoint is gone.
    pub(crate) fn release(&self, slot: &Arc<ClusterSlot>, upstream: Upstream, now: Instant) {
        let Upstream::Http1(mut upstream) = upstream else { return };
        let table = slot.state.load();
        // What was made with other TLS settings proves nothing to these.
        let current = table.tls.as_ref().map_or(0, |origin| origin.id) == upstream.settings;
        if current && table.endpoints.iter().any(|e| e.address == upstream.address) && upstream.rest() {
            let key = Key { cluster: slot.id, address: upstream.address, settings: upstream.settings };
            self.pool.borrow_mut().put(key, slot, upstream, now);
        }
    }

    /// Closes what waited too long, and what belongs to endpoints or clusters that are gone.
    pub(crate) fn sweep(&self, now: Instant) {
        self.pool.borrow_mut().sweep(now);
        self.shared.sweep(now, self.limits.idle);
    }
}

fn failed(slot: &ClusterSlot, address: SocketAddr, error: &std::io::Error, tries: &mut Tries) {
    tracing::debug!(cluster = %slot.name, %address, %error, "connect failed");
    tries.failed.push(address);
}

/// Whether the process or the system has no more files to open.
fn no_file(error: &std::io::Error) -> bool {
    let code = error.raw_os_error().map(rustix::io::Errno::from_raw_os_error);
    matches!(code, Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE))
}
