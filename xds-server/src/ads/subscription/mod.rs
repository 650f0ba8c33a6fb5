//! One stream as a state machine: no I/O, no async, time passed in.
//!
//! Requests and changes go in, [`Subscriptions::poll`] says what to send next. The rules (xDS
//! protocol, both variants; and how Envoy 1.40 behaves):
//!
//! - One response of a type is under way at a time. Versions advance when they are sent, so a
//!   refused version is not sent again until there is another, or the client asks anew.
//! - What is new goes out in the order of [`ResourceType::ALL`]; then removals, in the reverse.
//! - Envoy does not warm routes: what refers to a cluster waits until the client accepted the
//!   cluster and its endpoints. A resource is removed once nothing that the client holds refers to
//!   it. Both waits end after [`HOLD`], for a client that never asks or never answers.
//! - A cluster that is sent makes Envoy wait for its endpoints, which it does not ask for if it
//!   has them under another cluster: they are sent again.
//! - State of the world is the same, told otherwise: the client names all that it wants each time, and of
//!   clusters and listeners every response holds the whole set ([`whole`]), so that what may not go yet
//!   stays in it. Of the other types a response holds what is new; that one is gone cannot be said.
//! - A stream of one type alone waits for no other: removals go [`HOLD`] after the change, so that streams
//!   beside it are told first. Only listeners and virtual hosts, which nothing refers to, go at once.

mod kind;
mod message;
mod on_demand;
mod requests;
mod sending;
mod standing;
mod whole;
mod world;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_config::model::ResourceType;

pub use kind::Refusal;
pub use message::{Excess, Item, MAX_BYTES, MAX_NAME, MAX_NAMES, Request, Response};
pub use requests::Answer;
pub use standing::{ResourceStatus, Sync};
pub use world::WorldRequest;

use super::registry::{Rejection, TypeReport};
use super::resources::Change;
use super::view::View;
use kind::{Held, Kind, Standing, Uses};

/// How long a resource waits for what should stand before it.
pub const HOLD: Duration = Duration::from_secs(5);
/// Bytes of resources in a response, unless one alone has more. gRPC clients take 4 MiB by default.
pub const MAX_RESPONSE: usize = 1 << 20;

/// Refused resources of a type that a report names; what is behind the first hundred has the same cause.
const MAX_REPORTED: usize = 100;

/// The variants of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// Incremental xDS: changes of what is asked for, and of resources.
    Delta,
    /// State of the world: all that is asked for, each time.
    World,
}

/// What sort of stream it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// Variant of the protocol.
    pub variant: Variant,
    /// Whether it has one type alone, and the others have streams of their own.
    pub alone: bool,
}

impl Mode {
    /// All types on one delta stream: what Weir's proxy opens.
    pub const DELTA: Self = Self { variant: Variant::Delta, alone: false };

    /// Whether it is incremental.
    pub fn is_delta(self) -> bool {
        self.variant == Variant::Delta
    }
}

/// The state of a stream.
#[derive(Debug)]
pub struct Subscriptions {
    mode: Mode,
    kinds: [Kind; ResourceType::ALL.len()],
    uses: Uses,
    nonce: u64,
    opened: Instant,
    /// Endpoints of clusters that were sent before the client said what endpoints it has.
    warming: BTreeSet<Arc<str>>,
    /// Virtual hosts that were asked for on demand.
    asked: on_demand::Asked,
}

impl Subscriptions {
    /// A stream on which nothing was asked yet.
    pub fn new(mode: Mode, now: Instant) -> Self {
        let mut kinds: [Kind; ResourceType::ALL.len()] = Default::default();
        for kind in ResourceType::ALL.iter().filter(|kind| !mode.is_delta() && whole::is_whole(**kind)) {
            kinds[*kind as usize].whole = Some(whole::Whole::default());
        }
        Self {
            mode,
            opened: now,
            kinds,
            uses: Uses::default(),
            nonce: 0,
            warming: BTreeSet::new(),
            asked: on_demand::Asked::default(),
        }
    }

    /// Takes changes in.
    pub fn changed(&mut self, changes: &[Change], view: &View<'_>, now: Instant) {
        for change in changes.iter().filter(|change| change.concerns(view)) {
            if change.kind == ResourceType::VirtualHost {
                self.demand_again(&change.name, view, now);
            }
            let kind = &mut self.kinds[change.kind as usize];
            if kind.covers(change.kind, view.form(), &change.name) {
                kind.mark(&change.name, false, now);
            }
        }
    }

    /// Compares all that is subscribed with what is there: for a stream that missed changes.
    pub fn compare(&mut self, view: &View<'_>, now: Instant) {
        self.demand_all_again(view, now);
        for kind in ResourceType::ALL {
            let state = &mut self.kinds[*kind as usize];
            let known = state.known();
            let there = view.of(*kind).map(|resource| &resource.name);
            for name in there.chain(&known) {
                if state.covers(*kind, view.form(), name) {
                    state.mark(name, false, now);
                }
            }
        }
    }

    /// When to poll again though nothing happens; none: not before something does.
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        let pending = self.kinds.iter().flat_map(|kind| kind.pending.values());
        pending.map(|pending| pending.since + HOLD).filter(|end| *end > now).min()
    }

    /// What the client has and said, for people.
    pub fn report(&self) -> Vec<TypeReport> {
        let asked = ResourceType::ALL.iter().filter(|kind| self.kinds[**kind as usize].asked);
        asked.map(|kind| self.kinds[*kind as usize].report(*kind)).collect()
    }
}

impl Kind {
    fn report(&self, kind: ResourceType) -> TypeReport {
        let rejections = self.refused.iter().take(MAX_REPORTED).map(|(name, refusal)| Rejection {
            name: name.to_string(),
            version: refusal.version.to_string(),
            message: refusal.text.to_string(),
        });
        let accepted = |held: &Held| held.told.filter(|_| held.standing == Standing::Accepted);
        let versions = self.held.iter().filter(|_| kind == ResourceType::Listener);
        let versions = versions.filter_map(|(name, held)| Some((name.to_string(), accepted(held)?.to_string())));
        TypeReport {
            versions: versions.collect(),
            type_name: kind.message().to_owned(),
            wildcard: self.wildcard,
            subscribed: self.names.len(),
            resources: self.held.len(),
            waiting: self.pending.len(),
            sent: self.sent_sequence,
            acknowledged: self.accepted_sequence,
            rejections: rejections.collect(),
        }
    }
}
