//! A client's HTTP/2 connection in bytes that are made once, so that nothing of the test's own is counted.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// RFC 9113 section 3.4, and an empty SETTINGS frame.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const SETTINGS_ACK: [u8; 9] = [0, 0, 0, 4, 1, 0, 0, 0, 0];
/// Types of frames and flags (RFC 9113 section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
/// `:status: 200` of HPACK's static table (RFC 7541 appendix A).
const OK: u8 = 0x88;

/// A connection.
pub(crate) struct Client {
    stream: TcpStream,
    /// A HEADERS frame, whose stream is put in.
    request: Vec<u8>,
    next: u32,
    held: Vec<u8>,
}

impl Client {
    /// Connects, and says so.
    pub(crate) fn connect(address: SocketAddr, host: &str) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.write_all(PREFACE).unwrap();
        Self { stream, request: request(host), next: 1, held: Vec::with_capacity(64 * 1024) }
    }

    /// Asks once, and takes the answer: 200, with `hello` in as many frames as it comes in. Gives their number.
    pub(crate) fn exchange(&mut self) -> usize {
        let id = self.next;
        self.next += 2;
        self.request[5..9].copy_from_slice(&id.to_be_bytes());
        self.stream.write_all(&self.request).unwrap();
        let (mut body, mut length, mut frames) = ([0; 16], 0, 0);
        loop {
            let (kind, flags, stream, payload) = self.frame();
            if kind == SETTINGS && flags & ACK == 0 {
                self.stream.write_all(&SETTINGS_ACK).unwrap();
            }
            if stream == id {
                frames += 1;
                let bytes = &self.held[9..9 + payload];
                match kind {
                    HEADERS => assert_eq!(bytes[0], OK, "{bytes:?}"),
                    DATA => {
                        body[length..length + payload].copy_from_slice(bytes);
                        length += payload;
                    }
                    _ => panic!("frame {kind} of stream {id}"),
                }
            }
            self.held.drain(..9 + payload);
            if stream == id && flags & END_STREAM != 0 {
                assert_eq!(&body[..length], b"hello");
                return frames;
            }
        }
    }

    /// Waits for a whole frame in front: type, flags, stream, bytes of payload.
    fn frame(&mut self) -> (u8, u8, u32, usize) {
        loop {
            if let [a, b, c, kind, flags, s0, s1, s2, s3, rest @ ..] = &self.held[..] {
                let payload = u32::from_be_bytes([0, *a, *b, *c]) as usize;
                if rest.len() >= payload {
                    return (*kind, *flags, u32::from_be_bytes([*s0, *s1, *s2, *s3]), payload);
                }
            }
            let mut piece = [0; 4096];
            let count = self.stream.read(&mut piece).unwrap();
            assert!(count > 0, "the connection ended");
            self.held.extend_from_slice(&piece[..count]);
        }
    }
}

/// GET /shop/cart?p=2, fields as literals that no table keeps (RFC 7541 section 6.2.2).
fn request(host: &str) -> Vec<u8> {
    let mut block = vec![0x82, 0x86];
    let mut literal = |name: &[u8], value: &[u8]| {
        block.extend_from_slice(name);
        block.push(u8::try_from(value.len()).unwrap());
        block.extend_from_slice(value);
    };
    literal(&[0x04], b"/shop/cart?p=2");
    literal(&[0x01], host.as_bytes());
    literal(&[0x0f, 58 - 15], b"test");
    literal(&[0x0f, 19 - 15], b"*/*");
    let length = u32::try_from(block.len()).unwrap().to_be_bytes();
    let head = [length[1], length[2], length[3], HEADERS, 0x4 | END_STREAM, 0, 0, 0, 0];
    [&head[..], &block].concat()
}
