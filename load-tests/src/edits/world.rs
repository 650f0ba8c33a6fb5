//! Which fleet is measured.

use serde_json::Value;

use super::{manifests, sets};
use crate::upstream::Upstream;

/// What tenants of a fleet have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum World {
    /// Two routes each, at the platform's one listener.
    Plain,
    /// A ListenerSet each, with so many routes.
    Sets { routes: u32 },
}

impl World {
    /// Where tenants are served.
    pub(crate) fn port(self, platform: u16) -> u16 {
        match self {
            Self::Plain => platform,
            Self::Sets { .. } => sets::PORT,
        }
    }

    /// Whether they are served over TLS.
    pub(crate) fn tls(self) -> bool {
        matches!(self, Self::Sets { .. })
    }

    /// Objects of one tenant.
    pub(crate) fn objects(self) -> u32 {
        match self {
            Self::Plain => manifests::OBJECTS,
            Self::Sets { routes } => sets::BESIDES + routes,
        }
    }

    pub(super) fn platform(self, port: u16) -> Vec<Value> {
        match self {
            Self::Plain => manifests::platform(port),
            Self::Sets { .. } => sets::platform(port),
        }
    }

    pub(super) fn tenant(self, n: u32, upstream: &Upstream) -> anyhow::Result<Vec<Value>> {
        match self {
            Self::Plain => Ok(manifests::tenant(n, upstream)),
            Self::Sets { routes } => sets::tenant(n, routes, upstream),
        }
    }

    pub(super) fn edited(self, n: u32, edit: u32) -> Value {
        match self {
            Self::Plain => manifests::edited(n, edit),
            Self::Sets { .. } => sets::edited(n, edit),
        }
    }
}
