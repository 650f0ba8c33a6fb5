//! Where what lies in a counters file: arithmetic only.
//!
//! A header page; an intent for each worker, a cache line each; then chunks of places. A chunk holds,
//! one after the other, the rows of the first worker, of the second and so on (so that what one worker
//! writes is never near what another writes), the rows that say what is logged, and the places' tags.

use super::Metric;

/// Places a chunk holds.
pub(super) const CHUNK: usize = 1024;
/// Words (`u64`) of a row: a cache line.
pub(super) const ROW: usize = Metric::ALL.len();
/// Words of a cache line.
const LINE: usize = 8;
/// Words of the header page.
const HEADER: usize = 512;
/// Most workers that a file is made for.
pub(super) const MAX_WORKERS: usize = 4096;

/// Places of things, for so many workers. Offsets within a region are in words, of a file in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    workers: usize,
}

impl Layout {
    /// For at least one and at most [`MAX_WORKERS`].
    pub(super) fn new(workers: usize) -> Self {
        Self { workers: workers.clamp(1, MAX_WORKERS) }
    }

    pub(super) fn workers(self) -> usize {
        self.workers
    }

    /// Words of header and intents: whole pages.
    pub(super) fn head(self) -> usize {
        HEADER + (self.workers * LINE).next_multiple_of(HEADER)
    }

    /// Where a worker's intent begins, in the head.
    pub(super) fn intent(self, worker: usize) -> usize {
        HEADER + worker * LINE
    }

    /// Words of a chunk.
    pub(super) fn chunk(self) -> usize {
        CHUNK * (ROW * (self.workers + 1) + 1)
    }

    /// Where a chunk begins in the file, in bytes.
    pub(super) fn chunk_at(self, chunk: usize) -> u64 {
        ((self.head() + chunk * self.chunk()) * size_of::<u64>()) as u64
    }

    /// Chunks that a file of so many bytes holds whole.
    pub(super) fn chunks(self, bytes: u64) -> usize {
        let words = usize::try_from(bytes).unwrap_or(usize::MAX) / size_of::<u64>();
        words.saturating_sub(self.head()) / self.chunk()
    }

    /// Where a worker's row of a place begins, in its chunk.
    #[inline]
    pub(super) fn row(self, worker: usize, place: usize) -> usize {
        (worker * CHUNK + place % CHUNK) * ROW
    }

    /// Where the row that says what of a place is logged begins, in its chunk.
    pub(super) fn logged(self, place: usize) -> usize {
        self.row(self.workers, place)
    }

    /// Where a place's tag is, in its chunk.
    pub(super) fn tag(self, place: usize) -> usize {
        CHUNK * ROW * (self.workers + 1) + place % CHUNK
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{CHUNK, Layout, ROW};

    /// Every word of a chunk belongs to one thing, and every row is a cache line of its own.
    #[test]
    fn nothing_overlaps_and_nothing_is_left_over() {
        for workers in [1, 2, 3, 8] {
            let layout = Layout::new(workers);
            let mut seen = BTreeSet::new();
            for place in 0..CHUNK {
                let rows = (0..workers).map(|worker| layout.row(worker, place)).chain([layout.logged(place)]);
                for row in rows {
                    assert_eq!(row % 8, 0);
                    assert!((row..row + ROW).all(|word| seen.insert(word)));
                }
                assert!(seen.insert(layout.tag(place)));
            }
            assert_eq!(seen.len(), layout.chunk());
            assert_eq!(seen.last(), Some(&(layout.chunk() - 1)));
            assert!(layout.intent(workers - 1) + 8 <= layout.head());
            assert_eq!((layout.chunk_at(0) % 4096, layout.chunk_at(7) % 4096), (0, 0), "chunks begin pages");
        }
    }

    #[test]
    fn a_hundred_thousand_tenants_of_eight_workers_are_59_megabytes() {
        let layout = Layout::new(8);
        let bytes = layout.chunk_at(100_000_usize.div_ceil(CHUNK));
        assert_eq!(bytes / 100_000, 586);
        assert_eq!(layout.chunks(bytes), 98);
        assert_eq!(layout.chunks(bytes - 1), 97);
        assert_eq!(layout.chunks(0), 0);
    }
}
