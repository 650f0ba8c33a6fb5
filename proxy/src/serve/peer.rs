//! Who is at the other end of a connection.

/// Who is at the other end of a connection.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Address.
    pub(crate) address: std::net::SocketAddr,
    /// The IP address as text, written once.
    pub(crate) text: String,
    /// Whether the connection is TLS.
    pub(crate) tls: bool,
    /// It chose HTTP/1.1 by ALPN, and so speaks nothing else.
    pub(crate) speaks_http1: bool,
    /// The name that the client asked for in TLS.
    pub(crate) sni: Option<String>,
}
