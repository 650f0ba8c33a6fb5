//! HTTP/2 as frames: what a test writes, and what it reads back.

use std::io::{ErrorKind, Read};

use crate::support::{Conn, Proxy};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;

pub(crate) const PROTOCOL_ERROR: u32 = 1;
pub(crate) const FLOW_CONTROL_ERROR: u32 = 3;
pub(crate) const STREAM_CLOSED: u32 = 5;
pub(crate) const FRAME_SIZE_ERROR: u32 = 6;
pub(crate) const COMPRESSION_ERROR: u32 = 9;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

/// What becomes of a connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// GOAWAY with this code, then the end.
    Goaway(u32),
    /// RST_STREAM of this code; the connection goes on.
    Reset(u32),
    /// A response of this status, in `:status`'s static or literal form.
    Status(u16),
    /// The connection ended without a word.
    Closed,
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A field as a literal that is not indexed.
pub(crate) fn field(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0, u8::try_from(name.len()).unwrap()];
    bytes.extend_from_slice(name.as_bytes());
    bytes.push(u8::try_from(value.len()).unwrap());
    bytes.extend_from_slice(value.as_bytes());
    bytes
}

/// `GET / HTTP/2` of `a`, with more fields.
pub(crate) fn request(more: &[(&str, &str)]) -> Vec<u8> {
    let mut block = vec![0x82, 0x86, 0x84, 0x41, 1, b'a'];
    more.iter().for_each(|(name, value)| block.extend(field(name, value)));
    block
}

pub(crate) fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &request(&[]))
}

pub(crate) fn post(stream: u32, more: &[(&str, &str)]) -> Vec<u8> {
    let mut block = vec![0x83, 0x86, 0x84, 0x41, 1, b'a'];
    more.iter().for_each(|(name, value)| block.extend(field(name, value)));
    frame(HEADERS, END_HEADERS, stream, &block)
}

pub(crate) fn fields(block: &[Vec<u8>]) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, 1, &block.concat())
}

pub(crate) fn setting(id: u16, value: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
}

/// A connection that has said its preface.
pub(crate) fn connect(proxy: &Proxy) -> Conn {
    let mut client = proxy.connect();
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    client.send(frame(SETTINGS, 0, 0, &[]));
    client
}

/// The next frame: its header and payload; none where the connection ended.
pub(crate) fn next(client: &mut Conn) -> Option<([u8; 9], Vec<u8>)> {
    let mut header = [0; 9];
    read(client, &mut header)?;
    let mut payload = vec![0; u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize];
    read(client, &mut payload)?;
    Some((header, payload))
}

fn read(client: &mut Conn, bytes: &mut [u8]) -> Option<()> {
    match client.stream.read_exact(bytes) {
        Ok(()) => Some(()),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            panic!("neither a frame nor the end of the connection")
        }
        Err(_) => None,
    }
}

/// Reads frames until one that says how it ended.
pub(crate) fn end(client: &mut Conn) -> End {
    loop {
        let Some((header, payload)) = next(client) else { return End::Closed };
        let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
        match header[3] {
            GOAWAY => return End::Goaway(number(&payload[4..8])),
            RST_STREAM => return End::Reset(number(&payload)),
            HEADERS => {
                return End::Status(match payload[0] {
                    0x88 => 200,
                    0x8c => 400,
                    0x8d => 404,
                    // A literal of three digits, in Huffman's code or not.
                    _ => 431,
                });
            }
            _ => {}
        }
    }
}
