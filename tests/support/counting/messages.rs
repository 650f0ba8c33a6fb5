//! Reads HTTP/1.1 messages, strictly, and says how many bytes each was.

use std::io;

use super::wire::Wire;

/// A message.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// First line.
    pub start: String,
    /// Fields, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body, without framing.
    pub body: Vec<u8>,
    /// Trailer lines.
    pub trailers: usize,
    /// Bytes on the wire: of interim responses before it too.
    pub bytes: u64,
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// At once.
    Nothing,
    /// After so many bytes.
    Length(usize),
    /// With the last chunk.
    Chunks,
    /// With the connection.
    Connection,
}

impl Message {
    /// Reads a head.
    pub fn head(wire: &mut Wire) -> io::Result<Self> {
        let bytes = wire.until(b"\r\n\r\n")?;
        let text = String::from_utf8(bytes).map_err(|_| wrong("a head that is not text"))?;
        let mut lines = text.trim_end().split("\r\n");
        let mut message =
            Self { start: lines.next().unwrap_or_default().into(), bytes: text.len() as u64, ..Self::default() };
        for line in lines {
            let (name, value) = line.split_once(':').ok_or_else(|| wrong(format!("field {line:?}")))?;
            message.headers.push((name.to_ascii_lowercase(), value.trim().into()));
        }
        Ok(message)
    }

    /// First value of a field.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// How the fields say that the body ends; `otherwise` where they say nothing.
    pub fn end(&self, otherwise: End) -> io::Result<End> {
        if self.header("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) {
            return Ok(End::Chunks);
        }
        match self.header("content-length") {
            Some(length) => Ok(End::Length(length.parse().map_err(|_| wrong(format!("length {length:?}")))?)),
            None => Ok(otherwise),
        }
    }

    /// Reads the body.
    pub fn read_body(&mut self, wire: &mut Wire, end: End) -> io::Result<()> {
        match end {
            End::Nothing => {}
            End::Length(length) => self.body = wire.take(length)?,
            End::Connection => self.body = wire.until_end()?,
            End::Chunks => return self.read_chunks(wire),
        }
        self.bytes += self.body.len() as u64;
        Ok(())
    }

    fn read_chunks(&mut self, wire: &mut Wire) -> io::Result<()> {
        loop {
            let line = wire.until(b"\r\n")?;
            self.bytes += line.len() as u64;
            let text = String::from_utf8_lossy(&line[..line.len() - 2]).into_owned();
            let digits = text.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(digits, 16).map_err(|_| wrong(format!("chunk size {text:?}")))?;
            if size == 0 {
                break;
            }
            let chunk = wire.take(size + 2)?;
            if !chunk.ends_with(b"\r\n") {
                return Err(wrong("a chunk without its end"));
            }
            self.bytes += chunk.len() as u64;
            self.body.extend_from_slice(&chunk[..size]);
        }
        loop {
            let line = wire.until(b"\r\n")?;
            self.bytes += line.len() as u64;
            if line.len() == 2 {
                return Ok(());
            }
            self.trailers += 1;
        }
    }

    /// The status of a response.
    pub fn status(&self) -> io::Result<u16> {
        let code = self.start.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).and_then(|c| c.parse().ok());
        code.ok_or_else(|| wrong(format!("status line {:?}", self.start)))
    }

    /// Reads a response to its end, with the interim ones before it.
    pub fn response(wire: &mut Wire, method: &str) -> io::Result<Self> {
        let mut interim = 0;
        loop {
            let mut head = Self::head(wire)?;
            let status = head.status()?;
            if (100..200).contains(&status) && status != 101 {
                interim += head.bytes;
                continue;
            }
            let bodyless = method == "HEAD" || matches!(status, 101 | 204 | 304);
            let end = if bodyless { End::Nothing } else { head.end(End::Connection)? };
            head.read_body(wire, end)?;
            head.bytes += interim;
            return Ok(head);
        }
    }
}

fn wrong(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}
