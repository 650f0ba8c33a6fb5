//! Bodies as a state machine: given bytes, which are framing, which are data, and is it over.
//! Strict: a chunk line that two peers could read differently is refused.

use super::{Framing, Refused};

/// Longest chunk extension, in bytes: extensions mean nothing to us, and cost the sender nothing.
const MAX_EXTENSION: u16 = 256;
/// Longest trailer section, in bytes.
const MAX_TRAILERS: usize = 8 * 1024;
/// Most digits of a chunk size.
const MAX_DIGITS: u8 = 16;

/// What the first bytes given to [`Body::step`] are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// So many bytes of framing,
    pub framing: usize,
    /// then so many of data.
    pub data: usize,
}

/// Progress through one body.
#[derive(Debug)]
pub struct Body {
    state: State,
    /// Size of the chunk whose line is being read.
    size: u64,
    trailers: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Done,
    Close,
    /// Bytes left of a body with a length.
    Length(u64),
    Size {
        value: u64,
        digits: u8,
    },
    /// White space between size and `;`, then the extension; bytes seen of both.
    Gap(u16),
    Extension(u16),
    SizeFeed,
    /// Bytes left of a chunk.
    Data(u64),
    DataReturn,
    DataFeed,
    /// Length of the trailer line so far.
    Trailer(usize),
    /// A byte was refused: where the body ends can no longer be told.
    Broken,
}

impl Default for Body {
    fn default() -> Self {
        Self { state: State::Done, size: 0, trailers: Vec::new() }
    }
}

impl Body {
    /// Begins a body.
    pub fn start(&mut self, framing: Framing) {
        self.trailers.clear();
        self.state = match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Size { value: 0, digits: 0 },
            Framing::Close => State::Close,
        };
    }

    /// Whether the last byte has been seen.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The connection ended: true if that ends the body well.
    pub fn end(&mut self) -> bool {
        if self.state == State::Close {
            self.state = State::Done;
        }
        self.is_done()
    }

    /// Trailer lines as they came, each with its line end; empty before the end.
    pub fn trailers(&self) -> &[u8] {
        &self.trailers
    }

    /// Takes what it can from the beginning of `bytes`: framing, then data, up to the next framing.
    /// What is neither (framing 0, data 0) is not part of the body, or there are no bytes.
    ///
    /// # Errors
    /// The framing is malformed or too large. The connection is of no further use.
    pub fn step(&mut self, bytes: &[u8]) -> Result<Step, Refused> {
        let mut framing = 0;
        loop {
            let rest = bytes.get(framing..).unwrap_or_default();
            match &mut self.state {
                State::Done => return Ok(Step { framing, data: 0 }),
                State::Close => return Ok(Step { framing, data: rest.len() }),
                State::Length(left) | State::Data(left) => {
                    let data = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    *left -= data as u64;
                    if *left == 0 {
                        let chunk = matches!(self.state, State::Data(_));
                        self.state = if chunk { State::DataReturn } else { State::Done };
                    }
                    return Ok(Step { framing, data });
                }
                _ => {}
            }
            let Some(byte) = rest.first() else { return Ok(Step { framing, data: 0 }) };
            framing += 1;
            match self.framing(*byte) {
                Ok(state) => self.state = state,
                Err(refused) => {
                    self.state = State::Broken;
                    return Err(refused);
                }
            }
        }
    }

    /// The state after one byte of framing.
    fn framing(&mut self, byte: u8) -> Result<State, Refused> {
        Ok(match (self.state, byte) {
            (State::Size { value, digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = (byte as char).to_digit(16).unwrap_or_default();
                if digits == MAX_DIGITS || value > (i64::MAX as u64) >> 4 {
                    return Err(Refused::malformed("chunk_size"));
                }
                State::Size { value: value << 4 | u64::from(digit), digits: digits + 1 }
            }
            (State::Size { value, digits: 1.. }, b'\r' | b';' | b' ' | b'\t') => {
                self.size = value;
                match byte {
                    b'\r' => State::SizeFeed,
                    b';' => State::Extension(0),
                    _ => State::Gap(0),
                }
            }
            (State::Gap(seen), b' ' | b'\t') if seen < MAX_EXTENSION => State::Gap(seen + 1),
            (State::Gap(seen), b';') => State::Extension(seen),
            (State::Extension(_), b'\r') => State::SizeFeed,
            (State::Extension(seen), b'\t' | b' '..=b'~' | 0x80..) if seen < MAX_EXTENSION => {
                State::Extension(seen + 1)
            }
            (State::SizeFeed, b'\n') if self.size == 0 => State::Trailer(0),
            (State::SizeFeed, b'\n') => State::Data(self.size),
            (State::DataReturn, b'\r') => State::DataFeed,
            (State::DataFeed, b'\n') => State::Size { value: 0, digits: 0 },
            (State::Trailer(length), _) => self.trailer(length, byte)?,
            _ => return Err(Refused::malformed("chunk")),
        })
    }

    fn trailer(&mut self, length: usize, byte: u8) -> Result<State, Refused> {
        if self.trailers.len() == MAX_TRAILERS {
            return Err(Refused::too_large("trailers"));
        }
        let returned = length > 0 && self.trailers.last() == Some(&b'\r');
        if (byte == b'\n') != returned {
            return Err(Refused::malformed("trailers"));
        }
        self.trailers.push(byte);
        if byte != b'\n' {
            return Ok(State::Trailer(length + 1));
        }
        if length > 1 {
            return Ok(State::Trailer(0));
        }
        super::trailers::check(&self.trailers)?;
        self.trailers.truncate(self.trailers.len() - 2);
        Ok(State::Done)
    }
}
