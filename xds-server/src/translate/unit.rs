//! What is worked out together.

use weir_config::kinds::SYSTEM_TENANT;

use super::classes::EdgeId;
use crate::index::{Belongs, NsName, Tenancy};

/// Whose routes are worked out together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Group {
    /// The platform.
    System,
    /// A tenant.
    Tenant(String),
    /// A namespace that no tenant has, or several: nothing but conditions.
    Unowned(String),
}

impl Group {
    /// The group of a namespace.
    pub(crate) fn of(tenancy: &Tenancy, namespace: &str) -> Self {
        match tenancy.of(namespace) {
            Belongs::System | Belongs::Unassigned => Group::System,
            Belongs::Tenant(name) => Group::Tenant(name),
            Belongs::Nobody | Belongs::Conflict(_) => Group::Unowned(namespace.to_owned()),
        }
    }

    /// Name of the tenant in resources.
    pub(crate) fn tenant(&self) -> Option<&str> {
        match self {
            Group::System => Some(SYSTEM_TENANT),
            Group::Tenant(name) => Some(name),
            Group::Unowned(_) => None,
        }
    }

    /// The tenant as owner of names: the platform owns those that no Tenant has.
    pub(crate) fn names(&self) -> Option<&str> {
        match self {
            Group::Tenant(name) => Some(name),
            Group::System | Group::Unowned(_) => None,
        }
    }
}

/// A port of an edge: its listeners are worked out together, and know nothing of other edges'.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PortId {
    pub(crate) edge: EdgeId,
    pub(crate) number: u16,
}

/// Who made a resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Maker {
    /// The listeners of a port.
    Port(PortId),
    /// The sockets of a port, with the chains of routes.
    Sockets(PortId),
    /// A tenant's routes.
    Group(Group),
    /// The borders between tenants and listeners.
    Carve,
    /// A Service's endpoints.
    Endpoints(NsName),
    /// A Secret.
    Secret(NsName),
    /// The plans.
    Limits,
}
