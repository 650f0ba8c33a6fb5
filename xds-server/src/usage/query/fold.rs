//! Rows of the parts of an answer become rows of the answer.

use std::collections::BTreeMap;

use weir_config::usage::Units;

use super::By;
use crate::usage::span::{DAY_MS, HOUR_MS, floor};

/// What one tenant used in one group of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Begin of the group, in milliseconds since 1970.
    pub start_ms: i64,
    /// Who.
    pub tenant: String,
    /// What.
    pub units: Units,
}

/// Sums rows, which come in the order of time, by group and tenant. It holds the tenants of one group of
/// time at once; of `Total`, all tenants.
#[derive(Debug)]
pub struct Fold {
    by: By,
    /// Begin of what is summed now.
    start_ms: i64,
    sums: BTreeMap<String, Units>,
}

impl Fold {
    /// Nothing yet. `since_ms`: the timestamp of a total; of an open span, that is the first row's.
    pub fn new(by: By, since_ms: i64) -> Self {
        Self { by, start_ms: since_ms, sums: BTreeMap::new() }
    }

    /// Begin of the group that a point in time belongs to.
    fn group(&self, ms: i64) -> i64 {
        match self.by {
            By::Total if self.start_ms > i64::MIN => self.start_ms,
            By::Total => ms,
            By::Hour => floor(ms, HOUR_MS),
            By::Day => floor(ms, DAY_MS),
            By::Window => ms,
        }
    }

    /// Takes what one tenant used from `ms` on; gives the rows of the group before, when it is complete.
    pub fn add(&mut self, ms: i64, tenant: &str, units: &Units) -> Vec<Row> {
        let group = self.group(ms);
        let done = if group == self.start_ms { Vec::new() } else { self.finish() };
        self.start_ms = group;
        match self.sums.get_mut(tenant) {
            Some(sum) => sum.add(units),
            None => drop(self.sums.insert(tenant.to_owned(), *units)),
        }
        done
    }

    /// The rows of the last group, by tenant.
    pub fn finish(&mut self) -> Vec<Row> {
        let start_ms = self.start_ms;
        let sums = std::mem::take(&mut self.sums).into_iter();
        sums.map(|(tenant, units)| Row { start_ms, tenant, units }).collect()
    }
}
