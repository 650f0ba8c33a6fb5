//! What tests of this crate, of the whole system and of its speed share.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "what a test needs is there, or the test fails")]

pub mod postgres;
pub mod receiver;
