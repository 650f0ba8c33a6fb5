//! What `GET /v1/status` answers and `weir status` prints.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weir_config::kinds::ObjectKey;

use super::ObjectStatus;
use crate::ads::ProxyReport;
use crate::watch::Finding;

/// How many objects of a kind there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Count {
    /// All that were asked for.
    pub total: usize,
    /// Those of which something is wrong.
    pub wrong: usize,
    /// Those that the report shows.
    pub shown: usize,
}

/// Everything that the server has to say of its objects, its source and its proxies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusReport {
    /// Whether the source was read whole at least once.
    pub ready: bool,
    /// Number of the newest change, counted from the server's start.
    pub sequence: u64,
    /// Resources by type.
    pub resources: BTreeMap<String, usize>,
    /// How many objects have a status, by kind.
    #[serde(default)]
    pub counts: BTreeMap<String, Count>,
    /// Objects that have a status, by kind, namespace and name: as many as were asked for.
    pub objects: Vec<ObjectReport>,
    /// Documents that cannot be used.
    pub findings: Vec<FindingReport>,
    /// Streams that are open: as many as were asked for, those first that refused something.
    pub proxies: Vec<ProxyReport>,
    /// How many there are.
    #[serde(default)]
    pub proxy_count: usize,
}

/// An object and its status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObjectReport {
    /// Kind.
    pub kind: String,
    /// Namespace; empty for a cluster-scoped kind.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Status.
    pub status: ObjectStatus,
}

/// A document that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingReport {
    /// File, relative to the source's root; empty where none is to blame.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub file: String,
    /// Line, from 1; 0 without a file.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub line: usize,
    /// The object, as `HTTPRoute shop/front`, where its identity could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// What is wrong, with the field's path and advice.
    pub error: String,
}

impl ObjectReport {
    /// The report of an object.
    pub fn new(key: &ObjectKey, status: &ObjectStatus) -> Self {
        Self {
            kind: key.kind.name().to_owned(),
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            status: status.clone(),
        }
    }
}

fn is_zero(line: &usize) -> bool {
    *line == 0
}

impl From<&Finding> for FindingReport {
    fn from(finding: &Finding) -> Self {
        Self {
            file: finding.file.display().to_string(),
            line: finding.line,
            object: finding.object.as_ref().map(ToString::to_string),
            error: finding.error.to_string(),
        }
    }
}
