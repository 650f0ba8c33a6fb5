//! What one transaction is given, whichever database carries it out.

use crate::usage::book::Entry;

/// Batches to be applied together.
pub(super) struct Work<'a> {
    /// Batches, with whose rows their senders may report.
    pub(super) entries: Vec<Entry<'a>>,
    /// Packed messages, in their order.
    pub(super) payloads: Vec<Vec<u8>>,
    /// When they came, in milliseconds since 1970.
    pub(super) now_ms: i64,
}
