//! From an accepted socket to a chain's connection: the ClientHello is read first, its SNI
//! picks the chain, and the chain's settings finish the handshake.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::server::{Accepted, Acceptor};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::StartHandshake;

use super::arrived::Arrived;
use super::deadline;
use super::ended::Refusal;
use super::h1::connection;
use super::peer::Peer;
use super::stream::ClientStream;
use super::tcp;
use super::worker::Worker;
use crate::request::table::{ChainTable, ListenerTable};
use crate::tls::{Certificate, ChainTls};

/// First byte of a TLS record that holds a handshake.
const TLS_HANDSHAKE: u8 = 0x16;
/// Room for a ClientHello to begin with, in bytes: one with a post-quantum key share has about 1,800.
const HELLO: usize = 2048;

/// How long a handshake waits for its certificate at most.
const FETCH: Duration = Duration::from_secs(5);

/// Serves an accepted connection to its end.
pub(super) async fn serve(arrived: Arrived, worker: &Rc<Worker>) {
    let Arrived { io, peer: address, listener, _place } = arrived;
    let mut peer = Peer {
        address,
        text: address.ip().to_canonical().to_string(),
        tls: false,
        speaks_http1: false,
        bound_to: None,
        sni: None,
    };
    let accepted = match prepare(io) {
        Ok(io) if listener.inspects() => {
            // The permit bounds how many hellos are parsed and signed for at once; the time includes the wait for it.
            // Boxed: what a handshake needs, more than all else of a connection, goes when it is over.
            let work = Box::pin(async { open(io, &listener, &mut peer, worker).await });
            let opened = deadline::within(&worker.timers, worker.options.handshake_timeout, work).await;
            opened.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
        }
        Ok(io) => plain(io, &listener),
        Err(error) => Err(error),
    };
    match accepted {
        Ok(Opened { io, chain, read }) => match chain.tcp.clone() {
            Some(proxied) => tcp::serve(io, read, worker, &chain, &proxied, &peer).await,
            None => connection::serve(io, worker.clone(), chain, peer).await,
        },
        Err(error) => {
            worker.stats().connection_refused(Refusal::from(&error));
            tracing::debug!(listener = %listener.name, peer = %address, %error, "connection refused");
        }
    }
}

fn prepare(io: std::net::TcpStream) -> io::Result<TcpStream> {
    io.set_nonblocking(true)?;
    let io = TcpStream::from_std(io)?;
    io.set_nodelay(true)?;
    Ok(io)
}

/// A connection whose chain is known.
struct Opened {
    io: ClientStream,
    chain: Arc<ChainTable>,
    /// What was read of it, where it goes through.
    read: Vec<u8>,
}

/// Opens a connection to a listener that has chains for TLS: what ends here, and what goes through.
async fn open(
    mut io: TcpStream,
    listener: &Arc<ListenerTable>,
    peer: &mut Peer,
    worker: &Worker,
) -> io::Result<Opened> {
    let mut permit = worker.handshakes.acquire().await;
    if listener.plain_chain().is_some() {
        let mut first = [0];
        if io.peek(&mut first).await? == 1 && first != [TLS_HANDSHAKE] {
            return plain(io, listener);
        }
    }
    let (accepted, read) = hello(&mut io).await?;
    peer.tls = true;
    peer.sni = accepted.client_hello().server_name().map(str::to_ascii_lowercase);
    let chain = listener.chain(peer.sni.as_deref()).ok_or_else(no_chain)?;
    let Some(tls) = &chain.tls else {
        return Ok(Opened { io: ClientStream::Plain(io), chain: chain.clone(), read });
    };
    drop(read);
    peer.bound_to = listener.tells_hosts_apart(chain).then(|| listener.clone());
    let certificates = if tls.is_complete() {
        tls.here()
    } else {
        // Who waits for the control plane keeps no other's handshake from beginning.
        drop(permit);
        let fetched = fetch(tls, worker).await;
        permit = worker.handshakes.acquire().await;
        fetched
    };
    let config = tls.config(&certificates, peer.sni.as_deref());
    let stream = StartHandshake::from_parts(accepted, io).into_stream(config).await?;
    drop(permit);
    let alpn = stream.get_ref().1.alpn_protocol();
    peer.speaks_http1 = alpn.is_some_and(|alpn| alpn != b"h2");
    Ok(Opened { io: ClientStream::Tls(Box::new(stream)), chain: chain.clone(), read: Vec::new() })
}

/// A chain's certificates, where some must be fetched; those that are here, where the others do not come in time.
async fn fetch(tls: &ChainTls, worker: &Worker) -> Vec<Arc<Certificate>> {
    let fetched = deadline::within(&worker.timers, FETCH, Box::pin(tls.fetched())).await;
    let certificates = fetched.unwrap_or_else(|| tls.here());
    if certificates.is_empty() {
        tls.refuse();
    }
    certificates
}

/// Reads a ClientHello, which may span segments and records (a post-quantum key share does), and gives what was
/// read beside it. rustls bounds how long it may be.
async fn hello(io: &mut TcpStream) -> io::Result<(Accepted, Vec<u8>)> {
    let (mut acceptor, mut read) = (Acceptor::default(), Vec::new());
    loop {
        let from = read.len();
        read.reserve(HELLO);
        if io.read_buf(&mut read).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut new = &read[from..];
        while !new.is_empty() {
            acceptor.read_tls(&mut new)?;
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => return Ok((accepted, read)),
            Ok(None) => {}
            Err((error, mut alert)) => {
                let mut told = Vec::new();
                if alert.write_all(&mut told).is_ok() {
                    // It is told why; whether it hears it is its own affair.
                    let _ = io.try_write(&told);
                }
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
        }
    }
}

fn plain(io: TcpStream, listener: &ListenerTable) -> io::Result<Opened> {
    let chain = listener.plain_chain().ok_or_else(no_chain)?;
    Ok(Opened { io: ClientStream::Plain(io), chain: chain.clone(), read: Vec::new() })
}

fn no_chain() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "no filter chain matches")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<A, B, F: Future>(_: impl FnOnce(A, B) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_idle_connection_holds_no_room_for_a_handshake() {
        let size = size_of_future::<Arrived, &'static Rc<Worker>, _>(serve);
        assert!(size < 4096, "the task of a connection takes {size} bytes");
    }
}
