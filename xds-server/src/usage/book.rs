//! What becomes of batches: which are new, to which hour they are booked, what is kept aside. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use prost::Message;
use sha2::{Digest as _, Sha256};
use weir_config::usage::{Units, v1};

use super::batch::{Batch, Epoch, proxy_name};
use super::scope::Scope;
use super::span::{DAY_MS, HOUR_MS, floor};

/// How far a proxy's clock may be ahead of the server's.
pub(super) const AHEAD_MS: i64 = 5 * 60_000;

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

#[cfg(test)]
mod tests {
    use super::*;

    const WEEK: Duration = Duration::from_secs(7 * 86_400);

    fn batch(first_sequence: u64, sequence: u64, started_ms: i64) -> Batch {
        let usage = BTreeMap::from([("acme".to_owned(), Units([1; 8])), ("globex".to_owned(), Units([2; 8]))]);
        let (epoch, proxy, ended_ms) = (Epoch([1; 16]), "edge-0".to_owned(), started_ms + 1);
        Batch {
            epoch,
            first_sequence,
            sequence,
            proxy,
            started_ms,
            ended_ms,
            last: false,
            lost_open_window: false,
            usage,
        }
    }

    fn verdict(batch: &Batch, taken: Taken) -> Applied {
        let entry = Entry::new(batch, &Scope::Everything, 0, WEEK);
        Plan::new(&[entry], &[vec![taken]]).receipts[0].applied
    }

    #[test]
    fn a_range_of_which_only_the_numbers_are_known_is_a_duplicate_if_it_holds_the_batch_whole() {
        let swept = Taken { first: 3, last: 7, digest: None };
        for (first, last, expected) in [
            (3, 7, Applied::Duplicate),
            (4, 4, Applied::Duplicate),
            (2, 3, Applied::Conflict),
            (7, 8, Applied::Conflict),
            (1, 9, Applied::Conflict),
            (1, 2, Applied::New),
            (8, 9, Applied::New),
        ] {
            assert_eq!(verdict(&batch(first, last, 0), swept), expected, "{first}..{last}");
        }
    }

    #[test]
    fn the_digest_is_of_all_but_the_name() {
        let digest = |batch: &Batch| Entry::new(batch, &Scope::Everything, 0, WEEK).digest;
        let one = batch(1, 1, 0);
        assert_eq!(digest(&Batch { proxy: "other".into(), ..one.clone() }), digest(&one));
        let narrow = Entry::new(&one, &Scope::Tenants(["acme".to_owned()].into()), 0, WEEK);
        assert_eq!(narrow.digest, digest(&one), "of what was sent, not of what was taken");
        assert_eq!(narrow.message.usage.len(), 1);
        let others = [
            Batch { ended_ms: 2, ..one.clone() },
            Batch { lost_open_window: true, ..one.clone() },
            Batch { usage: BTreeMap::new(), ..one.clone() },
        ];
        assert!(others.iter().all(|other| digest(other) != digest(&one)));
    }

    #[test]
    fn sums_are_of_the_hour_and_the_day_of_the_start() {
        let batches = [batch(1, 1, HOUR_MS - 1), batch(2, 2, HOUR_MS), batch(3, 3, DAY_MS)];
        let entries = batches.each_ref().map(|batch| Entry::new(batch, &Scope::Everything, DAY_MS, WEEK));
        let plan = Plan::new(&entries, &[const { Vec::new() }; 3]);
        let starts = |sums: &Sums<'_>| {
            sums.keys().filter(|(_, tenant)| *tenant == "acme").map(|(ms, _)| *ms).collect::<Vec<_>>()
        };
        assert_eq!(starts(&plan.hours), [0, HOUR_MS, DAY_MS]);
        assert_eq!(starts(&plan.days), [0, DAY_MS]);
        assert_eq!(plan.days[&(0, "globex")], Units([4; 8]));
    }
}
