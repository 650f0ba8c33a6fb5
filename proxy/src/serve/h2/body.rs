//! Bodies over the `h2` crate: both sides of the proxy read and write them alike.

use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::{RecvStream, SendStream};
use http::HeaderMap;

use super::head;
use crate::serve::h1::reader::Ready;
use crate::serve::h1::trailers;

/// Most bytes that are handed over at once.
const PIECE: usize = 16 * 1024;

/// A body that comes in. Its window is given back as its bytes are taken.
#[derive(Debug)]
pub(crate) struct Incoming {
    stream: RecvStream,
    chunk: Bytes,
    state: State,
    trailers: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Data,
    Trailers,
    Done,
}

/// What came of a body.
#[derive(Debug)]
pub(crate) enum Came {
    /// So many bytes of DATA.
    Data(usize),
    /// Trailers, of which the text is [`Incoming::trailers`].
    Trailers(HeaderMap),
}

impl Incoming {
    pub(crate) fn new(stream: RecvStream) -> Self {
        Self { stream, chunk: Bytes::new(), state: State::Data, trailers: Vec::new() }
    }

    /// Waits for some of the body, or its end. `came` is told of what arrives.
    ///
    /// # Errors
    /// The stream or its connection ended before the body did.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, mut came: impl FnMut(&Came)) -> Poll<Result<Ready, h2::Error>> {
        loop {
            if !self.chunk.is_empty() {
                return Poll::Ready(Ok(Ready::Data));
            }
            match self.state {
                State::Data => match ready!(self.stream.poll_data(cx)) {
                    Some(bytes) => {
                        self.chunk = bytes?;
                        came(&Came::Data(self.chunk.len()));
                    }
                    None => self.state = State::Trailers,
                },
                State::Trailers => {
                    if let Some(trailers) = ready!(self.stream.poll_trailers(cx))? {
                        head::trailer_lines(&trailers, &mut self.trailers);
                        came(&Came::Trailers(trailers));
                    }
                    self.state = State::Done;
                }
                State::Done => return Poll::Ready(Ok(Ready::End)),
            }
        }
    }

    /// What is ready.
    pub(crate) fn data(&self) -> &[u8] {
        &self.chunk
    }

    /// The same, shared.
    pub(crate) fn chunk(&self) -> &Bytes {
        &self.chunk
    }

    /// Uses the first `n` bytes of it.
    pub(crate) fn take(&mut self, n: usize) {
        self.chunk.advance(n);
        // Fails only for more than came.
        let _ = self.stream.flow_control().release_capacity(n);
    }

    /// Whether it was used to its end.
    pub(crate) fn is_whole(&self) -> bool {
        self.chunk.is_empty() && (self.state == State::Done || self.stream.is_end_stream())
    }

    /// Trailer lines of a body that ended.
    pub(crate) fn trailers(&self) -> &[u8] {
        &self.trailers
    }
}

/// Hands over some of `data` as the peer's window lets it, and gives how much. `announce` is told how much it will be,
/// before any of it can leave.
///
/// # Errors
/// The stream or its connection has ended.
pub(crate) fn poll_send(
    stream: &mut SendStream<Bytes>,
    cx: &mut Context<'_>,
    data: &[u8],
    announce: impl FnOnce(usize),
) -> Poll<Result<usize, h2::Error>> {
    let piece = ready!(poll_piece(stream, cx, data, announce))?;
    let n = piece.len();
    send_piece(stream, piece)?;
    Poll::Ready(Ok(n))
}

/// Hands over what [`poll_piece`] gave, if that is anything.
///
/// # Errors
/// The stream or its connection has ended.
pub(crate) fn send_piece(stream: &mut SendStream<Bytes>, piece: Bytes) -> Result<(), h2::Error> {
    if piece.is_empty() { Ok(()) } else { stream.send_data(piece, false) }
}

/// The same without handing it over: a piece for which there is room now, and which is to be sent next. Who holds it
/// until it knows whether it is the last saves a frame, which costs as much as the data.
///
/// # Errors
/// The stream or its connection has ended.
pub(crate) fn poll_piece(
    stream: &mut SendStream<Bytes>,
    cx: &mut Context<'_>,
    data: &[u8],
    announce: impl FnOnce(usize),
) -> Poll<Result<Bytes, h2::Error>> {
    if data.is_empty() {
        return Poll::Ready(Ok(Bytes::new()));
    }
    let wanted = data.len().min(PIECE);
    stream.reserve_capacity(wanted);
    while stream.capacity() == 0 {
        match ready!(stream.poll_capacity(cx)) {
            Some(capacity) => capacity?,
            None => return Poll::Ready(Err(h2::Reason::CANCEL.into())),
        };
    }
    let n = stream.capacity().min(wanted);
    announce(n);
    Poll::Ready(Ok(Bytes::copy_from_slice(data.get(..n).unwrap_or_default())))
}

/// Ends a body, after its `last` piece, with those of the trailer lines that may pass; gives them.
///
/// # Errors
/// The stream or its connection has ended.
pub(crate) fn end(
    stream: &mut SendStream<Bytes>,
    last: Bytes,
    lines: &[u8],
    announce: impl FnOnce(&HeaderMap),
) -> Result<(), h2::Error> {
    if lines.is_empty() {
        return stream.send_data(last, true);
    }
    let (mut passed, mut map) = (Vec::new(), HeaderMap::new());
    trailers::pass(lines, &mut passed);
    head::fields(&passed, &mut map);
    if map.is_empty() {
        return stream.send_data(last, true);
    }
    send_piece(stream, last)?;
    announce(&map);
    stream.send_trailers(map)
}
