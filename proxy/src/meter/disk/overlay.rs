//! A directory that cannot be written, with memory for what is new.

use std::io;
use std::sync::Arc;

use super::Memory;
use crate::meter::log::disk::Disk;

/// What is in the directory can be read, and removed where the system lets it be; what is new is in memory.
#[derive(Debug)]
pub struct Overlay {
    under: Option<Arc<dyn Disk>>,
    over: Memory,
}

impl Overlay {
    /// Up to `limit` bytes of memory above a directory, where there is one.
    pub fn new(under: Option<Arc<dyn Disk>>, limit: u64) -> Self {
        Self { under, over: Memory::new(limit) }
    }

    fn place(&self, name: &str) -> io::Result<&dyn Disk> {
        if self.over.has(name) {
            return Ok(&self.over);
        }
        Ok(self.under.as_deref().ok_or(io::ErrorKind::NotFound)?)
    }
}

impl Disk for Overlay {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = self.over.list()?;
        if let Some(under) = &self.under {
            names.extend(under.list()?);
        }
        Ok(names)
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.place(name)?.read(name)
    }

    fn read_at(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.place(name)?.read_at(name, offset, len)
    }

    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.over.append(name, bytes)
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        self.place(name)?.sync(name)
    }

    fn cut(&self, name: &str, len: u64) -> io::Result<()> {
        if self.over.has(name) {
            return self.over.cut(name, len);
        }
        self.under.as_ref().map_or(Ok(()), |under| under.cut(name, len))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.place(from)?.rename(from, to)
    }

    /// Where the directory cannot be written, the file stays, and is read again at the next start: what
    /// it holds is sent twice then, and counted once.
    fn remove(&self, name: &str) -> io::Result<()> {
        if self.over.has(name) {
            return self.over.remove(name);
        }
        if let Some(under) = &self.under
            && let Err(error) = under.remove(name)
        {
            tracing::debug!(name, %error, "an acknowledged usage segment stays");
        }
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        self.under.as_ref().map_or(Ok(()), |under| under.sync_names())
    }
}
