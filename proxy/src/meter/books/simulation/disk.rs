//! A directory whose page cache a kill leaves, and a loss of power does not.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};

use super::fate::Fate;
use crate::meter::log::disk::Disk;

/// What is on the platter and what is in the cache.
#[derive(Clone, Debug, Default)]
pub(super) struct Platter {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    synced_names: BTreeMap<String, usize>,
    pub(super) full: bool,
}

#[derive(Clone, Debug, Default)]
struct Inode {
    cache: Vec<u8>,
    synced: Vec<u8>,
}

impl Platter {
    /// Power is lost: of what was not synchronised any part may be there.
    pub(super) fn lose_power(&mut self, rng: &mut StdRng) {
        for Inode { cache, synced } in &mut self.inodes {
            let (short, long) = if cache.len() < synced.len() { (&*cache, &*synced) } else { (&*synced, &*cache) };
            let mut left = long[..rng.random_range(short.len()..=long.len())].to_vec();
            if left.len() > short.len() && rng.random_bool(0.3) {
                // The file grew, but its blocks were not written.
                left[short.len()..].fill(0);
            }
            (*cache, *synced) = (left.clone(), left);
        }
        let all: Vec<_> = self.names.keys().chain(self.synced_names.keys()).cloned().collect();
        for name in all {
            let from = if rng.random_bool(0.5) { &self.names } else { &self.synced_names };
            let inode = from.get(&name).copied();
            for names in [&mut self.names, &mut self.synced_names] {
                match inode {
                    Some(inode) => drop(names.insert(name.clone(), inode)),
                    None => drop(names.remove(&name)),
                }
            }
        }
    }
}

/// A process's view of it.
#[derive(Debug)]
pub(super) struct SimDisk {
    pub(super) platter: Arc<Mutex<Platter>>,
    fate: Fate,
    rng: Mutex<StdRng>,
}

impl SimDisk {
    pub(super) fn new(platter: Arc<Mutex<Platter>>, fate: Fate, seed: u64) -> Self {
        Self { platter, fate, rng: Mutex::new(StdRng::seed_from_u64(seed)) }
    }

    fn platter(&self) -> MutexGuard<'_, Platter> {
        self.platter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn random(&self, most: usize) -> usize {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        (rng.next_u64() % (most as u64 + 1)) as usize
    }
}

impl Disk for SimDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        self.fate.io()?;
        Ok(self.platter().names.keys().cloned().collect())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.fate.io()?;
        let platter = self.platter();
        let inode = *platter.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(platter.inodes[inode].cache.clone())
    }

    fn read_at(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let all = self.read(name)?;
        let part = all.get(offset as usize..offset as usize + len).ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(part.to_vec())
    }

    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.fate.io()?;
        let alive = self.fate.step();
        let full = self.platter().full;
        let part = if alive && !full { bytes.len() } else { self.random(bytes.len()) };
        {
            let mut platter = self.platter();
            let inode = platter.names.get(name).copied().unwrap_or_else(|| {
                platter.inodes.push(Inode::default());
                let inode = platter.inodes.len() - 1;
                platter.names.insert(name.to_owned(), inode);
                inode
            });
            platter.inodes[inode].cache.extend(&bytes[..part]);
        }
        if full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.fate.io()?;
        if self.random(99) == 0 {
            return Err(io::Error::other("input/output error"));
        }
        let mut platter = self.platter();
        let inode = platter.names[name];
        let Inode { cache, synced } = &mut platter.inodes[inode];
        synced.clone_from(cache);
        Ok(())
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        self.fate.io()?;
        let mut platter = self.platter();
        let inode = *platter.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        let Inode { cache, synced } = &mut platter.inodes[inode];
        synced.clone_from(cache);
        Ok(())
    }

    fn cut(&self, name: &str, len: u64) -> io::Result<()> {
        self.fate.io()?;
        let mut platter = self.platter();
        if let Some(inode) = platter.names.get(name).copied() {
            platter.inodes[inode].cache.truncate(len as usize);
        }
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.fate.io()?;
        let mut platter = self.platter();
        let inode = platter.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        platter.names.insert(to.to_owned(), inode);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.fate.io()?;
        self.platter().names.remove(name);
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        self.fate.io()?;
        let mut platter = self.platter();
        platter.synced_names = platter.names.clone();
        Ok(())
    }
}
