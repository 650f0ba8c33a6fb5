//! A connection to an endpoint.

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;

use crate::serve::deadline;
use crate::serve::h1::reader::Reader;
use crate::serve::h1::writer::Writer;
use crate::serve::timers::Timers;

/// An HTTP/1.1 connection to an endpoint, with one exchange at a time.
#[derive(Debug)]
pub(crate) struct Connection {
    /// The socket.
    pub(crate) io: TcpStream,
    /// Responses.
    pub(crate) reader: Reader,
    /// Requests.
    pub(crate) writer: Writer,
    /// The endpoint.
    pub(crate) address: SocketAddr,
    /// It has served an exchange before.
    pub(crate) reused: bool,
}

impl Connection {
    /// Connects, within `timeout` (zero: no limit).
    ///
    /// # Errors
    /// The connect failed or took too long.
    pub(crate) async fn connect(address: SocketAddr, timeout: Duration, timers: &Rc<Timers>) -> io::Result<Self> {
        let connect = pin!(TcpStream::connect(address));
        let io = if timeout.is_zero() {
            connect.await?
        } else {
            deadline::within(timers, timeout, connect).await.ok_or(io::ErrorKind::TimedOut)??
        };
        io.set_nodelay(true)?;
        Ok(Self { io, reader: Reader::default(), writer: Writer::default(), address, reused: false })
    }

    /// The same as [`Self::is_alive`] as far as the runtime has heard, which may be a turn of its
    /// loop old; without a system call. For what can be sent again.
    pub(crate) fn seems_alive(&self) -> bool {
        matches!(self.io.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Whether the peer has neither closed the connection nor said anything unasked. One system
    /// call, so that what has reached this machine is known before the first byte goes out.
    pub(crate) fn is_alive(&self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        matches!(SockRef::from(&self.io).peek(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Makes ready for the next exchange; false if bytes are left that belong to none.
    pub(crate) fn rest(&mut self) -> bool {
        self.reader.finish();
        self.reader.unread().is_empty() && self.writer.is_empty()
    }
}
