//! What to do with a request: pure functions over immutable tables. No I/O, no async.

pub mod changes;
pub mod cluster;
pub mod cors;
pub mod decide;
pub mod head;
pub mod hosts;
pub mod limit;
pub mod matcher;
pub mod mirror;
pub mod redirect;
pub mod retry;
pub mod rewrite;
pub mod session;
pub mod share;
pub mod sni;
pub mod table;
pub mod wheel;

#[cfg(test)]
mod tests;

pub use decide::{Budget, Charged, Decision, Refusal, decide};
pub use head::{Head, Headers};
