//! The Gateway API's objects (v1.6, group `gateway.networking.k8s.io`).

mod common;
mod filter;
mod gateways;
mod grant;
mod http_route;

pub use common::*;
pub use filter::*;
pub use gateways::*;
pub use grant::*;
pub use http_route::*;

/// API group of the Gateway API.
pub const GATEWAY_GROUP: &str = "gateway.networking.k8s.io";
