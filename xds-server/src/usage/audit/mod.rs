//! Whether all that proxies counted was stored once, summed right, and exported.
//!
//! The checks are pure: [`sequences`] (what is stored of every epoch), [`proxies`] (beside what proxies say
//! that they logged), [`sums`] (batches, hours and days), [`outside`] (what was kept aside or not exported).
//! [`collect`] reads a store and runs those that need no proxy.

pub mod collect;
mod finding;
pub mod outside;
pub mod proxies;
pub mod sequences;
pub mod sums;

pub use finding::{Finding, Kind, Report, Severity};
