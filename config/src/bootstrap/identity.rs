//! Who may connect to the xDS port, how a caller proves who it is, and how a proxy does.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::edge_service::EdgeService;
use crate::FieldError;

/// How callers of the xDS port prove who they are.
///
/// With a Kubernetes source they send service-account tokens (`tokenReview`, or `issuers` where the
/// server has the issuer's keys) or client certificates. With a directory, and where nothing else is
/// set, the server is its own issuer: it keeps a certificate authority and a signing key in
/// `<stateDir>/identity` and writes a token there for each proxy class, which local proxies read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Authentication {
    /// Whether whoever can connect is trusted with everything. Only for a port that this machine alone
    /// can reach: loopback or a Unix socket. Default: false.
    pub anonymous: bool,
    /// The audience that a token must be meant for. Default: `weir`.
    pub audience: String,
    /// Whether the API server is asked whose a token is (TokenReview). It needs `source.kubernetes`.
    /// Default: true with `source.kubernetes` unless `issuers` are given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_review: Option<bool>,
    /// Issuers whose keys the server has, so that tokens are checked without asking anybody.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub issuers: Vec<Issuer>,
    /// Certificate authorities (PEM) of client certificates, whose URI SAN
    /// `spiffe://<trust domain>/ns/<namespace>/sa/<service account>` says who the caller is. Read anew when it
    /// changes. Absent: client certificates prove nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ca_file: Option<PathBuf>,
}

/// An issuer of service-account tokens.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Issuer {
    /// `iss` of its tokens. Required.
    pub issuer: String,
    /// File with its keys, a JSON Web Key Set (RFC 7517), as the API server gives at `/openid/v1/jwks`. Read
    /// anew when it changes. Required.
    pub keys_file: PathBuf,
}

/// A group of proxies that serve the same Gateways under one service account.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProxyClass {
    /// Name of the edge that they are, the first part of its resources' names; unique. Required.
    pub name: String,
    /// The service account that proves it, unique among classes and operators. Required.
    pub service_account: ServiceAccount,
    /// Gateways that it serves: `namespace/name`, `namespace/*`, or `*` for all that no other class lists.
    /// Default: `["*"]`. A Gateway belongs to the class that lists it most closely; to list it equally
    /// closely twice is an error.
    #[serde(default = "all_gateways")]
    pub gateways: Vec<String>,
    /// Where clients reach it: IP addresses, networks (`192.0.2.0/24`) and hostnames, of the Service or load balancer in
    /// front of it. They are the addresses that Gateways may ask for, and `status.addresses` of those that ask for none.
    /// Default: unknown; what a Gateway asks for is bound.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// Whether `addresses` are the proxies' own, to be bound. Default: false, proxies bind all addresses.
    #[serde(default)]
    pub bind_addresses: bool,
    /// The Services in front of it, in a cluster. Default: none that the server knows of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<EdgeService>,
    /// Listeners with TLS at one address and port, each of them a filter chain: for stock Envoys, which hold all of them
    /// in memory and take them all in with each edit of one. Those beyond it, the platform's and the oldest first, are not
    /// served, and their status says so (`TooManyListeners`). At least 1. Default: no bound, as Weir's proxies need none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_filter_chains: Option<usize>,
}

/// `namespace/name` of a service account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct ServiceAccount {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// The server's side of TLS. Both files are read anew when they change.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServerTls {
    /// Certificate chain, PEM. Required.
    pub certificate_file: PathBuf,
    /// Its key, PEM. Required.
    pub key_file: PathBuf,
}

/// A client's side of TLS. The files are read anew when they change.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClientTls {
    /// Certificate authorities that the server's certificate must come from, PEM. Required.
    pub ca_file: PathBuf,
    /// The name that the server's certificate must have. Default: the host of the address; for an IP
    /// address or a Unix socket, `weir-server`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// Client certificate chain, PEM, for a proxy that proves itself so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_file: Option<PathBuf>,
    /// Its key, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
}

impl Default for Authentication {
    fn default() -> Self {
        Self {
            anonymous: false,
            audience: "weir".into(),
            token_review: None,
            issuers: Vec::new(),
            client_ca_file: None,
        }
    }
}

impl ClientTls {
    /// Adds what cannot be used; `path` is this field's.
    pub(super) fn check(&self, path: &str, errors: &mut Vec<FieldError>) {
        if self.certificate_file.is_some() != self.key_file.is_some() {
            errors.push(FieldError::new(path, "certificateFile and keyFile go together"));
        }
    }
}

impl FromStr for ServiceAccount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
                Ok(Self { namespace: namespace.into(), name: name.into() })
            }
            _ => Err(format!("`{text}` is no service account; write namespace/name")),
        }
    }
}

impl fmt::Display for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

fn all_gateways() -> Vec<String> {
    vec!["*".into()]
}
