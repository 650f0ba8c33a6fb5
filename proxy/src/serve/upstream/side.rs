//! The upstream's side of an exchange, whatever protocol the endpoint speaks. Heads are in HTTP/1.1's
//! form on both ways: what a head means is then read in one place.

use std::net::SocketAddr;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;

use super::connection::Connection;
use super::stream::{Broken, Stream};
use crate::serve::h1::Framing;
use crate::serve::h1::reader::{ReadError, Ready};

/// What one exchange has of an endpoint.
#[derive(Debug)]
pub(crate) enum Upstream {
    /// A connection of its own.
    Http1(Box<Connection>),
    /// A stream of a connection that other exchanges use too.
    Http2(Box<Stream>),
}

impl Upstream {
    /// The endpoint.
    pub(crate) fn address(&self) -> SocketAddr {
        match self {
            Upstream::Http1(connection) => connection.address,
            Upstream::Http2(stream) => stream.address,
        }
    }

    /// Whether the connection has served before, and so may turn out to be closed.
    pub(crate) fn is_reused(&self) -> bool {
        match self {
            Upstream::Http1(connection) => connection.reused,
            Upstream::Http2(stream) => stream.reused,
        }
    }

    /// Begins a request whose body is framed so. `head` is used up. `upgrade`: it asks for another protocol.
    pub(crate) fn begin(&mut self, head: &mut Vec<u8>, framing: Framing, upgrade: bool) {
        match self {
            Upstream::Http1(connection) => {
                connection.writer.reset();
                std::mem::swap(connection.writer.out(), head);
                connection.writer.begin_body(framing);
            }
            Upstream::Http2(stream) => stream.begin(head, framing, upgrade),
        }
    }

    /// Writes what waits and some of `data`, of which it gives how much was taken.
    #[inline]
    pub(crate) fn poll_send(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<Result<usize, Broken>> {
        match self {
            Upstream::Http1(connection) => {
                let Connection { writer, io, .. } = &mut **connection;
                if data.is_empty() && writer.is_empty() {
                    return Pin::new(io).poll_flush(cx).map(|flushed| flushed.map(|()| 0).map_err(|_| Broken));
                }
                writer.poll_send(io, cx, data).map(|sent| sent.map(|(_, taken)| taken).map_err(|_| Broken))
            }
            Upstream::Http2(stream) => stream.poll_send(cx, data),
        }
    }

    /// Whether nothing waits to be written by calls of [`Self::poll_send`].
    #[inline]
    pub(crate) fn is_flushed(&self) -> bool {
        match self {
            Upstream::Http1(connection) => connection.writer.is_empty() && connection.io.is_flushed(),
            Upstream::Http2(_) => true,
        }
    }

    /// Ends the request's body; what is left to write goes with [`Self::poll_send`].
    pub(crate) fn end_request(&mut self, trailers: &[u8]) {
        match self {
            Upstream::Http1(connection) => connection.writer.end_body(trailers),
            Upstream::Http2(stream) => stream.end_request(trailers),
        }
    }

    /// Waits for a head of at most `limit` bytes: its range in [`Self::unread`].
    pub(crate) fn poll_head(&mut self, cx: &mut Context<'_>, limit: usize) -> Poll<Result<Range<usize>, ReadError>> {
        match self {
            Upstream::Http1(connection) => connection.reader.poll_head(&mut connection.io, cx, limit),
            Upstream::Http2(stream) => stream.poll_head(cx),
        }
    }

    /// What came and was not used yet.
    pub(crate) fn unread(&self) -> &[u8] {
        match self {
            Upstream::Http1(connection) => connection.reader.unread(),
            Upstream::Http2(stream) => stream.unread(),
        }
    }

    /// Uses a head that ends at `end`, and goes on to its body.
    pub(crate) fn begin_body(&mut self, end: usize, framing: Framing) {
        match self {
            Upstream::Http1(connection) => connection.reader.begin_body(end, framing, false),
            Upstream::Http2(stream) => stream.begin_body(framing),
        }
    }

    /// Waits for some of the response's body, or its end.
    #[inline]
    pub(crate) fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Ready, ReadError>> {
        match self {
            Upstream::Http1(connection) => connection.reader.poll_body(&mut connection.io, cx),
            Upstream::Http2(stream) => stream.poll_body(cx),
        }
    }

    /// What of the body is ready.
    #[inline]
    pub(crate) fn data(&self) -> &[u8] {
        match self {
            Upstream::Http1(connection) => connection.reader.data(),
            Upstream::Http2(stream) => stream.data(),
        }
    }

    /// Uses the first `n` bytes of it.
    #[inline]
    pub(crate) fn consume(&mut self, n: usize) {
        match self {
            Upstream::Http1(connection) => connection.reader.consume(n),
            Upstream::Http2(stream) => stream.consume(n),
        }
    }

    /// Trailer lines of a body that ended.
    pub(crate) fn trailers(&self) -> &[u8] {
        match self {
            Upstream::Http1(connection) => connection.reader.trailers(),
            Upstream::Http2(stream) => stream.trailers(),
        }
    }

    /// The endpoint did not answer in time: no other exchange is to wait on the same connection.
    pub(crate) fn distrust(&self) {
        if let Upstream::Http2(stream) = self {
            stream.distrust();
        }
    }

    /// The connection, for what comes after HTTP on it; of HTTP/2, the stream that became a tunnel.
    pub(crate) fn into_connection(self) -> Option<Box<Connection>> {
        match self {
            Upstream::Http1(connection) => Some(connection),
            Upstream::Http2(stream) => stream.into_connection(),
        }
    }
}
