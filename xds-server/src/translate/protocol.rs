//! What a Gateway's listener speaks.

use weir_config::kinds::Kind;
use weir_config::kinds::gateway::GatewayListener;

/// The protocol of a listener, with what its TLS settings make of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http,
    Https,
    /// TLS that ends here, and any bytes within.
    TlsTerminate,
    /// TLS that goes on unread.
    TlsPassthrough,
    Tcp,
    Udp,
}

/// What the listeners of one socket have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// Requests in plain text, told apart by Host.
    Http,
    /// TLS, told apart by SNI.
    Tls,
    /// Bytes.
    Tcp,
    /// Datagrams.
    Udp,
}

impl Protocol {
    /// That of a listener; none that Weir serves.
    pub(crate) fn of(listener: &GatewayListener) -> Option<Self> {
        let mode = listener.tls.as_ref().and_then(|tls| tls.mode.as_deref());
        match listener.protocol.as_str() {
            "HTTP" => Some(Self::Http),
            "HTTPS" => Some(Self::Https),
            "TLS" if mode == Some("Passthrough") => Some(Self::TlsPassthrough),
            "TLS" => Some(Self::TlsTerminate),
            "TCP" => Some(Self::Tcp),
            "UDP" => Some(Self::Udp),
            _ => None,
        }
    }

    /// The kinds of routes that it can carry.
    pub(crate) fn kinds(self) -> &'static [Kind] {
        match self {
            Self::Http | Self::Https => &[Kind::HTTPRoute, Kind::GRPCRoute],
            Self::TlsTerminate | Self::TlsPassthrough => &[Kind::TLSRoute],
            Self::Tcp => &[Kind::TCPRoute],
            Self::Udp => &[Kind::UDPRoute],
        }
    }

    /// Whether it needs certificates.
    pub(crate) fn ends_tls(self) -> bool {
        matches!(self, Self::Https | Self::TlsTerminate)
    }

    /// Whether its routes take whole connections, or datagrams.
    pub(crate) fn is_l4(self) -> bool {
        !matches!(self, Self::Http | Self::Https)
    }

    /// Whether what comes in asks for a name.
    pub(crate) fn has_names(self) -> bool {
        !matches!(self, Self::Tcp | Self::Udp)
    }

    /// What it shares a socket with.
    pub(crate) fn transport(self) -> Transport {
        match self {
            Self::Http => Transport::Http,
            Self::Https | Self::TlsTerminate | Self::TlsPassthrough => Transport::Tls,
            Self::Tcp => Transport::Tcp,
            Self::Udp => Transport::Udp,
        }
    }
}
