//! A backend that answers as it is told, with any framing, and checks the bodies that it gets.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::answer::{Answer, BODY, FIELD, Manner, TUNNEL_END, pattern};
use super::messages::{End, Message};
use super::wire::Wire;

/// A running backend; it accepts until it goes out of scope.
pub struct Origin {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
}

impl Origin {
    /// Listens at `address`.
    pub fn start(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let end = ended.clone();
        std::thread::spawn(move || {
            for tcp in listener.incoming() {
                if end.load(Ordering::Relaxed) {
                    return;
                }
                if let Ok(wire) = tcp.and_then(Wire::accepted) {
                    // A connection that breaks is the test's doing: what matters is what the client gets.
                    std::thread::spawn(move || serve(wire));
                }
            }
        });
        Self { address, ended }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(mut wire: Wire) -> io::Result<()> {
    loop {
        let mut request = Message::head(&mut wire)?;
        let answer = request.header(FIELD).and_then(Answer::decode).ok_or_else(|| wrong("no answer is given"))?;
        if answer.manner == Manner::Tunnel {
            return tunnel(wire, &request, answer);
        }
        if answer.manner != Manner::Early {
            if request.header("expect").is_some() {
                wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            }
            let end = request.end(End::Nothing)?;
            request.read_body(&mut wire, end)?;
        }
        let mut response = answer.response(request.start.starts_with("HEAD "));
        if answer.manner != Manner::Early && request.body != told(&request) {
            response = b"HTTP/1.1 599 Another body\r\ncontent-length: 0\r\n\r\n".to_vec();
        }
        match answer.manner {
            Manner::Never => return Ok(()),
            Manner::Stalls(most) => {
                wire.send(&response[..most.min(response.len())])?;
                return wire.until_end().map(drop);
            }
            Manner::Reset(most) | Manner::Cut(most) => {
                send(&mut wire, &response[..most.min(response.len())], answer.seed)?;
                if matches!(answer.manner, Manner::Reset(_)) {
                    wire.reset();
                }
                return Ok(());
            }
            _ => send(&mut wire, &response, answer.seed)?,
        }
        let closes = !answer.keep || (answer.framing == super::answer::Framing::Close && answer.has_body());
        if closes || answer.manner == Manner::Early {
            wire.finish()?;
            // What the proxy may still be sending is read, so that the response is not lost to a reset.
            return wire.until_end().map(drop);
        }
    }
}

/// The body that the request says it has.
fn told(request: &Message) -> Vec<u8> {
    let (seed, length) = request.header(BODY).and_then(|v| v.split_once(' ')).unwrap_or(("0", "0"));
    pattern(seed.parse().unwrap_or(0), length.parse().unwrap_or(0))
}

/// At once, or in pieces.
fn send(wire: &mut Wire, mut bytes: &[u8], seed: u64) -> io::Result<()> {
    let mut rng = StdRng::seed_from_u64(seed ^ 0x5e4d);
    while rng.random_bool(0.4) && bytes.len() > 1 {
        let (piece, rest) = bytes.split_at(rng.random_range(1..bytes.len()));
        wire.send(piece)?;
        bytes = rest;
    }
    wire.send(bytes)
}

fn tunnel(mut wire: Wire, request: &Message, answer: Answer) -> io::Result<()> {
    let mut head = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: counted\r\n\r\n".to_vec();
    // Some of the bytes come with the head.
    let bytes = pattern(answer.seed, answer.size);
    head.extend_from_slice(&bytes);
    let writer = wire.socket()?;
    let seed = answer.seed;
    let writes = std::thread::spawn(move || send(&mut Wire::accepted(writer)?, &head, seed));
    let received = wire.until_end()?;
    writes.join().map_err(|_| wrong("the writer panicked"))??;
    if received != told(request) {
        wire.reset();
        return Err(wrong("other bytes than were sent through the tunnel"));
    }
    wire.send(TUNNEL_END)?;
    wire.finish()
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
