//! Runs exchanges over one connection and counts what each was.

use std::io;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::answer::{BACKEND, TUNNEL_END, pattern};
use super::exchange::{Exchange, Fate, NONE};
use super::messages::Message;
use super::tally::Tally;
use super::wire::Wire;
use crate::support::http::Target;

/// What a connection was used for.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Exchanges that ended well: their bytes, by tenant.
    pub tally: Tally,
    /// How many those were.
    pub completed: u64,
}

/// Runs a connection's exchanges, drawn from `seed`. Each is to end well.
///
/// # Errors
/// One did not: a connection that broke, or an answer that is not what was asked for.
pub fn run(target: &Target, seed: u64) -> io::Result<Outcome> {
    let mut session = Session::open(target, seed)?;
    session.run().map_err(|error| io::Error::new(error.kind(), format!("session {seed}: {error}")))?;
    Ok(session.outcome)
}

/// A connection under way.
pub struct Session {
    wire: Wire,
    rng: StdRng,
    /// What ended well so far.
    pub outcome: Outcome,
}

/// Whether the connection serves another request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It does.
    Goes,
    /// The answer said that it does not.
    Ends,
}

impl Session {
    /// Connects.
    pub fn open(target: &Target, seed: u64) -> io::Result<Self> {
        let wire = Wire::connect(target)?;
        Ok(Self { wire, rng: StdRng::seed_from_u64(seed), outcome: Outcome::default() })
    }

    /// All exchanges of the connection.
    pub fn run(&mut self) -> io::Result<()> {
        let wanted = self.rng.random_range(1..25);
        while self.outcome.completed < wanted {
            let next = if self.rng.random_bool(0.15) {
                let batch: Vec<_> =
                    (0..self.rng.random_range(2..7)).map(|_| Exchange::draw(&mut self.rng, true)).collect();
                self.pipelined(&batch)?
            } else {
                let exchange = Exchange::draw(&mut self.rng, false);
                self.one(&exchange).map_err(|error| describe(&exchange, &error))?
            };
            if next == Next::Ends {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Bytes written and read so far, of exchanges that ended well or not.
    pub fn moved(&self) -> (u64, u64) {
        (self.wire.sent, self.wire.received)
    }

    /// Runs one exchange. It is counted if it ended well, which an error after its last byte does not change.
    pub fn one(&mut self, exchange: &Exchange) -> io::Result<Next> {
        match exchange.fate {
            Fate::Tunnel => self.tunnel(exchange),
            _ if exchange.expects => self.expecting(exchange),
            _ => {
                self.write(&[exchange.head.as_slice(), &exchange.body].concat())?;
                self.answer(exchange)
            }
        }
    }

    /// Sends several requests before it reads the first answer.
    fn pipelined(&mut self, batch: &[Exchange]) -> io::Result<Next> {
        let bytes: Vec<u8> = batch.iter().flat_map(|e| e.head.iter().chain(&e.body).copied()).collect();
        self.write(&bytes)?;
        for (n, exchange) in batch.iter().enumerate() {
            if self.answer(exchange).map_err(|error| describe(exchange, &error))? == Next::Ends {
                // The connection ended with this one: what was sent after it belongs to no exchange.
                let after: usize = batch[n + 1..].iter().map(|e| e.head.len() + e.body.len()).sum();
                self.outcome.tally.add(NONE, "request_bytes", after as u64);
                return Ok(Next::Ends);
            }
        }
        Ok(Next::Goes)
    }

    /// Waits for 100, or the answer, before it sends the body.
    fn expecting(&mut self, exchange: &Exchange) -> io::Result<Next> {
        self.write(&exchange.head)?;
        if exchange.fate == Fate::Held {
            let response = Message::response(&mut self.wire, exchange.method)?;
            return self.ended(exchange, exchange.head.len(), &response);
        }
        let interim = Message::head(&mut self.wire)?;
        if interim.status()? != 100 {
            return Err(wrong(format!("{} where 100 was to come", interim.start)));
        }
        self.write(&exchange.body)?;
        let mut response = Message::response(&mut self.wire, exchange.method)?;
        response.bytes += interim.bytes;
        self.ended(exchange, exchange.head.len() + exchange.body.len(), &response)
    }

    fn answer(&mut self, exchange: &Exchange) -> io::Result<Next> {
        let response = Message::response(&mut self.wire, exchange.method)?;
        self.ended(exchange, exchange.head.len() + exchange.body.len(), &response)
    }

    /// Checks an answer and counts the exchange.
    fn ended(&mut self, exchange: &Exchange, sent: usize, response: &Message) -> io::Result<Next> {
        let status = response.status()?;
        let limited = status == 429 && exchange.tenant == "tiny";
        let expected = match exchange.fate {
            Fate::Refused(status) | Fate::NotTaken(status) => status,
            Fate::Answered | Fate::Held | Fate::Tunnel => exchange.answer.status,
        };
        let by_backend = matches!(exchange.fate, Fate::Answered | Fate::Held) && !limited;
        if (status != expected && !limited) || by_backend != response.header(BACKEND).is_some() {
            let from = if by_backend { " of the backend" } else { "" };
            return Err(wrong(format!("{} where {expected}{from} was to come", response.start)));
        }
        let has_body = by_backend && exchange.method != "HEAD" && exchange.answer.has_body();
        let body = if has_body { pattern(exchange.answer.seed, exchange.answer.size) } else { Vec::new() };
        if response.body.len() < body.len() && body.starts_with(&response.body) {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the body is cut short"));
        }
        if response.body != body {
            return Err(wrong(format!("{} bytes of body, not the {} expected", response.body.len(), body.len())));
        }
        let tally = &mut self.outcome.tally;
        if !matches!(exchange.fate, Fate::NotTaken(_)) {
            tally.add(exchange.tenant, "requests", 1);
        }
        tally.add(exchange.tenant, "request_bytes", sent as u64);
        tally.add(exchange.tenant, "response_bytes", response.bytes);
        tally.add(exchange.tenant, "limited_requests", u64::from(limited));
        self.outcome.completed += 1;
        let old = exchange.head.windows(10).any(|w| w == b" HTTP/1.0\r");
        let closes = match response.header("connection") {
            Some(value) => value.eq_ignore_ascii_case("close"),
            None => old,
        };
        if !closes {
            return Ok(Next::Goes);
        }
        if !self.wire.is_at_end()? {
            return Err(wrong("more came after the answer that ends the connection"));
        }
        Ok(Next::Ends)
    }

    /// Switches protocols and moves bytes both ways; some of them go with the head.
    fn tunnel(&mut self, exchange: &Exchange) -> io::Result<Next> {
        let early = self.rng.random_range(0..=exchange.body.len().min(2000));
        let (with_head, later) = exchange.body.split_at(early);
        self.write(&[exchange.head.as_slice(), with_head].concat())?;
        let response = Message::response(&mut self.wire, exchange.method)?;
        if response.status()? != 101 {
            return Err(wrong(format!("{} where 101 was to come", response.start)));
        }
        self.write(later)?;
        self.wire.finish()?;
        let received = self.wire.until_end()?;
        let expected = [pattern(exchange.answer.seed, exchange.answer.size).as_slice(), TUNNEL_END].concat();
        if received.len() < expected.len() && expected.starts_with(&received) {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the tunnel is cut short"));
        }
        if received != expected {
            return Err(wrong(format!("{} other bytes came through the tunnel", received.len())));
        }
        let tally = &mut self.outcome.tally;
        tally.add(exchange.tenant, "requests", 1);
        tally.add(exchange.tenant, "request_bytes", exchange.head.len() as u64);
        tally.add(exchange.tenant, "response_bytes", response.bytes);
        tally.add(exchange.tenant, "tunnel_request_bytes", exchange.body.len() as u64);
        tally.add(exchange.tenant, "tunnel_response_bytes", received.len() as u64);
        self.outcome.completed += 1;
        Ok(Next::Ends)
    }

    /// At once, in pieces, or byte by byte.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.rng.random_range(0..20) {
            0 if bytes.len() < 700 => bytes.iter().try_for_each(|byte| self.wire.send(&[*byte])),
            1..5 => {
                let most = (bytes.len() / 4).max(1);
                let mut rest = bytes;
                while !rest.is_empty() {
                    let (piece, after) = rest.split_at(self.rng.random_range(1..=most).min(rest.len()));
                    self.wire.send(piece)?;
                    rest = after;
                }
                Ok(())
            }
            _ => self.wire.send(bytes),
        }
    }
}

fn describe(exchange: &Exchange, error: &io::Error) -> io::Error {
    let head = String::from_utf8_lossy(&exchange.head[..exchange.head.len().min(400)]).into_owned();
    let Exchange { fate, answer, body, .. } = exchange;
    io::Error::new(error.kind(), format!("{error}\n{head}({} bytes of body; {fate:?}; {answer:?})", body.len()))
}

fn wrong(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}
