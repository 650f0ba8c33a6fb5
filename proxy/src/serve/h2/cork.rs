//! Frames of many streams, written at once.
//!
//! The `h2` crate writes, and flushes, whenever a DATA frame of some size is to be followed by anything. Streams whose
//! responses come together would so cost a system call and a TLS record each. A corked connection holds what is written
//! until its task has nothing more to say, or a record is full.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that are held: a TLS record's (RFC 8446 section 5.1).
const ROOM: usize = 16 << 10;
/// What is as large as this is not copied.
const LARGE: usize = 8 << 10;

/// The connection as the `h2` crate has it.
pub(super) struct Cork<S>(Rc<RefCell<Corked<S>>>);

/// The same connection, for whoever says when to write.
pub(super) struct Pull<S>(Rc<RefCell<Corked<S>>>);

struct Corked<S> {
    io: S,
    /// Taken, and not yet written; from `written` on.
    held: Vec<u8>,
    written: usize,
    /// Whether [`Pull`] says when to write; before, who writes does.
    corked: bool,
}

/// A connection that is not corked yet.
pub(super) fn cork<S>(io: S) -> (Cork<S>, Pull<S>) {
    let shared = Rc::new(RefCell::new(Corked { io, held: Vec::new(), written: 0, corked: false }));
    (Cork(shared.clone()), Pull(shared))
}

// No borrow below outlives a call, and what is called (a socket, TLS) knows nothing of either holder: no two ever meet.
impl<S: AsyncWrite + Unpin> Pull<S> {
    /// From now on what is written waits for [`Self::poll_flush`].
    pub(super) fn begin(&self) {
        self.0.borrow_mut().corked = true;
    }

    /// Writes what is held.
    ///
    /// # Errors
    /// Those of the connection.
    pub(super) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_flush(cx)
    }
}

impl<S: AsyncWrite + Unpin> Corked<S> {
    fn poll_write(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let length = pieces.iter().map(|piece| piece.len()).sum::<usize>();
        if self.held.len() + length > ROOM {
            ready!(self.poll_empty(cx))?;
        }
        if self.held.is_empty() && (!self.corked || length >= LARGE) {
            return Pin::new(&mut self.io).poll_write_vectored(cx, pieces);
        }
        pieces.iter().for_each(|piece| self.held.extend_from_slice(piece));
        Poll::Ready(Ok(length))
    }

    /// Hands over what is held.
    fn poll_empty(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.held.get(self.written..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut self.io).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.written += count,
            }
        }
        self.held.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_empty(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Cork<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.borrow_mut().io).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Cork<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().poll_write(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().poll_write(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut this = self.0.borrow_mut();
        if this.corked { Poll::Ready(Ok(())) } else { this.poll_flush(cx) }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut this = self.0.borrow_mut();
        ready!(this.poll_flush(cx))?;
        Pin::new(&mut this.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// Takes so many bytes, then none until it is given room.
    struct Wire {
        room: usize,
        writes: Vec<usize>,
        bytes: Vec<u8>,
    }

    impl AsyncWrite for Wire {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            let count = bytes.len().min(self.room);
            if count == 0 {
                return Poll::Pending;
            }
            self.room -= count;
            self.writes.push(count);
            self.bytes.extend_from_slice(&bytes[..count]);
            Poll::Ready(Ok(count))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn wire(room: usize) -> (Cork<Wire>, Pull<Wire>) {
        cork(Wire { room, writes: Vec::new(), bytes: Vec::new() })
    }

    fn context() -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    fn write(cork: &mut Cork<Wire>, bytes: &[u8]) -> Poll<usize> {
        Pin::new(cork).poll_write(&mut context(), bytes).map(Result::unwrap)
    }

    #[test]
    fn what_is_written_one_by_one_goes_out_as_one() {
        let (mut io, pull) = wire(usize::MAX);
        assert_eq!(write(&mut io, b"settings"), Poll::Ready(8));
        assert_eq!(pull.0.borrow().io.writes, [8], "before it is corked everything goes out by itself");
        pull.begin();
        for piece in [&b"one"[..], b"two", b"three"] {
            assert_eq!(write(&mut io, piece), Poll::Ready(piece.len()));
            assert!(Pin::new(&mut io).poll_flush(&mut context()).is_ready());
        }
        assert_eq!(pull.0.borrow().io.writes, [8]);
        assert!(pull.poll_flush(&mut context()).is_ready());
        assert_eq!(pull.0.borrow().io.writes, [8, 11]);
        assert_eq!(pull.0.borrow().io.bytes, b"settingsonetwothree");
    }

    #[test]
    fn no_more_is_held_than_a_record_and_large_pieces_are_not_copied() {
        let (mut io, pull) = wire(usize::MAX);
        pull.begin();
        assert_eq!(write(&mut io, &[1; LARGE]), Poll::Ready(LARGE));
        assert_eq!(pull.0.borrow().io.writes, [LARGE]);
        for _ in 0..5 {
            assert_eq!(write(&mut io, &[2; 5000]), Poll::Ready(5000));
        }
        assert_eq!(pull.0.borrow().io.writes, [LARGE, 15_000]);
        assert_eq!(write(&mut io, &[3; LARGE]), Poll::Ready(LARGE));
        assert!(pull.poll_flush(&mut context()).is_ready());
        let sent = &pull.0.borrow().io.bytes;
        assert!(sent.is_sorted(), "in order");
        assert_eq!(sent.len(), 2 * LARGE + 25_000);
    }

    #[test]
    fn who_reads_nothing_is_waited_for_and_nothing_is_lost() {
        let (mut io, pull) = wire(4000);
        pull.begin();
        for _ in 0..3 {
            assert_eq!(write(&mut io, &[1; 5000]), Poll::Ready(5000));
        }
        assert!(write(&mut io, &[2; 5000]).is_pending(), "there is no room, and the peer reads no more");
        assert!(pull.poll_flush(&mut context()).is_pending());
        assert!(Pin::new(&mut io).poll_shutdown(&mut context()).is_pending());
        pull.0.borrow_mut().io.room = usize::MAX;
        assert_eq!(write(&mut io, &[2; 5000]), Poll::Ready(5000));
        assert!(Pin::new(&mut io).poll_shutdown(&mut context()).is_ready(), "an end takes along what is held");
        let wire = &pull.0.borrow().io;
        assert!(wire.bytes.is_sorted());
        assert_eq!(wire.bytes.len(), 20_000);
    }
}
