//! A disk that ends with the process.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::meter::log::disk::Disk;

/// Files in memory, up to a number of bytes.
#[derive(Debug)]
pub struct Memory {
    limit: u64,
    files: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl Memory {
    /// An empty disk for `limit` bytes.
    pub fn new(limit: u64) -> Self {
        Self { limit, files: Mutex::default() }
    }

    /// Whether there is such a file.
    pub fn has(&self, name: &str) -> bool {
        self.files().contains_key(name)
    }

    fn files(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk for Memory {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.files().keys().cloned().collect())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.files().get(name).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn read_at(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let files = self.files();
        let file = files.get(name).ok_or(io::ErrorKind::NotFound)?;
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes = file.get(from..from.saturating_add(len)).ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(bytes.to_vec())
    }

    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut files = self.files();
        let used: usize = files.values().map(Vec::len).sum();
        if (used + bytes.len()) as u64 > self.limit {
            return Err(io::ErrorKind::StorageFull.into());
        }
        files.entry(name.to_owned()).or_default().extend(bytes);
        Ok(())
    }

    fn sync(&self, _name: &str) -> io::Result<()> {
        Ok(())
    }

    fn cut(&self, name: &str, len: u64) -> io::Result<()> {
        if let Some(file) = self.files().get_mut(name) {
            file.truncate(usize::try_from(len).unwrap_or(usize::MAX));
        }
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.files();
        let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.files().remove(name);
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        Ok(())
    }
}
