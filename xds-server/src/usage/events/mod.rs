//! Usage as CloudEvents over HTTP to a billing system: at least once, with ids that stay the same.
//!
//! [`make`] turns a range of batches into events, [`answer`] says what a receiver's answer means, [`split`]
//! finds the events that it will not take.

pub mod answer;
pub mod make;
pub mod split;
