//! One exchange: what is asked, how it is written, what must come of it.

use rand::Rng;
use rand::rngs::StdRng;

use super::answer::{Answer, BODY, FIELD, Framing, Manner, chunks, pattern};
use super::place::{GLOBEX, NOBODY, SHOP, TINY};

/// Who is charged for what has no tenant.
pub const NONE: &str = "-";

/// What must come of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The backend's answer.
    Answered,
    /// An answer of the proxy's own, with this status; the tenant is charged.
    Refused(u16),
    /// The head is not taken: nobody's, and no request.
    NotTaken(u16),
    /// The backend switches protocols.
    Tunnel,
    /// The backend answers before it asked for the body, which then is not sent.
    Held,
}

/// How a request's body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// None.
    None,
    /// Content-Length.
    Length,
    /// Chunks.
    Chunked,
    /// Chunks and trailers.
    Trailers,
}

/// An exchange.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Who is charged.
    pub tenant: &'static str,
    /// Method.
    pub method: &'static str,
    /// The head.
    pub head: Vec<u8>,
    /// The body with its framing.
    pub body: Vec<u8>,
    /// The client waits for 100 before it sends the body.
    pub expects: bool,
    /// How the backend answers.
    pub answer: Answer,
    /// What must come of it.
    pub fate: Fate,
}

impl Exchange {
    /// Draws one. A `modest` one can be sent with others in one go: it is small, and waits for nothing.
    pub fn draw(rng: &mut StdRng, modest: bool) -> Self {
        match rng.random_range(0..100) {
            0..4 if !modest => Self::not_taken(rng),
            4..8 if !modest => Self::upgrade(rng),
            8..10 if !modest => Self::broken_body(rng),
            10..14 => Self::refused(rng, NOBODY, "/x/none", 404, NONE, modest),
            14..18 => Self::refused(rng, SHOP, "/elsewhere", 404, "acme", modest),
            18..20 => Self::refused(rng, SHOP, "/x/down", 503, "acme", modest),
            _ => {
                let (host, tenant) =
                    [(SHOP, "acme"), (GLOBEX, "globex"), (TINY, "tiny")][rng.random_range(0..11_usize) / 5];
                Self::answered(rng, modest, host, tenant)
            }
        }
    }

    /// Draws one of this tenant whose answer says that all of the request was read.
    pub fn draw_answered(rng: &mut StdRng, host: &'static str, tenant: &'static str) -> Self {
        if rng.random_bool(0.05) {
            return Self::tunnel(rng, host, tenant);
        }
        loop {
            let exchange = Self::answered(rng, false, host, tenant);
            if exchange.fate == Fate::Answered {
                return exchange;
            }
        }
    }

    fn answered(rng: &mut StdRng, modest: bool, host: &'static str, tenant: &'static str) -> Self {
        let method = draw_method(rng);
        let mut answer = draw_answer(rng, modest);
        let size = draw_size(rng, modest || tenant == "tiny");
        let bodied = if matches!(method, "POST" | "PUT" | "PATCH" | "BREW") { 0.9 } else { 0.1 };
        let body = if rng.random_bool(bodied) { draw_body(rng) } else { Body::None };
        let mut fate = Fate::Answered;
        if tenant != "tiny" && rng.random_bool(0.02) {
            (answer.manner, fate) = (Manner::Never, Fate::Refused(502));
        }
        let old = body != Body::Chunked && body != Body::Trailers && rng.random_bool(0.07);
        let expects = !old && !modest && tenant != "tiny" && body != Body::None && size > 0 && rng.random_bool(0.2);
        if expects && rng.random_bool(0.3) {
            (answer.manner, fate) = (Manner::Early, Fate::Held);
        }
        let mut fields = String::new();
        match (old, rng.random_range(0..10)) {
            (true, 0..5) => fields += "Connection: keep-alive\r\n",
            (false, 0) => fields += "Connection: close\r\n",
            (false, 1) => fields += "TE: trailers\r\nConnection: te\r\n",
            _ => {}
        }
        if expects {
            fields += "Expect: 100-continue\r\n";
        }
        let line = format!("{method} /x/{}?q={} HTTP/1.{}", rng.random::<u32>(), answer.seed, u8::from(!old));
        Self::build(rng, (tenant, host, method, &line), fields, (body, size), answer, fate).expecting(expects)
    }

    /// An exchange that the proxy itself answers. What it does not wait for it still reads, up to a
    /// bound that these bodies stay below.
    fn refused(
        rng: &mut StdRng,
        host: &'static str,
        path: &str,
        status: u16,
        tenant: &'static str,
        modest: bool,
    ) -> Self {
        let method = draw_method(rng);
        let body = if rng.random_bool(0.3) { draw_body(rng) } else { Body::None };
        let size = draw_size(rng, true) * if modest { 1 } else { 8 };
        let line = format!("{method} {path} HTTP/1.1");
        let fate = Fate::Refused(status);
        Self::build(rng, (tenant, host, method, &line), String::new(), (body, size), Answer::ok(0, 0), fate)
    }

    fn build(
        rng: &mut StdRng,
        (tenant, host, method, line): (&'static str, &str, &'static str, &str),
        mut fields: String,
        (body, size): (Body, usize),
        answer: Answer,
        fate: Fate,
    ) -> Self {
        let seed = rng.random_range(0..1_000_000);
        let size = if body == Body::None { 0 } else { size };
        let data = pattern(seed, size);
        let mut framed = Vec::new();
        match body {
            Body::None => {}
            Body::Length => {
                fields += &format!("Content-Length: {size}\r\n");
                framed = data;
            }
            Body::Chunked | Body::Trailers => {
                fields += "Transfer-Encoding: chunked\r\n";
                chunks(&data, seed, body == Body::Trailers, &mut framed);
            }
        }
        if rng.random_bool(0.05) {
            fields += &format!("X-Padding: {}\r\n", "p".repeat(rng.random_range(0..20_000)));
        }
        // Empty lines before a request line are passed over (RFC 9112 section 2.2), and billed with it.
        let before = if rng.random_bool(0.02) { "\r\n" } else { "" };
        let head = format!(
            "{before}{line}\r\nHost: {host}\r\n{FIELD}: {}\r\n{BODY}: {seed} {size}\r\n{fields}\r\n",
            answer.encode()
        );
        Self { tenant, method, head: head.into_bytes(), body: framed, expects: false, answer, fate }
    }

    /// Asks the backend for another answer, of the same length in the head or not.
    pub fn retell(&mut self, answer: Answer) {
        let (old, new) = (self.answer.encode(), answer.encode());
        let text = String::from_utf8(std::mem::take(&mut self.head)).expect("a head that is taken is text");
        self.head = text.replace(&format!("{FIELD}: {old}"), &format!("{FIELD}: {new}")).into_bytes();
        self.answer = answer;
    }

    fn expecting(self, expects: bool) -> Self {
        Self { expects, ..self }
    }

    fn upgrade(rng: &mut StdRng) -> Self {
        let (host, tenant) = [(SHOP, "acme"), (GLOBEX, "globex")][rng.random_range(0..2)];
        if rng.random_bool(0.7) {
            return Self::tunnel(rng, host, tenant);
        }
        let answer = draw_answer(rng, true);
        Self::upgrading(rng, (host, tenant), answer, Fate::Answered, 0)
    }

    fn tunnel(rng: &mut StdRng, host: &'static str, tenant: &'static str) -> Self {
        let (down, up) = (draw_size(rng, false).min(200_000), draw_size(rng, false).min(200_000));
        let answer = Answer { manner: Manner::Tunnel, ..Answer::ok(down, rng.random_range(0..1_000_000)) };
        Self::upgrading(rng, (host, tenant), answer, Fate::Tunnel, up)
    }

    fn upgrading(
        rng: &mut StdRng,
        (host, tenant): (&'static str, &'static str),
        answer: Answer,
        fate: Fate,
        sent: usize,
    ) -> Self {
        let seed = rng.random_range(0..1_000_000);
        let head = format!(
            "GET /x/tunnel HTTP/1.1\r\nHost: {host}\r\n{FIELD}: {}\r\n{BODY}: {seed} {sent}\r\n\
             Connection: Upgrade\r\nUpgrade: counted\r\n\r\n",
            answer.encode()
        );
        let body = pattern(seed, sent);
        Self { tenant, method: "GET", head: head.into_bytes(), body, expects: false, answer, fate }
    }

    fn broken_body(rng: &mut StdRng) -> Self {
        let line = "POST /x/broken HTTP/1.1";
        let whole = (SHOP, "acme");
        let mut exchange = Self::build(
            rng,
            (whole.1, whole.0, "POST", line),
            String::new(),
            (Body::Chunked, 300),
            Answer::ok(10, 1),
            Fate::Refused(400),
        );
        let broken = ["zz\r\n", "5\rx", "-1\r\n", "\r\n\r\n", "12345678901234567\r\n"][rng.random_range(0..5)];
        exchange.body.truncate(exchange.body.len() - 5);
        exchange.body.extend_from_slice(broken.as_bytes());
        exchange.body.extend_from_slice(&pattern(3, rng.random_range(0..500)));
        exchange
    }

    /// A head that is not taken, with something after it.
    fn not_taken(rng: &mut StdRng) -> Self {
        let host = format!("Host: {SHOP}\r\n");
        let (head, status) = match rng.random_range(0..9) {
            0 => (format!("POST /x HTTP/1.1\r\n{host}Content-Length: 3\r\nContent-Length: 3\r\n\r\n"), 400),
            1 => ("GET /x HTTP/1.1\r\n\r\n".into(), 400),
            2 => (format!("GET /x HTTP/1.1\n{host}\r\n"), 400),
            3 => (format!("CONNECT {SHOP}:443 HTTP/1.1\r\n{host}\r\n"), 501),
            4 => (format!("GET /x HTTP/2.0\r\n{host}\r\n"), 505),
            5 => (format!("PUT /x HTTP/1.1\r\n{host}Expect: the-best\r\nContent-Length: 5\r\n\r\n"), 417),
            6 => (format!("POST /x HTTP/1.0\r\n{host}Transfer-Encoding: chunked\r\n\r\n"), 400),
            7 => (format!("GET /x HTTP/1.1\r\n{host}{}\r\n", "x-a: b\r\n".repeat(101)), 431),
            _ => (format!("GET /x HTTP/1.1\r\n{host}x-large: {}\r\n\r\n", "l".repeat(70_000)), 431),
        };
        let body = pattern(5, rng.random_range(0..3) * 100);
        let (answer, fate) = (Answer::ok(0, 0), Fate::NotTaken(status));
        Self { tenant: NONE, method: "GET", head: head.into_bytes(), body, expects: false, answer, fate }
    }
}

fn draw_method(rng: &mut StdRng) -> &'static str {
    ["GET", "GET", "GET", "HEAD", "POST", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"][rng.random_range(0..11)]
}

fn draw_body(rng: &mut StdRng) -> Body {
    [Body::Length, Body::Length, Body::Chunked, Body::Trailers][rng.random_range(0..4)]
}

/// Mostly small.
fn draw_size(rng: &mut StdRng, modest: bool) -> usize {
    match rng.random_range(0..400) {
        0..60 => 0,
        60..300 => rng.random_range(1..300),
        _ if modest => rng.random_range(1..4096),
        300..380 => rng.random_range(1..5_000),
        380..398 => rng.random_range(1..100_000),
        _ => rng.random_range(1..=1 << 20),
    }
}

fn draw_answer(rng: &mut StdRng, modest: bool) -> Answer {
    let framing =
        [Framing::Length, Framing::Length, Framing::Chunked, Framing::Trailers, Framing::Close][rng.random_range(0..5)];
    Answer {
        status: [200, 200, 200, 200, 201, 204, 304, 404, 500][rng.random_range(0..9)],
        framing,
        size: draw_size(rng, modest),
        seed: rng.random_range(0..1_000_000),
        interim: if rng.random_bool(0.1) { rng.random_range(1..4) } else { 0 },
        keep: rng.random_bool(0.9),
        manner: Manner::Whole,
    }
}
