//! Files that only the server's user may read, written whole or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;

/// A folder of such files.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Opens it, and makes it if it is not there. Nobody else may look into it, whatever it was before.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        make(path).with_context(|| format!("cannot make the directory {}", path.display()))?;
        Ok(Self { path: path.to_owned() })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// What a file holds; none: it is not there.
    pub(super) fn read(&self, name: &str) -> anyhow::Result<Option<String>> {
        let path = self.path(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// What a file holds, which is made by `make` if it is not there.
    pub(super) fn kept(&self, name: &str, make: impl FnOnce() -> anyhow::Result<String>) -> anyhow::Result<String> {
        if let Some(text) = self.read(name)? {
            return Ok(text);
        }
        let text = make()?;
        self.write(&self.path(name), text.as_bytes())?;
        Ok(text)
    }

    /// Puts a file in place, whole.
    pub(super) fn write(&self, path: &Path, content: &[u8]) -> anyhow::Result<()> {
        let put = || {
            let folder = path.parent().unwrap_or(&self.path);
            make(folder)?;
            // What a kill left behind is written over.
            let next = folder.join(".next");
            let _ = fs::remove_file(&next);
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&next)?;
            file.write_all(content)?;
            file.sync_all()?;
            fs::rename(&next, path)?;
            File::open(folder)?.sync_all()
        };
        put().with_context(|| format!("cannot write {}", path.display()))
    }
}

fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o700))
}
