//! The start: what earlier processes left is taken in, and their epochs are ended.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::{Books, EndOfCounters as End, Limits, Pen};
use crate::meter::Epoch;
use crate::meter::file::Old;
use crate::meter::ledger::{Counters, Now, Sender, Spans, lost, recover};
use crate::meter::log::disk::Disk;
use crate::meter::log::{self, MAX_FRAME_BATCHES, Place, Writer, damaged_name, name, number, scan};
use crate::meter::outbox::Outbox;
use crate::meter::state::Alarm;

/// Counters of an earlier process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Earlier {
    /// What they say.
    pub old: Old,
    /// When they were last written, in milliseconds since 1970 UTC, as far as the file knows.
    pub modified_ms: i64,
}

/// Books that are being opened.
#[derive(Debug)]
pub struct Opening {
    pen: Pen,
    outbox: Arc<Outbox>,
    limits: Limits,
    proxy: String,
    damaged: Vec<String>,
    /// The segment that was written last.
    last: Option<String>,
}

impl Opening {
    /// Finds what the log holds. `earlier` are the counters of processes before.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn find(disk: Arc<dyn Disk>, limits: Limits, proxy: &str, earlier: &[Earlier]) -> io::Result<Self> {
        let names = disk.list()?;
        let mut numbers: Vec<_> = names.iter().filter_map(|name| number(name)).collect();
        numbers.sort_unstable();
        let aside = names.iter().filter_map(|name| Some(number(name.strip_prefix("damaged-")?)? + 1)).max();
        let next = numbers.last().map_or(1, |last| last + 1).max(aside.unwrap_or(1));
        let outbox = Arc::new(Outbox::new(Arc::clone(&disk)));
        let writer = Writer::new(Arc::clone(&disk), limits.segment_bytes, next);
        let damaged = names.into_iter().filter(|name| name.starts_with("damaged-")).collect();
        let pen = Pen { disk, writer, unsynced: true };
        let last = numbers.last().map(|last| name(*last));
        let mut opening = Self { pen, outbox, limits, proxy: proxy.to_owned(), damaged, last };
        let marked: HashMap<_, _> = earlier
            .iter()
            .filter(|earlier| earlier.old.believable)
            .map(|earlier| (Epoch(earlier.old.epoch), earlier.old.logged_sequence))
            .collect();
        for number in &numbers {
            opening.take_segment(*number, numbers.last() == Some(number), &marked);
        }
        opening.tell_damage();
        Ok(opening)
    }

    fn take_segment(&mut self, number: u64, is_last: bool, marked: &HashMap<Epoch, u64>) {
        let file = name(number);
        let bytes = match self.pen.disk.read(&file) {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::error!(segment = file, %error, "cannot read a usage segment: it is left as it is");
                return self.damaged.push(file);
            }
        };
        let found = scan(&bytes);
        let mut len = bytes.len() as u64;
        let torn = found.end != log::End::Whole;
        let mut inner = self.outbox.inner();
        let mut damaged = !found.damage.is_empty();
        if torn && is_last {
            // An append that was cut short. What is left of it is of no use, and is not to look like damage later.
            tracing::info!(
                segment = file,
                from = found.good(),
                len,
                "a usage segment ends in the middle of a frame: cut"
            );
            inner.state.torn_tails += 1;
            match self.pen.disk.cut(&file, found.good()) {
                Ok(()) => len = found.good(),
                Err(error) => tracing::warn!(segment = file, %error, "cannot cut a torn usage segment"),
            }
        } else if torn {
            damaged = true;
        }
        for (range, frame) in &found.frames {
            let place = Place { segment: number, offset: range.start, len: (range.end - range.start) as usize };
            inner.index.take(place, frame, &|epoch| marked.get(&epoch).copied());
        }
        let segment = inner.index.segment(number);
        segment.bytes = len;
        segment.damaged = damaged;
        drop(inner);
        if damaged {
            tracing::error!(segment = file, at = ?found.damage, "a usage segment is damaged: what is whole in it is used, and the file is kept");
            self.damaged.push(damaged_name(number));
        }
    }

    fn tell_damage(&self) {
        if !self.damaged.is_empty() {
            self.outbox.inner().state.alarms.push(Alarm::Damaged(self.damaged.clone()));
        }
    }

    /// Ends the epochs of processes before: logs what their counters have beyond the log, then has
    /// `remove` take each one's counters away. All of it may be repeated.
    ///
    /// # Errors
    /// The log cannot be written, or counters cannot be removed. What was done is kept; what was not is to
    /// be done at a later start, and [`Opening::leave`] says so.
    pub fn recover(
        &mut self,
        earlier: &[Earlier],
        length_ms: i64,
        mut remove: impl FnMut(&Earlier) -> io::Result<()>,
    ) -> io::Result<()> {
        // A kill between writing and synchronising leaves a frame that is there, and that power can still take.
        if let Some(last) = &self.last {
            self.pen.disk.sync(last)?;
            self.pen.disk.sync_names()?;
        }
        for one in earlier {
            let sender = self.sender(Epoch(one.old.epoch));
            let past = self.outbox.inner().index.past(sender.epoch).cloned();
            let pieces = recover(&one.old, past.as_ref(), &sender, one.modified_ms, length_ms);
            for some in pieces.chunks(MAX_FRAME_BATCHES) {
                let logged = some.iter().map(|piece| piece.logged.clone()).collect();
                self.pen.append(&self.outbox, logged, || {})?;
            }
            remove(one)?;
            let mut inner = self.outbox.inner();
            if one.old.believable && inner.index.past(sender.epoch).is_some() {
                // No other process has sent for this epoch.
                inner.index.set_sent(sender.epoch, one.old.sent_sequence);
            } else if !one.old.believable && !pieces.is_empty() {
                self.tell_lost(&mut inner.state.alarms);
            }
        }
        self.pen.disk.sync_names()?;
        self.outbox.inner().index.forget_reached();
        self.lose()
    }

    /// Epochs whose counters are gone although their end is not logged.
    fn lose(&mut self) -> io::Result<()> {
        let open: Vec<_> = self.outbox.inner().index.epochs().iter().filter(|past| !past.ended).cloned().collect();
        for past in open {
            let logged = lost(&self.sender(past.epoch), past.last_logged, past.ended_ms.unwrap_or_default());
            self.pen.append(&self.outbox, vec![logged], || {})?;
            self.tell_lost(&mut self.outbox.inner().state.alarms);
        }
        Ok(())
    }

    fn tell_lost(&self, alarms: &mut Vec<Alarm>) {
        let before =
            alarms.iter().find_map(|alarm| if let Alarm::LostOpenWindows(n) = alarm { Some(*n) } else { None });
        alarms.retain(|alarm| !matches!(alarm, Alarm::LostOpenWindows(_)));
        alarms.push(Alarm::LostOpenWindows(before.unwrap_or_default() + 1));
        tracing::error!(
            "counters of an earlier start are not to be believed (loss of power, a copied or restored directory): \
             what they counted in their open window is lost, and the log says so"
        );
    }

    /// Nothing can be written: counters of earlier processes stay as they are, for a later start.
    pub fn leave(&self, earlier: &[Earlier], why: &str) {
        tracing::error!(why, "usage is counted and kept in memory only: the usage directory cannot be written");
        let mut inner = self.outbox.inner();
        inner.state.alarms.push(Alarm::NotDurable(why.to_owned()));
        if !earlier.is_empty() {
            inner.state.alarms.push(Alarm::Unrecovered(why.to_owned()));
        }
        for old in earlier.iter().map(|earlier| &earlier.old).filter(|old| old.believable) {
            inner.index.hold(Epoch(old.epoch), old.sent_sequence);
        }
    }

    /// Opens the books for this process, which counts in `counters`; `end` takes them away when the epoch
    /// has ended.
    pub fn begin(self, epoch: Epoch, counters: Arc<dyn Counters>, length: Duration, now: Now, end: End) -> Books {
        let sender = self.sender(epoch);
        self.outbox.begin(epoch, Arc::clone(&counters));
        self.outbox.inner().state.limit = self.limits.log_bytes;
        let mut books = Books {
            pen: self.pen,
            outbox: self.outbox,
            counters,
            sender,
            limits: self.limits,
            spans: Spans::new(length, now),
            next: 1,
            compact_from: 0,
            end: Some(end),
        };
        books.tidy();
        books
    }

    fn sender(&self, epoch: Epoch) -> Sender {
        Sender { epoch, proxy: self.proxy.clone() }
    }
}

impl Books {
    /// What is given out.
    pub fn outbox(&self) -> Arc<Outbox> {
        Arc::clone(&self.outbox)
    }
}
