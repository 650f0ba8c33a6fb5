//! A client's connection, plain or TLS.

use std::io::{self, IoSlice, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// A tokio stream, not pingora-core's: that one boxes its stream behind a trait object, buffers
/// reads and writes a second time, and keeps digests that nothing here reads.
#[derive(Debug)]
pub(crate) enum ClientStream {
    /// Plain text.
    Plain(TcpStream),
    /// TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

macro_rules! either {
    ($self:ident, $io:ident => $call:expr) => {
        match $self.get_mut() {
            ClientStream::Plain($io) => $call,
            ClientStream::Tls($io) => $call,
        }
    };
}

impl AsyncRead for ClientStream {
    #[inline]
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self, io => Pin::new(io).poll_read(cx, buf))
    }
}

/// Encrypts some bytes and sends them on.
///
/// Encrypted bytes may wait for the socket when this returns, and leave at a later call. Their count is
/// told now, so whoever is charged for it has been charged before they leave, whenever that is. What was
/// taken before leaves first: so at most one write is counted that the socket does not take in the end.
fn encrypt(
    io: &mut TlsStream<TcpStream>,
    cx: &mut Context<'_>,
    write: impl FnOnce(&mut rustls::Writer<'_>) -> io::Result<usize>,
) -> Poll<io::Result<usize>> {
    ready!(Pin::new(&mut *io).poll_flush(cx))?;
    let taken = write(&mut io.get_mut().1.writer())?;
    // Some of it may have left before a failure; that shows again at the next call.
    let _ = Pin::new(io).poll_flush(cx);
    Poll::Ready(Ok(taken))
}

impl AsyncWrite for ClientStream {
    #[inline]
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            ClientStream::Plain(io) => Pin::new(io).poll_write(cx, buf),
            ClientStream::Tls(io) => encrypt(io, cx, |tls| tls.write(buf)),
        }
    }

    #[inline]
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            ClientStream::Plain(io) => Pin::new(io).poll_write_vectored(cx, bufs),
            ClientStream::Tls(io) => encrypt(io, cx, |tls| tls.write_vectored(bufs)),
        }
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
