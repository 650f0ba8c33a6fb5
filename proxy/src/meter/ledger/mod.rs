//! What is logged of the counters, and when: without I/O, so that every kill and every clock can be tried.
//!
//! Counters are cumulative. A window's usage is what the totals have grown by since the totals that
//! were logged last; a window that could not be logged is therefore simply longer.

mod recover;
mod span;
#[cfg(test)]
mod tests;
mod window;

pub use recover::{lost, recover};
pub use span::{Now, Span, Spans};
pub use window::{Mark, Piece, Sender, window};

use weir_config::usage::Units;

use super::{Counted, Meter, TenantId};

/// What the books ask of counters. The simulation stands in for them.
pub trait Counters: Send + Sync {
    /// Places with more than what is marked as logged, and places that leave.
    fn changed(&self) -> Vec<Counted>;
    /// Marks totals as logged.
    fn logged(&self, place: TenantId, incarnation: u64, totals: &Units);
    /// Notes the last sequence that is logged.
    fn set_logged_sequence(&self, sequence: u64);
    /// Notes the last sequence that may have been sent.
    fn set_sent_sequence(&self, sequence: u64);
    /// Frees a place, if it leaves and everything of it is logged.
    fn free(&self, place: TenantId, incarnation: u64) -> bool;
    /// Places whose counters end with the process, because there is no space on disk.
    fn volatile(&self) -> usize;
}

impl Counters for Meter {
    fn changed(&self) -> Vec<Counted> {
        Meter::changed(self)
    }

    fn logged(&self, place: TenantId, incarnation: u64, totals: &Units) {
        Meter::logged(self, place, incarnation, totals);
    }

    fn set_logged_sequence(&self, sequence: u64) {
        Meter::set_logged_sequence(self, sequence);
    }

    fn set_sent_sequence(&self, sequence: u64) {
        Meter::set_sent_sequence(self, sequence);
    }

    fn free(&self, place: TenantId, incarnation: u64) -> bool {
        Meter::free(self, place, incarnation)
    }

    fn volatile(&self) -> usize {
        Meter::volatile(self)
    }
}
