//! A JSON object on one line, appended to a buffer. Allocates only where the buffer must grow.

use std::io::Write;
use std::net::SocketAddr;
use std::time::SystemTime;

use super::time::Rfc3339;

/// Longest text, in bytes of UTF-8 before escapes; the rest is left out, at a character's border.
pub(super) const TEXT_BYTES: usize = 2048;

/// An object that is being written. Names are literals that need no escape.
pub(super) struct Object<'o> {
    out: &'o mut Vec<u8>,
    next: u8,
}

impl<'o> Object<'o> {
    pub(super) fn new(out: &'o mut Vec<u8>) -> Self {
        Self { out, next: b'{' }
    }

    pub(super) fn text(&mut self, name: &str, value: Option<&str>) {
        self.name(name);
        match value {
            Some(value) => quoted(self.out, cut(value)),
            None => self.out.extend_from_slice(b"null"),
        }
    }

    pub(super) fn number(&mut self, name: &str, value: u64) {
        self.name(name);
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    pub(super) fn time(&mut self, name: &str, value: SystemTime) {
        self.name(name);
        self.out.push(b'"');
        self.out.extend_from_slice(&Rfc3339::from(value).0);
        self.out.push(b'"');
    }

    pub(super) fn address(&mut self, name: &str, value: Option<SocketAddr>) {
        self.name(name);
        // Writing to a Vec cannot fail.
        let _ = match value {
            Some(address) => write!(self.out, "\"{address}\""),
            None => self.out.write_all(b"null"),
        };
    }

    /// Ends the object, and the line.
    pub(super) fn end(self) {
        self.out.extend_from_slice(b"}\n");
    }

    fn name(&mut self, name: &str) {
        self.out.extend_from_slice(&[std::mem::replace(&mut self.next, b','), b'"']);
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES)]
}

/// RFC 8259, section 7: quotes, backslashes and control characters are escaped; runs between them
/// are copied whole.
fn quoted(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|b| matches!(b, b'"' | b'\\' | 0..=0x1f | 0x7f)) {
        out.extend_from_slice(&rest[..at]);
        escape(out, rest[at]);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

fn escape(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        _ => {
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]])
        }
    }
}
