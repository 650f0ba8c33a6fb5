//! A directory of the file system, for one process.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};

use crate::meter::log::disk::Disk;

/// A directory of the file system.
#[derive(Clone, Debug)]
pub struct Files {
    path: PathBuf,
    directory: Arc<File>,
}

/// As long as this is there no other process uses the directory.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "it is held, not used")] File);

impl Files {
    /// Opens a directory, made if it is not there (mode 0700), and locks it.
    ///
    /// # Errors
    /// [`ErrorKind::ResourceBusy`] where another process has it; otherwise the system's.
    pub fn open(path: &Path) -> io::Result<(Self, Lock)> {
        if let Err(error) = DirBuilder::new().recursive(true).mode(0o700).create(path)
            && !path.is_dir()
        {
            return Err(error);
        }
        let lock = File::open(path)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok((Self { path: path.to_owned(), directory: Arc::new(File::open(path)?) }, Lock(lock))),
            Err(error) if error == rustix::io::Errno::WOULDBLOCK => Err(io::Error::new(
                ErrorKind::ResourceBusy,
                format!("{} is in use by another proxy: each needs a state directory of its own", path.display()),
            )),
            Err(error) => Err(error.into()),
        }
    }

    fn of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Disk for Files {
    fn list(&self) -> io::Result<Vec<String>> {
        fs::read_dir(&self.path)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(self.of(name))
    }

    fn read_at(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        File::open(self.of(name))?.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }

    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(self.of(name))?;
        file.write_all(bytes)?;
        file.sync_data()
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        File::open(self.of(name))?.sync_all()
    }

    fn cut(&self, name: &str, len: u64) -> io::Result<()> {
        match OpenOptions::new().write(true).open(self.of(name)) {
            Ok(file) => file.set_len(len),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.of(from), self.of(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.of(name))
            .or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })
    }

    fn sync_names(&self) -> io::Result<()> {
        self.directory.sync_all()
    }
}
