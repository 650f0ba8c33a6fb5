//! Segments: files of the log.

const PREFIX: &str = "log-";

/// What is known of a segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Its length.
    pub bytes: u64,
    /// Batches in it that are neither acknowledged nor merged into others.
    pub live: usize,
    /// Batches in it that end an epoch, acknowledged ones too. While older segments hold batches it stays, so that
    /// those epochs are not taken for open.
    pub ends: usize,
    /// Batches in it were merged into others.
    pub superseded: bool,
    /// A batch in it that others were merged into is acknowledged. While segments with such others are there it
    /// stays, or they would be taken for batches that wait.
    pub supersedes: bool,
    /// It holds totals that the counters of an earlier epoch, which are still there, have no mark of: it stays.
    pub pinned: bool,
    /// It is damaged: when nothing in it is needed any more it is put aside, not deleted.
    pub damaged: bool,
}

/// Name of a segment.
pub fn name(number: u64) -> String {
    format!("{PREFIX}{number:08}")
}

/// Name that a damaged segment is kept under.
pub fn damaged_name(number: u64) -> String {
    format!("damaged-{}", name(number))
}

/// Number of the segment with this name; none for other files.
pub fn number(name: &str) -> Option<u64> {
    name.strip_prefix(PREFIX).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()
}
