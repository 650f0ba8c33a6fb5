//! Sources of objects. A source yields [`Batch`]es: first one with everything there is, then changes.

pub mod directory;
pub mod kubernetes;

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use weir_config::FieldError;
use weir_config::kinds::{Object, ObjectKey};

use crate::seen::Digest;

/// What happened to an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// It is new or different. Applying the same object twice is allowed and changes nothing.
    Apply(Arc<Object>),
    /// It is gone. Deleting what is not there is allowed.
    Delete(ObjectKey),
    /// No object: from now on the source reads Secrets of these namespaces. Until a source says so, of all.
    SecretsRead(SecretsRead),
}

/// Of which namespaces a source can read Secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SecretsRead {
    /// All.
    #[default]
    All,
    /// These alone: the settings name no others, or the API server forbids the rest.
    Only(BTreeSet<String>),
}

impl SecretsRead {
    /// Whether Secrets of `namespace` are read.
    pub fn includes(&self, namespace: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(namespaces) => namespaces.contains(namespace),
        }
    }
}

/// Changes that belong together, and what is wrong with the source as a whole.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Changes, in order.
    pub events: Vec<Event>,
    /// Everything that is wrong now, not only what is new.
    pub findings: Vec<Finding>,
    /// The source has not seen everything yet and has no events, only findings that say why.
    pub waiting: bool,
    /// What the statuses of objects were when they were seen, where the source knows: of each object of a kind that
    /// [`has_status`](crate::seen::has_status), [`digest_of`](crate::seen::digest_of) its `.status`. Objects
    /// themselves come without, so that a status that was written makes nothing anew.
    pub statuses: Vec<(ObjectKey, Digest)>,
}

/// A document or an object that cannot be used (of a directory, what it said before keeps serving), or what is
/// wrong with the source as a whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// File, relative to the source's root. Empty: no file is to blame, but an object of a cluster or the source.
    pub file: PathBuf,
    /// Line in the file, from 1, where the document (or the error in it) begins; 0 without a file.
    pub line: usize,
    /// The object, where its identity could be read.
    pub object: Option<ObjectKey>,
    /// What is wrong.
    pub error: FieldError,
}

impl Finding {
    /// What is wrong with an object of a cluster; without one, with the source as a whole.
    pub fn without_file(object: Option<ObjectKey>, error: FieldError) -> Self {
        Self { file: PathBuf::new(), line: 0, object, error }
    }
}

/// `path/file.yaml:12: Tenant acme: spec.plna: unknown field (did you mean `plan`?)`
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.as_os_str().is_empty() {
            write!(f, "{}:{}: ", self.file.display(), self.line)?;
        }
        if let Some(object) = &self.object {
            write!(f, "{object}: ")?;
        }
        self.error.fmt(f)
    }
}
