//! Read buffers. They belong to a connection only while it has bytes in them: an idle connection
//! costs no buffer, and a busy one takes a used one from its thread's shelf.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

/// Size of a buffer, in bytes: a TLS record.
pub(crate) const SIZE: usize = 16 * 1024;
/// Buffers that a thread keeps for the next connection.
const SHELF: usize = 256;

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Bytes that were read and not yet used.
///
/// While a message is *held*, its bytes stay in place after use, so that it can be used again;
/// the hold is lost when the room is needed.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    /// All of it is initialised; empty while the connection has no buffer.
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    held: Option<usize>,
}

impl Buffer {
    /// These bytes, read and not used.
    pub(crate) fn holding(bytes: &[u8]) -> Self {
        let mut buffer = Self::default();
        if !bytes.is_empty() {
            buffer.bytes = bytes.to_vec();
            buffer.bytes.resize(bytes.len().max(SIZE), 0);
            buffer.end = bytes.len();
        }
        buffer
    }

    /// What was read and not used.
    #[inline]
    pub(crate) fn unread(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// Uses the first `n` bytes.
    #[inline]
    pub(crate) fn consume(&mut self, n: usize) {
        self.start = (self.start + n).min(self.end);
    }

    /// Keeps what follows until it is let go or room is needed.
    pub(crate) fn hold(&mut self) {
        self.held = Some(self.start);
    }

    /// Lets go of what is held.
    pub(crate) fn let_go(&mut self) {
        self.held = None;
    }

    /// Goes back to the beginning of what is held; false if it is not held any more.
    pub(crate) fn rewind(&mut self) -> bool {
        match self.held {
            Some(start) => {
                self.start = start;
                true
            }
            None => false,
        }
    }

    /// Whether a read would have to move or let go of something.
    pub(crate) fn is_full(&self) -> bool {
        !self.bytes.is_empty() && self.end == self.bytes.len()
    }

    /// Reads once. Makes room first, by moving unread bytes to the front or, up to `limit` bytes in
    /// all, by growing. Gives how many bytes came; 0 at the end of the stream.
    ///
    /// # Errors
    /// What the stream says; `OutOfMemory` where `limit` unread bytes leave no room.
    pub(crate) fn poll_fill<S: AsyncRead + Unpin>(
        &mut self,
        io: &mut S,
        cx: &mut Context<'_>,
        limit: usize,
    ) -> Poll<io::Result<usize>> {
        self.make_room(limit)?;
        let mut free = ReadBuf::new(self.bytes.get_mut(self.end..).unwrap_or_default());
        match Pin::new(io).poll_read(cx, &mut free) {
            Poll::Pending => {
                self.give_back();
                Poll::Pending
            }
            Poll::Ready(result) => {
                let n = free.filled().len();
                result?;
                self.end += n;
                if n == 0 {
                    self.give_back();
                }
                Poll::Ready(Ok(n))
            }
        }
    }

    /// Puts the buffer on the shelf if nothing is in it.
    pub(crate) fn give_back(&mut self) {
        if self.start != self.end || self.held.is_some() || self.bytes.is_empty() {
            return;
        }
        (self.start, self.end) = (0, 0);
        let bytes = std::mem::take(&mut self.bytes);
        if bytes.len() == SIZE {
            SPARE.with_borrow_mut(|spare| {
                if spare.len() < SHELF {
                    spare.push(bytes);
                }
            });
        }
    }

    fn make_room(&mut self, limit: usize) -> io::Result<()> {
        if self.bytes.is_empty() {
            self.bytes = SPARE.with_borrow_mut(Vec::pop).unwrap_or_else(|| vec![0; SIZE]);
        }
        if self.start == self.end && self.held.is_none() {
            (self.start, self.end) = (0, 0);
        }
        if self.end < self.bytes.len() {
            return Ok(());
        }
        self.held = None;
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.bytes.len() {
            if self.bytes.len() >= limit {
                return Err(io::ErrorKind::OutOfMemory.into());
            }
            self.bytes.resize((self.bytes.len() * 2).min(limit), 0);
        }
        Ok(())
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.held = None;
        self.start = self.end;
        self.give_back();
    }
}
