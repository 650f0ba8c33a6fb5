//! Batches that were never sent become fewer, where the log is over its bound.
//!
//! What lies in one hour is merged first, since usage is booked by hours; then what lies in one day; then all.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use weir_config::usage::v1::{TenantUsage, UsageBatch};
use weir_config::usage::{MAX_BATCH_ENTRIES, Units};

use super::{Entry, Index};
use crate::meter::Epoch;

const HOUR_MS: i64 = 3_600_000;
/// Lengths of spans within which batches are merged, one after the other.
const SPANS: [i64; 3] = [HOUR_MS, 24 * HOUR_MS, i64::MAX];

/// A row of batches of one epoch to be merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The epoch.
    pub epoch: Epoch,
    /// The sequences that they stand for.
    pub range: RangeInclusive<u64>,
    /// The batches, in order.
    pub entries: Vec<Entry>,
}

/// The sum of batches that follow each other.
#[derive(Debug, Default)]
pub struct Merging {
    sum: Option<UsageBatch>,
    usage: BTreeMap<String, Units>,
}

impl Index {
    /// Rows of batches that may be merged, the best first: those of the shortest spans, the oldest of them first.
    pub fn runs(&self) -> Vec<Run> {
        SPANS
            .into_iter()
            .flat_map(|span| self.epochs().iter().flat_map(move |past| self.runs_of(past.epoch, span)))
            .collect()
    }

    fn runs_of(&self, epoch: Epoch, span_ms: i64) -> Vec<Run> {
        let mut runs: Vec<(i64, Run)> = Vec::new();
        for (sequence, entry) in self.never_sent(epoch) {
            let slot = entry.started_ms.div_euclid(span_ms);
            match runs.last_mut() {
                Some((last, run)) if *last == slot && run.range.end() + 1 == entry.first => {
                    run.range = *run.range.start()..=sequence;
                    run.entries.push(*entry);
                }
                _ => runs.push((slot, Run { epoch, range: entry.first..=sequence, entries: vec![*entry] })),
            }
        }
        // Batches of one window hold different tenants: there is nothing to gain.
        let several = |run: &Run| run.entries.iter().any(|entry| entry.started_ms != run.entries[0].started_ms);
        runs.into_iter().map(|(_, run)| run).filter(several).collect()
    }
}

impl Merging {
    /// Adds the next batch.
    pub fn add(&mut self, batch: &UsageBatch) {
        for entry in &batch.usage {
            let units = entry.units.as_ref().map(Units::from).unwrap_or_default();
            self.usage.entry(entry.tenant.clone()).or_default().add(&units);
        }
        let sum = self.sum.get_or_insert_with(|| UsageBatch { usage: Vec::new(), ..batch.clone() });
        sum.sequence = batch.sequence;
        sum.started_ms = sum.started_ms.min(batch.started_ms);
        sum.ended_ms = sum.ended_ms.max(batch.ended_ms);
        sum.last |= batch.last;
        sum.lost_open_window |= batch.lost_open_window;
    }

    /// The batches that take the place of those that were added: as few as hold all tenants. Their ranges share out
    /// the sequences, so that each has at least one.
    pub fn finish(self) -> Vec<UsageBatch> {
        let Some(sum) = self.sum else { return Vec::new() };
        let usage: Vec<_> = self
            .usage
            .iter()
            .map(|(tenant, units)| TenantUsage { tenant: tenant.clone(), units: Some(units.into()) })
            .collect();
        let mut chunks: Vec<_> = usage.chunks(MAX_BATCH_ENTRIES).map(<[_]>::to_vec).collect();
        if chunks.is_empty() {
            chunks.push(Vec::new());
        }
        let count = chunks.len();
        let batch = |(n, usage): (usize, Vec<TenantUsage>)| {
            let is_last = n + 1 == count;
            // All but the last stand for one sequence each.
            let first_sequence = sum.first_sequence + n as u64;
            UsageBatch {
                first_sequence,
                sequence: if is_last { sum.sequence } else { first_sequence },
                last: sum.last && is_last,
                lost_open_window: sum.lost_open_window && is_last,
                usage,
                ..sum.clone()
            }
        };
        chunks.into_iter().enumerate().map(batch).collect()
    }
}
