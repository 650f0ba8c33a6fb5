//! Listeners that come and go while the proxy runs.
//!
//! A listener has one socket, accepted from here and handed to the worker with the fewest
//! connections. Not a socket for each worker (`SO_REUSEPORT`): a connection that waits in the
//! queue of a socket that closes is reset, and load is spread by chance. Not one socket polled by
//! all workers: each connection wakes them all. The hand-over costs a message a connection.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::arrived::{Arrived, Place};
use super::datagrams::Handed;
use super::session_room::{Room, Whole};
use super::thread::{Command, Handle};
use crate::live::Listeners;
use crate::request::table::{ChainTable, ListenerTable};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;
/// Least and greatest time between two tries to bind, or to accept after a failure.
const RETRY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// What became of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerStatus {
    /// Address asked for.
    pub address: SocketAddr,
    /// Address bound: with the port that the system chose where 0 was asked for.
    pub bound: Option<SocketAddr>,
    /// Why it is not bound.
    pub error: Option<String>,
}

/// Listeners by name.
pub type Statuses = BTreeMap<String, ListenerStatus>;

/// What all listeners share.
#[derive(Debug)]
pub(super) struct Hub {
    /// Bound in place of all addresses.
    pub(super) bind: Option<IpAddr>,
    pub(super) workers: Vec<Handle>,
    pub(super) connections: Arc<Semaphore>,
    /// Room for UDP sessions.
    pub(super) sessions: Whole,
    pub(super) statuses: watch::Sender<Statuses>,
    /// The proxy ends: set before the sockets close, so that who sees them closed is told on every
    /// connection.
    pub(super) ending: Arc<AtomicBool>,
}

impl Hub {
    /// Tells every worker.
    pub(super) fn tell(&self, command: impl Fn() -> Command) {
        for worker in &self.workers {
            // A worker that ended has no connections to tell.
            let _ = worker.commands.send(command());
        }
    }

    /// Hands a connection to the worker with the fewest.
    fn hand_over(&self, io: std::net::TcpStream, peer: SocketAddr, listener: Arc<ListenerTable>, permit: Permit) {
        let Some(worker) = self.workers.iter().min_by_key(|worker| worker.load.load(Ordering::Relaxed)) else {
            return;
        };
        worker.load.fetch_add(1, Ordering::Relaxed);
        let place = Place { _permit: permit, load: worker.load.clone() };
        let _ = worker.commands.send(Command::Connection(Arrived { io, peer, listener, _place: place }));
    }

    /// Hands one of a UDP listener's sockets to its worker.
    fn hand_over_datagrams(&self, worker: usize, handed: Handed) {
        if let Some(worker) = self.workers.get(worker) {
            let _ = worker.commands.send(Command::Datagrams(handed));
        }
    }

    /// The address that a listener binds.
    fn own(&self, asked: SocketAddr) -> SocketAddr {
        match self.bind {
            Some(ip) if asked.ip().is_unspecified() && ip.is_ipv4() == asked.is_ipv4() => {
                SocketAddr::new(ip, asked.port())
            }
            _ => asked,
        }
    }

    fn report(&self, name: &str, status: Option<ListenerStatus>) {
        self.statuses.send_if_modified(|statuses| match status {
            Some(status) => statuses.insert(name.into(), status.clone()) != Some(status),
            None => statuses.remove(name).is_some(),
        });
    }
}

type Permit = tokio::sync::OwnedSemaphorePermit;

/// A socket is an address's, so that a listener may pass it to another; where the system chooses
/// the port it is a name's. TCP and UDP have ports of their own.
type Key = (SocketAddr, String, bool);

fn key(table: &ListenerTable) -> Key {
    let name = if table.address.port() == 0 { table.name.clone() } else { String::new() };
    (table.address, name, table.udp.is_some())
}

#[derive(Debug)]
struct Open {
    table: watch::Sender<Arc<ListenerTable>>,
    task: JoinHandle<()>,
}

/// The sockets that are open.
#[derive(Debug)]
pub(super) struct Sockets {
    hub: Arc<Hub>,
    open: HashMap<Key, Open>,
    current: Arc<Listeners>,
}

impl Sockets {
    pub(super) fn new(hub: Arc<Hub>) -> Self {
        Self { hub, open: HashMap::new(), current: Arc::default() }
    }

    /// Opens, passes on and closes sockets so that they are those of `listeners`.
    pub(super) fn apply(&mut self, listeners: Arc<Listeners>) {
        let mut wanted: HashMap<Key, Arc<ListenerTable>> = HashMap::new();
        for (name, table) in listeners.iter() {
            if let Some(other) = wanted.get(&key(table)) {
                let error = format!("address {} is taken by listener {:?}", table.address, other.name);
                tracing::error!(listener = %name, %error, "cannot bind");
                let status = ListenerStatus { address: table.address, bound: None, error: Some(error) };
                self.hub.report(name, Some(status));
            } else {
                wanted.insert(key(table), table.clone());
            }
        }
        for name in self.current.keys().filter(|name| !listeners.contains_key(*name)) {
            self.hub.report(name, None);
        }
        self.retire(&listeners);
        self.open.retain(|key, _| wanted.contains_key(key));
        for (key, table) in wanted {
            match self.open.get(&key) {
                Some(open) => {
                    open.table.send_if_modified(|current| {
                        let changed = !Arc::ptr_eq(current, &table);
                        *current = table;
                        changed
                    });
                }
                None => {
                    let hub = self.hub.clone();
                    let datagrams = table.udp.is_some();
                    let (sender, receiver) = watch::channel(table);
                    let task = if datagrams {
                        tokio::spawn(listen_datagrams(receiver, hub))
                    } else {
                        tokio::spawn(listen(receiver, hub))
                    };
                    self.open.insert(key, Open { table: sender, task });
                }
            }
        }
        self.current = listeners;
    }

    /// Chains that are not there any more end their connections.
    fn retire(&self, listeners: &Listeners) {
        let stays = |chain: &Arc<ChainTable>| {
            listeners.values().flat_map(|table| &table.chains).any(|other| Arc::ptr_eq(chain, other))
        };
        let mut retired = false;
        for chain in self.current.values().flat_map(|table| &table.chains).filter(|chain| !stays(chain)) {
            chain.draining.store(true, Ordering::Relaxed);
            retired = true;
        }
        if retired {
            self.hub.tell(|| Command::Look);
        }
    }

    /// Closes all sockets, once what waited in their queues is handed over.
    pub(super) async fn close(mut self) {
        for (_, Open { table, task }) in self.open.drain() {
            drop(table);
            let _ = task.await;
        }
    }
}

type Tables = watch::Receiver<Arc<ListenerTable>>;

/// Binds, again and again if need be; none where the sender of `tables` is gone before.
async fn bound<S>(tables: &mut Tables, hub: &Hub, bind: impl Fn(SocketAddr) -> io::Result<S>) -> Option<S> {
    let mut pause = RETRY.0;
    loop {
        let table = tables.borrow_and_update().clone();
        match bind(hub.own(table.address)) {
            Ok(socket) => return Some(socket),
            Err(error) => {
                tracing::error!(listener = %table.name, address = %hub.own(table.address), %error, "cannot bind; will try again");
                let error = Some(error.to_string());
                hub.report(&table.name, Some(ListenerStatus { address: table.address, bound: None, error }));
            }
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(RETRY.1),
            changed = tables.changed() => if changed.is_err() { return None },
        }
    }
}

/// Binds a UDP listener, a socket for each worker, and has them served until the sender of `tables` is gone.
async fn listen_datagrams(mut tables: Tables, hub: Arc<Hub>) {
    let workers = hub.workers.len();
    let Some(sockets) = bound(&mut tables, &hub, |address| bind_datagrams(address, workers)).await else { return };
    let bound = sockets.first().and_then(|socket| socket.local_addr().ok());
    tracing::info!(listener = %tables.borrow().name, address = ?bound, "listening for datagrams");
    let room = hub.sessions.listener();
    let mut served = JoinSet::new();
    for (worker, socket) in sockets.into_iter().enumerate() {
        served.spawn(serve_datagrams(socket, worker, tables.clone(), room.clone(), hub.clone()));
    }
    loop {
        let table = tables.borrow_and_update().clone();
        hub.report(&table.name, Some(ListenerStatus { address: table.address, bound, error: None }));
        if tables.changed().await.is_err() {
            break;
        }
    }
    while served.join_next().await.is_some() {}
}

/// Has a worker serve a socket, again where it began anew, until the sender of `tables` is gone.
async fn serve_datagrams(socket: std::net::UdpSocket, worker: usize, mut tables: Tables, room: Room, hub: Arc<Hub>) {
    while tables.has_changed().is_ok() {
        let (_served, mut over) = oneshot::channel();
        match socket.try_clone() {
            Ok(socket) => {
                let handed = Handed { socket, tables: tables.clone(), room: room.clone(), _served };
                hub.hand_over_datagrams(worker, handed);
            }
            Err(error) => {
                tracing::error!(%error, "a UDP listener's socket cannot be handed over");
                tokio::time::sleep(RETRY.1).await;
                continue;
            }
        }
        loop {
            tokio::select! {
                changed = tables.changed() => if changed.is_err() { return },
                // The worker began anew.
                _ = &mut over => break,
            }
        }
    }
}

/// Binds, and accepts, until the sender of `tables` is gone.
async fn listen(mut tables: Tables, hub: Arc<Hub>) {
    let Some(socket) = bound(&mut tables, &hub, bind).await else { return };
    let bound = socket.local_addr().ok();
    let report = |table: &ListenerTable| {
        hub.report(&table.name, Some(ListenerStatus { address: table.address, bound, error: None }));
    };
    let mut table = tables.borrow_and_update().clone();
    report(&table);
    tracing::info!(listener = %table.name, address = ?bound, "listening");
    loop {
        tokio::select! {
            biased;
            changed = tables.changed() => match changed {
                Ok(()) => {
                    table = tables.borrow_and_update().clone();
                    report(&table);
                }
                Err(_) => break,
            },
            () = accept(&socket, &hub, &table) => {}
        }
    }
    // Whoever waits in the queue was let in by the kernel: each is served before the socket closes.
    if let Ok(socket) = socket.into_std() {
        while let Ok(permit) = hub.connections.clone().try_acquire_owned()
            && let Ok((io, peer)) = socket.accept()
        {
            hub.hand_over(io, peer, table.clone(), permit);
        }
    }
    tracing::info!(listener = %table.name, address = ?bound, "closed");
}

/// Accepts one connection, or waits a while where that fails for want of a resource. A call that
/// is dropped has accepted nothing.
async fn accept(socket: &TcpListener, hub: &Hub, table: &Arc<ListenerTable>) {
    let Ok(permit) = hub.connections.clone().acquire_owned().await else { return };
    match socket.accept().await.and_then(|(io, peer)| Ok((io.into_std()?, peer))) {
        Ok((io, peer)) => hub.hand_over(io, peer, table.clone(), permit),
        // The client gave up while it waited.
        Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
        Err(error) => {
            // EMFILE, ENFILE, ENOBUFS: the connection stays in the queue, and accepting at once would spin.
            tracing::error!(listener = %table.name, %error, "cannot accept");
            tokio::time::sleep(RETRY.1 / 4).await;
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // `::` and `0.0.0.0` are listeners of their own.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// So many sockets of one address, among which the system shares out clients by their address and port: always the
/// same one for a client, as long as none comes or goes.
fn bind_datagrams(address: SocketAddr, count: usize) -> io::Result<Vec<std::net::UdpSocket>> {
    let first = datagram_socket(address)?;
    first.bind(&address.into())?;
    // Only now: an address that somebody else has is an error, even if he would share it.
    first.set_reuse_port(true)?;
    let mut sockets = vec![std::net::UdpSocket::from(first)];
    let address = sockets[0].local_addr()?;
    while sockets.len() < count {
        let socket = datagram_socket(address)?;
        socket.set_reuse_port(true)?;
        socket.bind(&address.into())?;
        sockets.push(socket.into());
    }
    Ok(sockets)
}

fn datagram_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// When connections must have ended.
pub(super) fn drain_by(timeout: Duration) -> Instant {
    super::deadline::after(Instant::now(), timeout)
}
