//! A JSON object on one line, appended to a buffer. Allocates only where the buffer must grow.

use std::io::Write;
use std::net::{SocketAddr, SocketAddrV4};
use std::time::SystemTime;

use super::time::Rfc3339;

/// Longest text, in bytes of UTF-8 before escapes; the rest is left out, at a character's border.
pub(super) const TEXT_BYTES: usize = 2048;

/// An object that is being written. Fields are given as `key!("name")`.
pub(super) struct Object<'o> {
    out: &'o mut Vec<u8>,
}

/// A field's name as it stands in the object, after the field before.
macro_rules! key {
    ($name:literal) => {
        concat!(",\"", $name, "\":")
    };
}
pub(super) use key;

impl<'o> Object<'o> {
    /// Begins with `start_time`.
    pub(super) fn new(out: &'o mut Vec<u8>, start: SystemTime) -> Self {
        // Room for all but long texts, so that the fields seldom grow it.
        out.reserve(1024);
        out.extend_from_slice(b"{\"start_time\":\"");
        out.extend_from_slice(&Rfc3339::from(start).0);
        out.push(b'"');
        Self { out }
    }

    #[inline]
    pub(super) fn text(&mut self, key: &'static str, value: Option<&str>) {
        self.out.extend_from_slice(key.as_bytes());
        match value {
            Some(value) => quoted(self.out, cut(value)),
            None => self.out.extend_from_slice(b"null"),
        }
    }

    /// A text of our own, with nothing to escape.
    #[inline]
    pub(super) fn word(&mut self, key: &'static str, value: &'static str) {
        self.out.extend_from_slice(key.as_bytes());
        self.out.push(b'"');
        self.out.extend_from_slice(value.as_bytes());
        self.out.push(b'"');
    }

    #[inline]
    pub(super) fn number(&mut self, key: &'static str, value: u64) {
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    #[inline]
    pub(super) fn address(&mut self, key: &'static str, value: Option<SocketAddr>) {
        self.out.extend_from_slice(key.as_bytes());
        match value {
            Some(SocketAddr::V4(address)) => self.ipv4(address),
            // Writing to a Vec cannot fail.
            Some(address) => drop(write!(self.out, "\"{address}\"")),
            None => self.out.extend_from_slice(b"null"),
        }
    }

    /// Without the formatting machinery, which costs more than the rest of the line.
    fn ipv4(&mut self, address: SocketAddrV4) {
        let mut digits = itoa::Buffer::new();
        let mut before = b'"';
        for octet in address.ip().octets() {
            self.out.push(std::mem::replace(&mut before, b'.'));
            self.out.extend_from_slice(digits.format(octet).as_bytes());
        }
        self.out.push(b':');
        self.out.extend_from_slice(digits.format(address.port()).as_bytes());
        self.out.push(b'"');
    }

    /// Ends the object, and the line.
    pub(super) fn end(self) {
        self.out.extend_from_slice(b"}\n");
    }
}

#[inline]
fn cut(text: &str) -> &str {
    if text.len() <= TEXT_BYTES { text } else { &text[..text.floor_char_boundary(TEXT_BYTES)] }
}

/// RFC 8259, section 7: quotes, backslashes and control characters are escaped; runs between them
/// are copied whole. Most texts are one run, found out without a branch for each byte.
#[inline]
fn quoted(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    if text.bytes().fold(false, |any, byte| any | is_escaped(byte)) {
        runs(out, text.as_bytes());
    } else {
        out.extend_from_slice(text.as_bytes());
    }
    out.push(b'"');
}

const fn is_escaped(byte: u8) -> bool {
    byte == b'"' || byte == b'\\' || byte < 0x20 || byte == 0x7f
}

#[cold]
fn runs(out: &mut Vec<u8>, mut rest: &[u8]) {
    while let Some(at) = rest.iter().position(|byte| is_escaped(*byte)) {
        out.extend_from_slice(&rest[..at]);
        escape(out, rest[at]);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
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
