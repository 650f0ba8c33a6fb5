//! [`crate::model`] to xDS v3 messages and back. `decode(encode(x)) == x` for every model type, and
//! `encode` is deterministic: equal values are equal bytes, in every process.
//!
//! Reading is strict about meaning and lenient about noise: a field that would change what a proxy
//! does, and that Weir does not support, is an error with the field's path; a field that only
//! tunes or names (statistics, comments, tracing left out) is passed over.

use bytes::Bytes;

use crate::FieldError;
use crate::model::{Resource, ResourceType};

/// The key of Weir's own metadata in `metadata.filter_metadata`.
pub const METADATA: &str = "weir.dev";
/// Client feature by which a node asks for VHDS.
pub const FEATURE_VHDS: &str = "weir.dev/vhds";

/// The message of a resource, as the `value` of the `Any` that carries it.
pub fn encode(resource: &Resource) -> Bytes {
    let _ = resource;
    unimplemented!()
}

/// Reads the `value` of an `Any` of type `kind`.
///
/// # Errors
/// Every field that cannot be used, in the order of the message.
pub fn decode(kind: ResourceType, value: &[u8]) -> Result<Resource, Vec<FieldError>> {
    let _ = (kind, value);
    unimplemented!()
}
