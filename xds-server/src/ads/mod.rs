//! Aggregated discovery service (delta xDS v3).
//!
//! [`store`] holds every resource encoded once and tells what changed; [`View`] is what one stream may
//! see of them; [`subscription`] is that stream as a state machine without I/O; [`service`] moves
//! messages between the two and the wire; [`registry`] remembers what each proxy acknowledged.

mod acknowledged;
pub mod encoded;
mod form;
mod held;
pub mod registry;
pub mod resources;
pub mod service;
pub mod store;
pub mod subscription;
mod view;

#[cfg(test)]
mod tests;

pub use acknowledged::{Acknowledged, Refused};
pub use encoded::{Encoded, Reference, Version};
pub use form::Form;
pub use registry::{ProxyReport, Registry, Rejection, TypeReport};
pub use resources::{Change, Resources};
pub use service::DeltaService;
pub use store::{Interest, Store};
pub use view::View;
