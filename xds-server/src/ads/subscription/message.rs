//! What a stream hears and says, without protobuf.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_config::model::ResourceType;

use crate::ads::encoded::{Encoded, Version};

/// `DeltaDiscoveryRequest`, as far as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `type_url`.
    pub kind: ResourceType,
    /// `resource_names_subscribe`.
    pub subscribe: Vec<String>,
    /// `resource_names_unsubscribe`.
    pub unsubscribe: Vec<String>,
    /// `initial_resource_versions`; read on the first request of a type only.
    pub initial: Vec<(String, String)>,
    /// `response_nonce`; empty: not an answer.
    pub nonce: String,
    /// `error_detail.message`; present: a NACK.
    pub error: Option<String>,
}

impl Request {
    /// A request for `kind` that says nothing more.
    pub fn new(kind: ResourceType) -> Self {
        Self {
            kind,
            subscribe: Vec::new(),
            unsubscribe: Vec::new(),
            initial: Vec::new(),
            nonce: String::new(),
            error: None,
        }
    }
}

/// One entry of `DeltaDiscoveryResponse.resources`.
#[derive(Clone, Debug)]
pub enum Item {
    /// A resource.
    Present(Arc<Encoded>),
    /// A virtual host that does not exist: its name without a body, as VHDS answers.
    Absent(Arc<str>),
}

/// `DeltaDiscoveryResponse`, or `DiscoveryResponse`.
#[derive(Clone, Debug)]
pub struct Response {
    /// `type_url`.
    pub kind: ResourceType,
    /// `nonce`.
    pub nonce: String,
    /// `system_version_info`: number of the server's newest change.
    pub sequence: u64,
    /// `resources`.
    pub items: Vec<Item>,
    /// `removed_resources`; none in a state-of-the-world response.
    pub removed: Vec<Arc<str>>,
    /// `version_info` of a state-of-the-world response.
    pub version: Option<Version>,
    /// `aliases` of those of `items` that were asked for by other names than their own.
    pub aliases: BTreeMap<Arc<str>, Vec<Arc<str>>>,
}

/// A client that asks for more than one stream may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Excess {
    /// Too many names of one type.
    #[error("a stream may subscribe to at most {MAX_NAMES} names of a type")]
    Names,
    /// Names of one type that are too long together.
    #[error("the names that a stream subscribes to may have at most {MAX_BYTES} bytes together, of each type")]
    Bytes,
    /// A name that is too long.
    #[error("a resource name may have at most {MAX_NAME} bytes")]
    Name,
}

/// Names that a stream may subscribe to, of each type.
pub const MAX_NAMES: usize = 1_000_000;
/// Bytes of these names together: so much memory a stream can take, and no more.
pub const MAX_BYTES: usize = 128 << 20;
/// Bytes of a name.
pub const MAX_NAME: usize = 4096;
