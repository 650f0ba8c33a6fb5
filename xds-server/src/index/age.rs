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
        Self::new(created, meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
    }

    /// Age of an object that was created then; `None` for one without `creationTimestamp`.
    pub fn new(created: Option<Timestamp>, namespace: String, name: String) -> Self {
        Self { undated: created.is_none(), created, namespace, name }
    }

    /// When the object was created; none for a manifest in a directory.
    pub fn created(&self) -> Option<Timestamp> {
        self.created
    }
}
