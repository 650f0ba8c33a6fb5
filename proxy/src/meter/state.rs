//! What the usage log tells about itself: for the admin endpoint and statistics.

use std::fmt;

use serde::Serialize;

use super::Epoch;

/// The usage log as it is now. Times are milliseconds since 1970 UTC.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LogState {
    /// Epochs with batches in the log, and the present one; oldest first.
    pub epochs: Vec<EpochState>,
    /// Bytes that the log takes, acknowledged records of segments that are not deleted yet with it.
    pub bytes: u64,
    /// Bytes that it may take (`usage.logBytes`).
    pub limit: u64,
    /// Batches without an acknowledgement.
    pub unacknowledged: u64,
    /// Begin of the oldest batch without an acknowledgement.
    pub oldest_unacknowledged_ms: Option<i64>,
    /// Batches that this process merged into others, because the log was over its bound.
    pub merged: u64,
    /// Appends of this process that failed.
    pub append_failures: u64,
    /// Begin of the window that could not be logged, as long as that is so.
    pub unlogged_since_ms: Option<i64>,
    /// Steps of the wall clock that this process has seen.
    pub clock_steps: u64,
    /// Torn tails that were cut at the start: a process was killed, or power was lost, inside an append.
    pub torn_tails: u64,
    /// What an operator must know of.
    pub alarms: Vec<Alarm>,
}

/// One epoch of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EpochState {
    /// Its name.
    pub epoch: Epoch,
    /// The first sequence that has no acknowledgement; none where all have one.
    pub first_unacknowledged: Option<u64>,
    /// The last sequence that is logged; 0: none.
    pub last_logged: u64,
    /// Up to this sequence a batch may have been sent, so that it is never merged.
    pub sent: u64,
    /// Every sequence up to this one was acknowledged, as far as this process knows.
    pub acknowledged: u64,
    /// Whether its last batch is logged.
    pub ended: bool,
}

/// What needs an operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Alarm {
    /// Counters or batches are in memory only: what is not acknowledged is lost with the process.
    NotDurable(String),
    /// Windows cannot be logged at present.
    AppendFails(String),
    /// The log is over its bound, and what was never sent is merged.
    Merging,
    /// The log is over its bound, and nothing is left that may be merged.
    OverBound,
    /// Segments that are damaged in the middle; they are kept.
    Damaged(Vec<String>),
    /// Epochs that ended in a way in which their open window is lost.
    LostOpenWindows(u64),
    /// Tenants whose counters are in memory, because the disk had no space for them.
    Volatile(u64),
    /// How often a logged batch could not be read when it was to be sent.
    Unreadable(u64),
    /// Counters of an earlier epoch are there and cannot be logged or deleted.
    Unrecovered(String),
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Alarm::NotDurable(why) => write!(f, "usage is kept in memory only: {why}"),
            Alarm::AppendFails(why) => write!(f, "usage cannot be logged: {why}"),
            Alarm::Merging => f.write_str("the usage log is over its bound: windows that were never sent are merged"),
            Alarm::OverBound => f.write_str("the usage log is over its bound, and nothing is left to merge"),
            Alarm::Damaged(segments) => write!(f, "damaged usage segments: {}", segments.join(", ")),
            Alarm::LostOpenWindows(n) => write!(f, "the open window of {n} epochs is lost"),
            Alarm::Volatile(n) => {
                write!(f, "{n} tenants are counted in memory only: there is no space for their counters")
            }
            Alarm::Unreadable(n) => write!(f, "{n} times logged usage could not be read to be sent"),
            Alarm::Unrecovered(why) => write!(f, "counters of an earlier epoch wait: {why}"),
        }
    }
}
