//! One connection of the generator.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use rustls::{ClientConnection, HandshakeKind};

use super::{PATIENCE, Target};
use crate::http::{Progress, Reader};

/// A connection that has at most one request under way.
pub(crate) struct Link {
    stream: TcpStream,
    tls: Option<Box<ClientConnection>>,
    reader: Reader,
}

impl Link {
    /// Connects; what follows does not block.
    pub(crate) fn connect(target: &Target) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(target.address).with_context(|| format!("connect {}", target.address))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nonblocking(true)?;
        let tls = match &target.tls {
            Some(tls) => Some(Box::new(ClientConnection::new(tls.config.clone(), tls.name.clone())?)),
            None => None,
        };
        Ok(Self { stream, tls, reader: Reader::new(target.expected) })
    }

    /// Sends a request. During a handshake it waits for its end.
    pub(crate) fn send(&mut self, request: &[u8]) -> anyhow::Result<()> {
        match &mut self.tls {
            None => {
                let sent = self.stream.write(request).context("send")?;
                ensure!(sent == request.len(), "a request of {} bytes does not fit the socket", request.len());
            }
            Some(tls) => {
                tls.writer().write_all(request)?;
                flush(tls, &mut self.stream)?;
            }
        }
        Ok(())
    }

    /// Takes what has come.
    ///
    /// # Errors
    /// A wrong response, and an end of the connection before the response's.
    pub(crate) fn receive(&mut self, scratch: &mut [u8]) -> anyhow::Result<Progress> {
        match &mut self.tls {
            None => plain(&mut self.stream, &mut self.reader, scratch),
            Some(tls) => secured(&mut self.stream, tls, &mut self.reader, scratch),
        }
    }

    /// Receives the whole response, waiting for it.
    pub(crate) fn receive_whole(&mut self, scratch: &mut [u8]) -> anyhow::Result<()> {
        self.stream.set_nonblocking(false)?;
        let deadline = Instant::now() + PATIENCE;
        while self.receive(scratch)? == Progress::More {
            ensure!(Instant::now() < deadline, "no answer for {PATIENCE:?}");
        }
        Ok(self.stream.set_nonblocking(true)?)
    }

    /// Whether the handshake took up an earlier session.
    pub(crate) fn resumed(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.handshake_kind() == Some(HandshakeKind::Resumed))
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn plain(stream: &mut TcpStream, reader: &mut Reader, scratch: &mut [u8]) -> anyhow::Result<Progress> {
    match stream.read(scratch) {
        Ok(0) => bail!("the connection ended inside an exchange"),
        Ok(count) => reader.take(&scratch[..count]),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Progress::More),
        Err(error) => Err(error).context("receive"),
    }
}

fn secured(
    stream: &mut TcpStream,
    tls: &mut ClientConnection,
    reader: &mut Reader,
    scratch: &mut [u8],
) -> anyhow::Result<Progress> {
    match tls.read_tls(stream) {
        Ok(0) => bail!("the connection ended inside an exchange"),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Progress::More),
        Err(error) => return Err(error).context("receive"),
    }
    tls.process_new_packets().context("TLS")?;
    flush(tls, stream)?;
    loop {
        match tls.reader().read(scratch) {
            Ok(0) => bail!("the connection ended inside an exchange"),
            Ok(count) => {
                if reader.take(&scratch[..count])? == Progress::Done {
                    return Ok(Progress::Done);
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Progress::More),
            Err(error) => return Err(error).context("receive"),
        }
    }
}

fn flush(tls: &mut ClientConnection, stream: &mut TcpStream) -> anyhow::Result<()> {
    while tls.wants_write() {
        tls.write_tls(stream).context("send")?;
    }
    Ok(())
}
