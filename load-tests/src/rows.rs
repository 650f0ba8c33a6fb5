//! What is measured: one line of the table below a row. Another row is another line.

/// Requests a second of each tenant's limit, which is never reached.
pub(crate) const LIMIT: u32 = 1_000_000;

/// The hostname of tenant `n`.
pub(crate) fn host(n: u32) -> String {
    format!("t{n}.tenants.test")
}

/// What the proxies are set up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Config {
    /// One host, one route, no limit.
    Plain,
    /// The same over TLS.
    Tls,
    /// The same over TLS and HTTP/2; HTTP/1.1 to the upstream.
    Http2,
    /// HTTP/2 in clear, by prior knowledge, on both sides.
    H2c,
    /// The same for gRPC.
    Grpc,
    /// So many tenants: each a host, two routes by prefix, two clusters, a limit.
    Tenants(u32),
}

impl Config {
    /// Number of hosts.
    pub(crate) fn hosts(self) -> u32 {
        match self {
            Self::Tenants(count) => count,
            _ => 1,
        }
    }

    /// Number of tenants, where it is about tenants.
    pub(crate) fn tenants(self) -> Option<u32> {
        match self {
            Self::Tenants(count) => Some(count),
            _ => None,
        }
    }

    /// Whether clients come over TLS.
    pub(crate) fn tls(self) -> bool {
        matches!(self, Self::Tls | Self::Http2)
    }

    /// Whether clients speak HTTP/2.
    pub(crate) fn http2(self) -> bool {
        matches!(self, Self::Http2 | Self::H2c | Self::Grpc)
    }

    /// Whether the upstream speaks HTTP/2.
    pub(crate) fn http2_upstream(self) -> bool {
        matches!(self, Self::H2c | Self::Grpc)
    }
}

/// What is done to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// Requests over kept connections, answered with so many bytes.
    Kept { body: usize, connections: usize },
    /// The same over so many streams at one time on each connection.
    Streams { body: usize, connections: usize, streams: usize },
    /// A TLS handshake and one request a connection.
    Handshakes { resumed: bool, connections: usize },
    /// Connections that wait.
    Idle { connections: usize },
}

/// Which contestants there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Logs {
    /// Each proxy once, without a log.
    Without,
    /// Each proxy without and with one.
    Both,
}

/// A row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// By which it is asked for, and found in the report.
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) config: Config,
    pub(crate) load: Load,
    pub(crate) logs: Logs,
    /// Latencies too, in an open loop.
    pub(crate) open: bool,
    /// Instructions per request too, by callgrind.
    pub(crate) instructions: bool,
    /// Part of the quick run.
    pub(crate) quick: bool,
}

const KIB: Load = Load::Kept { body: 1 << 10, connections: 64 };

const PLAIN: Row = Row {
    name: "plain",
    about: "one host, one route; 1 KiB answers over 64 kept connections",
    config: Config::Plain,
    load: KIB,
    logs: Logs::Without,
    open: true,
    instructions: true,
    quick: true,
};

/// As many requests under way as in [`KIB`].
const STREAMS: Load = Load::Streams { body: 1 << 10, connections: 4, streams: 16 };

const HTTP2: Row = Row { load: STREAMS, ..PLAIN };

const TENANTS: Row = Row { logs: Logs::Both, open: false, instructions: false, quick: false, ..PLAIN };

const TLS: Row = Row { config: Config::Tls, open: false, instructions: false, ..PLAIN };

/// All rows, in order.
pub(crate) const ROWS: &[Row] = &[
    PLAIN,
    Row {
        name: "tenants-1",
        about: "1 tenant: a host, two routes, two clusters, a limit",
        config: Config::Tenants(1),
        ..TENANTS
    },
    Row {
        name: "tenants-1000",
        about: "1,000 tenants, each a host, two routes, two clusters, a limit; asked in turn",
        config: Config::Tenants(1000),
        open: true,
        instructions: true,
        quick: true,
        ..TENANTS
    },
    Row {
        name: "tenants-10000",
        about: "10,000 tenants, each a host, two routes, two clusters, a limit; asked in turn",
        config: Config::Tenants(10_000),
        ..TENANTS
    },
    Row { name: "tls", about: "plain, over TLS 1.3 on kept connections", ..TLS },
    Row {
        name: "h2-tls",
        about: "plain, HTTP/2 over TLS 1.3 on 4 kept connections of 16 streams; HTTP/1.1 to the upstream",
        config: Config::Http2,
        ..HTTP2
    },
    Row {
        name: "h2c",
        about: "plain, HTTP/2 in clear on both sides, 4 kept connections of 16 streams",
        config: Config::H2c,
        open: false,
        quick: false,
        ..HTTP2
    },
    Row {
        name: "grpc",
        about: "unary gRPC calls over HTTP/2 in clear, 4 kept connections of 16 streams; 64 bytes there, 1 KiB back",
        config: Config::Grpc,
        ..HTTP2
    },
    Row {
        name: "tls-full",
        about: "a full TLS 1.3 handshake (ECDSA P-256, X25519) and one request a connection, 8 at once",
        load: Load::Handshakes { resumed: false, connections: 8 },
        ..TLS
    },
    Row {
        name: "tls-resumed",
        about: "a resumed TLS 1.3 session and one request a connection, 8 at once",
        load: Load::Handshakes { resumed: true, connections: 8 },
        quick: false,
        ..TLS
    },
    Row {
        name: "body-64k",
        about: "plain, 64 KiB answers",
        load: Load::Kept { body: 64 << 10, connections: 32 },
        open: false,
        instructions: false,
        quick: false,
        ..PLAIN
    },
    Row {
        name: "body-1m",
        about: "plain, 1 MiB answers",
        load: Load::Kept { body: 1 << 20, connections: 8 },
        open: false,
        instructions: false,
        quick: false,
        ..PLAIN
    },
    Row {
        name: "idle",
        about: "9,000 connections that served a request and wait for the next",
        load: Load::Idle { connections: 9_000 },
        open: false,
        instructions: false,
        quick: false,
        ..PLAIN
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::ROWS;

    #[test]
    fn names_are_unique_and_the_quick_run_is_a_part() {
        let names: BTreeSet<_> = ROWS.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), ROWS.len());
        let quick = ROWS.iter().filter(|row| row.quick).count();
        assert!((2..ROWS.len()).contains(&quick));
    }
}
