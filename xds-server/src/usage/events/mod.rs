//! Usage as CloudEvents over HTTP to a billing system: at least once, with ids that stay the same.
//!
//! [`make`] turns a range of batches into events, [`answer`] says what a receiver's answer means, [`split`]
//! finds the events that it will not take: all three are pure. [`send`] makes one request, [`exporter`]
//! is the task.

pub mod answer;
pub mod exporter;
pub mod make;
pub mod send;
pub mod split;

/// Under this name the store knows how far the exporter is.
pub const EXPORTER: &str = "events";

#[cfg(test)]
mod tests;
