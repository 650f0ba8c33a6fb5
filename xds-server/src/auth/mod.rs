//! Who is calling: what proves it, and for how long it holds.
//!
//! The xDS port puts a [`Caller`] into the extensions of every request that it lets in; services ask
//! there who it is, and never look at what a caller says of itself.

mod identity;

pub use identity::{Caller, Identity, Principal};
