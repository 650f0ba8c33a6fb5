//! The objects that people write: Weir's own kinds, the Gateway API's, and the plain Kubernetes
//! kinds that Weir reads.
//!
//! The Gateway API's types are written by hand rather than generated: a generated tree names the
//! same struct anew at every place it stands, and the translation of `HTTPRoute` and its siblings
//! wants one `BackendRef`, one `ParentReference`, one header modifier.

pub mod crds;
pub mod gateway;
pub mod manifest;
mod object;
pub mod plan;
pub mod quantity;
pub mod tenant;
pub mod traffic_policy;
mod validate;

pub use object::{Kind, Object, ObjectKey, plural};
pub use validate::validate;

/// API group of Weir's own kinds.
pub const GROUP: &str = "weir.dev";
/// Version of Weir's own kinds.
pub const VERSION: &str = "v1alpha1";
/// The `controllerName` of a GatewayClass that Weir serves.
pub const CONTROLLER_NAME: &str = "weir.dev/gateway-controller";
/// Label, and its value, of what the server makes in a cluster for a Gateway.
pub const MADE_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "weir-server");
/// Label of what is made for a Gateway: the Gateway's name (`GatewayNameLabelKey` of the Gateway API).
pub const GATEWAY_NAME_LABEL: &str = "gateway.networking.k8s.io/gateway-name";
/// Label of what is made for a Gateway: the GatewayClass's name.
pub const GATEWAY_CLASS_LABEL: &str = "gateway.networking.k8s.io/gateway-class-name";
/// Label by which a namespace belongs to a tenant, where the Tenant has no selector of its own.
pub const TENANT_LABEL: &str = "weir.dev/tenant";
/// The reserved tenant of the platform itself.
pub const SYSTEM_TENANT: &str = "system";
