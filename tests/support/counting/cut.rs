//! Exchanges that are cut short, by the client at any byte of either direction, or by the backend.

use std::io;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::answer::{Answer, Manner};
use super::exchange::{Exchange, Fate};
use super::messages::Message;
use super::wire::Wire;
use crate::support::http::Target;

/// How much of a head can come in one read; a longer one may be cut although all of it was sent.
const ONE_READ: usize = 16 * 1024;
/// The shortest head of a response is longer.
const HEAD: usize = 30;

/// What a client knows of its cut connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cut {
    /// Bytes written at most.
    pub sent: u64,
    /// Bytes that came.
    pub received: u64,
    /// Exchanges whose answer was seen.
    pub answered: u64,
    /// Exchanges begun, whether or not the head was whole.
    pub begun: u64,
    /// Bytes that may belong to no exchange.
    pub nobodys: u64,
}

impl Cut {
    /// Adds another.
    pub fn add(&mut self, other: &Cut) {
        self.sent += other.sent;
        self.received += other.received;
        self.answered += other.answered;
        self.begun += other.begun;
        self.nobodys += other.nobodys;
    }
}

/// How a client ends its connection.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// With a reset.
    Reset,
    /// Both ways, with whatever is unread.
    Close,
    /// Only its own direction; it reads on.
    Half,
    /// Not at all: it waits for the proxy's end.
    Waits,
}

/// Runs one exchange of `acme`, drawn from `seed`, and cuts it.
pub fn run(target: &Target, seed: u64) -> io::Result<Cut> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut exchange = draw(&mut rng);
    let way = [Way::Reset, Way::Reset, Way::Close, Way::Half][rng.random_range(0..4)];
    let cut_by_backend = rng.random_bool(0.3);
    let mut later = Vec::new();
    let (sends, reads, way) = match rng.random_range(0..3) {
        _ if cut_by_backend => {
            let size = exchange.answer.response(false).len();
            let bytes = rng.random_range(0..=size);
            let manner =
                [Manner::Reset(bytes), Manner::Cut(bytes), Manner::Early, Manner::Never][rng.random_range(0..4)];
            exchange.retell(Answer { manner, ..exchange.answer });
            (usize::MAX, usize::MAX, Way::Waits)
        }
        // Somewhere in the request.
        0 => (rng.random_range(0..=exchange.head.len() + exchange.body.len()), 0, way),
        // Somewhere in the response.
        1 => (usize::MAX, rng.random_range(0..=sure(&exchange)), way),
        // With the next request on its way.
        _ => {
            let next = draw(&mut rng);
            later = [next.head, next.body].concat();
            later.truncate(rng.random_range(0..=later.len().min(3000)));
            (usize::MAX, rng.random_range(0..=sure(&exchange)), way)
        }
    };
    let bytes = [exchange.head.as_slice(), &exchange.body, &later].concat();
    let sends = sends.min(bytes.len());
    let mut cut = Cut { begun: 1 + u64::from(!later.is_empty()), ..Cut::default() };
    let head_may_be_cut = sends < exchange.head.len() || exchange.head.len() >= ONE_READ;
    cut.nobodys = if head_may_be_cut { sends } else { later.len() } as u64;
    let mut wire = Wire::connect(target)?;
    if rng.random_bool(0.2) {
        // A client that reads little at a time, so that the proxy's writes are taken in part.
        socket2::SockRef::from(&wire.socket()?).set_recv_buffer_size(4096)?;
    }
    // Errors are the point: what counts is what moved before them.
    let _ = exchange_bytes(&mut wire, &bytes[..sends], reads, way, &exchange, &mut cut);
    (cut.sent, cut.received) = (bytes.len().min(sends) as u64, wire.received);
    match way {
        Way::Reset => wire.reset(),
        Way::Close | Way::Half | Way::Waits => drop(wire),
    }
    Ok(cut)
}

fn exchange_bytes(
    wire: &mut Wire,
    bytes: &[u8],
    reads: usize,
    way: Way,
    exchange: &Exchange,
    cut: &mut Cut,
) -> io::Result<()> {
    wire.send(bytes)?;
    match way {
        Way::Waits => {
            Message::response(wire, exchange.method)?;
            cut.answered += 1;
            wire.finish()?;
            wire.until_end().map(drop)
        }
        Way::Half => {
            while wire.received < reads as u64 && wire.more()? > 0 {}
            wire.finish()?;
            wire.until_end().map(drop)
        }
        Way::Reset | Way::Close => {
            while wire.received < reads as u64 && wire.more()? > 0 {}
            Ok(())
        }
    }
}

/// Bytes that come in any case, so that no client waits in vain.
fn sure(exchange: &Exchange) -> usize {
    let body = match exchange.fate {
        Fate::Tunnel => true,
        Fate::Answered | Fate::Held => exchange.method != "HEAD" && exchange.answer.has_body(),
        Fate::Refused(_) | Fate::NotTaken(_) => false,
    };
    HEAD + if body { exchange.answer.size } else { 0 }
}

/// One that is acme's, if its head is read.
fn draw(rng: &mut StdRng) -> Exchange {
    loop {
        let exchange = Exchange::draw(rng, false);
        if exchange.tenant == "acme" {
            return exchange;
        }
    }
}
