//! Discovery services (xDS v3): delta and state of the world, all types on one stream or a stream each.
//!
//! [`store`] holds every resource encoded once and tells what changed; [`View`] is what one stream may
//! see of them; [`subscription`] is that stream as a state machine without I/O; [`service`] moves
//! messages between the two and the wire; [`registry`] knows the open streams, and [`csds`] tells of them.

mod acknowledged;
pub mod admission;
mod change;
pub mod csds;
pub mod encoded;
mod form;
mod held;
mod live;
mod matching;
mod mode;
pub mod registry;
mod report;
pub mod resources;
pub mod service;
pub mod store;
pub mod subscription;
mod view;

#[cfg(test)]
mod tests;

pub use acknowledged::{Acknowledged, Refused};
pub use admission::Admission;
pub use change::Change;
pub use csds::ClientStatuses;
pub use encoded::{Encoded, Reference, Version};
pub use form::{Form, Hosts};
pub use live::Live;
pub use registry::{Proxy, Registry};
pub use report::{ProxyReport, Rejection, TypeReport};
pub use resources::Resources;
pub use service::Discovery;
pub use store::{Interest, Store};
pub use view::View;
