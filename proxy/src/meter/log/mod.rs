//! The usage log, without I/O of its own: how records are framed, found again, indexed and merged.
//!
//! Segments (`log-<n>`) are rows of frames. A frame is one append: whole, or not there. It holds batches
//! with the totals that they reach, the keys that were acknowledged since the frame before, and, where a
//! segment begins, the epochs that have not ended. A batch stands for a range of sequences
//! and takes the place of every older batch of its epoch within that range: so merging is an append, and a kill
//! before, in or after it finds either the old batches or the merged one.

pub mod disk;
mod frame;
mod index;
mod merge;
mod record;
mod scan;
mod segment;
#[cfg(test)]
mod tests;
mod writer;

pub use frame::{decode, encode};
pub use index::{Entry, Index, Past, Place};
pub use merge::{Merging, Run};
pub use record::{Acknowledged, Frame, Logged, OpenEpoch, Reached};
pub use scan::{End, scan};
pub use segment::{Segment, damaged_name, name, number};
pub use writer::Writer;

/// Batches that one frame of a window may hold: what keeps a frame at a few MiB whatever the number of tenants.
pub const MAX_FRAME_BATCHES: usize = 16;
