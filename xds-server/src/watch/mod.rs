//! Sources of objects. A source yields [`Batch`]es: first one with everything there is, then changes.

pub mod directory;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use weir_config::FieldError;
use weir_config::kinds::{Object, ObjectKey};

/// What happened to an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// It is new or different. Applying the same object twice is allowed and changes nothing.
    Apply(Arc<Object>),
    /// It is gone. Deleting what is not there is allowed.
    Delete(ObjectKey),
}

/// Changes that belong together, and what is wrong with the source as a whole.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Changes, in order.
    pub events: Vec<Event>,
    /// Everything that is wrong now, not only what is new.
    pub findings: Vec<Finding>,
}

/// A document that cannot be used. What it said before keeps serving.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// File, relative to the source's root.
    pub file: PathBuf,
    /// Line in the file, from 1, where the document (or the error in it) begins.
    pub line: usize,
    /// The object, where its identity could be read.
    pub object: Option<ObjectKey>,
    /// What is wrong.
    pub error: FieldError,
}

/// `path/file.yaml:12: Tenant acme: spec.plna: unknown field (did you mean `plan`?)`
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The source as a whole has an empty path.
        if !self.file.as_os_str().is_empty() {
            write!(f, "{}:{}: ", self.file.display(), self.line)?;
        }
        if let Some(object) = &self.object {
            write!(f, "{object}: ")?;
        }
        self.error.fmt(f)
    }
}
