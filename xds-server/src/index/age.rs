//! Which of two objects is older.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// Order of seniority: what was created first is less; then by namespace and name. An object
/// without `creationTimestamp` (a manifest in a directory) is younger than any that has one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Age {
    undated: bool,
    created: Option<Timestamp>,
    /// Namespace, or empty.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl Age {
    /// Age of the object with this metadata.
    pub fn of(meta: &ObjectMeta) -> Self {
        let created = meta.creation_timestamp.as_ref().map(|time| time.0);
        Self {
            undated: created.is_none(),
            created,
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
        }
    }
}
