//! Finds the end of a head, over any number of reads, in time linear in its size.

use std::ops::Range;

use super::Refused;

/// Where the search stands. Make a new one for each head.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scanner {
    at: usize,
    line: usize,
    started: bool,
    start: usize,
}

impl Scanner {
    /// Looks for the empty line that ends a head. `bytes` are all unread bytes of the connection,
    /// and begin at the same byte at each call.
    ///
    /// Returns the head with its last empty line; empty lines before it (RFC 9112 section 2.2) are
    /// left out of the range and stand before it.
    ///
    /// # Errors
    /// A line feed without a carriage return: peers disagree on what that means.
    pub fn scan(&mut self, bytes: &[u8]) -> Result<Option<Range<usize>>, Refused> {
        while let Some(offset) = memchr::memchr(b'\n', bytes.get(self.at..).unwrap_or_default()) {
            let feed = self.at + offset;
            if feed == self.line || bytes[feed - 1] != b'\r' {
                return Err(Refused::malformed("bare_line_feed"));
            }
            let empty = feed - 1 == self.line;
            self.line = feed + 1;
            self.at = self.line;
            if !empty {
                self.started = true;
            } else if self.started {
                return Ok(Some(self.start..self.line));
            } else {
                self.start = self.line;
            }
        }
        self.at = bytes.len();
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_ends_with_an_empty_line_however_it_arrives() {
        let bytes = b"\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\nrest";
        assert_eq!(Scanner::default().scan(bytes), Ok(Some(4..31)));
        let mut scanner = Scanner::default();
        for end in 0..31 {
            assert_eq!(scanner.scan(&bytes[..end]), Ok(None));
        }
        assert_eq!(scanner.scan(&bytes[..31]), Ok(Some(4..31)));
    }

    #[test]
    fn a_bare_line_feed_is_refused_as_soon_as_it_is_seen() {
        for bytes in [&b"\n"[..], b"GET / HTTP/1.1\n", b"GET / HTTP/1.1\r\n\n", b"\r\n\n"] {
            assert_eq!(Scanner::default().scan(bytes), Err(Refused::malformed("bare_line_feed")), "{bytes:?}");
        }
    }
}
