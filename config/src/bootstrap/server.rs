//! Settings of the server.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::read;
use super::usage::ServerUsage;
use super::value::{Admin, Endpoint, local};
use crate::FieldError;

/// Settings of `weir server`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServerBootstrap {
    /// Where objects come from. Required.
    pub source: Source,
    /// Directory for what must outlive a restart: the last good text of each document, the usage
    /// store. It is made if it is not there. Default: `weir-state`.
    #[serde(default = "state_dir")]
    pub state_dir: PathBuf,
    /// The xDS port. While proxies do not prove who they are, it must be loopback or a Unix socket.
    #[serde(default)]
    pub xds: Endpoint,
    /// The admin endpoint.
    #[serde(default = "admin")]
    pub admin: Admin,
    /// The edge that this server serves.
    #[serde(default)]
    pub edge: Edge,
    /// Namespaces of the reserved tenant `system`. Default: `[weir-system]`.
    #[serde(default = "system_namespaces")]
    pub system_namespaces: Vec<String>,
    /// What becomes of namespaces that belong to no tenant. Default: `Refuse`.
    #[serde(default)]
    pub unassigned: Unassigned,
    /// Metering.
    #[serde(default)]
    pub usage: ServerUsage,
}

/// Where objects come from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Source {
    /// A directory of manifests (`*.yaml`, `*.yml`, `*.json`), watched. Required.
    pub directory: PathBuf,
}

/// The edge that a server serves.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Edge {
    /// Its name, the first part of its resources' names. Default: `edge`.
    pub name: String,
    /// Whether its proxies write an access log (JSON lines on standard output). Usage is metered either
    /// way. Default: true.
    pub access_log: bool,
}

/// What becomes of namespaces that belong to no tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Unassigned {
    /// They are not served (`NoTenant`).
    #[default]
    Refuse,
    /// They are served as `system`, with a warning: for the time of adoption.
    System,
}

impl ServerBootstrap {
    /// Settings for a directory of manifests, all else at its default.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            source: Source { directory: directory.into() },
            state_dir: state_dir(),
            xds: Endpoint::default(),
            admin: admin(),
            edge: Edge::default(),
            system_namespaces: system_namespaces(),
            unassigned: Unassigned::default(),
            usage: ServerUsage::default(),
        }
    }

    /// Reads settings from YAML (or JSON).
    ///
    /// # Errors
    /// Every field that is unknown, or the first one that cannot be used.
    pub fn parse(text: &str) -> Result<Self, Vec<FieldError>> {
        let settings: Self = read::yaml(text)?;
        let mut errors = Vec::new();
        if settings.source.directory.as_os_str().is_empty() {
            errors.push(FieldError::new("source.directory", "must not be empty"));
        }
        if settings.edge.name.is_empty() || settings.edge.name.contains('/') {
            errors.push(FieldError::new("edge.name", "must be a name without `/`"));
        }
        if !settings.xds.address.is_local() {
            errors.push(
                FieldError::new(
                    "xds.address",
                    "anybody could connect there and read the configuration of every tenant",
                )
                .hint("proxies do not prove who they are yet: listen on loopback or a Unix socket"),
            );
        }
        settings.usage.check(&mut errors);
        if errors.is_empty() { Ok(settings) } else { Err(errors) }
    }
}

impl Default for Edge {
    fn default() -> Self {
        Self { name: "edge".into(), access_log: true }
    }
}

fn state_dir() -> PathBuf {
    "weir-state".into()
}

fn admin() -> Admin {
    Admin { address: local(18001) }
}

fn system_namespaces() -> Vec<String> {
    vec!["weir-system".into()]
}
