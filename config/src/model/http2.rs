//! Settings of HTTP/2 connections.

use std::time::Duration;

/// `Http2ProtocolOptions`, of a listener's connections or a cluster's. What is absent is as docs/http2.md says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Http2Options {
    /// `max_concurrent_streams`: streams of a connection at one time; at least 1.
    pub max_concurrent_streams: Option<u32>,
    /// `initial_stream_window_size`, in bytes; from 65,535 to 2^31 - 1.
    pub stream_window: Option<u32>,
    /// `initial_connection_window_size`, in bytes; from 65,535 to 2^31 - 1.
    pub connection_window: Option<u32>,
    /// `connection_keepalive`; absent: no PING is sent.
    pub keepalive: Option<Keepalive>,
}

/// `KeepaliveSettings`: PINGs that show whether the peer is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// `interval` between the answer to one and the next, at least 1 ms; absent: none is sent.
    pub interval: Option<Duration>,
    /// `timeout`: a connection whose peer does not answer for so long ends; at least 1 ms.
    pub timeout: Duration,
    /// `interval_jitter`, in hundredths of a percent of the interval, that is added by chance; absent: Envoy's 15 %.
    pub jitter: Option<u16>,
}
