//! Who is calling: what proves it, and for how long it holds.
//!
//! The [`gate`] of the xDS port puts a [`Caller`] into the extensions of every request that it lets in; services ask
//! there who it is, and never look at what a caller says of itself.
//!
//! A request's credential is a [`token`] (checked by an issuer's [`keys`], or by the API server: [`review`]) or a
//! [`certificate`]. The [`door`] has it checked and remembers it among [`proofs`]; [`roles`] say what the account is
//! here. Without a cluster the server is an [`issuer`] itself.

pub mod certificate;
pub mod clock;
pub mod door;
pub mod files;
pub mod gate;
mod identity;
pub mod issuer;
pub mod keys;
pub mod life;
pub mod peer;
pub mod proofs;
pub mod refusal;
mod reports;
pub mod review;
pub mod roles;
pub mod token;

pub use identity::{Caller, Identity, Principal};
