//! The Services by which clients reach an edge in a cluster.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::FieldError;

/// The Services in front of an edge. Its Gateways take their `status.addresses` from them, where `addresses` lists none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct EdgeService {
    /// The one Service that stands before all Gateways of the edge, `namespace/name`. It is read, never written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<ServiceName>,
    /// Whether each Gateway gets a Service of its own (GEP-1762), in its namespace, called `<Gateway>-<GatewayClass>`,
    /// which leads to the edge's pods. It needs `source.kubernetes` with `status`, and `pods`. Default: false.
    pub per_gateway: bool,
    /// The Service that selects the edge's pods, `namespace/name`: a headless one will do. Required with `perGateway`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pods: Option<ServiceName>,
    /// `spec.type` of a Gateway's Service. Default: `LoadBalancer`.
    #[serde(rename = "type")]
    pub type_: ServiceType,
    /// `spec.externalTrafficPolicy` of a Gateway's Service that is no ClusterIP: `Local` keeps the clients' addresses.
    /// Default: `Local`.
    pub external_traffic_policy: TrafficScope,
    /// `spec.loadBalancerClass` of a Gateway's Service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_balancer_class: Option<String>,
    /// `spec.loadBalancerSourceRanges` of a Gateway's Service.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub load_balancer_source_ranges: Vec<String>,
    /// `spec.ipFamilyPolicy` of a Gateway's Service. Default: the cluster's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_family_policy: Option<String>,
    /// Annotations of a Gateway's Service. They go before those of the Gateway's `spec.infrastructure`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// `spec.type` of a Service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum ServiceType {
    /// A load balancer outside of the cluster leads to it.
    #[default]
    LoadBalancer,
    /// It has a port on each node.
    NodePort,
    /// It is reached from within the cluster.
    ClusterIP,
}

/// `spec.externalTrafficPolicy` of a Service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum TrafficScope {
    /// A node leads to pods of its own alone.
    #[default]
    Local,
    /// A node leads to any pod.
    Cluster,
}

/// `namespace/name` of a Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct ServiceName {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl EdgeService {
    /// Adds what cannot be used; `of` is what the field belongs to, `writes` whether the server writes to a cluster.
    pub(super) fn check(&self, of: &str, writes: bool, fixed: bool, errors: &mut Vec<FieldError>) {
        let at = |field: &str| format!("{of}.service.{field}");
        if self.per_gateway && !writes {
            let problem = "Services are made in a cluster, by the replica that writes status";
            errors.push(
                FieldError::new(at("perGateway"), problem).hint("it needs source.kubernetes, with status not false"),
            );
        }
        if self.per_gateway && self.pods.is_none() {
            let problem = "where does a Gateway's Service lead to?";
            errors.push(FieldError::new(at("pods"), problem).hint("name the Service that selects the edge's pods"));
        }
        if self.per_gateway && self.name.is_some() {
            errors.push(FieldError::new(at("name"), "with perGateway each Gateway has its own; take one of both out"));
        }
        if fixed && self.name.is_some() {
            let problem = "addresses are listed as well, and would be the Gateways'; take one of both out";
            errors.push(FieldError::new(at("name"), problem));
        }
    }
}

impl FromStr for ServiceName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
                Ok(Self { namespace: namespace.into(), name: name.into() })
            }
            _ => Err(format!("`{text}` is no Service; write namespace/name")),
        }
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
