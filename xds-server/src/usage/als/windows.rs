//! What one stream of an Envoy reports, summed by tenant into windows, which become batches of an epoch that
//! the server made for the stream. Pure: time and randomness are passed in.
//!
//! A window gets its sequence when it is first given to the store, so that windows which wait (the database
//! is away) can be merged freely; what was given once is given again unchanged until it is applied.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use weir_config::usage::{MAX_BATCH_ENTRIES, NO_TENANT, Units};

use crate::usage::{Batch, Epoch};

/// Tenants of a window, at most: their names come from the peer. What is beyond is charged to none.
pub const MAX_TENANTS: usize = 200_000;
/// Windows that wait, at most: one an hour, for as long as the database is away; then they grow longer.
const MAX_WAITING: usize = 48;
/// An hour, in milliseconds: usage is asked for by the hour.
const HOUR: i64 = 3_600_000;

/// Windows of one stream.
#[derive(Debug)]
pub struct Windows {
    epoch: Epoch,
    proxy: String,
    /// Newest sequence that was given.
    sequence: u64,
    open: Window,
    waiting: VecDeque<Window>,
    given: Arc<[Batch]>,
    /// Whether the stream has ended.
    ended: bool,
    /// Whether a batch said so.
    closed: bool,
    /// Entries that were charged to none because a window had too many tenants.
    overflow: u64,
}

#[derive(Debug, Default)]
struct Window {
    started_ms: i64,
    ended_ms: i64,
    usage: HashMap<String, Units>,
}

impl Windows {
    /// Windows of a stream that begins at `now_ms`. `proxy` is what its node calls itself.
    pub fn new(epoch: Epoch, proxy: String, now_ms: i64) -> Self {
        let open = Window { started_ms: now_ms, ended_ms: now_ms, usage: HashMap::new() };
        Self {
            epoch,
            proxy,
            sequence: 0,
            open,
            waiting: VecDeque::new(),
            given: Arc::default(),
            ended: false,
            closed: false,
            overflow: 0,
        }
    }

    /// Adds to the open window.
    pub fn add(&mut self, tenant: &str, units: &Units) {
        if units.is_zero() {
            return;
        }
        self.overflow += u64::from(self.open.add(tenant, units));
    }

    /// Entries that were charged to none, for want of room, since this was asked last.
    pub fn take_overflow(&mut self) -> u64 {
        std::mem::take(&mut self.overflow)
    }

    /// Closes the open window at `now_ms` and opens the next.
    pub fn close(&mut self, now_ms: i64) {
        let next = Window { started_ms: now_ms, ended_ms: now_ms, usage: HashMap::new() };
        let mut window = std::mem::replace(&mut self.open, next);
        window.ended_ms = now_ms.max(window.started_ms);
        if window.usage.is_empty() {
            return;
        }
        let full = self.waiting.len() >= MAX_WAITING;
        match self.waiting.back_mut() {
            Some(last) if full || last.started_ms.div_euclid(HOUR) == window.started_ms.div_euclid(HOUR) => {
                self.overflow += last.merge(window);
            }
            _ => self.waiting.push_back(window),
        }
    }

    /// The stream has ended: closes the last window.
    pub fn end(&mut self, now_ms: i64) {
        self.close(now_ms);
        self.ended = true;
    }

    /// What the store must apply next, in one go; the same until [`Windows::applied`]. None: nothing waits.
    pub fn to_apply(&mut self) -> Option<Arc<[Batch]>> {
        if self.given.is_empty() {
            self.give();
        }
        (!self.given.is_empty()).then(|| Arc::clone(&self.given))
    }

    /// The store has applied what [`Windows::to_apply`] gave.
    pub fn applied(&mut self) {
        self.given = Arc::default();
    }

    /// Requests and bytes that are not applied yet.
    pub fn unapplied(&self) -> Units {
        let mut sum = Units::ZERO;
        let windows = self.waiting.iter().chain([&self.open]);
        windows.flat_map(|window| window.usage.values()).for_each(|units| sum.add(units));
        self.given.iter().flat_map(|batch| batch.usage.values()).for_each(|units| sum.add(units));
        sum
    }

    fn give(&mut self) {
        let mut batches = Vec::new();
        if let Some(Window { started_ms, ended_ms, usage }) = self.waiting.pop_front() {
            let mut rows: Vec<_> = usage.into_iter().collect();
            rows.sort_unstable_by(|a, b| a.0.cmp(&b.0));
            let mut rows = rows.into_iter().peekable();
            while rows.peek().is_some() {
                let mut batch = self.batch(started_ms, ended_ms);
                batch.usage = rows.by_ref().take(MAX_BATCH_ENTRIES).collect();
                batches.push(batch);
            }
        } else if self.ended && !self.closed && self.sequence > 0 {
            let end = self.open.started_ms;
            batches.push(self.batch(end, end));
        }
        if self.ended && self.waiting.is_empty() {
            self.closed = true;
            if let Some(last) = batches.last_mut() {
                last.last = true;
            }
        }
        self.given = batches.into();
    }

    fn batch(&mut self, started_ms: i64, ended_ms: i64) -> Batch {
        self.sequence += 1;
        Batch {
            epoch: self.epoch,
            first_sequence: self.sequence,
            sequence: self.sequence,
            proxy: self.proxy.clone(),
            started_ms,
            ended_ms,
            last: false,
            lost_open_window: false,
            usage: Default::default(),
        }
    }
}

impl Window {
    /// True if there was no room for the tenant.
    fn add(&mut self, tenant: &str, units: &Units) -> bool {
        if let Some(sum) = self.usage.get_mut(tenant) {
            sum.add(units);
            return false;
        }
        let full = self.usage.len() >= MAX_TENANTS;
        self.usage.entry(if full { NO_TENANT } else { tenant }.to_owned()).or_default().add(units);
        full
    }

    fn merge(&mut self, later: Window) -> u64 {
        self.ended_ms = self.ended_ms.max(later.ended_ms);
        later.usage.iter().map(|(tenant, units)| u64::from(self.add(tenant, units))).sum()
    }
}
