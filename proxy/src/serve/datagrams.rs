//! UDP: a session for each client's address, to one endpoint, until nothing moves any more.
//!
//! Each worker has a socket of a listener's, and the sessions of the clients that the system leads there: always the
//! same ones. No datagram is kept: what a socket does not take
//! at once is lost, as UDP allows, so a session holds no bytes. Datagrams are charged one way when they are read from
//! the client's side, the other when they are written to it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use socket2::SockRef;
use tokio::net::UdpSocket;
use tokio::sync::{oneshot, watch};

use super::deadline::{Deadline, after};
use super::flag::Flag;
use super::peer::Peer;
use super::record::{self, Bytes};
use super::session_room::{Order, Place, Room, Worth};
use super::worker::Worker;
use crate::balance::{self, Tries};
use crate::meter::Metric;
use crate::request::cluster::ClusterSlot;
use crate::request::table::{ListenerTable, ProxiedTable};

/// Datagrams that are taken from a socket before others have their turn.
const BURST: usize = 64;
/// The largest datagram, in bytes.
const LARGEST: usize = 65_535;

/// A socket that a worker is to serve.
#[derive(Debug)]
pub(super) struct Handed {
    pub(super) socket: std::net::UdpSocket,
    /// Ends when the listener does.
    pub(super) tables: watch::Receiver<Arc<ListenerTable>>,
    /// Of the listener.
    pub(super) room: Room,
    /// Tells, by being dropped, that it is not served any more.
    pub(super) _served: oneshot::Sender<()>,
}

/// Serves a worker's socket of a UDP listener until that is gone.
pub(super) async fn serve(handed: Handed, worker: Rc<Worker>) {
    let Handed { socket, mut tables, room, _served } = handed;
    let socket = match UdpSocket::from_std(socket) {
        Ok(socket) => Rc::new(socket),
        Err(error) => return tracing::error!(%error, "a UDP listener cannot be served"),
    };
    loop {
        let Some(proxied) = tables.borrow_and_update().udp.clone() else { return };
        let sessions = Rc::new(Sessions {
            socket: socket.clone(),
            worker: worker.clone(),
            proxied,
            room: room.clone(),
            by_client: RefCell::default(),
            order: RefCell::default(),
            buffer: RefCell::new(vec![0; LARGEST].into()),
        });
        let stays = tokio::select! {
            biased;
            changed = tables.changed() => changed.is_ok(),
            () = sessions.receive() => false,
        };
        // They may be another tenant's now, or go elsewhere.
        sessions.end();
        if !stays {
            return;
        }
    }
}

/// The sessions of a listener, as its table says.
struct Sessions {
    socket: Rc<UdpSocket>,
    worker: Rc<Worker>,
    proxied: Arc<ProxiedTable>,
    room: Room,
    by_client: RefCell<HashMap<SocketAddr, Rc<Session>>>,
    order: RefCell<Order>,
    /// Of replies; used within one call.
    buffer: RefCell<Box<[u8]>>,
}

struct Session {
    client: SocketAddr,
    /// Connected to the endpoint.
    socket: UdpSocket,
    endpoint: SocketAddr,
    cluster: Arc<ClusterSlot>,
    started: Instant,
    last: Cell<Instant>,
    received: Cell<u64>,
    sent: Cell<u64>,
    /// Why it ends, once it is to.
    over: Cell<Option<Flag>>,
    waker: RefCell<Option<Waker>>,
    /// Whether its client sent something after it had a reply: nobody forges its address then.
    proven: Cell<bool>,
    /// Where it is in the order.
    filed: Cell<Worth>,
    /// None once another has it.
    place: RefCell<Option<Place>>,
}

impl Sessions {
    /// Takes what clients send, for ever.
    async fn receive(self: &Rc<Self>) {
        let mut buffer = vec![0; LARGEST];
        while self.socket.readable().await.is_ok() {
            for _ in 0..BURST {
                match self.socket.try_recv_from(&mut buffer) {
                    Ok((n, client)) => self.datagram(client, buffer.get(..n).unwrap_or_default()),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // What the network said of a datagram that was sent before.
                    Err(_) => {}
                }
            }
            tokio::task::yield_now().await;
        }
    }

    /// Passes on a client's datagram.
    fn datagram(self: &Rc<Self>, client: SocketAddr, bytes: &[u8]) {
        self.worker.count(self.proxied.tenant.id(), Metric::TunnelRequestBytes, bytes.len() as u64);
        let Some(session) = self.session(client) else { return };
        session.last.set(Instant::now());
        session.proven.set(session.proven.get() || session.sent.get() > 0);
        session.received.set(session.received.get() + bytes.len() as u64);
        // Asked of the system: the runtime does not know a new socket to be writable yet.
        match SockRef::from(&session.socket).send(bytes) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => session.finish(Flag::UpstreamConnectionFailure),
        }
    }

    /// The client's session; a new one, where there is none or its endpoint is gone.
    fn session(self: &Rc<Self>, client: SocketAddr) -> Option<Rc<Session>> {
        let current = self.by_client.borrow().get(&client).cloned();
        if let Some(session) = current {
            if session.over.get().is_none() && session.endpoint_stays() {
                return Some(session);
            }
            session.finish(Flag::UpstreamConnectionTermination);
        }
        let Some(place) = self.room.take().or_else(|| self.shed()) else {
            self.worker.stats().session_refused();
            return None;
        };
        match Session::open(client, self.proxied.choose(), place) {
            Ok(session) => {
                let session = Rc::new(session);
                self.order.borrow_mut().insert(session.filed.get());
                self.by_client.borrow_mut().insert(client, session.clone());
                tokio::task::spawn_local(run(session.clone(), self.clone()));
                Some(session)
            }
            Err(flag) => {
                self.worker.stats().response(0, flag);
                None
            }
        }
    }

    /// The place of the session that is worth least, which ends.
    fn shed(&self) -> Option<Place> {
        let by_client = self.by_client.borrow();
        let of = |filed: &Worth| by_client.get(&filed.2).filter(|session| session.filed.get() == *filed);
        let (_, _, client) = self.order.borrow_mut().pop(|filed| {
            let worth = of(filed)?.worth();
            of(filed)?.filed.set(worth);
            Some(worth)
        })?;
        let session = by_client.get(&client)?;
        self.worker.stats().session_shed();
        session.finish(Flag::StreamIdleTimeout);
        session.place.borrow_mut().take()
    }

    /// Ends all.
    fn end(&self) {
        self.by_client.borrow().values().for_each(|session| session.finish(Flag::Drained));
    }

    /// Passes on what an endpoint sent.
    fn reply(&self, session: &Session, bytes: &[u8]) {
        let tenant = self.proxied.tenant.id();
        let metric = Metric::TunnelResponseBytes;
        let writing = self.worker.meter.begin_write(self.worker.index, tenant, metric, bytes.len() as u64);
        if let Ok(n) = SockRef::from(&*self.socket).send_to(bytes, &session.client.into()) {
            writing.done(n as u64);
            session.sent.set(session.sent.get() + n as u64);
        }
    }
}

/// Serves a session to its end: what the endpoint sends, and silence.
async fn run(session: Rc<Session>, sessions: Rc<Sessions>) {
    let registered = sessions.worker.register();
    registered.remember_waker().await;
    let mut deadline = Deadline::new(&sessions.worker.timers);
    let flag = poll_fn(|cx| {
        *session.waker.borrow_mut() = Some(cx.waker().clone());
        session.poll(cx, &sessions, &mut deadline)
    })
    .await;
    let mut by_client = sessions.by_client.borrow_mut();
    if by_client.get(&session.client).is_some_and(|current| Rc::ptr_eq(current, &session)) {
        by_client.remove(&session.client);
    }
    drop(by_client);
    sessions.order.borrow_mut().remove(&session.filed.get());
    if sessions.proxied.access_log {
        let peer = Peer::datagrams(session.client);
        let moved = Bytes { received: session.received.get(), sent: session.sent.get() };
        let (tenant, endpoint) = (sessions.proxied.tenant.name(), Some(session.endpoint));
        let (worker, cluster) = (&sessions.worker, &session.cluster);
        record::connection(worker, &peer, "UDP", tenant, cluster, endpoint, flag, moved, session.started);
    }
}

impl Session {
    fn open(client: SocketAddr, cluster: &Arc<ClusterSlot>, place: Place) -> Result<Self, Flag> {
        let table = cluster.state.load();
        if !table.known {
            return Err(Flag::NoCluster);
        }
        let endpoint = balance::pick(cluster, &table, &Tries::default()).ok_or(Flag::NoHealthyUpstream)?.address;
        let socket = connected(endpoint).map_err(|error| {
            tracing::debug!(cluster = %cluster.name, %endpoint, %error, "no socket for a UDP session");
            Flag::UpstreamConnectionFailure
        })?;
        let now = Instant::now();
        Ok(Self {
            client,
            socket,
            endpoint,
            cluster: cluster.clone(),
            started: now,
            last: Cell::new(now),
            received: Cell::new(0),
            sent: Cell::new(0),
            over: Cell::new(None),
            waker: RefCell::new(None),
            proven: Cell::new(false),
            filed: Cell::new((false, now, client)),
            place: RefCell::new(Some(place)),
        })
    }

    fn worth(&self) -> Worth {
        (self.proven.get(), self.last.get(), self.client)
    }

    /// Whether its endpoint still takes requests.
    fn endpoint_stays(&self) -> bool {
        self.cluster.state.load().endpoints.iter().any(|endpoint| endpoint.address == self.endpoint)
    }

    /// Ends it.
    fn finish(&self, flag: Flag) {
        self.over.set(self.over.get().or(Some(flag)));
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    fn poll(&self, cx: &mut Context<'_>, sessions: &Sessions, deadline: &mut Deadline) -> Poll<Flag> {
        if let Some(flag) = self.over.get() {
            return Poll::Ready(flag);
        }
        let mut buffer = sessions.buffer.borrow_mut();
        for left in (0..BURST).rev() {
            match self.socket.poll_recv_ready(cx) {
                Poll::Pending => break,
                Poll::Ready(Err(_)) => return Poll::Ready(Flag::UpstreamConnectionFailure),
                Poll::Ready(Ok(())) => {}
            }
            match self.socket.try_recv(&mut buffer) {
                Ok(n) => {
                    self.last.set(Instant::now());
                    sessions.reply(self, buffer.get(..n).unwrap_or_default());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                // Nobody listens there: the client's next datagram goes to another.
                Err(_) => return Poll::Ready(Flag::UpstreamConnectionFailure),
            }
            if left == 0 {
                cx.waker().wake_by_ref();
            }
        }
        let idle = after(self.last.get(), sessions.proxied.idle_timeout);
        deadline.poll(cx, idle, Instant::now()).map(|()| Flag::None)
    }
}

fn connected(endpoint: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr =
        if endpoint.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = std::net::UdpSocket::bind(any)?;
    socket.connect(endpoint)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}
