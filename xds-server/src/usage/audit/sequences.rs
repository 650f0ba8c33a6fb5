//! What is stored of every epoch: no sequence may be missing between two that are there.

use serde::{Deserialize, Serialize};

use super::{Finding, Kind, Severity};
use crate::usage::span::show;

/// How long a proxy may be silent before a word is said about it.
pub const SILENT_MS: i64 = 10 * 60_000;

/// What is stored of an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredEpoch {
    /// In hexadecimal digits.
    pub epoch: String,
    /// Name of the proxy.
    pub proxy: String,
    /// Ranges of sequences, in order: adjacent ones are one.
    pub ranges: Vec<(u64, u64)>,
    /// Whether the first range must begin with 1: nothing before it was left out.
    pub from_start: bool,
    /// End of the newest batch, in milliseconds since 1970, by the proxy's clock.
    pub ended_ms: i64,
    /// Whether its last batch is stored.
    pub last: bool,
    /// Whether that says that the open window is lost.
    pub lost_open_window: bool,
}

impl StoredEpoch {
    /// The parts of `first..=last` that are not stored. A batch that says that the open window is lost stands
    /// far beyond the others, whose number nobody knows: what is between is not missing.
    pub fn missing(&self, first: u64, last: u64) -> Vec<(u64, u64)> {
        let (ranges, last) = match self.ranges.split_last() {
            Some((lost, before)) if self.lost_open_window && last >= lost.0 => {
                (before, before.last().map_or(0, |(_, end)| *end))
            }
            _ => (self.ranges.as_slice(), last),
        };
        let mut missing = Vec::new();
        let mut next = first;
        for (from, to) in ranges.iter().filter(|(_, to)| *to >= first) {
            if *from > last {
                break;
            }
            if *from > next {
                missing.push((next, from - 1));
            }
            next = next.max(to.saturating_add(1));
        }
        if next <= last {
            missing.push((next, last));
        }
        missing
    }
}

/// Says what is missing within what is stored.
pub fn check(epochs: &[StoredEpoch], now_ms: i64) -> Vec<Finding> {
    epochs.iter().flat_map(|epoch| one(epoch, now_ms)).collect()
}

fn one(epoch: &StoredEpoch, now_ms: i64) -> Vec<Finding> {
    let (Some(head), Some(tail)) = (epoch.ranges.first(), epoch.ranges.last()) else { return Vec::new() };
    let first = if epoch.from_start { 1 } else { head.0 };
    let mut findings: Vec<_> = epoch.missing(first, tail.1).into_iter().map(|gap| hole(epoch, gap)).collect();
    if epoch.lost_open_window {
        let message = format!(
            "the last window of epoch {} of {}, after {}, is lost: at most one window of usage, of an amount that \
             nobody knows",
            epoch.epoch,
            name(&epoch.proxy),
            show(epoch.ended_ms)
        );
        let action = "the proxy's machine lost power, or its state directory was copied or restored: see docs/usage.md";
        findings
            .push(Finding::new(Severity::Gap, Kind::LostOpenWindow, message, action).of(&epoch.proxy, &epoch.epoch));
    }
    if !epoch.last && epoch.ended_ms < now_ms.saturating_sub(SILENT_MS) {
        let message = format!(
            "epoch {} of {} has not ended and has reported nothing since {}",
            epoch.epoch,
            name(&epoch.proxy),
            show(epoch.ended_ms)
        );
        let action = "nothing, if the proxy is idle; if it is gone, start it again with the same state directory: \
                      that may hold usage";
        findings.push(Finding::new(Severity::Notice, Kind::Silent, message, action).of(&epoch.proxy, &epoch.epoch));
    }
    findings
}

/// A range of sequences that is not stored.
fn hole(epoch: &StoredEpoch, (first, last): (u64, u64)) -> Finding {
    let message = format!(
        "not stored, though later ones are: {} of epoch {} of {}",
        numbers(first, last),
        epoch.epoch,
        name(&epoch.proxy)
    );
    let action = "a proxy sends in order, so they were stored once: see whether the database was restored or edited";
    let finding = Finding::new(Severity::Gap, Kind::MissingSequences, message, action);
    finding.of(&epoch.proxy, &epoch.epoch).sequences(first, last)
}

/// `sequence 3`, `sequences 3 to 5`.
pub(super) fn numbers(first: u64, last: u64) -> String {
    if first == last { format!("sequence {first}") } else { format!("sequences {first} to {last}") }
}

/// A proxy's name, for people.
pub(super) fn name(proxy: &str) -> &str {
    if proxy.is_empty() { "a proxy without a name" } else { proxy }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(ranges: &[(u64, u64)]) -> StoredEpoch {
        StoredEpoch {
            epoch: "07".repeat(16),
            proxy: "edge-0".into(),
            ranges: ranges.to_vec(),
            from_start: true,
            ended_ms: 1_000_000_000,
            last: true,
            lost_open_window: false,
        }
    }

    const NOW: i64 = 1_000_000_000;

    #[test]
    fn what_is_missing_is_named_to_the_sequence() {
        let found = check(&[epoch(&[(2, 4), (7, 9), (11, 11)])], NOW);
        let gaps: Vec<_> = found.iter().map(|f| f.sequences.unwrap()).collect();
        assert_eq!(gaps, [(1, 1), (5, 6), (10, 10)]);
        assert!(found.iter().all(|f| f.severity == Severity::Gap && f.kind == Kind::MissingSequences));
        let epoch_0 = format!("of epoch {} of edge-0", "07".repeat(16));
        assert_eq!(found[0].message, format!("not stored, though later ones are: sequence 1 {epoch_0}"));
        assert_eq!(found[1].message, format!("not stored, though later ones are: sequences 5 to 6 {epoch_0}"));
        assert_eq!(check(&[epoch(&[(1, 9)])], NOW), []);
    }

    #[test]
    fn the_begin_is_not_missed_where_it_was_not_asked_for() {
        let part = StoredEpoch { from_start: false, ..epoch(&[(7, 9)]) };
        assert_eq!(check(&[part], NOW), []);
    }

    #[test]
    fn ranges_that_are_missing_in_a_range() {
        let epoch = epoch(&[(2, 4), (7, 9)]);
        assert_eq!(epoch.missing(3, 8), [(5, 6)]);
        assert_eq!(epoch.missing(3, 4), []);
        assert_eq!(epoch.missing(9, 12), [(10, 12)]);
        assert_eq!(epoch.missing(12, 12), [(12, 12)]);
        assert_eq!(epoch.missing(1, 1), [(1, 1)]);
        assert_eq!(epoch.missing(3, 2), []);
    }

    #[test]
    fn a_word_of_a_lost_window_far_beyond_is_no_hole() {
        let lost = StoredEpoch { lost_open_window: true, ..epoch(&[(1, 2), (4, 5), (1 << 32, 1 << 32)]) };
        assert_eq!(lost.missing(1, 1 << 32), [(3, 3)]);
        assert_eq!(lost.missing(1, 7), [(3, 3), (6, 7)], "what a proxy says was acknowledged");
        let alone = StoredEpoch { lost_open_window: true, ..epoch(&[(1 << 32, 1 << 32)]) };
        assert_eq!(alone.missing(1, 1 << 32), []);
    }

    #[test]
    fn a_lost_window_is_a_gap_and_silence_a_notice() {
        let lost = check(&[StoredEpoch { lost_open_window: true, ..epoch(&[(1, 1)]) }], NOW);
        assert_eq!((lost[0].severity, lost[0].kind), (Severity::Gap, Kind::LostOpenWindow));
        let open = StoredEpoch { last: false, ..epoch(&[(1, 1)]) };
        assert_eq!(check(std::slice::from_ref(&open), NOW + SILENT_MS), []);
        let silent = check(&[open], NOW + SILENT_MS + 1);
        assert_eq!((silent[0].severity, silent[0].kind), (Severity::Notice, Kind::Silent));
    }
}
