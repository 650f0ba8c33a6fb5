//! What to do with a request: pure functions over immutable tables. No I/O, no async.

pub mod decide;
pub mod head;
pub mod limit;
pub mod table;

pub use decide::{Decision, Refusal, decide};
pub use head::{Head, Headers};
