//! Reading responses, as they come in pieces. Only what proxies send here: one response at a time,
//! with a `content-length`.

use anyhow::{Context, bail, ensure};
use memchr::memmem;

/// Longest head of a response.
const HEAD: usize = 16 << 10;

/// What a right answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) status: u16,
    /// Bytes of body.
    pub(crate) length: usize,
}

/// What a piece did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The response goes on.
    More,
    /// It is whole, and as expected.
    Done,
}

/// One response after another.
#[derive(Debug)]
pub(crate) struct Reader {
    expected: Expected,
    /// A head that is not whole yet.
    held: Vec<u8>,
    /// Bytes of body still to come; none before the head's end.
    rest: Option<usize>,
}

impl Reader {
    pub(crate) fn new(expected: Expected) -> Self {
        Self { expected, held: Vec::new(), rest: None }
    }

    /// Takes a piece.
    ///
    /// # Errors
    /// A response that is not as expected, and bytes beyond its end.
    pub(crate) fn take(&mut self, piece: &[u8]) -> anyhow::Result<Progress> {
        match self.rest {
            Some(rest) => self.body(rest, piece),
            None if self.held.is_empty() => match memmem::find(piece, b"\r\n\r\n") {
                Some(end) => {
                    let length = self.head(&piece[..end + 2])?;
                    self.body(length, &piece[end + 4..])
                }
                None => {
                    self.held.extend_from_slice(piece);
                    self.bounded()
                }
            },
            None => {
                self.held.extend_from_slice(piece);
                let Some(end) = memmem::find(&self.held, b"\r\n\r\n") else { return self.bounded() };
                let held = std::mem::take(&mut self.held);
                let length = self.head(&held[..end + 2])?;
                self.body(length, &held[end + 4..])
            }
        }
    }

    fn bounded(&self) -> anyhow::Result<Progress> {
        ensure!(self.held.len() <= HEAD, "a head that never ends");
        Ok(Progress::More)
    }

    /// Checks a head (lines that each end with CRLF) and gives the body's length.
    fn head(&self, head: &[u8]) -> anyhow::Result<usize> {
        let status = status(head)?;
        ensure!(status == self.expected.status, "expected status {}, got {status}", self.expected.status);
        let length = field(head, "content-length").context("no content-length")?;
        let length: usize = std::str::from_utf8(length)?.parse().context("content-length")?;
        ensure!(length == self.expected.length, "expected {} bytes, got {length}", self.expected.length);
        Ok(length)
    }

    fn body(&mut self, rest: usize, piece: &[u8]) -> anyhow::Result<Progress> {
        match rest.checked_sub(piece.len()) {
            Some(0) => {
                self.rest = None;
                Ok(Progress::Done)
            }
            Some(rest) => {
                self.rest = Some(rest);
                Ok(Progress::More)
            }
            None => bail!("{} bytes beyond the response", piece.len() - rest),
        }
    }
}

/// A response's status.
pub(crate) fn status(head: &[u8]) -> anyhow::Result<u16> {
    let code = head.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.get(..3)).context("no HTTP/1.1 status line")?;
    Ok(std::str::from_utf8(code)?.parse()?)
}

/// A field's value; `name` in lower case.
pub(crate) fn field<'h>(head: &'h [u8], name: &str) -> Option<&'h [u8]> {
    head.split(|byte| *byte == b'\n').find_map(|line| {
        let (candidate, value) = line.split_at_checked(name.len())?;
        let value = value.strip_prefix(b":")?;
        candidate.eq_ignore_ascii_case(name.as_bytes()).then(|| value.trim_ascii())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 5\r\nx-backend: api\r\n\r\nxxxxx";

    fn reader(status: u16, length: usize) -> Reader {
        Reader::new(Expected { status, length })
    }

    #[test]
    fn a_response_is_the_same_however_it_is_cut() {
        for cut in 1..ANSWER.len() {
            let mut reader = reader(200, 5);
            for _ in 0..2 {
                assert_eq!(reader.take(&ANSWER[..cut]).unwrap(), Progress::More, "cut at {cut}");
                assert_eq!(reader.take(&ANSWER[cut..]).unwrap(), Progress::Done, "cut at {cut}");
            }
        }
        let mut reader = reader(200, 5);
        let progress: Vec<_> = ANSWER.iter().map(|byte| reader.take(&[*byte]).unwrap()).collect();
        assert_eq!(progress.iter().filter(|p| **p == Progress::Done).count(), 1);
        assert_eq!(progress.last(), Some(&Progress::Done));
    }

    #[test]
    fn a_wrong_answer_is_an_error() {
        let text = |mut reader: Reader, bytes: &[u8]| reader.take(bytes).unwrap_err().to_string();
        assert_eq!(text(reader(204, 5), ANSWER), "expected status 204, got 200");
        assert_eq!(text(reader(200, 6), ANSWER), "expected 6 bytes, got 5");
        assert_eq!(text(reader(200, 5), &[ANSWER, b"yz"].concat()), "2 bytes beyond the response");
        assert_eq!(text(reader(200, 5), b"HTTP/1.1 200 OK\r\n\r\n"), "no content-length");
        assert!(text(reader(200, 5), b"nonsense\r\n\r\n").contains("no HTTP/1.1 status line"));
    }

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        assert_eq!(
            field(b"HTTP/1.1 200 OK\r\nx-content-length: 1\r\ncontent-length:  7 \r\n", "content-length"),
            Some(&b"7"[..])
        );
        assert_eq!(field(b"HTTP/1.1 200 OK\r\n", "content-length"), None);
    }
}
