//! The cells of one worker: a cache line for each tenant, in chunks that never move.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::Metric;

/// Tenants a chunk holds.
const CHUNK: usize = 256;

/// One tenant's counters: exactly a cache line, so that no other worker's writes touch it.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Row([AtomicU64; Metric::ALL.len()]);

#[derive(Debug)]
pub(super) struct Cells {
    chunks: Box<[OnceLock<Box<[Row]>>]>,
}

impl Cells {
    pub(super) fn new(tenants: u32) -> Self {
        Self { chunks: (0..(tenants as usize).div_ceil(CHUNK)).map(|_| OnceLock::new()).collect() }
    }

    /// Makes room for a tenant, so that counting never allocates.
    pub(super) fn reserve(&self, tenant: u32) {
        if let Some(chunk) = self.chunks.get(tenant as usize / CHUNK) {
            chunk.get_or_init(|| (0..CHUNK).map(|_| Row::default()).collect());
        }
    }

    fn row(&self, tenant: u32) -> Option<&Row> {
        self.chunks.get(tenant as usize / CHUNK)?.get()?.get(tenant as usize % CHUNK)
    }

    /// A load and a store: the owner is the only writer, so no locked instruction is needed.
    #[inline]
    pub(super) fn add(&self, tenant: u32, metric: Metric, n: u64) {
        if let Some(row) = self.row(tenant) {
            let cell = &row.0[metric as usize];
            cell.store(cell.load(Relaxed).wrapping_add(n), Relaxed);
        }
    }

    pub(super) fn get(&self, tenant: u32, metric: Metric) -> u64 {
        self.row(tenant).map_or(0, |row| row.0[metric as usize].load(Relaxed))
    }
}
