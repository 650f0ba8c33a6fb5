//! Metering: counters by tenant, metric and worker.
//!
//! A worker adds to its own cells, so that no two threads write one; readers sum them. A later
//! change makes the cells durable behind the same interface.

mod cells;
mod key;
mod outbox;
mod state;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cells::Cells;
pub use key::{Epoch, Key};
pub use outbox::Outbox;
pub use state::{Alarm, EpochState, LogState};
pub use weir_config::usage::{Metric, Units};

/// A tenant's place among the counters. Resolved at configuration time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(pub u32);

impl TenantId {
    /// `-`: no tenant. Never exported as a customer.
    pub const NONE: TenantId = TenantId(0);
}

/// Tenants that one process can count: what the cells' tables are made for. A tenant keeps its
/// place until the process ends, so that its counters never fall.
pub const MAX_TENANTS: u32 = 1 << 20;

/// All counters of a process.
#[derive(Debug)]
pub struct Meter {
    workers: Box<[Cells]>,
    tenants: Mutex<Tenants>,
}

#[derive(Debug, Default)]
struct Tenants {
    ids: HashMap<Arc<str>, TenantId>,
    names: Vec<Arc<str>>,
}

impl Meter {
    /// Counters for worker threads `0..workers` (at least one).
    pub fn new(workers: usize) -> Self {
        let meter =
            Self { workers: (0..workers.max(1)).map(|_| Cells::new(MAX_TENANTS)).collect(), tenants: Mutex::default() };
        meter.tenant("-");
        meter
    }

    /// The place of a tenant, made if it has none. For configuration time: takes a lock, and
    /// allocates. Beyond [`MAX_TENANTS`] it is [`TenantId::NONE`], with an error in the log.
    pub fn tenant(&self, name: &str) -> TenantId {
        let mut tenants = self.tenants();
        if let Some(id) = tenants.ids.get(name) {
            return *id;
        }
        let Some(id) = u32::try_from(tenants.names.len()).ok().filter(|n| *n < MAX_TENANTS).map(TenantId) else {
            tracing::error!(tenant = name, limit = MAX_TENANTS, "too many tenants: this one is not metered");
            return TenantId::NONE;
        };
        for cells in &self.workers {
            cells.reserve(id.0);
        }
        let name: Arc<str> = name.into();
        tenants.names.push(name.clone());
        tenants.ids.insert(name, id);
        id
    }

    /// Name of a tenant; `-` for one that is not known.
    pub fn name(&self, tenant: TenantId) -> Arc<str> {
        let tenants = self.tenants();
        tenants.names.get(tenant.0 as usize).cloned().unwrap_or_else(|| "-".into())
    }

    /// Adds `n`. Only `worker`'s own thread may call this with its number.
    #[inline]
    pub fn add(&self, worker: usize, tenant: TenantId, metric: Metric, n: u64) {
        if let Some(cells) = self.workers.get(worker) {
            cells.add(tenant.0, metric, n);
        }
    }

    /// Announces a write to a socket of at most `n` bytes. The client can have the bytes before the
    /// call that sent them returns, so what the total *may become* is noted before, and what it
    /// *is* after, by [`Writing::done`]. Durable cells will keep both; today only the truth counts.
    #[inline]
    pub fn begin_write(&self, worker: usize, tenant: TenantId, metric: Metric, n: u64) -> Writing<'_> {
        Writing { meter: self, worker, tenant, metric, intent: n }
    }

    /// Sums over all workers, by tenant in order of their places, every metric of each. A sum is
    /// at least what was counted before the call.
    pub fn totals(&self) -> impl Iterator<Item = (Arc<str>, Metric, u64)> + '_ {
        let names = self.tenants().names.clone();
        (0u32..).zip(names).flat_map(move |(id, name)| {
            Metric::ALL.into_iter().map(move |metric| (name.clone(), metric, self.total(TenantId(id), metric)))
        })
    }

    /// The sum of one counter over all workers.
    pub fn total(&self, tenant: TenantId, metric: Metric) -> u64 {
        self.workers.iter().map(|cells| cells.get(tenant.0, metric)).fold(0, u64::wrapping_add)
    }

    fn tenants(&self) -> MutexGuard<'_, Tenants> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Meter {
    /// Counters for one worker.
    fn default() -> Self {
        Self::new(1)
    }
}

/// A write under way; see [`Meter::begin_write`]. Dropped without [`Writing::done`] it counts nothing.
#[must_use = "say with `done` how much the socket took"]
#[derive(Debug)]
pub struct Writing<'m> {
    meter: &'m Meter,
    worker: usize,
    tenant: TenantId,
    metric: Metric,
    intent: u64,
}

impl Writing<'_> {
    /// The socket took `n` bytes.
    #[inline]
    pub fn done(self, n: u64) {
        debug_assert!(n <= self.intent, "a socket cannot take more than it was given");
        self.meter.add(self.worker, self.tenant, self.metric, n);
    }
}
