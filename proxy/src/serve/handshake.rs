//! From an accepted socket to a chain's HTTP connection: the ClientHello is read first, its SNI
//! picks the chain, and the chain's settings finish the handshake.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use rustls::server::Acceptor;
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;

use super::arrived::Arrived;
use super::deadline;
use super::h1::connection;
use super::peer::Peer;
use super::stream::ClientStream;
use super::worker::Worker;
use crate::request::table::{ChainTable, ListenerTable};

/// First byte of a TLS record that holds a handshake.
const TLS_HANDSHAKE: u8 = 0x16;

/// Serves an accepted connection to its end.
pub(super) async fn serve(arrived: Arrived, worker: &Rc<Worker>) {
    let Arrived { io, peer: address, listener, _place } = arrived;
    let mut peer =
        Peer { address, text: address.ip().to_canonical().to_string(), tls: false, speaks_http1: false, sni: None };
    let accepted = match prepare(io) {
        Ok(io) if listener.chains.iter().any(|chain| chain.tls.is_some()) => {
            // The permit bounds how many hellos are parsed and signed for at once; the time includes the wait for it.
            // Boxed: what a handshake needs, more than all else of a connection, goes when it is over.
            let work = Box::pin(async {
                let _permit = worker.handshakes.acquire().await;
                open(io, &listener, &mut peer).await
            });
            let opened = deadline::within(&worker.timers, worker.options.handshake_timeout, work).await;
            opened.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
        }
        Ok(io) => plain(io, &listener),
        Err(error) => Err(error),
    };
    match accepted {
        Ok((io, chain)) => connection::serve(io, worker.clone(), chain, peer).await,
        Err(error) => {
            worker.stats().connection_refused();
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

/// Opens a connection to a listener that has TLS chains.
async fn open(io: TcpStream, listener: &ListenerTable, peer: &mut Peer) -> io::Result<(ClientStream, Arc<ChainTable>)> {
    if listener.chains.iter().any(|chain| chain.tls.is_none()) {
        let mut first = [0];
        if io.peek(&mut first).await? == 1 && first != [TLS_HANDSHAKE] {
            return plain(io, listener);
        }
    }
    let start = LazyConfigAcceptor::new(Acceptor::default(), io).await?;
    peer.tls = true;
    peer.sni = start.client_hello().server_name().map(str::to_ascii_lowercase);
    let chain = listener.chain(peer.sni.as_deref()).ok_or_else(no_chain)?;
    let config = chain.tls.clone().ok_or_else(no_chain)?;
    let stream = start.into_stream(config).await?;
    let alpn = stream.get_ref().1.alpn_protocol();
    peer.speaks_http1 = alpn.is_some_and(|alpn| alpn != b"h2");
    Ok((ClientStream::Tls(Box::new(stream)), chain.clone()))
}

fn plain(io: TcpStream, listener: &ListenerTable) -> io::Result<(ClientStream, Arc<ChainTable>)> {
    let chain = listener.plain_chain().ok_or_else(no_chain)?;
    Ok((ClientStream::Plain(io), chain.clone()))
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
