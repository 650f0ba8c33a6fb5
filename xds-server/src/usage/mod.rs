//! What tenants used: taken from proxies, kept, and given out.
//!
//! One way: [`batch`] is what a proxy sends, checked; [`scope`] says whose rows its sender may report,
//! which [`reporters`] find out from what it was [`given`];
//! [`book`] decides what becomes of it; [`store`] applies that once; [`intake`] gathers the batches of all
//! streams of the [`service`]. Everything that is given out is read from the store: [`query`] plans what is
//! read for a question, [`answer`] reads it, [`page`] gives it out over HTTP, [`events`] to a billing system;
//! [`audit`] looks for gaps. A stock Envoy, which sends no batches, is heard by [`als`].

pub mod als;
pub mod answer;
pub mod audit;
pub mod batch;
pub mod book;
pub mod events;
pub mod format;
pub mod given;
pub mod intake;
pub mod metrics;
pub mod page;
pub mod query;
pub mod reporters;
pub mod scope;
pub mod service;
pub mod span;
pub mod store;

#[cfg(test)]
mod fuzz;

pub use batch::{Batch, BatchError, Epoch};
pub use scope::Scope;
pub use store::{Store, StoreError};
