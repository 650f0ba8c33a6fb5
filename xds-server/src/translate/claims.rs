//! What routes of whole connections claim, and wish.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use weir_config::kinds::ObjectKey;
use weir_config::model::{Owner, Split};

use super::unit::PortId;
use crate::index::{Age, Pattern};

/// Name of a listener's chains at an address, and the name that a client asks for: `*` where it asks for none.
pub(crate) type Spot = (String, Pattern);

/// What a group claims, by port: of each spot the best claim of its routes.
pub(crate) type Claims = BTreeMap<PortId, BTreeMap<Spot, Claim>>;

/// What a group's routes wish, by port: every one, those behind the best too.
pub(crate) type Wishes = BTreeMap<PortId, BTreeMap<Spot, BTreeSet<Wish>>>;

/// That a route wants what comes in at a spot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Wish {
    /// As [`Claim::order`].
    pub(crate) order: (Reverse<usize>, Age),
    pub(crate) route: ObjectKey,
    /// Place of its entry of `status.parents`.
    pub(crate) parent: usize,
    /// The port's number, and whether names tell connections apart there.
    pub(crate) port: u16,
    pub(crate) named: bool,
}

/// A route that wants what comes in at a spot.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Claim {
    /// The more specific hostname first, then the older route.
    pub(crate) order: (Reverse<usize>, Age),
    /// Whose it is.
    pub(crate) owner: Option<Owner>,
    /// Where it goes.
    pub(crate) split: Split,
}

impl Claim {
    /// The route, as part of names: `<namespace>/<name>`.
    pub(crate) fn route(&self) -> String {
        let (_, age) = &self.order;
        format!("{}/{}", age.namespace, age.name)
    }
}
