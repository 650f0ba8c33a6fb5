//! Cluster and its endpoints.

use std::net::SocketAddr;
use std::time::Duration;

use super::http2::Http2Options;

/// `Cluster`: how a backend is reached.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// Resource name.
    pub name: String,
    /// Where its endpoints come from.
    pub endpoints: EndpointSource,
    /// `connect_timeout`; absent: Envoy's 5 s.
    pub connect_timeout: Option<Duration>,
    /// What its endpoints speak (`HttpProtocolOptions.explicit_http_config`).
    pub protocol: UpstreamProtocol,
    /// Of endpoints that speak HTTP/2 (`explicit_http_config.http2_protocol_options`); absent: as docs/http2.md says.
    pub http2: Option<Box<Http2Options>>,
    /// TLS toward the endpoints; absent: plain text.
    pub tls: Option<Box<UpstreamTls>>,
    /// How many retries it bears at one time (`circuit_breakers`, of the default priority); absent: as
    /// [`RetryBudget::default`] at Weir's proxy, three at Envoy (`max_retries`).
    pub retry_budget: Option<RetryBudget>,
}

impl Cluster {
    /// Endpoints that speak HTTP/1.1 in plain text.
    pub fn new(name: impl Into<String>, endpoints: EndpointSource) -> Self {
        Self {
            name: name.into(),
            endpoints,
            connect_timeout: None,
            protocol: UpstreamProtocol::default(),
            http2: None,
            tls: None,
            retry_budget: None,
        }
    }
}

/// `CircuitBreakers.Thresholds.RetryBudget`: how many retries may be under way at one time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryBudget {
    /// `budget_percent`: percent of the requests under way; from 0 to 100.
    pub percent: f64,
    /// `min_retry_concurrency`: so many in any case.
    pub least: u32,
}

impl Default for RetryBudget {
    /// Envoy's defaults of a budget: a fifth, and at least three.
    fn default() -> Self {
        Self { percent: 20.0, least: 3 }
    }
}

/// What endpoints speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum UpstreamProtocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2 (RFC 9113), by prior knowledge in plain text.
    Http2,
}

/// `UpstreamTlsContext`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamTls {
    /// `sni`; not empty.
    pub sni: String,
    /// Who may have signed the endpoint's certificate.
    pub roots: Roots,
    /// `match_typed_subject_alt_names`: the certificate has one of them; at least one.
    pub names: Vec<SubjectName>,
    /// SDS secret of the certificate that Weir shows; absent: none.
    pub certificate: Option<String>,
}

/// `CertificateValidationContext`: `trusted_ca`, or `system_root_certs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Roots {
    /// Certificates, as PEM.
    Pem(String),
    /// Those of the machine.
    System,
}

/// `SubjectAltNameMatcher`, exact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubjectName {
    /// A DNS name; a wildcard of the certificate matches one label (RFC 9525).
    Dns(String),
    /// A URI, character by character.
    Uri(String),
}

/// Where a cluster's endpoints come from.
#[derive(Clone, Debug, PartialEq)]
pub enum EndpointSource {
    /// `EDS` over ADS, under this `service_name`.
    Eds(String),
    /// `STATIC`.
    Static(LoadAssignment),
}

/// `ClusterLoadAssignment`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoadAssignment {
    /// Resource name.
    pub name: String,
    /// Endpoints by locality and priority.
    pub localities: Vec<LocalityEndpoints>,
}

/// `LocalityLbEndpoints`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LocalityEndpoints {
    /// Where they are.
    pub locality: Locality,
    /// 0 is served first.
    pub priority: u32,
    /// Endpoints.
    pub endpoints: Vec<Endpoint>,
}

/// `Locality`; empty parts are unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Locality {
    /// Region.
    pub region: String,
    /// Zone.
    pub zone: String,
}

/// `LbEndpoint`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Address.
    pub address: SocketAddr,
    /// Whether it takes requests.
    pub health: HealthStatus,
    /// `load_balancing_weight`, at least 1.
    pub weight: u32,
}

/// `HealthStatus`, as far as the server says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum HealthStatus {
    /// Nothing is said: it takes requests.
    #[default]
    Unknown,
    /// It takes requests.
    Healthy,
    /// It takes requests only where no other can.
    Degraded,
    /// It takes none.
    Unhealthy,
    /// It takes no new ones.
    Draining,
}
