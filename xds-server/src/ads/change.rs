//! What a change to the resources is to those who have some of them. Pure.

use std::sync::Arc;

use weir_config::model::ResourceType;

use crate::scope::Scope;

/// A name whose resource is new, different or gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Type.
    pub kind: ResourceType,
    /// Name.
    pub name: Arc<str>,
    /// Whether it changed for those who get virtual hosts inside their RouteConfiguration, or for the others; none:
    /// for all.
    pub inline: Option<bool>,
    /// The scope that came to hold it, or holds it no longer; none: the resource itself changed.
    pub scope: Option<Scope>,
}
