//! Memory that outlives the process: a region of a file, mapped shared, as words. The one module with
//! `unsafe`.
//!
//! Why it is sound. A [`Region`] owns its mapping, which is never moved, unmapped or made smaller while
//! the region lives, and hands out words only borrowed from itself. The mapping begins at a page, or at
//! an offset within one that is a multiple of 8, so words are aligned; its length is checked when it is
//! made. The kernel gives zeroes or what the file holds, and any bits are a `u64`. Other threads, and
//! readers of the file, see the same memory, hence atomics: a plain reference would claim that nobody
//! else writes. What another process writes to the file changes numbers, never validity.
//!
//! A page of a mapping that the file cannot back raises SIGBUS at its first touch. So the space is taken
//! before it is mapped: `fallocate` either has it, or says that it has not. What is left is somebody who
//! truncates the file of a running proxy; its directory is the proxy's own and locked.
#![expect(unsafe_code, reason = "a mapping is raw memory; why this use of it is sound stands above")]

use std::fs::File;
use std::io;
use std::sync::atomic::AtomicU64;

use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::{FallocateFlags, fallocate};

/// Words of a file, or of memory that no other process sees.
#[derive(Debug)]
pub(super) struct Region {
    map: MmapRaw,
    words: usize,
}

impl Region {
    /// Zeroes that end with the process.
    ///
    /// # Errors
    /// The system gives no memory.
    pub(super) fn anonymous(words: usize) -> io::Result<Self> {
        Self::new(MmapOptions::new().len(words * size_of::<u64>()).map_anon()?.into(), words)
    }

    /// Words of a file, from `offset` (bytes) on. What the file did not have yet is zeroes.
    ///
    /// # Errors
    /// The disk is full, takes no such reservation, or is not to be written to; the system gives no memory.
    pub(super) fn shared(file: &File, offset: u64, words: usize) -> io::Result<Self> {
        let bytes = words * size_of::<u64>();
        fallocate(file, FallocateFlags::empty(), offset, bytes as u64)?;
        Self::new(MmapOptions::new().offset(offset).len(bytes).map_raw(file)?, words)
    }

    fn new(map: MmapRaw, words: usize) -> io::Result<Self> {
        if map.len() < words * size_of::<u64>() || !map.as_ptr().cast::<AtomicU64>().is_aligned() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(Self { map, words })
    }

    /// The words.
    #[inline]
    pub(super) fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping holds at least so many words and is aligned for them (`new`); it lives as
        // long as `self`; all access, here and through the file, is to be expected at any time, and is atomic.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().cast(), self.words) }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::atomic::Ordering::Relaxed;

    use super::Region;

    #[test]
    fn what_is_stored_stands_in_the_file() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&7u64.to_ne_bytes()).unwrap();
        let first = Region::shared(&file, 0, 512).unwrap();
        let second = Region::shared(&file, 4096 + 64, 8).unwrap();
        assert_eq!(first.words()[0].load(Relaxed), 7);
        second.words()[7].store(9, Relaxed);
        let again = Region::shared(&file, 4096, 512).unwrap();
        assert_eq!(again.words()[15].load(Relaxed), 9);
        assert_eq!(file.metadata().unwrap().len(), 8192);
    }

    #[test]
    fn a_region_without_space_is_an_error() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(Region::shared(&file, 0, 512).is_err());
        assert!(Region::anonymous(512).unwrap().words().iter().all(|word| word.load(Relaxed) == 0));
    }
}
