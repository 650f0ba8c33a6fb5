//! What to do with a request: pure functions over immutable tables. No I/O, no async.

pub mod changes;
pub mod decide;
pub mod head;
pub mod hosts;
pub mod limit;
pub mod matcher;
pub mod redirect;
pub mod rewrite;
pub mod sni;
pub mod table;
pub mod wheel;

#[cfg(test)]
mod tests;

pub use decide::{Budget, Charged, Decision, Refusal, decide};
pub use head::{Head, Headers};
