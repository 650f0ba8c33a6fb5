//! The other end of a connection, as the port sees it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls_pki_types::CertificateDer;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Who is at the other end. Every request of a connection has it among its extensions.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// Its address; none over a Unix socket.
    pub address: Option<SocketAddr>,
    /// The certificates that it sent, its own first. It has the key of the first; what else they prove is judged
    /// for each request.
    pub certificates: Option<Arc<[CertificateDer<'static>]>>,
    let_in: Arc<AtomicBool>,
    spent: CancellationToken,
}

impl Peer {
    /// One with this address and these certificates.
    pub fn new(address: Option<SocketAddr>, certificates: Option<Arc<[CertificateDer<'static>]>>) -> Self {
        Self { address, certificates, let_in: Arc::default(), spent: CancellationToken::new() }
    }

    /// A request on the connection was let in.
    pub fn note_let_in(&self) {
        self.let_in.store(true, Ordering::Relaxed);
    }

    /// The connection's certificate proves nothing (any more). The connection must end: a client that has another
    /// certificate by now shows it only on a new one.
    pub fn note_spent(&self) {
        self.spent.cancel();
    }

    /// Ready when the connection must end.
    pub fn spent(&self) -> WaitForCancellationFutureOwned {
        self.spent.clone().cancelled_owned()
    }

    /// Whether any request on the connection was let in. One where none was is not kept.
    pub fn was_let_in(&self) -> bool {
        self.let_in.load(Ordering::Relaxed)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => address.fmt(f),
            None => f.write_str("unix"),
        }
    }
}
