//! Certificates: of listeners, of their clients, of endpoints.
//!
//! A certificate lives in a [`SecretSlot`], which TLS settings point to: renewing it swaps the
//! slot's content and touches neither the listener nor its connections.

mod certificate;
mod clients;
mod origin;
mod roots;
mod terminator;

pub use certificate::{Certificate, SecretSlot, parse};
pub use clients::verifier;
pub use origin::Origin;
pub use roots::roots;
pub use terminator::Terminator;

/// Protocols that the engine speaks, by their ALPN names; no other is offered.
pub const ALPN: &[&str] = &["h2", "http/1.1", "http/1.0"];

#[cfg(test)]
mod tests;
