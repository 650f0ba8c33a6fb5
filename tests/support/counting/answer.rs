//! How the backend is to answer: said by the client in a header, so that the backend keeps nothing.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// The field that holds it.
pub const FIELD: &str = "x-answer";
/// The field that every answer of the backend has, and none of the proxy's own.
pub const BACKEND: &str = "x-backend";
/// The field that says which body was sent: seed and length.
pub const BODY: &str = "x-body";

/// The backend's last bytes through a tunnel: it has read everything to the end.
pub const TUNNEL_END: &[u8] = b"all read";

/// How the response is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// By Content-Length.
    Length,
    /// In chunks of drawn sizes, some with extensions.
    Chunked,
    /// In chunks, with trailers.
    Trailers,
    /// Until the connection ends.
    Close,
}

/// When the backend answers, or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// After the request's last byte; where that is expected, it asks for the body first.
    Whole,
    /// After the head, and reads no body.
    Early,
    /// Never: it closes instead.
    Never,
    /// It sends so many bytes of the response, then resets the connection.
    Reset(usize),
    /// It sends so many bytes of the response, then closes.
    Cut(usize),
    /// It sends so many bytes of the response, and the rest never.
    Stalls(usize),
    /// It switches protocols, sends as many bytes as `size` says, and reads to the end.
    Tunnel,
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Framing.
    pub framing: Framing,
    /// Bytes of body.
    pub size: usize,
    /// What the body and the sizes of chunks and writes are drawn from.
    pub seed: u64,
    /// Interim responses before it.
    pub interim: usize,
    /// The backend keeps its connection.
    pub keep: bool,
    /// When.
    pub manner: Manner,
}

impl Answer {
    /// 200 with a body of so many bytes.
    pub fn ok(size: usize, seed: u64) -> Self {
        let (framing, manner) = (Framing::Length, Manner::Whole);
        Self { status: 200, framing, size, seed, interim: 0, keep: true, manner }
    }

    /// As the field's value.
    pub fn encode(&self) -> String {
        let Self { status, framing, size, seed, interim, keep, manner } = self;
        let (manner, bytes) = match manner {
            Manner::Whole => ('w', 0),
            Manner::Early => ('e', 0),
            Manner::Never => ('n', 0),
            Manner::Reset(n) => ('r', *n),
            Manner::Cut(n) => ('c', *n),
            Manner::Stalls(n) => ('s', *n),
            Manner::Tunnel => ('t', 0),
        };
        let framing = match framing {
            Framing::Length => 'l',
            Framing::Chunked => 'c',
            Framing::Trailers => 't',
            Framing::Close => 'e',
        };
        format!("{status} {framing} {size} {seed} {interim} {} {manner} {bytes}", u8::from(*keep))
    }

    /// From the field's value.
    pub fn decode(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let status = words.next()?.parse().ok()?;
        let framing = match words.next()? {
            "l" => Framing::Length,
            "c" => Framing::Chunked,
            "t" => Framing::Trailers,
            "e" => Framing::Close,
            _ => return None,
        };
        let mut number = || words.next()?.parse::<u64>().ok();
        let (size, seed, interim, keep) = (number()?, number()?, number()?, number()?);
        let (letter, bytes) = (words.next()?, words.next()?.parse().ok()?);
        let manner = match letter {
            "w" => Manner::Whole,
            "e" => Manner::Early,
            "n" => Manner::Never,
            "r" => Manner::Reset(bytes),
            "c" => Manner::Cut(bytes),
            "s" => Manner::Stalls(bytes),
            "t" => Manner::Tunnel,
            _ => return None,
        };
        let (size, interim) = (size as usize, interim as usize);
        Some(Self { status, framing, size, seed, interim, keep: keep == 1, manner })
    }

    /// Whether a response with this status may have a body.
    pub fn has_body(&self) -> bool {
        self.status >= 200 && !matches!(self.status, 204 | 304)
    }

    /// The response's bytes; a HEAD request's has no body.
    pub fn response(&self, to_head: bool) -> Vec<u8> {
        let mut text = "HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n".repeat(self.interim);
        text += &format!("HTTP/1.1 {} Drawn\r\n{BACKEND}: counting\r\n", self.status);
        if !self.keep || (self.framing == Framing::Close && self.has_body()) {
            text += "connection: close\r\n";
        }
        match self.framing {
            _ if !self.has_body() => {}
            Framing::Length => text += &format!("content-length: {}\r\n", self.size),
            Framing::Chunked | Framing::Trailers => text += "transfer-encoding: chunked\r\n",
            Framing::Close => {}
        }
        let mut bytes = (text + "\r\n").into_bytes();
        if self.has_body() && !to_head {
            let body = pattern(self.seed, self.size);
            match self.framing {
                Framing::Length | Framing::Close => bytes.extend(body),
                Framing::Chunked => chunks(&body, self.seed, false, &mut bytes),
                Framing::Trailers => chunks(&body, self.seed, true, &mut bytes),
            }
        }
        bytes
    }
}

/// A body that is known by its seed and length.
pub fn pattern(seed: u64, length: usize) -> Vec<u8> {
    let block: Vec<u8> = (0..4096 + (seed % 97)).map(|n| ((n * 131 + seed * 31) % 251) as u8).collect();
    let mut body = Vec::with_capacity(length + block.len());
    while body.len() < length {
        body.extend_from_slice(&block);
    }
    body.truncate(length);
    body
}

/// Frames a body in chunks of drawn sizes, some with extensions; with trailers or without.
pub fn chunks(body: &[u8], seed: u64, trailers: bool, out: &mut Vec<u8>) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut rest = body;
    let most = if rng.random_bool(0.5) { 64 } else { 16_384 }.max(body.len() / 50).max(1);
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(rng.random_range(1..=most).min(rest.len()));
        let extension = ["", ";a=b", ";name=\"quoted\"", " ;x"][rng.random_range(0..4)];
        let size = if rng.random_bool(0.5) { format!("{:x}", chunk.len()) } else { format!("{:04X}", chunk.len()) };
        out.extend_from_slice(format!("{size}{extension}\r\n").as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
        rest = after;
    }
    out.extend_from_slice(b"0\r\n");
    if trailers {
        for n in 0..rng.random_range(1..4) {
            out.extend_from_slice(format!("x-trailer-{n}: {}\r\n", rng.random_range(0..100_000)).as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
}
