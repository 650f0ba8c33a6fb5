//! What tenants used: taken from proxies, kept, and given out.
//!
//! One way: [`batch`] is what a proxy sends, checked; a store applies it once; everything that is
//! given out is read from the store.

pub mod batch;
pub mod events;
pub mod format;
pub mod query;
pub mod span;

pub use batch::{Batch, BatchError, Epoch};
