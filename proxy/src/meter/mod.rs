//! Metering: counters by tenant, metric and worker, that outlive the process.
//!
//! A worker adds to its own cells, so that no two threads write one; readers sum them. Cells lie in a
//! file mapped shared ([`Meter::create`]): a kill loses nothing that was counted, and who starts next
//! reads it with [`file::read`]. Without a disk they lie in memory ([`Meter::new`]).
//!
//! A tenant has a *place* while anybody holds its [`Lease`]. A place that nobody holds any more *leaves*:
//! when its last totals are logged, [`Meter::free`] gives it to the next tenant, under a new
//! *incarnation*, a number that is unique within the epoch.

pub mod books;
mod cells;
pub mod disk;
pub mod file;
mod header;
mod keeper;
mod key;
mod layout;
pub mod ledger;
pub mod log;
mod map;
mod names;
mod outbox;
mod places;
mod state;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cells::Cells;
pub use cells::Writing;
pub use keeper::Keeper;
pub use key::{Epoch, Key};
use layout::Layout;
pub use outbox::Outbox;
pub use places::Lease;
use places::Places;
pub use state::{Alarm, EpochState, LogState};
pub use weir_config::usage::{Metric, Units};

/// A tenant's place among the counters. Resolved at configuration time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(pub u32);

impl TenantId {
    /// `-`: no tenant. Never exported as a customer.
    pub const NONE: TenantId = TenantId(0);
}

/// Tenants that one process can count at a time.
pub const MAX_TENANTS: u32 = 1 << 20;

/// What a place has counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Unique within the epoch: a tenant that left and came back may have another.
    pub incarnation: u64,
    /// The place.
    pub place: TenantId,
    /// The tenant's name; `-` for traffic of no tenant.
    pub tenant: Arc<str>,
    /// All that was counted.
    pub total: Units,
    /// What of it is logged.
    pub logged: Units,
    /// Nobody holds the place any more: `total` is final, unless the tenant comes back first.
    pub leaving: bool,
}

/// All counters of a process.
#[derive(Debug)]
pub struct Meter {
    cells: Cells,
    epoch: [u8; 16],
    places: Mutex<Places>,
}

impl Meter {
    /// Counters that end with the process, for worker threads `0..workers` (at least one): for tests,
    /// and where there is no disk.
    ///
    /// # Panics
    /// The system gives no memory.
    pub fn new(workers: usize) -> Self {
        #[expect(
            clippy::expect_used,
            reason = "a page of memory at start-up: as any allocation, it is there or nothing is"
        )]
        let cells = Cells::anonymous(Layout::new(workers)).expect("memory for counters");
        let places = Places::new(None, &cells);
        Self { cells, epoch: rand::random(), places: Mutex::new(places) }
    }

    /// Counters in a new file of `dir`, which only this process uses. `epoch` is drawn anew at each start.
    /// Where the disk is full later, more tenants are counted in memory: see [`Meter::volatile`].
    ///
    /// # Errors
    /// The files cannot be made, or have no space.
    pub fn create(dir: &Path, epoch: [u8; 16], workers: usize) -> io::Result<Self> {
        let (cells, names) = file::create(dir, epoch, workers)?;
        let places = Places::new(Some(names), &cells);
        Ok(Self { cells, epoch, places: Mutex::new(places) })
    }

    /// What tells this run of the process from all others.
    pub fn epoch(&self) -> [u8; 16] {
        self.epoch
    }

    /// A hold on the tenant's place, which is made if it has none. For configuration time: takes a lock,
    /// allocates, and writes to the disk. Beyond [`MAX_TENANTS`] it is that of [`TenantId::NONE`], with an
    /// error in the log.
    pub fn tenant(&self, name: &str) -> Lease {
        self.places().lease(name, &self.cells)
    }

    /// Name of the tenant that has a place; `-` for a place that nobody has.
    pub fn name(&self, tenant: TenantId) -> Arc<str> {
        self.places().name_at(tenant)
    }

    /// Adds `n`. Only `worker`'s own thread may call this with its number, while somebody holds the place.
    #[inline]
    pub fn add(&self, worker: usize, tenant: TenantId, metric: Metric, n: u64) {
        self.cells.add(worker, tenant.0, metric, n);
    }

    /// Announces a write to a client's socket of `n` bytes. The client can have the bytes before the call
    /// that sent them returns, so the total *that it becomes* if the call is taken whole is noted before, and
    /// what it *is* after, by [`Writing::done`]. So `n` is exact, not a bound. A worker makes one write at a time.
    #[inline]
    pub fn begin_write(&self, worker: usize, tenant: TenantId, metric: Metric, n: u64) -> Writing<'_> {
        self.cells.announce(worker, tenant.0, metric, n)
    }

    /// Sums over all workers, by tenant in order of their places, every metric of each. A sum is
    /// at least what was counted before the call.
    pub fn totals(&self) -> impl Iterator<Item = (Arc<str>, Metric, u64)> + '_ {
        let all = self.places().all();
        all.into_iter().flat_map(move |(place, name)| {
            Metric::ALL.into_iter().map(move |metric| (name.clone(), metric, self.total(place, metric)))
        })
    }

    /// The sum of one counter over all workers.
    pub fn total(&self, tenant: TenantId, metric: Metric) -> u64 {
        self.cells.get(tenant.0, metric)
    }

    /// Shows `look` what was counted in places that are free again, and every place in use. No place is freed or
    /// taken meanwhile, so both together are all that was ever counted.
    pub fn look<R>(&self, look: impl FnOnce(Units, &mut dyn Iterator<Item = Counted>) -> R) -> R {
        let places = self.places();
        look(places.gone(), &mut places.counted(&self.cells))
    }

    /// Every place in use, in the order of places.
    pub fn counted(&self) -> Vec<Counted> {
        self.places().counted(&self.cells).collect()
    }

    /// The places that counted something beyond what is logged, and those that leave. Tries again, too,
    /// to write what could not be written beside the counters.
    pub fn changed(&self) -> Vec<Counted> {
        let mut places = self.places();
        places.retry(&self.cells);
        places.counted(&self.cells).filter(|counted| counted.leaving || counted.total != counted.logged).collect()
    }

    /// Marks totals as logged, if the place is still that incarnation's.
    pub fn logged(&self, place: TenantId, incarnation: u64, units: &Units) {
        self.places().logged(place, incarnation, units, &self.cells);
    }

    /// Frees a place of that incarnation for another tenant; false, and nothing changes, while somebody
    /// holds it or it has counted anything that is not logged.
    pub fn free(&self, place: TenantId, incarnation: u64) -> bool {
        self.places().free(place, incarnation, &self.cells)
    }

    /// Notes the sequence of the last window that is logged.
    pub fn set_logged_sequence(&self, sequence: u64) {
        self.set_sequence(header::LOGGED, sequence);
    }

    /// The sequence that was noted last; 0 at first.
    pub fn logged_sequence(&self) -> u64 {
        self.sequence(header::LOGGED)
    }

    /// Notes the sequence of the last batch that may have been sent.
    pub fn set_sent_sequence(&self, sequence: u64) {
        self.set_sequence(header::SENT, sequence);
    }

    /// The sequence that was noted last; 0 at first.
    pub fn sent_sequence(&self) -> u64 {
        self.sequence(header::SENT)
    }

    /// Places in use whose counters, or whose name, end with the process, because the disk had no space:
    /// 0 is well. All of them where [`Meter::new`] made the counters.
    pub fn volatile(&self) -> usize {
        self.places().volatile(&self.cells)
    }

    fn set_sequence(&self, at: usize, sequence: u64) {
        if let Some(word) = self.cells.header(at) {
            word.store(header::seal(sequence), Relaxed);
        }
    }

    fn sequence(&self, at: usize) -> u64 {
        self.cells.header(at).and_then(|word| header::unseal(word.load(Relaxed))).unwrap_or_default()
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Meter {
    /// Counters for one worker.
    fn default() -> Self {
        Self::new(1)
    }
}
