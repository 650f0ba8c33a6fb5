//! Certificates: of listeners, of their clients, of endpoints.
//!
//! A certificate lives in a [`SecretSlot`], which TLS settings point to: renewing it swaps the
//! slot's content and touches neither the listener nor its connections. Its key is parsed when a handshake first needs
//! it ([`Certificate`]), and as many parsed ones are held as [`Keys`] may hold.
//! A handshake whose certificate is not there waits for it, by [`Wants`].

mod certificate;
mod clients;
mod keys;
mod origin;
mod roots;
mod slot;
mod terminator;
mod wants;

pub use certificate::{Certificate, check};
pub use clients::verifier;
pub use keys::{KeyCounts, Keys};
pub use origin::Origin;
pub use roots::roots;
pub use slot::SecretSlot;
pub use terminator::{ChainTls, Terminator};
pub use wants::{WantCounts, Wants};

/// Protocols that the engine speaks, by their ALPN names; no other is offered.
pub const ALPN: &[&str] = &["h2", "http/1.1", "http/1.0"];

#[cfg(test)]
mod tests;
