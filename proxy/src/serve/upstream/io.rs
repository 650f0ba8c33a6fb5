//! A connection to an endpoint as bytes: plain, TLS, or a stream of HTTP/2 that has become a tunnel.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::shared::Seat;
use crate::serve::h2::tunnel::Tunnel;

/// See the module.
#[derive(Debug)]
pub(crate) enum Io {
    /// Plain text.
    Plain(TcpStream),
    /// TLS.
    Tls(Box<TlsStream<TcpStream>>),
    /// A tunnel, which serves nothing afterwards.
    Stream(Box<Tunnel<Seat>>),
}

impl Io {
    /// Whether the peer neither closed nor said anything unasked, as far as the runtime has heard.
    pub(crate) fn seems_alive(&mut self) -> bool {
        match self {
            Io::Plain(io) => {
                matches!(io.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
            }
            // What TLS says to itself (tickets, keys) is no answer to anybody.
            Io::Tls(io) => {
                let mut byte = [0];
                let mut buf = ReadBuf::new(&mut byte);
                Pin::new(io).poll_read(&mut Context::from_waker(Waker::noop()), &mut buf).is_pending()
            }
            Io::Stream(_) => false,
        }
    }

    /// The same, asked of the system: what has reached this machine is known.
    pub(crate) fn is_alive(&mut self) -> bool {
        let socket = match self {
            Io::Plain(io) => io,
            Io::Tls(io) => io.get_ref().0,
            Io::Stream(_) => return false,
        };
        let mut byte = [MaybeUninit::uninit()];
        match SockRef::from(socket).peek(&mut byte) {
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
            // Bytes of TLS that the runtime has not heard of: they may be a farewell.
            Ok(_) => false,
        }
    }

    /// Whether encrypted bytes wait for the socket.
    pub(crate) fn is_flushed(&self) -> bool {
        match self {
            Io::Plain(_) | Io::Stream(_) => true,
            Io::Tls(io) => !io.get_ref().1.wants_write(),
        }
    }
}

macro_rules! either {
    ($self:ident, $io:ident => $call:expr) => {
        match $self.get_mut() {
            Io::Plain($io) => $call,
            Io::Tls($io) => $call,
            Io::Stream($io) => $call,
        }
    };
}

impl AsyncRead for Io {
    #[inline]
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self, io => Pin::new(io).poll_read(cx, buf))
    }
}

impl AsyncWrite for Io {
    #[inline]
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, io => Pin::new(io).poll_write(cx, buf))
    }

    #[inline]
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, io => Pin::new(io).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    #[inline]
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, io => Pin::new(io).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, io => Pin::new(io).poll_shutdown(cx))
    }
}
