//! Keeps the log within its bound by merging what was never sent.

use std::collections::HashMap;
use std::io;

use prost::Message;

use super::Books;
use crate::meter::log::{Frame, Logged, Merging, Run};
use crate::meter::state::Alarm;

/// Rows of batches that are tried before it is left for later.
const TRIES: usize = 8;

impl Books {
    /// Merges until the log is within its bound, or nothing is left to merge.
    pub(super) fn compact(&mut self) {
        let before = self.outbox.inner().state.merged;
        let mut over = false;
        while self.bytes() > self.limits.log_bytes {
            let merged = self.bytes() >= self.compact_from && (0..TRIES).any(|nth| self.merge(nth));
            if !merged {
                over = true;
                self.compact_from = self.compact_from.max(self.bytes() + self.limits.log_bytes / 64);
                break;
            }
            self.compact_from = 0;
        }
        let mut inner = self.outbox.inner();
        let merged = inner.state.merged > before;
        if merged {
            tracing::warn!(
                batches = inner.state.merged - before,
                limit = self.limits.log_bytes,
                "the usage log was over its bound: batches that were never sent were merged"
            );
        }
        let alarms = &mut inner.state.alarms;
        let was = alarms.contains(&Alarm::Merging);
        alarms.retain(|alarm| !matches!(alarm, Alarm::Merging | Alarm::OverBound));
        // Merging has bought time, not more: it is told until the log is well below its bound.
        if merged || (was && self.outbox_is_high(inner.index.bytes())) {
            inner.state.alarms.push(Alarm::Merging);
        }
        if over {
            inner.state.alarms.push(Alarm::OverBound);
        }
    }

    fn outbox_is_high(&self, bytes: u64) -> bool {
        bytes > self.limits.log_bytes / 2
    }

    fn bytes(&self) -> u64 {
        self.outbox.inner().index.bytes()
    }

    /// Merges the `nth` best row; whether anything was gained.
    fn merge(&mut self, nth: usize) -> bool {
        let run = {
            let mut inner = self.outbox.inner();
            let Some(run) = inner.index.runs().into_iter().nth(nth) else { return false };
            // From here on nothing of it can be sent.
            inner.index.begin_merge(run.epoch, run.range.clone());
            run
        };
        let gained = self.merge_run(&run).unwrap_or_else(|error| {
            tracing::error!(%error, "cannot merge usage that was never sent");
            None
        });
        let mut inner = self.outbox.inner();
        inner.index.end_merge();
        if let Some(fewer) = gained {
            inner.state.merged += fewer;
        }
        drop(inner);
        self.outbox.notify();
        if gained.is_some() {
            self.tidy();
        }
        gained.is_some()
    }

    /// By how many batches there are fewer; none where it would gain next to nothing.
    fn merge_run(&mut self, run: &Run) -> io::Result<Option<u64>> {
        let mut merging = Merging::default();
        for entry in &run.entries {
            merging.add(&*self.outbox.read(entry)?);
        }
        let logged: Vec<_> = merging.finish().into_iter().map(|batch| Logged { batch, reached: Vec::new() }).collect();
        let frames: HashMap<_, _> = run.entries.iter().map(|entry| (entry.place, entry.place.len)).collect();
        let before: usize = frames.values().sum();
        let after = Frame { logged: logged.clone(), ..Frame::default() }.encoded_len();
        if after > before / 8 * 7 {
            return Ok(None);
        }
        let fewer = run.entries.len().saturating_sub(logged.len()) as u64;
        // In a segment of its own, so that those before it can go.
        self.pen.writer.seal();
        self.pen.append(&self.outbox, logged, || {})?;
        Ok(Some(fewer))
    }
}
