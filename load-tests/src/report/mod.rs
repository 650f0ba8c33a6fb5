//! What a race found, as values; how they are shown is in the files below.

pub(crate) mod json;
pub(crate) mod markdown;
pub(crate) mod svg;
pub(crate) mod table;
pub(crate) mod targets;

mod number;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::cores::Cores;
use crate::stats;

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Figure {
    /// CPU time of the proxy a request, in microseconds, in the closed loop.
    Cpu,
    /// Requests a second, in the closed loop.
    Rate,
    /// Latency that half of the requests do not exceed, in microseconds, in the open loop.
    P50,
    /// The same for 99 of 100.
    P99,
    /// Resident memory after the closed loop, in MiB.
    Memory,
    /// From the start of the process to the first right answers, in milliseconds.
    Start,
    /// The same of a start that finds what the one before kept; of proxies that keep something.
    Restart,
    /// Resident memory a waiting connection, in KiB.
    PerConnection,
    /// Instructions in user space a request.
    Instructions,
    /// Share of its core that the proxy used in the closed loop, in per cent.
    Busy,
    /// Share of one core that upstream and generator used then.
    LoadBusy,
    /// Share of the proxy's core that anything else used then: a disturbance.
    Others,
    /// CPU time of the proxy a request in the open loop, in microseconds.
    OpenCpu,
    /// Requests a second that the open loop offered.
    Offered,
    /// How late 99 of 100 requests of the open loop were sent at most, in microseconds.
    Late,
}

/// What one round found.
pub(crate) type Figures = BTreeMap<Figure, f64>;

/// A whole race.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    /// Whether it was the quick run.
    pub(crate) quick: bool,
    pub(crate) rounds: u32,
    /// How long it took.
    pub(crate) seconds: u64,
    pub(crate) machine: Machine,
    /// By name.
    pub(crate) versions: BTreeMap<String, String>,
    /// What the generator reaches without a proxy.
    pub(crate) direct: Direct,
    pub(crate) rows: Vec<Row>,
}

/// Where it ran.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) count: usize,
    pub(crate) memory_mib: u64,
    pub(crate) kernel: String,
    pub(crate) cores: Cores,
    /// Processes that wanted to run when it began (`/proc/loadavg`, one minute): above about 0.3,
    /// figures are for debugging.
    pub(crate) load_before: f64,
}

/// Generator and upstream without a proxy between them, in a closed loop on the load's core.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Direct {
    /// Requests a second.
    pub(crate) rate: f64,
    /// CPU time of both a request, in microseconds.
    pub(crate) cpu: f64,
}

/// A row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) about: String,
    /// Number of tenants, where it is about tenants.
    pub(crate) tenants: Option<u32>,
    /// Why it was not run.
    pub(crate) left_out: Option<String>,
    pub(crate) entries: Vec<Entry>,
}

/// A contestant of a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) who: String,
    /// With a JSON log.
    pub(crate) log: bool,
    /// Why there are no, or not all, figures.
    pub(crate) failure: Option<String>,
    pub(crate) rounds: Vec<Figures>,
}

/// Whose figures the others are compared with.
pub(crate) const OURS: &str = "Weir";

/// A contestant's name.
pub(crate) fn label(who: &str, log: bool) -> String {
    if log { format!("{who} + log") } else { who.to_owned() }
}

impl Entry {
    /// As it stands in tables.
    pub(crate) fn label(&self) -> String {
        label(&self.who, self.log)
    }

    /// The median over the rounds that have the figure. A contestant that failed has none: what it did
    /// before it failed is in the rounds.
    pub(crate) fn median(&self, figure: Figure) -> Option<f64> {
        if self.failure.is_some() { None } else { stats::median(&self.values(figure)) }
    }

    /// How far rounds are apart.
    pub(crate) fn spread(&self, figure: Figure) -> Option<f64> {
        stats::spread(&self.values(figure))
    }

    fn values(&self, figure: Figure) -> Vec<f64> {
        self.rounds.iter().filter_map(|round| round.get(&figure).copied()).collect()
    }
}

impl Row {
    /// Ours, without a log: tenants are metered without it.
    pub(crate) fn ours(&self) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.who == OURS && !entry.log)
    }

    /// Our figure over another's.
    pub(crate) fn ratio(&self, entry: &Entry, figure: Figure) -> Option<f64> {
        if entry.who == OURS && !entry.log {
            return None;
        }
        let (ours, theirs) = (self.ours()?.median(figure)?, entry.median(figure)?);
        (theirs > 0.0).then(|| ours / theirs)
    }

    /// Whether any contestant has the figure.
    pub(crate) fn has(&self, figure: Figure) -> bool {
        self.entries.iter().any(|entry| !entry.values(figure).is_empty())
    }
}

/// Memory a tenant: the slope between the two rows with the most tenants.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Slope {
    pub(crate) from: u32,
    pub(crate) to: u32,
    /// KiB a tenant, by label; nothing for who failed.
    pub(crate) kib: Vec<(String, Option<f64>)>,
}

/// Share of the proxy's core, in per cent, from which on what else ran makes figures doubtful.
const DISTURBED: f64 = 10.0;

impl Report {
    /// The greatest share of the proxy's core that anything else used in a row, where it is too much.
    pub(crate) fn disturbed(&self) -> Option<f64> {
        let entries = self.rows.iter().flat_map(|row| &row.entries);
        let most = entries.filter_map(|entry| entry.median(Figure::Others)).max_by(f64::total_cmp)?;
        (most > DISTURBED).then_some(most)
    }

    /// Memory a tenant; none unless two rows differ in tenants alone.
    pub(crate) fn slope(&self) -> Option<Slope> {
        let mut rows: Vec<(u32, &Row)> =
            self.rows.iter().filter(|r| r.left_out.is_none()).filter_map(|r| Some((r.tenants?, r))).collect();
        rows.sort_by_key(|(tenants, _)| *tenants);
        let [.., (from, low), (to, high)] = rows[..] else { return None };
        let kib = high.entries.iter().map(|entry| {
            let label = entry.label();
            let below = low.entries.iter().find(|candidate| candidate.label() == label);
            let difference =
                below.and_then(|below| Some(entry.median(Figure::Memory)? - below.median(Figure::Memory)?));
            (label, difference.map(|mib| mib * 1024.0 / f64::from(to - from)))
        });
        Some(Slope { from, to, kib: kib.collect() })
    }
}
