//! Reads messages from a connection: heads into the buffer, bodies by their framing. The same for
//! requests and responses.

use std::ops::Range;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncRead;

use super::body::Body;
use super::scan::Scanner;
use super::{Framing, Refused};
use crate::serve::buffer::{self, Buffer};

/// Why no more of a message comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadError {
    /// The connection ended or failed before the message did.
    Closed,
    /// The message was ended on purpose, and its connection goes on (HTTP/2's RST_STREAM).
    Reset,
    /// The peer says that it did nothing (RFC 9113 section 8.7).
    Unprocessed,
    /// The bytes are not taken.
    Refused(Refused),
}

impl From<Refused> for ReadError {
    fn from(refused: Refused) -> Self {
        ReadError::Refused(refused)
    }
}

/// What the body has to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    /// [`Reader::data`] is not empty.
    Data,
    /// The body is over.
    End,
}

/// The reading half of a connection.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    buffer: Buffer,
    scanner: Scanner,
    body: Body,
    /// Bytes of data at the front of the buffer.
    data: usize,
    /// Bytes of this message that were used: head, framing and data.
    taken: u64,
}

impl Reader {
    /// The range of the next head in [`Reader::unread`]; at most `limit` bytes.
    pub(crate) fn poll_head<S: AsyncRead + Unpin>(
        &mut self,
        io: &mut S,
        cx: &mut Context<'_>,
        limit: usize,
    ) -> Poll<Result<Range<usize>, ReadError>> {
        loop {
            if let Some(range) = self.scanner.scan(self.buffer.unread())? {
                if range.end > limit {
                    return Poll::Ready(Err(Refused::too_large("head").into()));
                }
                return Poll::Ready(Ok(range));
            }
            if self.buffer.unread().len() >= limit {
                return Poll::Ready(Err(Refused::too_large("head").into()));
            }
            match ready!(self.buffer.poll_fill(io, cx, limit.max(buffer::SIZE))) {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Poll::Ready(Err(ReadError::Closed)),
            }
        }
    }

    /// Bytes that were read and not used.
    pub(crate) fn unread(&self) -> &[u8] {
        self.buffer.unread()
    }

    /// Uses a head that ends at `end`, and goes on to its body. A message that is `held` can be
    /// rewound until its bytes' room is needed.
    pub(crate) fn begin_body(&mut self, end: usize, framing: Framing, held: bool) {
        if held {
            self.buffer.hold();
        }
        self.buffer.consume(end);
        self.taken += end as u64;
        self.scanner = Scanner::default();
        self.body.start(framing);
    }

    /// Waits for some of the body, or its end.
    pub(crate) fn poll_body<S: AsyncRead + Unpin>(
        &mut self,
        io: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Ready, ReadError>> {
        loop {
            if self.advance()? {
                return Poll::Ready(Ok(if self.data > 0 { Ready::Data } else { Ready::End }));
            }
            match ready!(self.buffer.poll_fill(io, cx, buffer::SIZE)) {
                Ok(1..) => {}
                Ok(0) if self.body.end() => {}
                Ok(0) | Err(_) => return Poll::Ready(Err(ReadError::Closed)),
            }
        }
    }

    /// Goes over framing that is here; true if there is data or the end.
    ///
    /// # Errors
    /// The framing is malformed.
    pub(crate) fn advance(&mut self) -> Result<bool, Refused> {
        if self.data == 0 && !self.body.is_done() {
            let step = self.body.step(self.buffer.unread())?;
            self.buffer.consume(step.framing);
            self.taken += step.framing as u64;
            self.data = step.data;
        }
        Ok(self.data > 0 || self.body.is_done())
    }

    /// Data that is ready.
    #[inline]
    pub(crate) fn data(&self) -> &[u8] {
        self.buffer.unread().get(..self.data).unwrap_or_default()
    }

    /// Uses the first `n` bytes of the data.
    #[inline]
    pub(crate) fn consume(&mut self, n: usize) {
        self.buffer.consume(n);
        self.data -= n;
        self.taken += n as u64;
    }

    /// Whether the message was used to its last byte.
    pub(crate) fn is_whole(&self) -> bool {
        self.data == 0 && self.body.is_done()
    }

    /// Trailer lines of a body that ended.
    pub(crate) fn trailers(&self) -> &[u8] {
        self.body.trailers()
    }

    /// Bytes of this message that were used.
    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }

    /// Uses what is here and belongs to this message, data too: it will not go on.
    pub(crate) fn discard(&mut self) {
        while self.advance().is_ok_and(|more| more) && self.data > 0 {
            self.consume(self.data);
        }
    }

    /// Uses all that is here, whatever it is; gives how many bytes that was.
    pub(crate) fn skip(&mut self) -> usize {
        let n = self.buffer.unread().len();
        self.buffer.consume(n);
        self.data = 0;
        n
    }

    /// Reads once, whatever comes. Gives how many bytes came; 0 at the end of the stream.
    pub(crate) fn poll_more<S: AsyncRead + Unpin>(
        &mut self,
        io: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<std::io::Result<usize>> {
        self.buffer.poll_fill(io, cx, buffer::SIZE)
    }

    /// Back to the head of a message that is held; false if it is not any more.
    pub(crate) fn rewind(&mut self) -> bool {
        if !self.buffer.rewind() {
            return false;
        }
        (self.data, self.taken, self.scanner) = (0, 0, Scanner::default());
        true
    }

    /// The message will not be rewound.
    pub(crate) fn let_go(&mut self) {
        self.buffer.let_go();
    }

    /// The message is done with; the next one begins.
    pub(crate) fn finish(&mut self) {
        (self.data, self.taken, self.scanner) = (0, 0, Scanner::default());
        self.buffer.let_go();
        self.buffer.give_back();
    }

    /// Reads ahead to see whether the peer is gone; never ready while it is not.
    pub(crate) fn poll_gone<S: AsyncRead + Unpin>(&mut self, io: &mut S, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.buffer.is_full() {
                return Poll::Pending;
            }
            match ready!(self.buffer.poll_fill(io, cx, buffer::SIZE)) {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Poll::Ready(()),
            }
        }
    }

    /// The buffer, for what comes after HTTP on this connection.
    pub(crate) fn into_buffer(self) -> Buffer {
        let mut buffer = self.buffer;
        buffer.let_go();
        buffer
    }
}
