//! The load generator: one thread, many connections, every response checked.

mod closed;
pub(crate) mod http2;
mod link;
mod open;
mod schedule;
mod still;
mod tls;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::http::Expected;

pub(crate) use closed::{Sessions, closed};
pub(crate) use open::open;
pub(crate) use still::{AT_ONCE, hold, one_by_one};
pub(crate) use tls::{Resumption, client};
pub(crate) use wire::Request;

/// What is asked, and where.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    /// Requests, in turn.
    pub(crate) requests: Arc<[Request]>,
    /// What each is answered with.
    pub(crate) expected: Expected,
    pub(crate) tls: Option<Tls>,
    pub(crate) protocol: Protocol,
}

/// What connections speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    /// With so many streams at one time on each connection.
    Http2 {
        streams: usize,
    },
}

impl Protocol {
    /// Requests that a connection may have under way.
    fn places(self) -> usize {
        match self {
            Self::Http1 => 1,
            Self::Http2 { streams } => streams,
        }
    }
}

/// How a connection is secured.
#[derive(Clone)]
pub(crate) struct Tls {
    pub(crate) config: Arc<rustls::ClientConfig>,
    pub(crate) name: rustls::pki_types::ServerName<'static>,
}

/// How long a run takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    /// Before measuring; at the least until each request was answered once.
    pub(crate) warm: Duration,
    /// While measuring.
    pub(crate) measured: Duration,
}

/// What costs were at a moment; taken at the begin and at the end of the measured time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Costs {
    /// CPU time of the proxy.
    pub(crate) proxy: Duration,
    /// CPU time of upstream and generator.
    pub(crate) load: Duration,
    /// Time that the proxy's core was in use, by whatever.
    pub(crate) core: Duration,
}

impl Costs {
    /// What has been spent since.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            proxy: self.proxy.saturating_sub(earlier.proxy),
            load: self.load.saturating_sub(earlier.load),
            core: self.core.saturating_sub(earlier.core),
        }
    }
}

/// Longest wait for anything to come.
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes that one read takes.
const READ: usize = 256 << 10;
