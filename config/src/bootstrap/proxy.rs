//! Settings of the proxy.

use std::net::IpAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::certificates::ProxyCertificates;
use super::read;
use super::usage::ProxyUsage;
use super::value::{Admin, Endpoint, Period, local};
use crate::FieldError;

/// Settings of `weir proxy`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct ProxyBootstrap {
    /// Who this proxy says it is. It is a claim, and never believed beyond what the proxy proved.
    pub node: Node,
    /// The control server.
    pub xds: Endpoint,
    /// The admin endpoint. Default: `127.0.0.1:9901`.
    pub admin: Admin,
    /// Address that listeners of all addresses (`0.0.0.0`, or `::` for an IPv6 one) bind instead, so that several
    /// proxies of one edge can run on one machine. Absent: all addresses, as the listeners say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bind: Option<IpAddr>,
    /// Directory for what must outlive a restart: the last good configuration. It is made if it
    /// is not there. Default: `weir-state`.
    pub state_dir: PathBuf,
    /// Directory on memory-backed storage (such as `/dev/shm/weir`) for customers' TLS keys, so
    /// that HTTPS too starts without a server. Absent: keys are not stored, and after a restart
    /// certificates wait for the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secrets_dir: Option<PathBuf>,
    /// Worker threads. Default: one for each CPU that the process may use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers: Option<usize>,
    /// A stored configuration that no server has confirmed for this long is refused. Default: `24h`.
    pub max_staleness: Period,
    /// How long exchanges under way may take to end after SIGTERM. Keep it below the pod's
    /// `terminationGracePeriodSeconds`. Default: `10s`.
    pub drain_timeout: Period,
    /// Bounds of certificates and their keys.
    pub certificates: ProxyCertificates,
    /// Metering.
    pub usage: ProxyUsage,
}

/// Who a proxy says it is (`envoy.config.core.v3.Node`).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Node {
    /// Name of this proxy, unique among proxies. Default: `weir`.
    pub id: String,
    /// Name of the edge that it is a part of. Default: `edge`.
    pub cluster: String,
}

impl ProxyBootstrap {
    /// Reads settings from YAML (or JSON).
    ///
    /// # Errors
    /// Every field that is unknown, or the first one that cannot be used.
    pub fn parse(text: &str) -> Result<Self, Vec<FieldError>> {
        let settings: Self = read::yaml(text)?;
        let mut errors = Vec::new();
        if settings.workers.is_some_and(|workers| !(1..=1024).contains(&workers)) {
            errors.push(FieldError::new("workers", "must be from 1 to 1024"));
        }
        for (field, id) in [("node.id", &settings.node.id), ("node.cluster", &settings.node.cluster)] {
            if id.is_empty() {
                errors.push(FieldError::new(field, "must not be empty"));
            }
        }
        if settings.max_staleness.0.is_zero() {
            errors.push(FieldError::new("maxStaleness", "must be longer than zero"));
        }
        for (field, server) in [("xds", Some(&settings.xds)), ("usage.server", settings.usage.server.as_ref())] {
            if let Some(tls) = server.and_then(|server| server.tls.as_ref()) {
                tls.check(&format!("{field}.tls"), &mut errors);
            }
        }
        settings.certificates.check(&mut errors);
        settings.usage.check(&mut errors);
        if errors.is_empty() { Ok(settings) } else { Err(errors) }
    }
}

impl Default for ProxyBootstrap {
    fn default() -> Self {
        Self {
            node: Node::default(),
            xds: Endpoint::default(),
            admin: Admin::new(local(9901)),
            bind: None,
            state_dir: "weir-state".into(),
            secrets_dir: None,
            workers: None,
            max_staleness: Period::seconds(24 * 3600),
            drain_timeout: Period::seconds(10),
            certificates: ProxyCertificates::default(),
            usage: ProxyUsage::default(),
        }
    }
}

impl Default for Node {
    fn default() -> Self {
        Self { id: "weir".into(), cluster: "edge".into() }
    }
}
