//! The books of one process: closes windows, keeps the log within its bound. Whoever keeps them says
//! when; the disk and the counters are behind traits, so that a kill can be tried at each step.

mod compact;
mod opening;
#[cfg(test)]
mod simulation;

use std::io;
use std::sync::Arc;

pub use opening::{Earlier, Opening};

use super::ledger::{Counters, Mark, Now, Sender, Spans, window};
use super::log::disk::Disk;
use super::log::{Acknowledged, Frame, Index, Logged, MAX_FRAME_BATCHES, OpenEpoch, Writer, damaged_name, name};
use super::outbox::Outbox;
use super::state::Alarm;
use super::{Counted, Epoch, Key};

/// Settings of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that it may take before batches are merged.
    pub log_bytes: u64,
    /// Length of a segment that is full.
    pub segment_bytes: u64,
}

impl Limits {
    /// Of a log of this size.
    pub fn new(log_bytes: u64) -> Self {
        Self { log_bytes, segment_bytes: (log_bytes / 16).clamp(64 << 10, 4 << 20) }
    }
}

/// Who writes the log.
#[derive(Debug)]
struct Pen {
    disk: Arc<dyn Disk>,
    writer: Writer,
    /// Names were removed, which a loss of power may bring back.
    unsynced: bool,
}

/// Takes the counters of an ended epoch away.
pub type EndOfCounters = Box<dyn FnOnce() -> io::Result<()> + Send>;

/// The books of one process.
pub struct Books {
    pen: Pen,
    outbox: Arc<Outbox>,
    counters: Arc<dyn Counters>,
    sender: Sender,
    limits: Limits,
    spans: Spans,
    next: u64,
    /// Merging gained nothing: it is tried again when the log has grown to this.
    compact_from: u64,
    end: Option<EndOfCounters>,
}

impl Pen {
    /// Appends batches and what was acknowledged meanwhile. It is durable, and to be found in the index,
    /// when `then` is called; it is given out after that.
    fn append(&mut self, outbox: &Outbox, logged: Vec<Logged>, then: impl FnOnce()) -> io::Result<()> {
        let begins = self.writer.begins();
        let (open, acknowledged) = {
            let inner = outbox.inner();
            (if begins { open(&inner.index) } else { Vec::new() }, acknowledged(&inner.index))
        };
        let frame = Frame { open, acknowledged, logged };
        let place = self.writer.append(&frame)?;
        then();
        let mut inner = outbox.inner();
        inner.index.take(place, &frame, &|_| None);
        inner.index.forget_acknowledged(frame.acknowledged.len());
        inner.index.end_merge();
        drop(inner);
        outbox.notify();
        Ok(())
    }

    /// Deletes segments that nothing needs; damaged ones are put aside.
    fn delete(&mut self, outbox: &Outbox) -> io::Result<()> {
        // What took the place of something must not go before it, not by a loss of power either.
        loop {
            if self.unsynced {
                self.disk.sync_names()?;
                self.unsynced = false;
            }
            let dead = outbox.inner().index.dead(self.writer.active());
            if dead.is_empty() {
                return Ok(());
            }
            for number in dead {
                self.unsynced = true;
                if outbox.inner().index.segment(number).damaged {
                    self.disk.rename(&name(number), &damaged_name(number))?;
                } else {
                    self.disk.remove(&name(number))?;
                }
                outbox.inner().index.forget_segment(number);
            }
        }
    }
}

impl Books {
    /// Closes the open window: logs what was counted since the one before, marks it, gives it out, and frees
    /// the places of tenants that left. With `last` the epoch ends.
    ///
    /// # Errors
    /// The log cannot be written. Nothing is lost: the next window is longer.
    pub fn close(&mut self, now: Now, last: bool) -> io::Result<()> {
        if let Some(step_ms) = self.spans.observe(now) {
            tracing::warn!(step_ms, "the wall clock was set; the open window's span moves with it");
        }
        self.tidy();
        if self.end.is_none() {
            // The epoch has ended.
            return Ok(());
        }
        let closed = self.log_window(now, last);
        self.compact();
        self.tell(&closed);
        closed
    }

    fn log_window(&mut self, now: Now, last: bool) -> io::Result<()> {
        let counted = self.counters.changed();
        let span = self.spans.span(now, last);
        let pieces = window(&counted, &self.sender, self.next, span, last);
        if pieces.is_empty() && !self.outbox.inner().index.acknowledged().is_empty() {
            self.pen.append(&self.outbox, Vec::new(), || {})?;
        }
        for some in pieces.chunks(MAX_FRAME_BATCHES) {
            let logged: Vec<_> = some.iter().map(|piece| piece.logged.clone()).collect();
            let through = self.next + some.len() as u64 - 1;
            let counters = &self.counters;
            self.pen.append(&self.outbox, logged, || {
                for Mark { place, incarnation, totals } in some.iter().flat_map(|piece| &piece.marks) {
                    counters.logged(*place, *incarnation, totals);
                }
                counters.set_logged_sequence(through);
            })?;
            self.next = through + 1;
        }
        self.spans.commit(span);
        for Counted { place, incarnation, .. } in counted.iter().filter(|counted| counted.leaving) {
            // One that has counted more meanwhile, or was taken again, is left for another window.
            let _freed = self.counters.free(*place, *incarnation);
        }
        Ok(())
    }

    /// Deletes what is not needed. What fails is tried again at the next window.
    fn tidy(&mut self) {
        if let Err(error) = self.pen.delete(&self.outbox) {
            tracing::warn!(%error, "cannot delete acknowledged usage segments");
        }
    }

    /// Tells how it went.
    fn tell(&self, closed: &io::Result<()>) {
        let mut inner = self.outbox.inner();
        let state = &mut inner.state;
        state.clock_steps = self.spans.steps();
        state.alarms.retain(|alarm| !matches!(alarm, Alarm::AppendFails(_)));
        state.unlogged_since_ms = None;
        if let Err(error) = closed {
            tracing::error!(%error, "cannot log usage; it stays counted, and the next window is longer");
            state.append_failures += 1;
            state.unlogged_since_ms = Some(self.spans.started_ms());
            state.alarms.push(Alarm::AppendFails(error.to_string()));
        }
        drop(inner);
        self.outbox.notify();
    }

    /// Ends the epoch: logs its last window and takes the counters away. Where the log cannot be
    /// written they stay, and the next start does it.
    pub fn finish(&mut self, now: Now) {
        if self.end.is_none() || self.close(now, true).is_err() {
            return;
        }
        if let Some(end) = self.end.take()
            && let Err(error) = end().and_then(|()| self.pen.disk.sync_names())
        {
            tracing::warn!(%error, "cannot remove the counters of this process; the next start does");
        }
    }

    /// The process ends: writes down what was acknowledged meanwhile.
    pub fn put_down(&mut self) {
        self.pen.writer.seal();
        self.tidy();
        let (acknowledged, live) = {
            let inner = self.outbox.inner();
            (inner.index.acknowledged().len(), inner.index.live().count())
        };
        if acknowledged > 0
            && live > 0
            && let Err(error) = self.pen.append(&self.outbox, Vec::new(), || {})
        {
            tracing::warn!(%error, "acknowledged usage is sent again after the next start");
        }
    }

    /// When the open window is to be closed.
    pub fn wait(&self, now: Now) -> std::time::Duration {
        self.spans.wait(now)
    }
}

/// Epochs that have not ended, for the begin of a segment.
fn open(index: &Index) -> Vec<OpenEpoch> {
    let open = index.epochs().iter().filter(|past| !past.ended && past.last_logged > 0);
    open.map(|past| OpenEpoch {
        epoch: past.epoch.0.to_vec(),
        sequence: past.last_logged,
        ended_ms: past.ended_ms.unwrap_or_default(),
    })
    .collect()
}

fn acknowledged(index: &Index) -> Vec<Acknowledged> {
    let keys = index.acknowledged().iter();
    keys.map(|Key { epoch: Epoch(bytes), sequence }| Acknowledged { epoch: bytes.to_vec(), sequence: *sequence })
        .collect()
}

impl std::fmt::Debug for Books {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Books").field("sender", &self.sender).field("next", &self.next).finish_non_exhaustive()
    }
}
