//! What tenants used: taken from proxies, kept, and given out.
//!
//! One way: [`batch`] is what a proxy sends, checked; [`scope`] says whose rows its sender may report;
//! [`book`] decides what becomes of it; [`store`] applies that once; everything that is given out is
//! read from the store.

pub mod batch;
pub mod book;
pub mod events;
pub mod format;
pub mod query;
pub mod scope;
pub mod span;
pub mod store;

pub use batch::{Batch, BatchError, Epoch};
pub use scope::Scope;
pub use store::{Store, StoreError};
