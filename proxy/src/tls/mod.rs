//! Certificates of listeners.
//!
//! A certificate lives in a [`SecretSlot`], which TLS settings point to: renewing it swaps the
//! slot's content and touches neither the listener nor its connections.

mod certificate;
mod terminator;

pub use certificate::{Certificate, SecretSlot, parse};
pub use terminator::Terminator;

#[cfg(test)]
mod tests;
