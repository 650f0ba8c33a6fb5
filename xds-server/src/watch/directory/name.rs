//! Names of files, in an order that is cheap to look in.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A file, relative to the root. It is ordered by its bytes: paths are compared step by step, which costs as much as
/// the rest of a look-up among ten thousand files.
#[derive(Clone, Debug)]
pub(super) struct FileName(PathBuf);

impl FileName {
    /// The name of the file at `path`.
    pub(super) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The path.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

/// What a [`FileName`] of this path is looked up by.
pub(super) fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

impl Borrow<[u8]> for FileName {
    fn borrow(&self) -> &[u8] {
        bytes(&self.0)
    }
}

impl PartialEq for FileName {
    fn eq(&self, other: &Self) -> bool {
        bytes(&self.0) == bytes(&other.0)
    }
}

impl Eq for FileName {}

impl PartialOrd for FileName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for FileName {
    fn cmp(&self, other: &Self) -> Ordering {
        bytes(&self.0).cmp(bytes(&other.0))
    }
}
