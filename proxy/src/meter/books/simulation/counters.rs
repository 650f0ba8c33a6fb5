//! Counters in a file mapped shared: a kill leaves every store that was made.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use weir_config::usage::Units;

use super::fate::Fate;
use crate::meter::file::Old;
use crate::meter::ledger::Counters;
use crate::meter::{Counted, Epoch, TenantId};

/// The file.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) epoch: Epoch,
    /// Which boot, and which directory, it was made in.
    pub(super) boot: u64,
    pub(super) directory: u64,
    pub(super) modified_ms: i64,
    places: Vec<Option<Counted>>,
    incarnations: u64,
    logged_sequence: u64,
    sent_sequence: u64,
    /// Sum of all that was ever counted, and of what of it was marked as logged.
    pub(super) counted: u64,
    pub(super) marked: u64,
}

/// What a process has of it.
#[derive(Clone, Debug)]
pub(super) struct SimCounters {
    pub(super) file: Arc<Mutex<File>>,
    pub(super) fate: Fate,
}

pub(super) fn sum(units: &Units) -> u64 {
    units.0.iter().sum()
}

impl File {
    pub(super) fn new(epoch: Epoch, boot: u64, directory: u64, now_ms: i64) -> Self {
        Self {
            epoch,
            boot,
            directory,
            modified_ms: now_ms,
            places: Vec::new(),
            incarnations: 0,
            logged_sequence: 0,
            sent_sequence: 0,
            counted: 0,
            marked: 0,
        }
    }

    pub(super) fn old(&self, boot: u64, directory: u64) -> Old {
        Old {
            epoch: self.epoch.0,
            believable: self.boot == boot && self.directory == directory,
            logged_sequence: self.logged_sequence,
            sent_sequence: self.sent_sequence,
            counted: self.places.iter().flatten().cloned().collect(),
        }
    }

    /// The tenant is named by a table again, or for the first time, and counts.
    pub(super) fn count(&mut self, tenant: &str, metric: usize, n: u64, now_ms: i64) {
        self.modified_ms = self.modified_ms.max(now_ms);
        self.counted += n;
        let known = self.places.iter_mut().flatten().find(|place| &*place.tenant == tenant);
        if let Some(place) = known {
            place.leaving = false;
            place.total.0[metric] += n;
            return;
        }
        let free = self.places.iter().position(Option::is_none).unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        self.incarnations += 1;
        let mut total = Units::ZERO;
        total.0[metric] = n;
        self.places[free] = Some(Counted {
            incarnation: self.incarnations,
            place: TenantId(free as u32),
            tenant: tenant.into(),
            total,
            logged: Units::ZERO,
            leaving: false,
        });
    }

    pub(super) fn leave(&mut self, tenant: &str) {
        if let Some(place) = self.places.iter_mut().flatten().find(|place| &*place.tenant == tenant) {
            place.leaving = true;
        }
    }
}

impl SimCounters {
    pub(super) fn file(&self) -> MutexGuard<'_, File> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counters for SimCounters {
    fn changed(&self) -> Vec<Counted> {
        if self.fate.is_dead() {
            return Vec::new();
        }
        let file = self.file();
        file.places.iter().flatten().filter(|place| place.leaving || place.total != place.logged).cloned().collect()
    }

    fn logged(&self, place: TenantId, incarnation: u64, totals: &Units) {
        if !self.fate.step() {
            return;
        }
        let mut file = self.file();
        let Some(Some(there)) = file.places.get_mut(place.0 as usize) else { return };
        if there.incarnation == incarnation {
            let more = sum(&totals.since(&there.logged));
            there.logged = *totals;
            file.marked += more;
        }
    }

    fn set_logged_sequence(&self, sequence: u64) {
        if self.fate.step() {
            self.file().logged_sequence = sequence;
        }
    }

    fn set_sent_sequence(&self, sequence: u64) {
        if self.fate.step() {
            self.file().sent_sequence = sequence;
        }
    }

    fn free(&self, place: TenantId, incarnation: u64) -> bool {
        if !self.fate.step() {
            return false;
        }
        let mut file = self.file();
        let Some(slot) = file.places.get_mut(place.0 as usize) else { return false };
        let free = slot.as_ref().is_some_and(|c| c.incarnation == incarnation && c.leaving && c.total == c.logged);
        if free {
            *slot = None;
        }
        free
    }

    fn volatile(&self) -> usize {
        0
    }
}
