//! A connection, plain or TLS, whose bytes are taken one by one.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use rustls::pki_types::ServerName;

use crate::support::http::Target;

/// No byte within this is an error.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A connection, and what was read from it and not used.
pub struct Wire {
    stream: Stream,
    rest: Vec<u8>,
    /// Bytes read so far, above TLS.
    pub received: u64,
    /// Bytes written so far, above TLS.
    pub sent: u64,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<rustls::StreamOwned<rustls::ClientConnection, TcpStream>>),
}

impl Wire {
    /// An accepted connection.
    pub fn accepted(tcp: TcpStream) -> io::Result<Self> {
        tcp.set_nodelay(true)?;
        Ok(Self { stream: Stream::Plain(tcp), rest: Vec::new(), received: 0, sent: 0 })
    }

    /// Connects.
    pub fn connect(target: &Target) -> io::Result<Self> {
        let tcp = TcpStream::connect_timeout(&target.address, TIMEOUT)?;
        tcp.set_read_timeout(Some(TIMEOUT))?;
        tcp.set_write_timeout(Some(TIMEOUT))?;
        let mut wire = Self::accepted(tcp)?;
        if let (Some((sni, config)), Stream::Plain(tcp)) = (&target.tls, &wire.stream) {
            let name = ServerName::try_from(sni.clone()).map_err(io::Error::other)?;
            let client = rustls::ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
            let mut tls = rustls::StreamOwned::new(client, tcp.try_clone()?);
            while tls.conn.is_handshaking() {
                tls.conn.complete_io(&mut tls.sock)?;
            }
            wire.stream = Stream::Tls(Box::new(tls));
        }
        Ok(wire)
    }

    fn tcp(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(tcp) => tcp,
            Stream::Tls(tls) => &tls.sock,
        }
    }

    /// Writes all.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Stream::Plain(tcp) => {
                let mut rest = bytes;
                while !rest.is_empty() {
                    let n = tcp.write(rest)?;
                    self.sent += n as u64;
                    rest = &rest[n..];
                }
                Ok(())
            }
            Stream::Tls(tls) => {
                self.sent += bytes.len() as u64;
                tls.write_all(bytes).and_then(|()| tls.flush())
            }
        }
    }

    /// Bytes up to and with `end`.
    pub fn until(&mut self, end: &[u8]) -> io::Result<Vec<u8>> {
        let mut from = 0;
        loop {
            if let Some(at) = self.rest[from..].windows(end.len()).position(|w| w == end) {
                return Ok(self.rest.drain(..from + at + end.len()).collect());
            }
            from = self.rest.len().saturating_sub(end.len() - 1);
            self.need()?;
        }
    }

    /// So many bytes.
    pub fn take(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.rest.len() < count {
            self.need()?;
        }
        Ok(self.rest.drain(..count).collect())
    }

    /// All until the end.
    pub fn until_end(&mut self) -> io::Result<Vec<u8>> {
        while self.more()? > 0 {}
        Ok(std::mem::take(&mut self.rest))
    }

    /// Whether the peer ended the connection where nothing else was to come. Blocks until something comes.
    pub fn is_at_end(&mut self) -> io::Result<bool> {
        Ok(self.rest.is_empty() && self.more()? == 0)
    }

    /// Reads once; 0 at the end.
    pub fn more(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 16 * 1024];
        let n = match &mut self.stream {
            Stream::Plain(tcp) => tcp.read(&mut buffer),
            Stream::Tls(tls) => tls.read(&mut buffer),
        }?;
        self.received += n as u64;
        self.rest.extend_from_slice(&buffer[..n]);
        Ok(n)
    }

    fn need(&mut self) -> io::Result<()> {
        match self.more()? {
            0 => Err(io::Error::new(ErrorKind::UnexpectedEof, format!("closed after {:?}", self.lossy()))),
            _ => Ok(()),
        }
    }

    fn lossy(&self) -> String {
        String::from_utf8_lossy(&self.rest[..self.rest.len().min(200)]).into_owned()
    }

    /// Says that nothing more comes from this side.
    pub fn finish(&mut self) -> io::Result<()> {
        if let Stream::Tls(tls) = &mut self.stream {
            tls.conn.send_close_notify();
            tls.flush()?;
        }
        self.tcp().shutdown(Shutdown::Write)
    }

    /// Ends the connection with a reset.
    pub fn reset(self) {
        let _ = socket2::SockRef::from(self.tcp()).set_linger(Some(Duration::ZERO));
    }

    /// A second handle of a plain connection's socket.
    pub fn socket(&self) -> io::Result<TcpStream> {
        self.tcp().try_clone()
    }
}
