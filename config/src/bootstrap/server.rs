//! Settings of the server.

use std::collections::BTreeSet;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::edge_address::EdgeAddress;
use super::edge_service::EdgeService;
use super::identity::{Authentication, ProxyClass, ServerTls, ServiceAccount};
use super::load::Load;
use super::read;
use super::usage::ServerUsage;
use super::value::{Address, Admin, local};
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
    /// The xDS port.
    #[serde(default)]
    pub xds: XdsPort,
    /// The admin endpoint.
    #[serde(default = "admin")]
    pub admin: Admin,
    /// How callers of the xDS port prove who they are.
    #[serde(default)]
    pub authentication: Authentication,
    /// The edge that this server serves, where `proxyClasses` lists no others.
    #[serde(default)]
    pub edge: Edge,
    /// The edges that this server serves, each with the service account that proves it. Default: one with
    /// the name of `edge`, every Gateway, and the service account `weir-system/weir-edge`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proxy_classes: Vec<ProxyClass>,
    /// Service accounts that may read what proxies have (client status discovery), and change nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operators: Vec<ServiceAccount>,
    /// Whether a service account of a tenant's namespace that is no proxy class is a sidecar, which sees what
    /// that tenant may. Default: true.
    #[serde(default = "yes")]
    pub sidecars: bool,
    /// Bounds on what proxies ask of this server together.
    #[serde(default)]
    pub load: Load,
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

/// Where objects come from: a directory or a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Source {
    /// A directory of manifests (`*.yaml`, `*.yml`, `*.json`), watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<PathBuf>,
    /// The API server of a Kubernetes cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<Kubernetes>,
}

/// A Kubernetes cluster, and what the server does there.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Kubernetes {
    /// A kubeconfig file. Default: the service account of the pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context. Default: its current one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// Weir's own namespace, where replicas elect the one that writes status. Default: `weir-system`.
    pub namespace: String,
    /// Name of this replica, unique among replicas. Default: the host name, which is a pod's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replica: Option<String>,
    /// Whether status is written to objects, by the leader. Default: true.
    pub status: bool,
    /// Namespaces of which TLS Secrets are read. Absent: all, which needs a ClusterRole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_namespaces: Option<Vec<String>>,
}

/// The xDS port.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct XdsPort {
    /// Address. Without TLS it must be loopback or a Unix socket. Default: `127.0.0.1:18000`.
    pub address: Address,
    /// TLS. Default: a certificate of the server's own issuer, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ServerTls>,
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
    /// Where clients reach it, as `addresses` of a proxy class.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// Whether `addresses` are the proxies' own, as `bindAddresses` of a proxy class.
    pub bind_addresses: bool,
    /// The Services in front of it, as `service` of a proxy class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<EdgeService>,
    /// Listeners with TLS at one address and port, as `maxFilterChains` of a proxy class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_filter_chains: Option<usize>,
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
            source: Source { directory: Some(directory.into()), kubernetes: None },
            state_dir: state_dir(),
            xds: XdsPort::default(),
            admin: admin(),
            authentication: Authentication::default(),
            edge: Edge::default(),
            proxy_classes: Vec::new(),
            operators: Vec::new(),
            sidecars: true,
            load: Load::default(),
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
        settings.source.check(&mut errors);
        if settings.edge.name.is_empty() || settings.edge.name.contains('/') {
            errors.push(FieldError::new("edge.name", "must be a name without `/`"));
        }
        settings.check_access(&mut errors);
        settings.check_classes(&mut errors);
        settings.load.check(&mut errors);
        settings.usage.check(&mut errors);
        if errors.is_empty() { Ok(settings) } else { Err(errors) }
    }

    /// The edges that this server serves: at least one.
    pub fn classes(&self) -> Vec<ProxyClass> {
        if !self.proxy_classes.is_empty() {
            return self.proxy_classes.clone();
        }
        let service_account = ServiceAccount { namespace: "weir-system".into(), name: "weir-edge".into() };
        let Edge { name, addresses, bind_addresses, service, max_filter_chains, .. } = self.edge.clone();
        let gateways = vec!["*".into()];
        vec![ProxyClass { name, service_account, gateways, addresses, bind_addresses, service, max_filter_chains }]
    }

    /// Whether callers are checked by tokens of this server's own issuer.
    pub fn has_own_issuer(&self) -> bool {
        let Authentication { anonymous, issuers, client_ca_file, .. } = &self.authentication;
        !anonymous && self.source.kubernetes.is_none() && issuers.is_empty() && client_ca_file.is_none()
    }

    /// Whether the API server is asked whose a token is.
    pub fn reviews_tokens(&self) -> bool {
        let Authentication { anonymous, issuers, token_review, .. } = &self.authentication;
        !anonymous && self.source.kubernetes.is_some() && token_review.unwrap_or(issuers.is_empty())
    }

    fn check_access(&self, errors: &mut Vec<FieldError>) {
        let local = self.xds.address.is_local();
        if self.authentication.anonymous && !local {
            errors.push(
                FieldError::new(
                    "authentication.anonymous",
                    "anybody could connect to the xDS port and read the configuration and the keys of every tenant",
                )
                .hint("without authentication, listen on loopback or a Unix socket (xds.address)"),
            );
        }
        if !local && self.xds.tls.is_none() && !self.has_own_issuer() {
            errors.push(
                FieldError::new("xds.tls", "tokens and keys would cross the network in the clear")
                    .hint("give a certificate, or listen on loopback or a Unix socket (xds.address)"),
            );
        }
        if self.authentication.token_review == Some(true) && self.source.kubernetes.is_none() {
            errors.push(FieldError::new("authentication.tokenReview", "needs source.kubernetes: who else is asked?"));
        }
        if self.authentication.audience.is_empty() {
            errors.push(FieldError::new("authentication.audience", "must not be empty"));
        }
    }

    fn check_classes(&self, errors: &mut Vec<FieldError>) {
        let mut names = BTreeSet::new();
        let mut accounts: BTreeSet<&ServiceAccount> = self.operators.iter().collect();
        let mut patterns = BTreeSet::new();
        check_addresses(&self.edge.addresses, "edge", errors);
        let bounds = self
            .proxy_classes
            .iter()
            .enumerate()
            .map(|(n, class)| (format!("proxyClasses[{n}]"), class.max_filter_chains));
        for (at, bound) in std::iter::once(("edge".to_owned(), self.edge.max_filter_chains)).chain(bounds) {
            if bound == Some(0) {
                errors.push(FieldError::new(format!("{at}.maxFilterChains"), "must be at least 1"));
            }
        }
        let writes = self.source.kubernetes.as_ref().is_some_and(|kubernetes| kubernetes.status);
        if let Some(service) = &self.edge.service {
            service.check("edge", writes, !self.edge.addresses.is_empty(), errors);
        }
        for (n, class) in self.proxy_classes.iter().enumerate() {
            let at = |field: &str| format!("proxyClasses[{n}].{field}");
            if class.name.is_empty() || class.name.contains('/') {
                errors.push(FieldError::new(at("name"), "must be a name without `/`"));
            }
            if !names.insert(&class.name) {
                errors.push(FieldError::new(at("name"), "another class has this name"));
            }
            if !accounts.insert(&class.service_account) {
                let problem = "another class, or an operator, has this service account: whose would a caller be?";
                errors.push(FieldError::new(at("serviceAccount"), problem));
            }
            check_addresses(&class.addresses, &format!("proxyClasses[{n}]"), errors);
            if let Some(service) = &class.service {
                service.check(&format!("proxyClasses[{n}]"), writes, !class.addresses.is_empty(), errors);
            }
            for (m, gateway) in class.gateways.iter().enumerate() {
                let parts = gateway.split_once('/');
                if gateway != "*" && !parts.is_some_and(|(a, b)| !a.is_empty() && !b.is_empty() && a != "*") {
                    errors
                        .push(FieldError::new(at(&format!("gateways[{m}]")), "write namespace/name, namespace/* or *"));
                }
                if !patterns.insert(gateway) {
                    errors.push(FieldError::new(at(&format!("gateways[{m}]")), "listed twice: whose Gateway is it?"));
                }
            }
        }
    }
}

fn check_addresses(addresses: &[String], of: &str, errors: &mut Vec<FieldError>) {
    for (index, text) in addresses.iter().enumerate() {
        if let Err(problem) = text.parse::<EdgeAddress>() {
            errors.push(FieldError::new(format!("{of}.addresses[{index}]"), problem));
        }
    }
}

impl Source {
    fn check(&self, errors: &mut Vec<FieldError>) {
        match (&self.directory, &self.kubernetes) {
            (Some(directory), None) if directory.as_os_str().is_empty() => {
                errors.push(FieldError::new("source.directory", "must not be empty"));
            }
            (Some(_), Some(_)) => {
                errors.push(FieldError::new("source", "give either directory or kubernetes, not both"))
            }
            (None, None) => errors.push(
                FieldError::new("source", "says nothing").hint("give source.directory, or source.kubernetes: {}"),
            ),
            _ => {}
        }
    }
}

impl Default for Kubernetes {
    fn default() -> Self {
        Self {
            kubeconfig: None,
            context: None,
            namespace: "weir-system".into(),
            replica: None,
            status: true,
            secret_namespaces: None,
        }
    }
}

impl Default for XdsPort {
    fn default() -> Self {
        Self { address: local(18000), tls: None }
    }
}

impl Default for Edge {
    fn default() -> Self {
        Self {
            name: "edge".into(),
            access_log: true,
            addresses: Vec::new(),
            bind_addresses: false,
            service: None,
            max_filter_chains: None,
        }
    }
}

fn state_dir() -> PathBuf {
    "weir-state".into()
}

fn admin() -> Admin {
    Admin::new(local(18001))
}

fn yes() -> bool {
    true
}

fn system_namespaces() -> Vec<String> {
    vec!["weir-system".into()]
}
