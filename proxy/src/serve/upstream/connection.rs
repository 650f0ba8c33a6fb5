//! A connection to an endpoint.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::io::Io;
use crate::serve::deadline;
use crate::serve::h1::reader::Reader;
use crate::serve::h1::writer::Writer;
use crate::serve::timers::Timers;
use crate::tls::Origin;

/// An HTTP/1.1 connection to an endpoint, with one exchange at a time.
#[derive(Debug)]
pub(crate) struct Connection {
    /// The socket.
    pub(crate) io: Io,
    /// Responses.
    pub(crate) reader: Reader,
    /// Requests.
    pub(crate) writer: Writer,
    /// The endpoint.
    pub(crate) address: SocketAddr,
    /// The TLS settings that it was made with; 0: none.
    pub(super) settings: u64,
    /// It has served an exchange before.
    pub(crate) reused: bool,
}

/// TLS of a connection that is made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tls<'t> {
    pub(super) origin: &'t Origin,
    pub(super) config: &'t Arc<ClientConfig>,
}

impl Connection {
    /// Connects, within `timeout` (zero: no limit), which includes the TLS handshake.
    ///
    /// # Errors
    /// The connect or the handshake failed or took too long.
    pub(super) async fn connect(
        address: SocketAddr,
        timeout: Duration,
        tls: Option<Tls<'_>>,
        timers: &Rc<Timers>,
    ) -> io::Result<Self> {
        let io = match tls {
            None => Io::Plain(limited(timeout, timers, pin!(open(address))).await?),
            // Boxed: it takes more room than all else of an exchange, and is over before that begins.
            Some(tls) => limited(timeout, timers, Box::pin(secure(address, tls))).await?,
        };
        let settings = tls.map_or(0, |tls| tls.origin.id);
        Ok(Self { io, reader: Reader::default(), writer: Writer::default(), address, settings, reused: false })
    }

    /// The same as [`Self::is_alive`] as far as the runtime has heard, which may be a turn of its
    /// loop old; without a system call. For what can be sent again.
    pub(crate) fn seems_alive(&mut self) -> bool {
        self.io.seems_alive()
    }

    /// Whether the peer has neither closed the connection nor said anything unasked. One system
    /// call, so that what has reached this machine is known before the first byte goes out.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.io.is_alive()
    }

    /// Makes ready for the next exchange; false if bytes are left that belong to none.
    pub(crate) fn rest(&mut self) -> bool {
        self.reader.finish();
        self.reader.unread().is_empty() && self.writer.is_empty()
    }
}

/// `work`, if it ends within `time` (zero: no limit).
async fn limited<T>(
    time: Duration,
    timers: &Rc<Timers>,
    work: impl Future<Output = io::Result<T>> + Unpin,
) -> io::Result<T> {
    if time.is_zero() {
        return work.await;
    }
    deadline::within(timers, time, work).await.ok_or(io::ErrorKind::TimedOut)?
}

async fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

async fn secure(address: SocketAddr, Tls { origin, config }: Tls<'_>) -> io::Result<Io> {
    let socket = open(address).await?;
    let stream = TlsConnector::from(config.clone()).connect(origin.name.clone(), socket).await?;
    // RFC 7301 lets an endpoint choose nothing; one that chose must have chosen what will be spoken.
    let chosen = stream.get_ref().1.alpn_protocol();
    if chosen.is_some_and(|chosen| !config.alpn_protocols.iter().any(|offered| offered == chosen)) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the endpoint chose a protocol that was not offered"));
    }
    Ok(Io::Tls(Box::new(stream)))
}
