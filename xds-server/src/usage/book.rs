//! What becomes of batches: which are new, to which hour they are booked, what is kept aside. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use prost::Message;
use sha2::{Digest as _, Sha256};
use weir_config::usage::{Units, v1};

use super::batch::{Batch, Epoch};
use super::scope::Scope;
use super::span::{DAY_MS, HOUR_MS, floor};

/// How far a proxy's clock may be ahead of the server's.
pub(super) const AHEAD_MS: i64 = 5 * 60_000;
/// Bytes that are kept of a proxy's name.
const MAX_PROXY_BYTES: usize = 253;

/// SHA-256.
pub type Digest = [u8; 32];

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Whether it was booked.
    pub applied: Applied,
    /// Rows outside the sender's scope, which were kept aside.
    pub refused: usize,
    /// Whether its start could not be believed, so that it was booked to the time it came.
    pub rebooked: bool,
}

/// Whether a batch was booked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It was, now.
    New,
    /// It was before; nothing was added.
    Duplicate,
    /// It contradicts what is stored: another batch has its key or some of its sequences. It was kept
    /// aside and nothing was added.
    Conflict,
    /// The database takes its text never. It was kept aside and nothing was added.
    Malformed,
}

/// Why something was kept aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Rows outside the sender's scope.
    Refused,
    /// A batch that contradicts a stored one.
    Conflict,
    /// A batch that can never be applied.
    Malformed,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Reason; 3] = [Reason::Refused, Reason::Conflict, Reason::Malformed];

    /// Its name in the store and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Conflict => "conflict",
            Self::Malformed => "malformed",
        }
    }
}

/// Something to keep aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aside {
    /// Why.
    pub reason: Reason,
    /// What is wrong, for people.
    pub detail: String,
    /// The message, as it came or with the rows in question only.
    pub payload: Vec<u8>,
}

impl Aside {
    /// What makes it itself: the same thing kept aside again is kept once.
    pub fn digest(&self) -> Digest {
        Sha256::new().chain_update(self.reason.name()).chain_update([0]).chain_update(&self.payload).finalize().into()
    }
}

/// Range of sequences that is stored: of a batch, or of several that were swept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Its first sequence.
    pub first: i64,
    /// Its last.
    pub last: i64,
    /// Digest of the batch; none where it was swept, and only the numbers are known.
    pub digest: Option<Digest>,
}

/// A batch, with all that can be said of it without knowing what is stored.
#[derive(Debug)]
pub struct Entry<'a> {
    /// The batch.
    pub batch: &'a Batch,
    /// Its first sequence, as databases count.
    pub first: i64,
    /// Its last.
    pub last: i64,
    /// Time to whose hour and day it is booked.
    pub booked_ms: i64,
    /// Digest of what was sent.
    pub digest: Digest,
    /// Its message, without the rows that were refused.
    pub message: v1::UsageBatch,
    /// Those rows.
    pub refused: Vec<v1::TenantUsage>,
}

impl<'a> Entry<'a> {
    /// Reads `batch`, which came at `now_ms` from a sender who may report `scope`.
    pub fn new(batch: &'a Batch, scope: &Scope, now_ms: i64, retention: Duration) -> Self {
        let mut message = v1::UsageBatch::from(batch);
        // The proxy's name is information: the same batch under another name is the same batch.
        message.proxy.clear();
        let digest = Sha256::digest(message.encode_to_vec()).into();
        message.proxy = proxy_name(&batch.proxy);
        let (kept, refused) = std::mem::take(&mut message.usage).into_iter().partition(|row| scope.holds(&row.tenant));
        message.usage = kept;
        Self {
            batch,
            // A checked batch has no greater ones.
            first: i64::try_from(batch.first_sequence).unwrap_or(i64::MAX),
            last: i64::try_from(batch.sequence).unwrap_or(i64::MAX),
            booked_ms: booked_ms(batch.started_ms, now_ms, retention),
            digest,
            message,
            refused,
        }
    }

    /// Rows that are booked.
    fn kept(&self) -> impl Iterator<Item = (&'a str, &'a Units)> {
        let kept = self.message.usage.iter().filter_map(|row| self.batch.usage.get_key_value(&row.tenant));
        kept.map(|(tenant, units)| (tenant.as_str(), units))
    }

    fn receipt(&self, applied: Applied) -> Receipt {
        let new = applied == Applied::New;
        Receipt {
            applied,
            refused: if new { self.refused.len() } else { 0 },
            rebooked: new && self.booked_ms != self.batch.started_ms,
        }
    }

    /// What a stored range says of this batch; nothing where they have no sequence in common.
    fn against(&self, taken: &Taken) -> Option<Applied> {
        if taken.last < self.first || taken.first > self.last {
            return None;
        }
        Some(match taken.digest {
            Some(digest) if digest == self.digest => Applied::Duplicate,
            None if taken.first <= self.first && self.last <= taken.last => Applied::Duplicate,
            _ => Applied::Conflict,
        })
    }

    fn conflict(&self) -> Aside {
        let Batch { epoch, first_sequence, sequence, proxy, .. } = self.batch;
        Aside {
            reason: Reason::Conflict,
            detail: format!(
                "batch {first_sequence}..{sequence} of epoch {epoch} (proxy {}) contradicts a stored one",
                proxy_name(proxy)
            ),
            payload: v1::UsageBatch::from(self.batch).encode_to_vec(),
        }
    }

    fn refusal(&self) -> Option<Aside> {
        let first = self.refused.first()?;
        let Batch { epoch, sequence, proxy, .. } = self.batch;
        let message = v1::UsageBatch { usage: self.refused.clone(), ..self.message.clone() };
        Some(Aside {
            reason: Reason::Refused,
            detail: format!(
                "{} rows of batch {sequence} of epoch {epoch} are of tenants that proxy {} was not given: {} first",
                self.refused.len(),
                proxy_name(proxy),
                first.tenant
            ),
            payload: message.encode_to_vec(),
        })
    }
}

/// Sums to be added, by begin of the hour or day and tenant: the order in which rows are locked, the same
/// for every server.
pub type Sums<'a> = BTreeMap<(i64, &'a str), Units>;

/// What to write for some batches.
#[derive(Debug, Default)]
pub struct Plan<'a> {
    /// What becomes of each, in their order.
    pub receipts: Vec<Receipt>,
    /// Which of them are new, by place.
    pub new: Vec<usize>,
    /// To be added to hours.
    pub hours: Sums<'a>,
    /// To be added to days.
    pub days: Sums<'a>,
    /// To be kept aside.
    pub aside: Vec<Aside>,
}

impl<'a> Plan<'a> {
    /// Decides. `taken` are, for each entry, the stored ranges of its epoch that may have sequences in common
    /// with it: of batches and of swept ones, the first that does not end before it.
    pub fn new(entries: &[Entry<'a>], taken: &[Vec<Taken>]) -> Self {
        let mut plan = Self::default();
        // New ranges by their ends. Ranges that are stored are disjoint, so one look at the next end suffices.
        let mut fresh: BTreeMap<(Epoch, i64), Taken> = BTreeMap::new();
        for (n, (entry, taken)) in entries.iter().zip(taken).enumerate() {
            let epoch = entry.batch.epoch;
            let beside = fresh.range((epoch, entry.first)..=(epoch, i64::MAX)).next().map(|(_, taken)| taken);
            let verdicts = taken.iter().chain(beside).filter_map(|taken| entry.against(taken));
            let applied = verdicts.reduce(|one, other| if one == other { one } else { Applied::Conflict });
            let applied = applied.unwrap_or(Applied::New);
            plan.receipts.push(entry.receipt(applied));
            match applied {
                Applied::New => {
                    let range = Taken { first: entry.first, last: entry.last, digest: Some(entry.digest) };
                    fresh.insert((epoch, entry.last), range);
                    plan.book(n, entry);
                }
                Applied::Conflict => plan.aside.push(entry.conflict()),
                Applied::Duplicate | Applied::Malformed => {}
            }
        }
        plan
    }

    /// Whether there is anything to write.
    pub fn writes(&self) -> bool {
        !self.new.is_empty() || !self.aside.is_empty()
    }

    fn book(&mut self, n: usize, entry: &Entry<'a>) {
        self.new.push(n);
        for (tenant, units) in entry.kept() {
            for (sums, length) in [(&mut self.hours, HOUR_MS), (&mut self.days, DAY_MS)] {
                sums.entry((floor(entry.booked_ms, length), tenant)).or_default().add(units);
            }
        }
        self.aside.extend(entry.refusal());
    }
}

/// A batch is booked to its start, or to `now_ms` where that lies in the future or before all that is kept.
fn booked_ms(started_ms: i64, now_ms: i64, retention: Duration) -> i64 {
    let retention = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
    let believed = now_ms.saturating_sub(retention)..=now_ms.saturating_add(AHEAD_MS);
    if believed.contains(&started_ms) { started_ms } else { now_ms }
}

/// A name that any database takes.
fn proxy_name(name: &str) -> String {
    let mut kept: String = name.chars().filter(|c| !c.is_control()).collect();
    kept.truncate(kept.floor_char_boundary(MAX_PROXY_BYTES));
    kept
}
