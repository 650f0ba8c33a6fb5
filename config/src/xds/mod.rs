//! [`crate::model`] to xDS v3 messages and back. `decode(encode(x)) == x` for every model type, and
//! `encode` is deterministic: equal values are equal bytes, in every process.
//!
//! Reading is strict about meaning and lenient about noise: a field that would change what a proxy
//! does, and that Weir does not support, is an error with the field's path; a field that only
//! tunes or names (statistics, comments, tracing left out) is passed over.

mod access_log;
mod cluster;
mod cors;
mod dropped;
mod endpoint;
mod headers;
mod http;
mod http2;
mod http_filter;
pub mod json;
mod listener;
mod local_rate_limit;
mod metadata;
mod mirror;
mod per_route;
mod read;
mod redirect;
mod retry;
mod rewrite;
mod route;
mod route_action;
mod route_match;
mod scalar;
mod secret;
mod session;
mod split;
mod string_match;
mod style;
mod tcp_proxy;
#[cfg(test)]
mod tests;
mod tls;
mod udp_proxy;
mod upstream_protocol;
mod usage_log;
mod validation;
mod virtual_host;
mod wire;

use bytes::Bytes;
use prost13::{Message, Name};

use crate::FieldError;
use crate::model::{Resource, ResourceType};
use read::{At, Problems};
pub use style::{FEATURE_SEPARATE_STREAMS, FEATURE_VHDS_ON_DEMAND, Sources, Style};
pub use usage_log::{
    FEATURE_USAGE_ALS, SERVER_CLUSTER, TAG_CONNECTION, TAG_HOST_TENANT, TAG_MADE, TAG_TENANT, USAGE_INTERVAL, USAGE_LOG,
};

/// The key of Weir's own metadata in `metadata.filter_metadata`.
pub const METADATA: &str = "weir.dev";
/// Client feature by which a node asks for VHDS.
pub const FEATURE_VHDS: &str = "weir.dev/vhds";
/// The largest resource that is read, in bytes.
pub const MOST_BYTES: usize = 64 * 1024 * 1024;

/// The message of a resource, as the `value` of the `Any` that carries it.
pub fn encode(resource: &Resource) -> Bytes {
    encode_in(resource, Style::default())
}

/// The same, written in another style. Only the default one is read by Weir's proxies.
pub fn encode_in(resource: &Resource, style: Style) -> Bytes {
    let (message, shape) = match resource {
        Resource::Cluster(value) => (cluster::write(value, style).encode_to_vec(), &scalar::NO_MAPS),
        Resource::LoadAssignment(value) => (endpoint::write(value).encode_to_vec(), &scalar::NO_MAPS),
        Resource::Secret(value) => (secret::write(value).encode_to_vec(), &scalar::NO_MAPS),
        Resource::FilterConfig(value) => (local_rate_limit::write_resource(value).encode_to_vec(), &scalar::NO_MAPS),
        Resource::Listener(value) => (listener::write(value, style).encode_to_vec(), &wire::LISTENER),
        Resource::RouteConfiguration(value) => (route::write(value, style).encode_to_vec(), &wire::ROUTE_CONFIGURATION),
        Resource::VirtualHost(value) => (virtual_host::write(value).encode_to_vec(), &wire::VIRTUAL_HOST),
    };
    wire::canonical(message, shape).into()
}

/// Reads the `value` of an `Any` of type `kind`.
///
/// # Errors
/// Every field that cannot be used, in the order of the message.
pub fn decode(kind: ResourceType, value: &[u8]) -> Result<Resource, Vec<FieldError>> {
    if value.len() > MOST_BYTES {
        return Err(vec![FieldError::new("", format!("has {} bytes; the most is {MOST_BYTES}", value.len()))]);
    }
    match kind {
        ResourceType::Cluster => with(value, cluster::read),
        ResourceType::LoadAssignment => with(value, endpoint::read),
        ResourceType::Secret => with(value, secret::read),
        ResourceType::FilterConfig => with(value, local_rate_limit::read_resource),
        ResourceType::Listener => with(value, listener::read),
        ResourceType::RouteConfiguration => with(value, route::read),
        ResourceType::VirtualHost => with(value, virtual_host::read),
    }
}

/// Reads a message and hands it to the reader of its type.
fn with<M, T>(value: &[u8], read: fn(M, &At<'_>, &mut Problems) -> Option<T>) -> Result<Resource, Vec<FieldError>>
where
    M: Message + Name + Default,
    T: Into<Resource>,
{
    let mut problems = Problems::default();
    let message = scalar::decode::<M>(value, &At::ROOT, &mut problems);
    let read = message.and_then(|message| read(message, &At::ROOT, &mut problems)).map(Into::into);
    if read.as_ref().is_some_and(|resource: &Resource| resource.name().is_empty()) {
        problems.missing(&At::ROOT.field("name"));
    }
    problems.finish(read)
}
