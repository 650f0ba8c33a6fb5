//! The Gateway API's objects (v1.6, group `gateway.networking.k8s.io`).

mod backend_tls_policy;
mod common;
mod filter;
mod gateways;
mod grant;
mod grpc_route;
mod http_route;
mod l4_route;
mod listener_set;

pub use backend_tls_policy::*;
pub use common::*;
pub use filter::*;
pub use gateways::*;
pub use grant::*;
pub use grpc_route::*;
pub use http_route::*;
pub use l4_route::*;
pub use listener_set::*;

/// API group of the Gateway API.
pub const GATEWAY_GROUP: &str = "gateway.networking.k8s.io";
