//! A connection that began with bytes that were read already: HTTP/2 by prior knowledge shows only after
//! an HTTP/1.1 head was looked for.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::serve::buffer::Buffer;
use crate::serve::stream::ClientStream;

/// Whether a connection that began with these bytes, up to an empty line, speaks HTTP/2 (RFC 9113 section 3.4).
pub(crate) fn is_preface(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PRI * HTTP/2.0\r\n\r\n")
}

/// A client's connection, with what was read of it and not used.
#[derive(Debug)]
pub(crate) struct Rest {
    read: Buffer,
    io: ClientStream,
}

impl Rest {
    /// `read` comes before what `io` has to give.
    pub(crate) fn new(read: Buffer, io: ClientStream) -> Self {
        Self { read, io }
    }
}

impl AsyncRead for Rest {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { read, io } = &mut *self;
        let n = read.unread().len().min(buf.remaining());
        if n == 0 {
            return Pin::new(io).poll_read(cx, buf);
        }
        buf.put_slice(read.unread().get(..n).unwrap_or_default());
        read.consume(n);
        read.give_back();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Rest {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
