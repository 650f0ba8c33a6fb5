//! Who holds which place. Places come when a tenant is first named and are free again when nobody holds
//! them and what they counted is logged.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{Ordering::Acquire, fence};

use weir_config::usage::{MAX_TENANT_BYTES, NO_TENANT};

use super::cells::Cells;
use super::names::{Name, Names};
use super::{Counted, MAX_TENANTS, TenantId, Units};

/// A tenant's hold on its place: while there is one, or a clone, the place is this tenant's. Tables
/// hold them, and who counts holds a table.
#[derive(Clone, Debug)]
pub struct Lease {
    place: TenantId,
    held: Arc<Held>,
}

#[derive(Debug)]
struct Held {
    incarnation: u64,
    tenant: Arc<str>,
}

impl Lease {
    /// `-`: no tenant.
    pub fn nobody() -> Self {
        Self { place: TenantId::NONE, held: Arc::new(Held { incarnation: 1, tenant: NO_TENANT.into() }) }
    }

    /// The place.
    #[inline]
    pub fn id(&self) -> TenantId {
        self.place
    }

    /// The tenant's name; `-` for none.
    pub fn name(&self) -> &Arc<str> {
        &self.held.tenant
    }
}

/// All places of a process.
#[derive(Debug)]
pub(super) struct Places {
    by_name: HashMap<Arc<str>, TenantId>,
    /// What is held once, here, is held by nobody else.
    leases: Vec<Option<Lease>>,
    free: Vec<TenantId>,
    /// What was counted in places that were freed.
    gone: Units,
    next_incarnation: u64,
    names: Option<Names>,
    /// Places whose name could not be written yet.
    unnamed: Vec<TenantId>,
}

impl Places {
    /// None but nobody's, which is always held.
    pub(super) fn new(names: Option<Names>, cells: &Cells) -> Self {
        let mut places = Self {
            by_name: HashMap::new(),
            leases: Vec::new(),
            free: Vec::new(),
            gone: Units::ZERO,
            next_incarnation: 1,
            names,
            unnamed: Vec::new(),
        };
        places.take(NO_TENANT, cells);
        places
    }

    /// A hold on the tenant's place, which is made if it has none. Nobody's where there is none to be had.
    pub(super) fn lease(&mut self, tenant: &str, cells: &Cells) -> Lease {
        let known = self.by_name.get(tenant).and_then(|place| self.get(*place)).cloned();
        known
            .or_else(|| self.take(tenant, cells))
            .or_else(|| self.get(TenantId::NONE).cloned())
            .unwrap_or_else(Lease::nobody)
    }

    fn get(&self, place: TenantId) -> Option<&Lease> {
        self.leases.get(place.0 as usize)?.as_ref()
    }

    fn take(&mut self, tenant: &str, cells: &Cells) -> Option<Lease> {
        if tenant.is_empty() || tenant.len() > MAX_TENANT_BYTES {
            tracing::error!(tenant, "no tenant has such a name: this one is not metered");
            return None;
        }
        let place = match self.free.pop() {
            Some(place) => place,
            None => {
                let next = u32::try_from(self.leases.len()).ok().filter(|n| *n < MAX_TENANTS);
                let Some(next) = next else {
                    tracing::error!(tenant, limit = MAX_TENANTS, "too many tenants: this one is not metered");
                    return None;
                };
                if !cells.reserve(next) {
                    return None;
                }
                self.leases.push(None);
                TenantId(next)
            }
        };
        let lease = Lease { place, held: Arc::new(Held { incarnation: self.next_incarnation, tenant: tenant.into() }) };
        self.next_incarnation += 1;
        self.by_name.insert(lease.name().clone(), place);
        if let Some(slot) = self.leases.get_mut(place.0 as usize) {
            *slot = Some(lease.clone());
        }
        if cells.is_durable(place.0) && !self.name(&lease, cells) {
            self.unnamed.push(place);
        }
        Some(lease)
    }

    /// Writes down whose a place is, then says so in its tag: a place that has a tag has a name.
    fn name(&mut self, lease: &Lease, cells: &Cells) -> bool {
        let (Some(names), name) = (&mut self.names, name_of(lease)) else { return false };
        if let Err(error) = names.append(&name) {
            tracing::error!(%error, tenant = %name.tenant, "cannot write a tenant's name beside the counters; it is tried again");
            return false;
        }
        cells.set_tag(name.place, name.incarnation);
        self.tidy();
        true
    }

    /// Writes the names anew where most of them are of places that are gone.
    fn tidy(&mut self) {
        let live = self.leases.len() - self.free.len();
        let Some(names) = self.names.as_mut().filter(|names| names.is_wasteful(live)) else { return };
        let all: Vec<_> = self.leases.iter().flatten().map(name_of).collect();
        if let Err(error) = names.rewrite(&all) {
            tracing::warn!(%error, "cannot write the names of counted tenants anew");
        }
    }

    /// Tries again to write the names that could not be written.
    pub(super) fn retry(&mut self, cells: &Cells) {
        while let Some(place) = self.unnamed.pop() {
            if let Some(lease) = self.get(place).cloned()
                && !self.name(&lease, cells)
            {
                // It would be the same for all others.
                self.unnamed.push(place);
                return;
            }
        }
    }

    /// What each place has counted.
    pub(super) fn counted(&self, cells: &Cells) -> impl Iterator<Item = Counted> {
        self.leases.iter().flatten().map(|lease| counted(lease, cells))
    }

    /// What was counted in places that were freed since.
    pub(super) fn gone(&self) -> Units {
        self.gone
    }

    /// Whose a place is.
    pub(super) fn name_at(&self, place: TenantId) -> Arc<str> {
        self.get(place).map_or_else(|| NO_TENANT.into(), |lease| lease.name().clone())
    }

    /// Every tenant and its place, in the order of places.
    pub(super) fn all(&self) -> Vec<(TenantId, Arc<str>)> {
        self.leases.iter().flatten().map(|lease| (lease.place, lease.name().clone())).collect()
    }

    /// Marks totals as logged, if the place is still that incarnation's.
    pub(super) fn logged(&self, place: TenantId, incarnation: u64, units: &Units, cells: &Cells) {
        if self.get(place).is_some_and(|lease| lease.held.incarnation == incarnation) {
            cells.set_logged(place.0, units);
        }
    }

    /// Frees a place that nobody holds and that counted nothing beyond what is logged.
    ///
    /// First its tag goes: from then on nothing of the place is read after a kill, so the zeroing may be cut
    /// anywhere. The next tenant's tag is set after the zeroing, and after its name was written.
    pub(super) fn free(&mut self, place: TenantId, incarnation: u64, cells: &Cells) -> bool {
        let free = self.get(place).is_some_and(|lease| {
            let now = counted(lease, cells);
            now.incarnation == incarnation && now.leaving && now.total == now.logged
        });
        let lease = self.leases.get_mut(place.0 as usize).filter(|_| free).and_then(Option::take);
        let Some(lease) = lease else { return false };
        self.gone.add(&cells.total(place.0));
        self.by_name.remove(lease.name());
        self.unnamed.retain(|other| *other != place);
        cells.set_tag(place.0, 0);
        cells.clear(place.0);
        self.free.push(place);
        true
    }

    /// Places in use whose counters or name end with the process.
    pub(super) fn volatile(&self, cells: &Cells) -> usize {
        let lost = |lease: &&Lease| !cells.is_durable(lease.place.0);
        self.leases.iter().flatten().filter(lost).count() + self.unnamed.len()
    }
}

fn name_of(lease: &Lease) -> Name {
    Name { place: lease.place.0, incarnation: lease.held.incarnation, tenant: lease.name().clone() }
}

fn counted(lease: &Lease, cells: &Cells) -> Counted {
    // Only those who hold one can make another, so what is held once stays so while the lock is held.
    let leaving = lease.place != TenantId::NONE && Arc::strong_count(&lease.held) == 1;
    // What the last holder counted before it let go is seen below.
    fence(Acquire);
    Counted {
        incarnation: lease.held.incarnation,
        place: lease.place,
        tenant: lease.name().clone(),
        total: cells.total(lease.place.0),
        logged: cells.logged(lease.place.0),
        leaving,
    }
}

#[cfg(test)]
mod tests {
    use super::super::layout::Layout;
    use super::*;

    /// A place whose name cannot be written is counted, is nobody's to whoever reads the file, and is tried
    /// again.
    #[test]
    fn a_name_that_cannot_be_written_waits() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Names::create(dir.path().join("names"), [1; 16]).unwrap();
        let cells = Cells::shared(Layout::new(1), tempfile::tempfile().unwrap()).unwrap();
        let mut places = Places::new(Some(open()), &cells);
        let acme = places.lease("acme", &cells);
        assert_eq!((places.volatile(&cells), cells.tag(1)), (0, 2));
        places.names = Some(Names::full([1; 16]));
        let late = ["globex", "initech"].map(|name| places.lease(name, &cells));
        assert_eq!((places.volatile(&cells), cells.tag(2), cells.tag(3)), (2, 0, 0));
        places.retry(&cells);
        assert_eq!(places.volatile(&cells), 2);
        places.names = Some(open());
        places.retry(&cells);
        assert_eq!((places.volatile(&cells), cells.tag(2), cells.tag(3)), (0, 3, 4));
        assert_eq!(late.map(|lease| lease.id().0), [2, 3]);
        drop(acme);
    }
}
