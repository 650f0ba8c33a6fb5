//! Values that several settings share.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::edge_service::ServiceName;
use super::identity::{ClientTls, ServiceAccount};

/// Settings that are written as text: serde reads and shows them by `FromStr` and `Display`.
macro_rules! text_values {
    ($($value:ty),*) => {$(
        impl TryFrom<String> for $value {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }

        impl From<$value> for String {
            fn from(value: $value) -> String {
                value.to_string()
            }
        }
    )*};
}

text_values!(Address, Target, Period, ServiceAccount, ServiceName);

/// Where to listen or connect: `127.0.0.1:18000`, `[::1]:18000`, or `unix:/run/weir/xds.sock`.
/// Where one listens, port 0 lets the system choose; the port chosen is reported.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum Address {
    /// TCP.
    Tcp(SocketAddr),
    /// Unix domain socket at this path.
    Unix(PathBuf),
}

impl Address {
    /// Whether only this machine can reach it: a loopback address or a Unix socket.
    pub fn is_local(&self) -> bool {
        match self {
            Address::Tcp(address) => address.ip().is_loopback(),
            Address::Unix(_) => true,
        }
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path {
                "" => Err("a path must follow `unix:`".into()),
                path => Ok(Address::Unix(path.into())),
            };
        }
        let address = text.parse().map_err(|_| {
            format!(
                "`{text}` is no address; write IP:PORT, such as 127.0.0.1:18000, or unix:PATH (names are not resolved)"
            )
        })?;
        Ok(Address::Tcp(address))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A length of time as Kubernetes and the Gateway API write it (GEP-2257): `10s`, `1h30m`, `500ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Period(pub Duration);

impl Period {
    /// So many seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is no length of time; write such as 10s, 1h30m, or 500ms");
        let mut rest = text;
        let mut sum = Duration::ZERO;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
            let count: u32 = rest[..digits].parse().map_err(|_| bad())?;
            rest = &rest[digits..];
            let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
            let unit = match &rest[..letters] {
                "h" => Duration::from_secs(3600),
                "m" => Duration::from_secs(60),
                "s" => Duration::from_secs(1),
                "ms" => Duration::from_millis(1),
                _ => return Err(bad()),
            };
            sum = unit.checked_mul(count).and_then(|part| sum.checked_add(part)).ok_or_else(bad)?;
            rest = &rest[letters..];
        }
        if text.is_empty() { Err(bad()) } else { Ok(Self(sum)) }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.as_secs(), self.0.subsec_millis()) {
            (seconds, 0) => write!(f, "{seconds}s"),
            (0, millis) => write!(f, "{millis}ms"),
            (seconds, millis) => write!(f, "{seconds}s{millis}ms"),
        }
    }
}

/// A server to connect to: an [`Address`], or a host name and a port, `weir-server.weir-system.svc:18000`.
/// A name is resolved anew for each connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum Target {
    /// An address.
    Address(Address),
    /// Host name and port.
    Name(String, u16),
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let problem = match text.parse() {
            Ok(address) => return Ok(Self::Address(address)),
            Err(problem) => problem,
        };
        let named = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
        let is_name = |host: &str| {
            !host.is_empty()
                && host.len() <= 253
                && host.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
                && host.bytes().any(|b| b.is_ascii_alphabetic())
        };
        match named {
            Some((host, port)) if is_name(host) && port > 0 => Ok(Self::Name(host.to_owned(), port)),
            _ => Err(problem.replace(" (names are not resolved)", ", or NAME:PORT")),
        }
    }
}

impl From<Address> for Target {
    fn from(address: Address) -> Self {
        Self::Address(address)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Address(address) => address.fmt(f),
            Target::Name(host, port) => write!(f, "{host}:{port}"),
        }
    }
}

/// The control server, as a proxy reaches it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Endpoint {
    /// Address, or name and port. Default: `127.0.0.1:18000`.
    pub address: Target,
    /// TLS. Absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ClientTls>,
    /// File with the token by which this proxy proves who it is; read anew for each stream, so that it may
    /// rotate. Absent: none is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
}

impl Endpoint {
    /// A server at `address`, without TLS and token.
    pub fn new(address: impl Into<Target>) -> Self {
        Self { address: address.into(), tls: None, token_file: None }
    }
}

impl Default for Endpoint {
    fn default() -> Self {
        Self::new(local(18000))
    }
}

/// The admin endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Admin {
    /// Address. It has no authentication: keep it on loopback. Default: `127.0.0.1:9901` at a
    /// proxy, `127.0.0.1:18001` at a server.
    pub address: Address,
    /// Another address, which answers `/ready` and `/stats/prometheus` and nothing else: for a kubelet's probes
    /// and for Prometheus, which come from other addresses than loopback. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics_address: Option<Address>,
}

impl Admin {
    /// The endpoint at `address` alone.
    pub fn new(address: Address) -> Self {
        Self { address, metrics_address: None }
    }
}

/// `127.0.0.1:port`.
pub(super) fn local(port: u16) -> Address {
    Address::Tcp(SocketAddr::from(([127, 0, 0, 1], port)))
}
