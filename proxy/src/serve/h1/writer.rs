//! Writes messages to a connection: the head, or framing, and data in one call.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use super::{Framing, trailers};

/// The writing half of a connection.
#[derive(Debug)]
pub(crate) struct Writer {
    /// Heads and framing on their way.
    out: Vec<u8>,
    at: usize,
    framing: Framing,
    /// Bytes of data that the open chunk still takes.
    chunk: usize,
}

impl Default for Writer {
    fn default() -> Self {
        Self { out: Vec::new(), at: 0, framing: Framing::None, chunk: 0 }
    }
}

impl Writer {
    /// Where heads and framing are added.
    pub(crate) fn out(&mut self) -> &mut Vec<u8> {
        if self.at == self.out.len() {
            self.out.clear();
            self.at = 0;
        }
        &mut self.out
    }

    /// How the body that follows is framed.
    pub(crate) fn begin_body(&mut self, framing: Framing) {
        self.framing = framing;
        self.chunk = 0;
    }

    /// Whether anything waits to be written.
    pub(crate) fn is_empty(&self) -> bool {
        self.at == self.out.len()
    }

    /// Bytes that the next call of [`Writer::poll_send`] with this data writes if the stream takes all of
    /// them: exactly, since they are charged for before it is known what the stream took. Begins a
    /// chunk where one begins.
    pub(crate) fn ahead(&mut self, data: &[u8]) -> usize {
        self.begin_chunk(data.len());
        let (data, tail) = self.cut(data);
        self.out.len() - self.at + data.len() + tail.len()
    }

    fn begin_chunk(&mut self, data: usize) {
        if self.framing == Framing::Chunked && self.chunk == 0 && data > 0 {
            self.chunk = data;
            chunk_line(data, self.out());
        }
    }

    /// What of `data` goes next, and what ends its chunk.
    fn cut<'d>(&self, data: &'d [u8]) -> (&'d [u8], &'static [u8]) {
        if self.framing != Framing::Chunked || data.is_empty() {
            return (data, b"");
        }
        let data = data.get(..self.chunk).unwrap_or(data);
        (data, if data.len() == self.chunk { b"\r\n" } else { b"" })
    }

    /// Writes what waits and some of `data`, once. Gives how many bytes the stream took, and how
    /// many of them were data.
    pub(crate) fn poll_send<S: AsyncWrite + Unpin>(
        &mut self,
        io: &mut S,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<(usize, usize)>> {
        self.begin_chunk(data.len());
        let (data, tail) = self.cut(data);
        let head = self.out.get(self.at..).unwrap_or_default();
        let head_length = head.len();
        let wire = if head.is_empty() && tail.is_empty() {
            ready!(Pin::new(io).poll_write(cx, data))?
        } else if data.is_empty() {
            ready!(Pin::new(io).poll_write(cx, head))?
        } else {
            let slices = [IoSlice::new(head), IoSlice::new(data), IoSlice::new(tail)];
            ready!(Pin::new(io).poll_write_vectored(cx, &slices))?
        };
        if wire == 0 && head_length + data.len() > 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.at += wire.min(head_length);
        let taken = (wire - wire.min(head_length)).min(data.len());
        if self.framing == Framing::Chunked {
            self.chunk -= taken;
        }
        if !tail.is_empty() && taken == data.len() {
            let rest = tail.get(wire - head_length - taken..).unwrap_or_default();
            if !rest.is_empty() {
                self.out().extend_from_slice(rest);
            }
        }
        Poll::Ready(Ok((wire, taken)))
    }

    /// Ends the body. What is left to write goes with [`Writer::poll_send`] or the next head.
    pub(crate) fn end_body(&mut self, lines: &[u8]) {
        if self.framing == Framing::Chunked {
            let out = self.out();
            out.extend_from_slice(b"0\r\n");
            trailers::pass(lines, out);
            out.extend_from_slice(b"\r\n");
        }
        self.framing = Framing::None;
    }

    /// Begins anew, with whatever was to be written forgotten.
    pub(crate) fn reset(&mut self) {
        self.out.clear();
        (self.at, self.framing, self.chunk) = (0, Framing::None, 0);
    }
}

fn chunk_line(mut size: usize, out: &mut Vec<u8>) {
    let mut digits = [0u8; 16];
    let mut first = digits.len();
    while size > 0 && first > 0 {
        first -= 1;
        digits[first] = b"0123456789abcdef"[size & 15];
        size >>= 4;
    }
    out.extend_from_slice(digits.get(first..).unwrap_or_default());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Takes as many bytes a call as it is told, over and over; 0: not now.
    struct Slow {
        taken: Vec<u8>,
        /// Bytes that the last call was given.
        given: usize,
        pace: Vec<usize>,
        call: usize,
    }

    impl AsyncWrite for Slow {
        fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            self.poll_write_vectored(cx, &[IoSlice::new(buf)])
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bufs: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let most = self.pace[self.call % self.pace.len()];
            self.call += 1;
            if most == 0 {
                return Poll::Pending;
            }
            self.given = bufs.iter().map(|buf| buf.len()).sum();
            let bytes: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).take(most).collect();
            self.taken.extend_from_slice(&bytes);
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// Writes a head and pieces through a stream of that pace; gives what came out and what was reported.
    fn write(framing: Framing, pieces: &[Vec<u8>], pace: Vec<usize>) -> (Vec<u8>, usize) {
        let mut io = Slow { taken: Vec::new(), given: 0, pace, call: 0 };
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let (mut writer, mut wire) = (Writer::default(), 0);
        writer.out().extend_from_slice(b"head\r\n\r\n");
        writer.begin_body(framing);
        for piece in pieces {
            let mut rest = piece.as_slice();
            while !rest.is_empty() {
                let ahead = writer.ahead(rest);
                io.given = 0;
                if let Poll::Ready(result) = writer.poll_send(&mut io, &mut cx, rest) {
                    let (sent, taken) = result.unwrap();
                    assert_eq!(ahead, io.given, "what was announced is what the stream was given");
                    wire += sent;
                    rest = &rest[taken..];
                }
            }
        }
        writer.end_body(b"t: 1\r\n");
        while !writer.is_empty() {
            if let Poll::Ready(result) = writer.poll_send(&mut io, &mut cx, &[]) {
                wire += result.unwrap().0;
            }
        }
        (io.taken, wire)
    }

    proptest! {
        #[test]
        fn any_pace_of_the_stream_gives_the_same_bytes(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..5),
            pace in prop::collection::vec(0usize..9, 1..6),
            chunked in any::<bool>(),
        ) {
            let framing = if chunked { Framing::Chunked } else { Framing::Close };
            let pace = if pace.iter().all(|n| *n == 0) { vec![1] } else { pace };
            let mut expected = b"head\r\n\r\n".to_vec();
            for piece in &pieces {
                if chunked {
                    expected.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                }
                expected.extend_from_slice(piece);
                if chunked {
                    expected.extend_from_slice(b"\r\n");
                }
            }
            if chunked {
                expected.extend_from_slice(b"0\r\nt: 1\r\n\r\n");
            }
            let (bytes, wire) = write(framing, &pieces, pace);
            prop_assert_eq!(wire, bytes.len());
            prop_assert_eq!(bytes, expected);
        }
    }
}
