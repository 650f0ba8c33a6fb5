//! From an accepted socket to a chain's HTTP connection: the ClientHello is read first, its SNI
//! picks the chain, and the chain's settings finish the handshake.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use rustls::server::Acceptor;
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use weir_config::model::ServerName;

use super::h1::connection::{self, Peer};
use super::stream::ClientStream;
use super::worker::{Arrived, Worker};
use crate::request::table::{ChainTable, ListenerTable};

/// First byte of a TLS record that holds a handshake.
const TLS_HANDSHAKE: u8 = 0x16;

/// Serves an accepted connection to its end.
pub(super) async fn serve(arrived: Arrived, worker: &Rc<Worker>) {
    let Arrived { io, peer: address, listener, _place } = arrived;
    let mut peer = Peer { address, text: address.ip().to_canonical().to_string(), tls: false, sni: None };
    let accepted = match prepare(io) {
        Ok(io) if listener.chains.iter().any(|chain| chain.tls.is_some()) => {
            // The permit bounds how many hellos are parsed and signed for at once; the time includes the wait for it.
            let work = async {
                let _permit = worker.handshakes.acquire().await;
                open(io, &listener, &mut peer).await
            };
            tokio::time::timeout(worker.options.handshake_timeout, work)
                .await
                .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        }
        Ok(io) => choose(&listener, None, false)
            .map(|chain| (ClientStream::Plain(io), chain))
            .ok_or_else(|| io::ErrorKind::NotFound.into()),
        Err(error) => Err(error),
    };
    match accepted {
        Ok((io, chain)) => connection::serve(io, worker.clone(), chain, peer).await,
        Err(error) => tracing::debug!(listener = %listener.name, peer = %address, %error, "connection refused"),
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
    let no_chain = || io::Error::new(io::ErrorKind::NotFound, "no filter chain matches");
    if listener.chains.iter().any(|chain| chain.tls.is_none()) {
        let mut first = [0];
        if io.peek(&mut first).await? == 1 && first != [TLS_HANDSHAKE] {
            let chain = choose(listener, None, false).ok_or_else(no_chain)?;
            return Ok((ClientStream::Plain(io), chain));
        }
    }
    let start = LazyConfigAcceptor::new(Acceptor::default(), io).await?;
    peer.tls = true;
    peer.sni = start.client_hello().server_name().map(str::to_owned);
    let chain = choose(listener, peer.sni.as_deref(), true).ok_or_else(no_chain)?;
    let config = chain.tls.clone().ok_or_else(no_chain)?;
    let stream = start.into_stream(config).await?;
    Ok((ClientStream::Tls(Box::new(stream)), chain))
}

/// The chain whose server names match most specifically: exact, then the longest suffix, then
/// the chain without names. SNI comes in lower case.
fn choose(listener: &ListenerTable, sni: Option<&str>, tls: bool) -> Option<Arc<ChainTable>> {
    let rank = |chain: &ChainTable| -> Option<usize> {
        if chain.server_names.is_empty() {
            return Some(0);
        }
        let sni = sni?;
        chain.server_names.iter().filter_map(|name| specificity(name, sni)).max()
    };
    listener
        .chains
        .iter()
        .filter(|chain| chain.tls.is_some() == tls)
        .filter_map(|chain| rank(chain).map(|rank| (rank, chain)))
        .max_by_key(|(rank, _)| *rank)
        .map(|(_, chain)| chain.clone())
}

fn specificity(name: &ServerName, sni: &str) -> Option<usize> {
    match name {
        ServerName::Exact(exact) => exact.eq_ignore_ascii_case(sni).then_some(usize::MAX),
        ServerName::Suffix(suffix) => {
            let at = sni.len().checked_sub(suffix.len())?;
            let matches = at > 1
                && sni.get(at..).is_some_and(|end| end.eq_ignore_ascii_case(suffix))
                && sni.as_bytes().get(at - 1) == Some(&b'.');
            matches.then_some(suffix.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_name_wins() {
        let suffix = |text: &str| ServerName::Suffix(text.into());
        let exact = ServerName::Exact("a.acme.com".into());
        assert!(specificity(&exact, "A.acme.com") > specificity(&suffix("acme.com"), "a.acme.com"));
        assert!(specificity(&suffix("b.acme.com"), "a.b.acme.com") > specificity(&suffix("acme.com"), "a.b.acme.com"));
        for foreign in ["acme.com", ".acme.com", "xacme.com", "com", ""] {
            assert_eq!(specificity(&suffix("acme.com"), foreign), None, "{foreign}");
        }
    }
}
