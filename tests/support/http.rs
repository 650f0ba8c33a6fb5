//! A small HTTP/1.1 client that is strict about what it gets: a response that is not exactly framed
//! is an error, so that a test which counts failed requests sees every one.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;

use super::tls;

/// No answer within this is an error.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// `host`.
    pub host: String,
    /// The other headers.
    pub headers: Vec<(String, String)>,
    /// Body; empty: none.
    pub body: Vec<u8>,
}

impl Request {
    /// GET of `target` at `host`.
    pub fn get(host: &str, target: &str) -> Self {
        Self { method: "GET".into(), target: target.into(), host: host.into(), ..Self::default() }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\nhost: {}\r\n", self.method, self.target, self.host);
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\r\n");
        }
        if !self.body.is_empty() {
            text += &format!("content-length: {}\r\n", self.body.len());
        }
        text += "\r\n";
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// A whole response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// Status.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl Response {
    /// First value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The body as JSON; null if it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Name of the `weir echo` that answered; none where something else did.
    pub fn backend(&self) -> Option<String> {
        (self.status == 200).then(|| self.json()["name"].as_str().map(String::from)).flatten()
    }

    fn ends_connection(&self) -> bool {
        self.header("connection").is_some_and(|v| v.eq_ignore_ascii_case("close"))
    }
}

/// Where a client connects: plain, or TLS with this SNI.
#[derive(Clone, Debug)]
pub struct Target {
    /// Address.
    pub address: SocketAddr,
    /// SNI, and the authority to trust.
    pub tls: Option<(String, Arc<rustls::ClientConfig>)>,
}

impl Target {
    /// Plain HTTP.
    pub fn plain(ip: Ipv4Addr, port: u16) -> Self {
        Self { address: (ip, port).into(), tls: None }
    }

    /// TLS; only certificates that `authority` issued for `sni` are taken.
    pub fn tls(ip: Ipv4Addr, port: u16, sni: &str, authority: &tls::Authority) -> Self {
        Self { address: (ip, port).into(), tls: Some((sni.into(), authority.client())) }
    }
}

/// A client with one connection, kept from request to request.
pub struct Client {
    target: Target,
    connection: Option<Connection>,
}

impl Client {
    /// A client of `target`; it connects when it first sends.
    pub fn new(target: Target) -> Self {
        Self { target, connection: None }
    }

    /// Sends a request and reads the whole response. A kept connection that the peer has closed is
    /// replaced before the request goes out.
    ///
    /// # Errors
    /// No connection, a broken one, or a response that is not exact.
    pub fn send(&mut self, request: &Request) -> io::Result<Response> {
        if self.connection.as_ref().is_some_and(|c| c.is_closed()) {
            self.connection = None;
        }
        let mut connection = match self.connection.take() {
            Some(kept) => kept,
            None => Connection::open(&self.target)?,
        };
        let response = connection.exchange(request)?;
        if !response.ends_connection() {
            self.connection = Some(connection);
        }
        Ok(response)
    }

    /// Lets the connection go.
    pub fn close(&mut self) {
        self.connection = None;
    }

    /// The certificate that the peer showed on the present connection.
    pub fn certificate(&self) -> Option<Vec<u8>> {
        match &self.connection.as_ref()?.stream {
            Stream::Plain(_) => None,
            Stream::Tls(tls) => tls.conn.peer_certificates()?.first().map(|c| c.to_vec()),
        }
    }
}

/// One request over a connection of its own.
pub fn once(target: &Target, request: &Request) -> io::Result<Response> {
    Connection::open(target)?.exchange(request)
}

struct Connection {
    stream: Stream,
    /// Read, not used yet.
    rest: Vec<u8>,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<rustls::StreamOwned<rustls::ClientConnection, TcpStream>>),
}

impl Connection {
    fn open(target: &Target) -> io::Result<Self> {
        let tcp = TcpStream::connect_timeout(&target.address, TIMEOUT)?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(TIMEOUT))?;
        tcp.set_write_timeout(Some(TIMEOUT))?;
        let stream = match &target.tls {
            None => Stream::Plain(tcp),
            Some((sni, config)) => {
                let name = ServerName::try_from(sni.clone()).map_err(io::Error::other)?;
                let client = rustls::ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
                let mut tls = rustls::StreamOwned::new(client, tcp);
                while tls.conn.is_handshaking() {
                    tls.conn.complete_io(&mut tls.sock)?;
                }
                Stream::Tls(Box::new(tls))
            }
        };
        Ok(Self { stream, rest: Vec::new() })
    }

    fn tcp(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(tcp) => tcp,
            Stream::Tls(tls) => &tls.sock,
        }
    }

    /// Whether the peer has closed the idle connection.
    fn is_closed(&self) -> bool {
        let tcp = self.tcp();
        let mut byte = [0; 1];
        let closed = tcp.set_nonblocking(true).is_err()
            || match tcp.peek(&mut byte) {
                // On TLS a byte may be a session ticket; on plain text nothing may come unasked.
                Ok(n) => n == 0 || matches!(self.stream, Stream::Plain(_)) || byte[0] == 21,
                Err(error) => error.kind() != ErrorKind::WouldBlock,
            };
        tcp.set_nonblocking(false).is_err() || closed
    }

    fn exchange(&mut self, request: &Request) -> io::Result<Response> {
        self.write(&request.bytes())?;
        loop {
            let response = self.response(request)?;
            // Interim responses are not the answer; a switch of protocols is.
            if response.status >= 200 || response.status == 101 {
                return Ok(response);
            }
        }
    }

    fn response(&mut self, request: &Request) -> io::Result<Response> {
        let head = self.until(b"\r\n\r\n")?;
        let head = String::from_utf8(head).map_err(|_| wrong("head is not text"))?;
        let mut lines = head.trim_end().split("\r\n");
        let mut response = Response { status: status(lines.next().unwrap_or_default())?, ..Response::default() };
        for line in lines {
            let (name, value) = line.split_once(':').ok_or_else(|| wrong(format!("header {line:?}")))?;
            response.headers.push((name.to_ascii_lowercase(), value.trim().to_string()));
        }
        let bodyless = request.method == "HEAD" || response.status < 200 || matches!(response.status, 204 | 304);
        response.body = if bodyless {
            Vec::new()
        } else if response.header("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) {
            self.chunked()?
        } else if let Some(length) = response.header("content-length") {
            let length = length.parse().map_err(|_| wrong(format!("content-length {length:?}")))?;
            self.take(length)?
        } else {
            return Err(wrong("a body without length"));
        };
        Ok(response)
    }

    fn chunked(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.until(b"\r\n")?;
            let text = String::from_utf8_lossy(&line[..line.len() - 2]).into_owned();
            let size = usize::from_str_radix(text.split(';').next().unwrap_or_default().trim(), 16)
                .map_err(|_| wrong(format!("chunk size {text:?}")))?;
            if size == 0 {
                while self.until(b"\r\n")?.len() > 2 {}
                return Ok(body);
            }
            body.extend(self.take(size)?);
            if self.take(2)? != b"\r\n" {
                return Err(wrong("a chunk without its end"));
            }
        }
    }

    /// Bytes up to and with `end`.
    fn until(&mut self, end: &[u8]) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = self.rest.windows(end.len()).position(|w| w == end) {
                return Ok(self.rest.drain(..at + end.len()).collect());
            }
            self.more()?;
        }
    }

    fn take(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.rest.len() < count {
            self.more()?;
        }
        Ok(self.rest.drain(..count).collect())
    }

    fn more(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        let n = match &mut self.stream {
            Stream::Plain(tcp) => tcp.read(&mut buffer),
            Stream::Tls(tls) => tls.read(&mut buffer),
        }?;
        if n == 0 {
            let had = self.rest.len();
            return Err(io::Error::new(ErrorKind::UnexpectedEof, format!("closed after {had} bytes of an answer")));
        }
        self.rest.extend_from_slice(&buffer[..n]);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Stream::Plain(tcp) => tcp.write_all(bytes),
            Stream::Tls(tls) => tls.write_all(bytes).and_then(|()| tls.flush()),
        }
    }
}

fn status(line: &str) -> io::Result<u16> {
    let code = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).and_then(|code| code.parse().ok());
    code.ok_or_else(|| wrong(format!("status line {line:?}")))
}

fn wrong(what: impl Into<String>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what.into())
}
