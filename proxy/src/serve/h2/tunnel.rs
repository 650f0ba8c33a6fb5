//! A stream that has become a tunnel (RFC 8441): its DATA both ways, as a connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::SendStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::body::{self, Incoming};
use crate::serve::h1::reader::Ready;

/// Both ways of a stream, and what it keeps while it lasts.
#[derive(Debug)]
pub(crate) struct Tunnel<K = ()> {
    incoming: Incoming,
    send: SendStream<Bytes>,
    _keeps: K,
}

impl<K> Tunnel<K> {
    pub(crate) fn new(incoming: Incoming, send: SendStream<Bytes>, keeps: K) -> Self {
        Self { incoming, send, _keeps: keeps }
    }
}

impl<K: Unpin> AsyncRead for Tunnel<K> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match ready!(self.incoming.poll(cx, |_| {})) {
            Ok(Ready::Data) => {
                let n = self.incoming.data().len().min(buf.remaining());
                buf.put_slice(self.incoming.data().get(..n).unwrap_or_default());
                self.incoming.take(n);
                Poll::Ready(Ok(()))
            }
            Ok(Ready::End) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(io::Error::other(error))),
        }
    }
}

impl<K: Unpin> AsyncWrite for Tunnel<K> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        body::poll_send(&mut self.send, cx, buf, |_| {}).map_err(io::Error::other)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.send.send_data(Bytes::new(), true).map_err(io::Error::other))
    }
}
