//! One stream as a state machine: no I/O, no async, time passed in.
//!
//! Requests and changes go in, [`Subscriptions::poll`] says what to send next. The rules (xDS
//! protocol, both variants; and how Envoy 1.40 behaves):
//!
//! - One response of a type is under way at a time. Versions advance when they are sent, so a
//!   refused version is not sent again until there is another, or the client asks anew.
//! - What is new goes out in the order of [`ResourceType::ALL`]; then removals, in the reverse.
//! - Envoy does not warm routes: what refers to a cluster waits until the client accepted the
//!   cluster and its endpoints. A resource is removed once nothing that the client holds refers to
//!   it. Both waits end after [`HOLD`], for a client that never asks or never answers.
//! - A cluster that is sent makes Envoy wait for its endpoints, which it does not ask for if it
//!   has them under another cluster: they are sent again.
//! - State of the world is the same, told otherwise: the client names all that it wants each time, and of
//!   clusters and listeners every response holds the whole set ([`whole`]), so that what may not go yet
//!   stays in it. Of the other types a response holds what is new; that one is gone cannot be said.
//! - A stream of one type alone waits for no other: removals go [`HOLD`] after the change, so that streams
//!   beside it are told first. Only listeners and virtual hosts, which nothing refers to, go at once.

mod asked;
mod kind;
mod message;
mod on_demand;
mod requests;
mod sending;
mod standing;
mod stream;
mod whole;
mod world;

pub use super::mode::{Mode, Variant};
pub use kind::Refusal;
pub use message::{Excess, Item, MAX_BYTES, MAX_NAME, MAX_NAMES, Request, Response};
pub use requests::Answer;
pub use standing::{ResourceStatus, Sync};
pub use stream::{HOLD, MAX_RESPONSE, Subscriptions};
pub use world::WorldRequest;
