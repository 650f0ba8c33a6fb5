//! Reading files and directories.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::documents::Seen;

/// Largest file that is read.
const MAX_FILE: u64 = 32 << 20;
/// How deep directories are followed.
const MAX_DEPTH: usize = 32;

/// Whether a path is one of a manifest: by its extension, and hidden nowhere.
pub(super) fn is_manifest(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("yaml" | "yml" | "json")) && !is_hidden(path)
}

/// Whether a step of the path begins with a dot: editors' files, `.git`, what a ConfigMap mount keeps.
pub(super) fn is_hidden(path: &Path) -> bool {
    path.iter().any(|step| step.as_encoded_bytes().starts_with(b"."))
}

/// What is at `path`.
pub(super) fn read(path: &Path) -> Seen {
    match text(path) {
        Ok(Some(text)) => Seen::Text(text),
        Ok(None) => Seen::Gone,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Seen::Gone,
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Seen::Unreadable("is not UTF-8 text".into()),
        Err(error) => Seen::Unreadable(format!("cannot be read: {error}")),
    }
}

/// The text of a file; none of what is no plain file (to open a pipe would wait for its writer).
fn text(path: &Path) -> io::Result<Option<String>> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Ok(None);
    }
    let mut text = String::new();
    if File::open(path)?.take(MAX_FILE + 1).read_to_string(&mut text)? as u64 > MAX_FILE {
        return Err(io::Error::other(format!("is larger than {} MiB", MAX_FILE >> 20)));
    }
    Ok(Some(text))
}

/// What a walk found, relative to the root.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Manifests.
    pub(super) files: BTreeSet<PathBuf>,
    /// Directories that could not be read, and why.
    pub(super) unreadable: Vec<(PathBuf, String)>,
}

/// The manifests at or below `from`, which is relative to `root`. Symbolic links are followed.
pub(super) fn walk(root: &Path, from: &Path) -> Found {
    let mut found = Found::default();
    enter(root, from, &mut Vec::new(), &mut found);
    found
}

/// Reads a directory below those whose device and inode are `above`.
fn enter(root: &Path, directory: &Path, above: &mut Vec<(u64, u64)>, found: &mut Found) {
    if above.len() > MAX_DEPTH {
        found.unreadable.push((directory.to_owned(), format!("is more than {MAX_DEPTH} directories deep")));
        return;
    }
    let entries = match fs::read_dir(root.join(directory)).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
        Ok(entries) => entries,
        Err(error) => return found.unreadable.push((directory.to_owned(), format!("cannot be read: {error}"))),
    };
    let Ok(own) = fs::metadata(root.join(directory)) else { return };
    let own = (own.dev(), own.ino());
    if above.contains(&own) {
        // A link that leads back up.
        return;
    }
    above.push(own);
    for entry in entries {
        let path = directory.join(entry.file_name());
        if is_hidden(Path::new(&entry.file_name())) {
            continue;
        }
        // A dangling link is nothing; it will make an event when it leads somewhere.
        match fs::metadata(entry.path()) {
            Ok(metadata) if metadata.is_dir() => enter(root, &path, above, found),
            Ok(_) if is_manifest(&path) => _ = found.files.insert(path),
            _ => {}
        }
    }
    above.pop();
}
