//! The cells: a row of each place for each worker, what of each place is logged, and an announced
//! write for each worker. In chunks that never move.
//!
//! **What a SIGKILL leaves.** The stores here go to memory that belongs to the file, not to the process;
//! a kill takes none back. A thread that is killed has made the stores before some point of its program
//! and none after: to the file it is as if a signal handler looked, so it is enough that the *compiler*
//! keeps the order ([`compiler_fence`]); no instruction is needed. Each of them is one aligned word, whole
//! or not at all.
//!
//! **An intent** is (tag, total). [`Cells::announce`] voids the tag, stores the total, stores the tag;
//! [`Writing::done`] stores the cell, then voids the tag. Cut anywhere, the tag is void and the cell is
//! true, or the tag is valid and so is the total beside it: the cell's value before the write, and the
//! write taken whole. Then the truth lies between cell and total, and the greater is taken: a client
//! that has its last byte has been charged for it.

use std::fs::File;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst, compiler_fence};

use super::layout::{CHUNK, Layout, ROW};
use super::map::Region;
use super::{MAX_TENANTS, Metric, Units};

/// All cells of a process.
#[derive(Debug)]
pub(super) struct Cells {
    layout: Layout,
    /// Header and intents.
    head: Region,
    chunks: Box<[OnceLock<Chunk>]>,
    file: Option<File>,
}

#[derive(Debug)]
struct Chunk {
    region: Region,
    durable: bool,
}

impl Cells {
    /// In memory that ends with the process.
    ///
    /// # Errors
    /// The system gives no memory.
    pub(super) fn anonymous(layout: Layout) -> io::Result<Self> {
        Ok(Self::new(layout, Region::anonymous(layout.head())?, None))
    }

    /// In a file, which is empty.
    ///
    /// # Errors
    /// Not even the head has space.
    pub(super) fn shared(layout: Layout, file: File) -> io::Result<Self> {
        Ok(Self::new(layout, Region::shared(&file, 0, layout.head())?, Some(file)))
    }

    fn new(layout: Layout, head: Region, file: Option<File>) -> Self {
        let chunks = (0..(MAX_TENANTS as usize).div_ceil(CHUNK)).map(|_| OnceLock::new()).collect();
        Self { layout, head, chunks, file }
    }

    /// Makes room for a place, so that counting never waits or fails; false where there is no memory.
    pub(super) fn reserve(&self, place: u32) -> bool {
        let at = place as usize / CHUNK;
        let Some(slot) = self.chunks.get(at) else { return false };
        if slot.get().is_some() {
            return true;
        }
        let words = self.layout.chunk();
        let shared = self.file.as_ref().map(|file| Region::shared(file, self.layout.chunk_at(at), words));
        let chunk = match shared {
            Some(Ok(region)) => Chunk { region, durable: true },
            _ => {
                if let Some(Err(error)) = shared {
                    tracing::error!(%error, places = CHUNK, "no space for counters on disk: these end with the process");
                }
                match Region::anonymous(words) {
                    Ok(region) => Chunk { region, durable: false },
                    Err(error) => {
                        tracing::error!(%error, "no memory for counters");
                        return false;
                    }
                }
            }
        };
        // Whoever makes places holds a lock: nobody else was here meanwhile.
        slot.set(chunk).is_ok()
    }

    /// Whether the counters of a place outlive the process.
    pub(super) fn is_durable(&self, place: u32) -> bool {
        self.chunk(place).is_some_and(|chunk| chunk.durable)
    }

    #[inline]
    fn chunk(&self, place: u32) -> Option<&Chunk> {
        self.chunks.get(place as usize / CHUNK)?.get()
    }

    /// A worker's cell.
    #[inline]
    fn cell(&self, worker: usize, place: u32, metric: Metric) -> Option<&AtomicU64> {
        if worker >= self.layout.workers() {
            return None;
        }
        let words = self.chunk(place)?.region.words();
        words.get(self.layout.row(worker, place as usize) + metric as usize)
    }

    /// A load and a store: the owner is the only writer, so no locked instruction is needed.
    #[inline]
    pub(super) fn add(&self, worker: usize, place: u32, metric: Metric, n: u64) {
        if let Some(cell) = self.cell(worker, place, metric) {
            cell.store(cell.load(Relaxed).wrapping_add(n), Relaxed);
        }
    }

    pub(super) fn get(&self, place: u32, metric: Metric) -> u64 {
        let cells = (0..self.layout.workers()).filter_map(|worker| self.cell(worker, place, metric));
        cells.map(|cell| cell.load(Relaxed)).fold(0, u64::wrapping_add)
    }

    /// Announces that a cell may grow by `n`.
    #[inline]
    pub(super) fn announce(&self, worker: usize, place: u32, metric: Metric, n: u64) -> Writing<'_> {
        let Some(cell) = self.cell(worker, place, metric) else { return Writing { cell: None, most: n } };
        let at = self.layout.intent(worker);
        let Some([tag, total]) = self.head.words().get(at..at + 2) else { return Writing { cell: None, most: n } };
        tag.store(0, Relaxed);
        compiler_fence(SeqCst);
        total.store(cell.load(Relaxed).wrapping_add(n), Relaxed);
        compiler_fence(SeqCst);
        tag.store(Intent::tag(place, metric), Relaxed);
        // And the write that follows goes after that.
        compiler_fence(SeqCst);
        Writing { cell: Some((cell, tag)), most: n }
    }

    /// Sums over all workers.
    pub(super) fn total(&self, place: u32) -> Units {
        Units(Metric::ALL.map(|metric| self.get(place, metric)))
    }

    fn row(&self, place: u32, at: usize) -> &[AtomicU64] {
        self.chunk(place).and_then(|chunk| chunk.region.words().get(at..at + ROW)).unwrap_or_default()
    }

    fn logged_row(&self, place: u32) -> &[AtomicU64] {
        self.row(place, self.layout.logged(place as usize))
    }

    /// Totals that are logged.
    pub(super) fn logged(&self, place: u32) -> Units {
        let mut units = Units::ZERO;
        for (unit, word) in units.0.iter_mut().zip(self.logged_row(place)) {
            *unit = word.load(Relaxed);
        }
        units
    }

    /// Marks totals as logged.
    pub(super) fn set_logged(&self, place: u32, units: &Units) {
        for (word, unit) in self.logged_row(place).iter().zip(units.0) {
            word.store(unit, Relaxed);
        }
    }

    /// Says whose the cells of a place are: an incarnation, or nobody's (0). Nobody's are not read after
    /// a kill, whatever they hold.
    pub(super) fn set_tag(&self, place: u32, incarnation: u64) {
        let tag = self.layout.tag(place as usize);
        if let Some(word) = self.chunk(place).and_then(|chunk| chunk.region.words().get(tag)) {
            compiler_fence(SeqCst);
            word.store(incarnation, Relaxed);
            compiler_fence(SeqCst);
        }
    }

    /// Whose the cells of a place are.
    #[cfg(test)]
    pub(super) fn tag(&self, place: u32) -> u64 {
        let tag = self.layout.tag(place as usize);
        self.chunk(place).map_or(0, |chunk| chunk.region.words()[tag].load(Relaxed))
    }

    /// Sets all of a place to zero. Nobody counts there any more; its tag is 0.
    pub(super) fn clear(&self, place: u32) {
        for worker in 0..self.layout.workers() {
            self.row(place, self.layout.row(worker, place as usize)).iter().for_each(|word| word.store(0, Relaxed));
        }
        self.set_logged(place, &Units::ZERO);
    }

    /// A word of the header.
    pub(super) fn header(&self, at: usize) -> Option<&AtomicU64> {
        self.head.words().get(at)
    }
}

/// A write under way; see [`super::Meter::begin_write`]. Dropped without [`Writing::done`] it counts nothing.
#[must_use = "say with `done` how much the socket took"]
#[derive(Debug)]
pub struct Writing<'m> {
    /// The cell, and the tag of the worker's intent.
    cell: Option<(&'m AtomicU64, &'m AtomicU64)>,
    most: u64,
}

impl Writing<'_> {
    /// The socket took `n` bytes.
    #[inline]
    pub fn done(self, n: u64) {
        debug_assert!(n <= self.most, "a socket cannot take more than it was given");
        compiler_fence(SeqCst);
        if let Some((cell, _)) = self.cell {
            cell.store(cell.load(Relaxed).wrapping_add(n), Relaxed);
        }
    }
}

impl Drop for Writing<'_> {
    #[inline]
    fn drop(&mut self) {
        compiler_fence(SeqCst);
        if let Some((_, tag)) = self.cell {
            tag.store(0, Relaxed);
        }
    }
}

/// An announced write, as it is found after a kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Intent {
    pub(super) place: u32,
    pub(super) metric: Metric,
    /// What the worker's cell holds if the write was taken whole.
    pub(super) total: u64,
}

impl Intent {
    #[inline]
    fn tag(place: u32, metric: Metric) -> u64 {
        u64::from(place) << 8 | (metric as u64) << 1 | 1
    }

    /// Reads one; nothing where none is announced.
    pub(super) fn read(tag: u64, total: u64) -> Option<Self> {
        let metric = Metric::ALL.into_iter().find(|metric| *metric as u64 == (tag & 0xff) >> 1)?;
        let place = u32::try_from(tag >> 8).ok()?;
        (tag & 1 == 1).then_some(Self { place, metric, total })
    }
}
