//! Start-up settings of the two halves, as YAML. They are read once; everything that may change
//! while a process runs travels as configuration instead.
//!
//! Every field is optional but the few without a sensible default. A field that is not known is
//! an error that suggests the nearest name.

mod certificates;
mod edge_address;
mod edge_service;
mod envoy;
mod identity;
mod load;
mod proxy;
mod read;
mod server;
mod usage;
mod value;

pub use certificates::ProxyCertificates;
pub use edge_address::EdgeAddress;
pub use edge_service::{EdgeService, ServiceName, ServiceType, TrafficScope};
pub use envoy::{EnvoyFiles, EnvoySettings, EnvoyTls, envoy_bootstrap};
pub use identity::{Authentication, ClientTls, Issuer, ProxyClass, ServerTls, ServiceAccount};
pub use load::Load;
pub use proxy::{Node, ProxyBootstrap};
pub use server::{Edge, Kubernetes, ServerBootstrap, Source, Unassigned, XdsPort};
pub use usage::{Events, ProxyUsage, Retention, ServerUsage};
pub use value::{Address, Admin, Endpoint, Period, Target};

#[cfg(test)]
mod tests;
