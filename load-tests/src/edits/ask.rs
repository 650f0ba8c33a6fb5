//! Asking a proxy which edit its answers are of, on one kept connection, again and again.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use memchr::memmem;
use rustls::pki_types::ServerName;

use super::manifests::HEADER;
use super::sets;
use crate::http::{field, status};
use crate::load;
use crate::rows::host;

/// How often an answer that is waited for is asked for: latencies are at most so much too long.
pub(crate) const EVERY: Duration = Duration::from_millis(1);
/// How long an edit may take to show.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest answer.
const ANSWER: usize = 16 << 10;

/// A connection.
pub(crate) struct Asker {
    stream: Box<dyn Stream>,
    held: Vec<u8>,
}

/// Plain, or over TLS.
trait Stream: Read + Write + Send {}

impl<S: Read + Write + Send> Stream for S {}

/// A proxy, and how it is spoken to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) address: SocketAddr,
    /// Then a connection is one tenant's.
    pub(crate) tls: bool,
}

impl Asker {
    /// Connects, over TLS with the name of `tenant`.
    pub(crate) fn new(place: Place, tenant: u32) -> anyhow::Result<Self> {
        let mut stream = TcpStream::connect_timeout(&place.address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let stream: Box<dyn Stream> = if place.tls {
            let config = load::client(load::Resumption::Never, "http/1.1")?;
            let mut connection = rustls::ClientConnection::new(config, ServerName::try_from(host(tenant))?)?;
            while connection.is_handshaking() {
                connection.complete_io(&mut stream)?;
            }
            Box::new(rustls::StreamOwned::new(connection, stream))
        } else {
            Box::new(stream)
        };
        Ok(Self { stream, held: Vec::new() })
    }

    /// The edit of a tenant's answer; none of an answer without one, such as of a host that is not there yet.
    pub(crate) fn ask(&mut self, tenant: u32) -> anyhow::Result<Option<u32>> {
        self.ask_at(tenant, "/")
    }

    /// The same at a path.
    pub(crate) fn ask_at(&mut self, tenant: u32, path: &str) -> anyhow::Result<Option<u32>> {
        let request = format!("GET {path}?size=1 HTTP/1.1\r\nhost: {}\r\n\r\n", host(tenant));
        self.stream.write_all(request.as_bytes())?;
        let (code, edit) = self.answer()?;
        Ok(edit.filter(|_| code == 200))
    }

    /// The same, over a connection that is made where there is none, and dropped where it fails.
    pub(crate) fn ask_with(slot: &mut Option<Self>, place: Place, tenant: u32) -> anyhow::Result<Option<u32>> {
        let mut asker = match slot.take() {
            Some(asker) => asker,
            None => Self::new(place, tenant)?,
        };
        let edit = asker.ask(tenant)?;
        // Over TLS it is of no use to another tenant.
        *slot = Some(asker).filter(|_| !place.tls);
        Ok(edit)
    }

    /// Reads one answer.
    fn answer(&mut self) -> anyhow::Result<(u16, Option<u32>)> {
        self.held.clear();
        let mut piece = [0; 4096];
        loop {
            let count = self.stream.read(&mut piece)?;
            ensure!(count > 0, "the proxy closed the connection");
            self.held.extend_from_slice(&piece[..count]);
            let Some(end) = memmem::find(&self.held, b"\r\n\r\n") else {
                ensure!(self.held.len() < ANSWER, "a head that never ends");
                continue;
            };
            let (head, body) = (&self.held[..end + 2], self.held.len() - end - 4);
            let length: usize = match field(head, "content-length") {
                Some(text) => std::str::from_utf8(text)?.parse()?,
                None => 0,
            };
            if body < length {
                continue;
            }
            let edit = field(head, HEADER).map(std::str::from_utf8).transpose()?.map(str::parse).transpose();
            return Ok((status(head)?, edit.context("the answer names no edit")?));
        }
    }
}

/// An edit whose effect is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Awaited {
    pub(crate) tenant: u32,
    pub(crate) edit: u32,
    /// When it was made.
    pub(crate) made: Instant,
    /// Where it shows.
    pub(crate) at: At,
}

/// Where an edit shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// In the answers of a route that was there.
    Root,
    /// At a path of its own.
    New,
}

/// How long each edit took to show.
pub(crate) type Shown = Vec<(u32, Duration)>;

/// Asks a proxy about each edit that comes until it shows; ends with the sender. Connections of the `first` tenants
/// are made before, so that what is measured has no handshake in it.
///
/// # Errors
/// An edit that does not show, or a connection that breaks: the proxy shall not fail a request.
pub(crate) fn watch(place: Place, first: &[u32], edits: &Receiver<Awaited>) -> anyhow::Result<Shown> {
    let key = |tenant: u32| if place.tls { tenant } else { 0 };
    let mut askers = HashMap::new();
    for tenant in first {
        askers.insert(key(*tenant), Asker::new(place, *tenant)?);
    }
    let (mut waiting, mut shown) = (Vec::<Awaited>::new(), Shown::new());
    loop {
        if waiting.is_empty() {
            let Ok(next) = edits.recv() else { return Ok(shown) };
            waiting.push(next);
        }
        while let Ok(next) = edits.try_recv() {
            waiting.push(next);
        }
        let next = Instant::now() + EVERY;
        let mut still = Vec::with_capacity(waiting.len());
        for awaited in waiting {
            // A later edit of the tenant shows the earlier one too.
            let asker = match askers.entry(key(awaited.tenant)) {
                Entry::Occupied(there) => there.into_mut(),
                Entry::Vacant(free) => free.insert(Asker::new(place, awaited.tenant)?),
            };
            let found = match awaited.at {
                At::Root => asker.ask(awaited.tenant)?,
                At::New => asker.ask_at(awaited.tenant, &sets::path(awaited.edit))?,
            };
            if found.is_some_and(|edit| edit >= awaited.edit) {
                shown.push((awaited.edit, awaited.made.elapsed()));
            } else if awaited.made.elapsed() > PATIENCE {
                bail!("edit {} of tenant {} never showed at {}", awaited.edit, awaited.tenant, place.address);
            } else {
                still.push(awaited);
            }
        }
        waiting = still;
        if !waiting.is_empty() {
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    }
}

/// Whether an admin endpoint says that its process is ready.
pub(crate) fn is_ready(admin: SocketAddr) -> bool {
    let ask = || -> anyhow::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&admin, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET /ready HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(status(&answer)? == 200)
    };
    ask().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::mpsc;
    use std::time::Instant;

    use super::{At, Awaited, Place, watch};

    /// Answers in turn, a byte at a time, each to one request on one connection.
    fn proxy(answers: Vec<&'static str>) -> std::net::SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            for answer in answers {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    request.push(byte[0]);
                }
                for byte in answer.bytes() {
                    stream.write_all(&[byte]).unwrap();
                }
            }
        });
        address
    }

    #[test]
    fn an_edit_is_asked_for_until_it_shows() {
        let address = proxy(vec![
            "HTTP/1.1 404 Not Found\r\ncontent-length: 3\r\n\r\nnot",
            "HTTP/1.1 200 OK\r\nx-edit: 6\r\ncontent-length: 1\r\n\r\nx",
            "HTTP/1.1 200 OK\r\nx-edit: 7\r\ncontent-length: 1\r\n\r\nx",
        ]);
        let (send, edits) = mpsc::channel();
        send.send(Awaited { tenant: 1, edit: 7, made: Instant::now(), at: At::Root }).unwrap();
        drop(send);
        let shown = watch(Place { address, tls: false }, &[], &edits).unwrap();
        assert_eq!(shown.len(), 1);
        assert_eq!(shown[0].0, 7);
    }

    #[test]
    fn a_broken_connection_is_an_error() {
        let address = proxy(vec!["HTTP/1.1 200 OK\r\nx-edit: 6\r\ncontent-length: 1\r\n\r\nx"]);
        let (send, edits) = mpsc::channel();
        send.send(Awaited { tenant: 1, edit: 7, made: Instant::now(), at: At::Root }).unwrap();
        drop(send);
        assert!(watch(Place { address, tls: false }, &[], &edits).is_err());
    }
}
