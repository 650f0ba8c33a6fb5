//! The state of one stream, and what changes of resources do to it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_config::model::ResourceType;

use super::asked::Asked;
use super::kind::{Held, Kind, Standing, Uses};
use super::whole::{Whole, is_whole};
use crate::ads::change::Change;
use crate::ads::mode::Mode;
use crate::ads::report::{Rejection, TypeReport};
use crate::ads::view::View;

/// How long a resource waits for what should stand before it.
pub const HOLD: Duration = Duration::from_secs(5);
/// Bytes of resources in a response, unless one alone has more. gRPC clients take 4 MiB by default.
pub const MAX_RESPONSE: usize = 1 << 20;

/// Refused resources of a type that a report names; what is behind the first hundred has the same cause.
const MAX_REPORTED: usize = 100;

/// The state of a stream.
#[derive(Debug)]
pub struct Subscriptions {
    pub(super) mode: Mode,
    pub(super) kinds: [Kind; ResourceType::ALL.len()],
    pub(super) uses: Uses,
    pub(super) nonce: u64,
    pub(super) opened: Instant,
    /// Endpoints of clusters that were sent before the client said what endpoints it has.
    pub(super) warming: BTreeSet<Arc<str>>,
    /// Virtual hosts that were asked for on demand.
    pub(super) asked: Asked,
}

impl Subscriptions {
    /// A stream on which nothing was asked yet.
    pub fn new(mode: Mode, now: Instant) -> Self {
        let mut kinds: [Kind; ResourceType::ALL.len()] = Default::default();
        for kind in ResourceType::ALL.iter().filter(|kind| !mode.is_delta() && is_whole(**kind)) {
            kinds[*kind as usize].whole = Some(Whole::default());
        }
        Self {
            mode,
            opened: now,
            kinds,
            uses: Uses::default(),
            nonce: 0,
            warming: BTreeSet::new(),
            asked: Asked::default(),
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
