//! The control half of Weir: objects in, standard xDS out.
//!
//! One way: [`watch`] reads objects, [`index`] keeps them and says which tenants a change touches,
//! [`translate`] makes resources and conditions of them, [`ads`] serves the resources. [`server`]
//! puts them together.

pub mod admin;
pub mod ads;
pub mod apiserver;
pub mod auth;
pub mod explain;
pub mod index;
pub mod leader;
pub mod metrics;
pub mod namespaces;
pub mod publish;
pub mod scope;
pub mod seen;
pub mod server;
pub mod state;
pub mod status;
mod steady;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod translate;
pub mod usage;
pub mod watch;
