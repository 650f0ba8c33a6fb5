//! The cluster's API server: one way to it for the whole server, and what it answers in words for people.

mod client;
mod failure;

pub use client::{ApiServer, DEADLINE};
pub use failure::{Cause, Failure};
