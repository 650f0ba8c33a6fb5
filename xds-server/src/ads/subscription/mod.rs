//! One delta stream as a state machine: no I/O, no async, time passed in.
//!
//! Requests and changes go in, [`Subscriptions::poll`] says what to send next. The rules (xDS
//! protocol, "Incremental xDS"; and how Envoy 1.40 behaves):
//!
//! - One response of a type is under way at a time. Versions advance when they are sent, so a
//!   refused version is not sent again until there is another, or the client asks anew.
//! - What is new goes out in the order of [`ResourceType::ALL`]; then removals, in the reverse.
//! - Envoy does not warm routes: what refers to a cluster waits until the client accepted the
//!   cluster and its endpoints. A resource is removed once nothing that the client holds refers to
//!   it. Both waits end after [`HOLD`], for a client that never asks or never answers.
//! - A cluster that is sent makes Envoy wait for its endpoints, which it does not ask for if it
//!   has them under another cluster: they are sent again.

mod kind;
mod message;
mod requests;
mod sending;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_config::model::ResourceType;

pub use kind::Refusal;
pub use message::{Excess, Item, MAX_BYTES, MAX_NAME, MAX_NAMES, Request, Response};
pub use requests::Answer;

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

/// The state of a stream.
#[derive(Debug)]
pub struct Subscriptions {
    kinds: [Kind; ResourceType::ALL.len()],
    uses: Uses,
    nonce: u64,
    opened: Instant,
    /// Endpoints of clusters that were sent before the client said what endpoints it has.
    warming: BTreeSet<Arc<str>>,
}

impl Subscriptions {
    /// A stream on which nothing was asked yet.
    pub fn new(now: Instant) -> Self {
        Self { opened: now, kinds: Default::default(), uses: Uses::default(), nonce: 0, warming: BTreeSet::new() }
    }

    /// Takes changes in.
    pub fn changed(&mut self, changes: &[Change], view: &View<'_>, now: Instant) {
        for change in changes.iter().filter(|change| change.concerns(view)) {
            let kind = &mut self.kinds[change.kind as usize];
            if kind.covers(change.kind, view.form(), &change.name) {
                kind.mark(&change.name, false, now);
            }
        }
    }

    /// Compares all that is subscribed with what is there: for a stream that missed changes.
    pub fn compare(&mut self, view: &View<'_>, now: Instant) {
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
