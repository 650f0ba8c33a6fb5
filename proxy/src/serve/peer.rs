//! Who is at the other end of a connection.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::request::table::{ChainTable, ListenerTable};

/// Who is at the other end of a connection.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Address.
    pub(crate) address: SocketAddr,
    /// The IP address as text, written once.
    pub(crate) text: String,
    /// Whether the connection is TLS.
    pub(crate) tls: bool,
    /// It chose HTTP/1.1 by ALPN, and so speaks nothing else.
    pub(crate) speaks_http1: bool,
    /// Where there are other chains for TLS: the listener, of which no other chain's host is served here.
    pub(crate) bound_to: Option<Arc<ListenerTable>>,
    /// The name that the client asked for in TLS.
    pub(crate) sni: Option<String>,
}

impl Peer {
    /// Who sends datagrams.
    pub(crate) fn datagrams(address: SocketAddr) -> Self {
        Self { address, text: String::new(), tls: false, speaks_http1: false, bound_to: None, sni: None }
    }

    /// Whether a request for `host` (lower case, without port) belongs to another chain than the one that the
    /// handshake chose (421): a client may think so where one certificate covers both, but what was shown and asked
    /// for in the handshake says nothing to the other.
    pub(crate) fn is_misdirected(&self, host: &str, chain: &ChainTable) -> bool {
        let Some(listener) = &self.bound_to else { return false };
        if host.is_empty() || self.sni.as_deref() == Some(host) {
            return false;
        }
        listener.chain(Some(host)).is_none_or(|other| !std::ptr::eq(&**other, chain))
    }
}
