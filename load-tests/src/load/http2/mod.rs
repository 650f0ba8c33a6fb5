//! HTTP/2 on the same one thread as the rest: the `h2` crate's connection is asked when its socket is ready, and
//! tells by a waker which of its streams have got something.

mod io;
mod place;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use h2::client::{Builder, Connection, SendRequest};
use rustls::{ClientConnection, StreamOwned};

use self::io::Io;
use self::place::Place;
use super::{PATIENCE, Target, Tls};
use crate::http::Expected;
use crate::poll;

/// Bytes of a response, and of all together, that may come unasked: a proxy shall never wait for the generator.
const WINDOW: u32 = 1 << 20;
const WINDOWS: u32 = 1 << 26;

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) head: http::Request<()>,
    /// Its body; empty: it has none.
    pub(crate) body: Bytes,
    /// Whether it is gRPC: then a right answer is one message, and `grpc-status: 0` in its trailers.
    pub(crate) grpc: bool,
}

/// An answer in full.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Lines, each with CRLF, as HTTP/1.1 would have them.
    pub(crate) fields: Vec<u8>,
    /// Of gRPC: the message.
    pub(crate) body: Vec<u8>,
}

/// Bytes before a gRPC message: whether it is compressed, and its length.
pub(crate) const PREFIX: usize = 5;

/// A gRPC message as it travels, not compressed.
pub(crate) fn message(bytes: &[u8]) -> Bytes {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    [&[0][..], &length.to_be_bytes(), bytes].concat().into()
}

/// A connection with places for so many requests at one time.
pub(crate) struct Session {
    socket: TcpStream,
    connection: Connection<Io, Bytes>,
    requests: SendRequest<Bytes>,
    expected: Expected,
    places: Vec<Place>,
    wakers: Vec<Waker>,
    woken: Arc<Mutex<Vec<usize>>>,
    /// Those that were woken, while they are looked at.
    looked_at: Vec<usize>,
}

/// Puts a place on the list of those to look at.
struct Woken {
    place: usize,
    list: Arc<Mutex<Vec<usize>>>,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).push(self.place);
    }
}

impl Session {
    /// Connects; what follows does not block.
    pub(crate) fn connect(target: &Target, streams: usize) -> anyhow::Result<Self> {
        let (socket, connection, requests) = open(target.address, target.tls.as_ref())?;
        let woken = Arc::<Mutex<Vec<usize>>>::default();
        let waker = |place| Waker::from(Arc::new(Woken { place, list: woken.clone() }));
        Ok(Self {
            socket,
            connection,
            requests,
            expected: target.expected,
            places: (0..streams).map(|_| Place::Free).collect(),
            wakers: (0..streams).map(waker).collect(),
            woken,
            looked_at: Vec::new(),
        })
    }

    /// Begins a request at a place that is free; it leaves with [`Self::flush`].
    pub(crate) fn send(&mut self, place: usize, call: &Call) -> anyhow::Result<()> {
        let response = begin(&mut self.requests, call)?;
        self.places[place] = Place::asked(response, call.grpc);
        self.look_at(place).map(drop)
    }

    /// Whether places were woken that [`Self::receive`] has not looked at.
    pub(crate) fn heard(&self) -> bool {
        !self.woken.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Writes what was begun. It reads as well: what comes is [`Self::heard`].
    pub(crate) fn flush(&mut self) -> anyhow::Result<()> {
        turn(&mut self.connection, &mut Context::from_waker(Waker::noop()))
    }

    /// Takes what has come; places whose responses are whole, and as expected, are added to `done`.
    ///
    /// # Errors
    /// A wrong response, and an end of the connection.
    pub(crate) fn receive(&mut self, done: &mut Vec<usize>) -> anyhow::Result<()> {
        self.flush()?;
        let mut list = std::mem::take(&mut self.looked_at);
        std::mem::swap(&mut list, &mut *self.woken.lock().unwrap_or_else(PoisonError::into_inner));
        for place in list.drain(..) {
            // A place that was woken twice is free at the second look.
            if self.look_at(place)? {
                done.push(place);
            }
        }
        self.looked_at = list;
        Ok(())
    }

    /// Whether the response at this place is whole now.
    fn look_at(&mut self, place: usize) -> anyhow::Result<bool> {
        let mut cx = Context::from_waker(&self.wakers[place]);
        self.places[place].poll(&mut cx, self.expected)
    }
}

impl AsFd for Session {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A connection, and its socket a second time.
type Opened = (TcpStream, Connection<Io, Bytes>, SendRequest<Bytes>);

fn open(address: SocketAddr, tls: Option<&Tls>) -> anyhow::Result<Opened> {
    let mut stream = TcpStream::connect(address).with_context(|| format!("connect {address}"))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let socket = stream.try_clone()?;
    let io = match tls {
        None => Io::Plain(stream),
        Some(tls) => {
            let mut connection = ClientConnection::new(tls.config.clone(), tls.name.clone())?;
            while connection.is_handshaking() {
                connection.complete_io(&mut stream).context("TLS")?;
            }
            let chosen = connection.alpn_protocol().map(String::from_utf8_lossy);
            ensure!(chosen.as_deref() == Some("h2"), "ALPN chose {chosen:?}, not h2");
            Io::Secured(Box::new(StreamOwned::new(connection, stream)))
        }
    };
    socket.set_nonblocking(true)?;
    let mut builder = Builder::new();
    builder.enable_push(false).initial_window_size(WINDOW).initial_connection_window_size(WINDOWS);
    match pin!(builder.handshake(io)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(opened) => {
            let (requests, connection) = opened.context("HTTP/2")?;
            Ok((socket, connection, requests))
        }
        Poll::Pending => bail!("the preface does not fit the socket"),
    }
}

/// Lets a connection read and write all that it can.
fn turn(connection: &mut Connection<Io, Bytes>, cx: &mut Context<'_>) -> anyhow::Result<()> {
    match Pin::new(connection).poll(cx) {
        Poll::Pending => Ok(()),
        Poll::Ready(Ok(())) => bail!("the connection ended"),
        Poll::Ready(Err(error)) => Err(error).context("HTTP/2"),
    }
}

fn begin(requests: &mut SendRequest<Bytes>, call: &Call) -> anyhow::Result<h2::client::ResponseFuture> {
    let (response, mut body) = requests.send_request(call.head.clone(), call.body.is_empty()).context("send")?;
    if !call.body.is_empty() {
        body.send_data(call.body.clone(), true).context("send")?;
    }
    Ok(response)
}

/// Asks once, on a connection of its own, and takes the answer in full.
///
/// # Errors
/// Besides what fails: an answer to gRPC that is not one message, or whose status is not 0.
pub(crate) fn ask(address: SocketAddr, tls: Option<&Tls>, call: &Call, patience: Duration) -> anyhow::Result<Answer> {
    let (socket, mut connection, mut requests) = open(address, tls)?;
    let mut poll = poll::Poll::new()?;
    poll.add(&socket, 0, poll::Interest::Read)?;
    let response = begin(&mut requests, call)?;
    let mut whole = pin!(place::whole(response, call.grpc));
    let mut cx = Context::from_waker(Waker::noop());
    let (deadline, mut ready) = (Instant::now() + patience, Vec::new());
    loop {
        // An end of the connection may come together with the answer's.
        let turned = turn(&mut connection, &mut cx);
        if let Poll::Ready(answer) = whole.as_mut().poll(&mut cx) {
            return answer;
        }
        turned?;
        ensure!(Instant::now() < deadline, "no answer for {patience:?}");
        poll.wait(Duration::from_millis(100), &mut ready)?;
    }
}
