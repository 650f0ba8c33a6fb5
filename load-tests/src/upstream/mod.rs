//! A light backend on one thread: static responses out of memory, a read and a write for each.
//!
//! It has two addresses, for the two clusters that each tenant has, and says in `x-backend` which one
//! was asked; a third, of the cluster `web`, speaks HTTP/2 in clear. A target with `size=N` is answered with N bytes, one with `echo` with the request's head.

mod http2;

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use memchr::memmem;

use crate::poll::{Interest, Poll};
use crate::{cores, cpu};

/// Bytes of a body where the request names no size.
pub(crate) const BODY: usize = 1024;
/// What a body is filled with.
pub(crate) const FILL: u8 = b'x';
/// Largest body.
const LARGEST: usize = 1 << 20;
/// Longest head that is taken.
const HEAD: usize = 16 << 10;

/// Addresses of a running upstream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Upstream {
    /// Of the cluster `api`.
    pub(crate) api: SocketAddr,
    /// Of the cluster `web`.
    pub(crate) web: SocketAddr,
    /// Of the cluster `web`, where it is asked over HTTP/2.
    pub(crate) http2: SocketAddr,
    /// Its threads.
    pub(crate) tids: [i32; 2],
}

impl Upstream {
    /// Time on a core of its threads.
    pub(crate) fn costs(&self) -> anyhow::Result<Duration> {
        self.tids.into_iter().map(cpu::of_thread).sum()
    }
}

/// Serves on free loopback ports until the process ends.
pub(crate) fn start(core: Option<usize>) -> anyhow::Result<Upstream> {
    let listeners = [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
    let [api, web] = [listeners[0].local_addr()?, listeners[1].local_addr()?];
    let over_http2 = TcpListener::bind("127.0.0.1:0")?;
    let http2 = over_http2.local_addr()?;
    let tids = [thread(core, move || serve(&listeners))?, thread(core, move || http2::serve(over_http2))?];
    Ok(Upstream { api, web, http2, tids })
}

/// Starts a thread and gives its id.
fn thread(core: Option<usize>, run: impl FnOnce() -> anyhow::Result<()> + Send + 'static) -> anyhow::Result<i32> {
    let (send, receive) = std::sync::mpsc::channel();
    thread::Builder::new().name("upstream".into()).spawn(move || {
        if let Some(core) = core
            && let Err(error) = cores::pin(core)
        {
            eprintln!("upstream: {error:#}");
        }
        // Whoever started it waits for this.
        let _ = send.send(rustix::thread::gettid().as_raw_nonzero().get());
        if let Err(error) = run() {
            eprintln!("upstream: {error:#}");
        }
    })?;
    receive.recv().context("the upstream did not start")
}

/// A client's connection.
struct Connection {
    stream: TcpStream,
    /// Index of the listener.
    at: usize,
    held: Vec<u8>,
    out: Out,
    interest: Interest,
}

/// What is still to be written.
enum Out {
    Nothing,
    /// A prepared response, from this byte on.
    Prepared(usize, usize),
    Own(Vec<u8>, usize),
}

/// Keys of events: the two listeners, then connections.
const FIRST: u64 = 2;

fn serve(listeners: &[TcpListener; 2]) -> anyhow::Result<()> {
    let mut poll = Poll::new()?;
    for (key, listener) in (0..).zip(listeners) {
        listener.set_nonblocking(true)?;
        poll.add(listener, key, Interest::Read)?;
    }
    let mut prepared = [Prepared::new("api"), Prepared::new("web")];
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut free = Vec::new();
    let (mut ready, mut scratch) = (Vec::new(), vec![0; HEAD]);
    loop {
        poll.wait(Duration::from_secs(3600), &mut ready)?;
        for key in ready.iter().copied() {
            if key < FIRST {
                let at = usize::from(key == 1);
                accept(&poll, &listeners[at], at, &mut connections, &mut free);
                continue;
            }
            let index = usize::try_from(key - FIRST)?;
            let Some(place) = connections.get_mut(index) else { continue };
            let Some(connection) = place else { continue };
            if step(&poll, key, connection, &mut prepared[connection.at], &mut scratch).is_err() {
                *place = None;
                free.push(index);
            }
        }
    }
}

fn accept(
    poll: &Poll,
    listener: &TcpListener,
    at: usize,
    connections: &mut Vec<Option<Connection>>,
    free: &mut Vec<usize>,
) {
    // A client that is gone already concerns nobody; any other failure shows at the client.
    while let Ok((stream, _)) = listener.accept() {
        if stream.set_nonblocking(true).is_err() || stream.set_nodelay(true).is_err() {
            continue;
        }
        let index = free.pop().unwrap_or_else(|| {
            connections.push(None);
            connections.len() - 1
        });
        if poll.add(&stream, index as u64 + FIRST, Interest::Read).is_ok() {
            connections[index] =
                Some(Connection { stream, at, held: Vec::new(), out: Out::Nothing, interest: Interest::Read });
        } else {
            free.push(index);
        }
    }
}

/// Reads what is there and answers it. An error ends the connection.
fn step(
    poll: &Poll,
    key: u64,
    connection: &mut Connection,
    prepared: &mut Prepared,
    scratch: &mut [u8],
) -> anyhow::Result<()> {
    if !write(connection, prepared)? {
        return Ok(());
    }
    match connection.stream.read(scratch) {
        Ok(0) => anyhow::bail!("closed"),
        Ok(count) if connection.held.is_empty() && scratch[..count].ends_with(b"\r\n\r\n") => {
            respond(connection, &scratch[..count], prepared);
        }
        Ok(count) => {
            connection.held.extend_from_slice(&scratch[..count]);
            anyhow::ensure!(connection.held.len() < HEAD, "a head that never ends");
            if connection.held.ends_with(b"\r\n\r\n") {
                let head = std::mem::take(&mut connection.held);
                respond(connection, &head, prepared);
            }
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
        Err(error) => return Err(error.into()),
    }
    let whole = write(connection, prepared)?;
    let interest = if whole { Interest::Read } else { Interest::ReadWrite };
    if interest != connection.interest {
        poll.change(&connection.stream, key, interest)?;
        connection.interest = interest;
    }
    Ok(())
}

/// Requests have no body, and nobody pipelines to an upstream: what was read is one head.
fn respond(connection: &mut Connection, head: &[u8], prepared: &mut Prepared) {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    connection.out = if memmem::find(line, b"echo").is_some() {
        Out::Own(response(prepared.name, head), 0)
    } else {
        Out::Prepared(size(line), 0)
    };
}

/// Writes what is left; false if some is left still.
fn write(connection: &mut Connection, prepared: &mut Prepared) -> anyhow::Result<bool> {
    loop {
        let (bytes, from) = match &mut connection.out {
            Out::Nothing => return Ok(true),
            Out::Prepared(size, from) => (prepared.get(*size), from),
            Out::Own(bytes, from) => (bytes.as_slice(), from),
        };
        match connection.stream.write(&bytes[*from..]) {
            Ok(count) => *from += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        if *from == bytes.len() {
            connection.out = Out::Nothing;
        }
    }
}

/// Responses that were made once.
struct Prepared {
    name: &'static str,
    by_size: BTreeMap<usize, Vec<u8>>,
}

impl Prepared {
    fn new(name: &'static str) -> Self {
        Self { name, by_size: BTreeMap::new() }
    }

    fn get(&mut self, size: usize) -> &[u8] {
        self.by_size.entry(size).or_insert_with(|| response(self.name, &vec![FILL; size]))
    }
}

fn response(name: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nx-backend: {name}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// The size that a request line asks for.
fn size(line: &[u8]) -> usize {
    let Some(at) = memmem::find(line, b"size=") else { return BODY };
    let digits = line[at + 5..].iter().take_while(|byte| byte.is_ascii_digit());
    let size = digits.fold(0_usize, |sum, digit| sum.saturating_mul(10).saturating_add(usize::from(digit - b'0')));
    size.min(LARGEST)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Shutdown, SocketAddr, TcpStream};

    fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn a_request_line_names_its_size() {
        assert_eq!(super::size(b"GET /api/items?size=65536&x=1 HTTP/1.1"), 65536);
        assert_eq!(super::size(b"GET / HTTP/1.1"), super::BODY);
        assert_eq!(super::size(b"GET /?size=99999999999999999999999 HTTP/1.1"), super::LARGEST);
    }

    #[test]
    fn each_address_says_which_it_is() {
        let upstream = super::start(None).unwrap();
        let api = ask(upstream.api, "GET /?size=9 HTTP/1.1\r\nhost: a\r\n\r\n");
        assert!(api.contains("x-backend: api\r\ncontent-length: 9\r\n"), "{api}");
        let web = ask(upstream.web, "GET /echo HTTP/1.1\r\nhost: a\r\n\r\n");
        assert!(web.contains("x-backend: web\r\n"), "{web}");
    }
}
