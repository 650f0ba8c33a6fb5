//! Metering: counters by tenant, metric and worker.
//!
//! A worker adds to its own cells, so that no two threads write one; readers sum them. A later
//! change makes the cells durable behind the same interface.

/// A tenant's place among the counters. Resolved at configuration time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(pub u32);

impl TenantId {
    /// `-`: no tenant. Never exported as a customer.
    pub const NONE: TenantId = TenantId(0);
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Metric {
    /// Exchanges with a parsed head, refused ones too.
    Requests,
    /// Bytes read from the client's connection above TLS: start line, headers, framing, body.
    RequestBytes,
    /// Bytes written to it.
    ResponseBytes,
    /// Milliseconds from the head's first byte to the response's last.
    ExecutionMs,
    /// 429 and 402, a part of `Requests`.
    LimitedRequests,
    /// 401 and 403, a part of `Requests`.
    DeniedRequests,
    /// Bytes from the client through an upgraded connection.
    TunnelRequestBytes,
    /// Bytes to the client through an upgraded connection.
    TunnelResponseBytes,
}

/// All counters of a process.
#[derive(Debug, Default)]
pub struct Meter {}
