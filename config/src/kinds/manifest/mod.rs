//! Manifests: the text of a file into objects, document by document.
//!
//! What `kubectl apply` and an API server would do is done here, because a directory has neither:
//! defaults of metadata, pruning of what the Gateway API and Kubernetes do not know, and the
//! refusals of a CRD's schema ([`super::validate`]).

mod explain;
mod identify;
mod locate;
mod parse;
mod path;
mod served;
mod split;
mod unknown;

use std::fmt;
use std::sync::Arc;

use super::{Object, ObjectKey};
use crate::FieldError;

pub use served::{Served, served};

/// A document of a file, or an item of a `List` in it.
#[derive(Clone)]
pub struct Document {
    /// Line of the file, from 1, at which it begins.
    pub line: usize,
    /// Text that alone reads as the same document.
    pub text: Arc<str>,
    /// Its identity, where that could be read; also of a document that is bad.
    pub key: Option<ObjectKey>,
    /// What it says.
    pub content: Content,
}

/// Without its text, which may be a Secret's.
impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, text: _, key, content } = self;
        f.debug_struct("Document")
            .field("line", line)
            .field("key", key)
            .field("content", content)
            .finish_non_exhaustive()
    }
}

/// What a document says.
#[derive(Clone, Debug)]
pub enum Content {
    /// An object, valid.
    Object(Arc<Object>),
    /// An object of a kind that Weir does not read.
    Ignored,
    /// Nothing that can be used: at least one problem, by line.
    Bad(Vec<Problem>),
}

/// Something wrong in a document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Line of the file, from 1.
    pub line: usize,
    /// What is wrong.
    pub error: FieldError,
}

/// Reads the documents of a file, YAML or JSON. A document that is wrong takes none of the others along.
pub fn documents(text: &str) -> Vec<Document> {
    split::split(text).into_iter().flat_map(parse::document).collect()
}

/// Reads a text of which every document must be right; kinds that Weir does not read are passed over.
///
/// # Errors
/// Everything that is wrong in any document.
pub fn objects(text: &str) -> Result<Vec<Arc<Object>>, Vec<Problem>> {
    let (mut objects, mut problems) = (Vec::new(), Vec::new());
    for document in documents(text) {
        match document.content {
            Content::Object(object) => objects.push(object),
            Content::Ignored => {}
            Content::Bad(bad) => problems.extend(bad),
        }
    }
    if problems.is_empty() { Ok(objects) } else { Err(problems) }
}

/// How YAML is read: the parser's default bounds on depth, nodes and aliases hold, a key may stand
/// once, errors quote nothing of the text, which may be a Secret, and `n`, `on` and `yes` are text, as
/// in YAML 1.2.
fn options() -> serde_saphyr::Options {
    serde_saphyr::options! { with_snippet: false, strict_booleans: true }
}

#[cfg(test)]
mod fuzz;
