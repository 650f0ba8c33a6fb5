//! How usage is reported: from the log to the server, in order, until it is acknowledged.
//!
//! One way: [`stream`] moves messages between the server and [`state`], which says what is to be sent
//! and what was stored; [`retry`] says when to try again. What is logged, and what becomes of it, is
//! [`crate::meter`]'s.

pub mod retry;
pub mod state;
pub mod stream;

#[cfg(test)]
mod tests;
