//! One type of resources on one stream: what is subscribed, what the client holds, what it must hear.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use weir_config::model::ResourceType;
use weir_config::model::name::split_virtual_host;

use super::asked::wider;
use super::whole::Whole;
use crate::ads::encoded::{Reference, Version};
use crate::ads::form::{Form, Hosts};

/// How often each resource is referred to by what the client holds or was sent.
#[derive(Debug, Default)]
pub(super) struct Uses(HashMap<Reference, u32>);

impl Uses {
    fn retain(&mut self, references: &[Reference]) {
        for reference in references {
            *self.0.entry(reference.clone()).or_default() += 1;
        }
    }

    fn release(&mut self, references: &[Reference]) {
        for reference in references {
            if let Some(count) = self.0.get_mut(reference) {
                *count -= 1;
                if *count == 0 {
                    self.0.remove(reference);
                }
            }
        }
    }

    pub(super) fn any(&self, kind: ResourceType, name: &Arc<str>) -> bool {
        self.0.contains_key(&(kind, Arc::clone(name)))
    }
}

/// The client's answer to what it was told last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Waiting,
    Accepted,
    Rejected,
}

/// One resource, as the client knows it.
#[derive(Debug)]
pub(super) struct Held {
    /// Version that it was told last; none: that there is no such resource, or a version we do not know.
    pub(super) told: Option<Version>,
    pub(super) standing: Standing,
    /// Whether it has some version in use.
    pub(super) in_use: bool,
    /// The response that told it, so that the answer to an older one does not count.
    nonce: u64,
    /// References of the version in use.
    old: Arc<[Reference]>,
    /// References of the version told, until it is accepted.
    new: Arc<[Reference]>,
}

impl Held {
    /// Whether it may still hold something that a removal would take away.
    pub(super) fn may_have(&self) -> bool {
        self.in_use || self.told.is_some()
    }

    pub(super) fn refers_to(&self, reference: &Reference) -> bool {
        self.old.contains(reference) || self.new.contains(reference)
    }
}

/// A name that the client must hear of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    /// Since when.
    pub(super) since: Instant,
    /// Even if it was told the same before.
    pub(super) again: bool,
}

/// A response that was not answered yet.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) nonce: u64,
    pub(super) sequence: u64,
    /// `version_info`, of a state-of-the-world response.
    pub(super) version: Option<Version>,
    /// What it tells of, each with the version that the client used before.
    pub(super) names: Vec<(Arc<str>, Option<Version>)>,
}

/// A version that the client refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Which.
    pub version: Version,
    /// The one that it goes on using, where that is known.
    pub in_use: Option<Version>,
    /// What the client said.
    pub text: Arc<str>,
}

/// State of a type.
#[derive(Debug, Default)]
pub(super) struct Kind {
    pub(super) asked: bool,
    pub(super) wildcard: bool,
    /// It named something; of state-of-the-world streams only.
    pub(super) named: bool,
    pub(super) names: BTreeSet<Arc<str>>,
    /// Bytes of `names`.
    pub(super) bytes: usize,
    pub(super) held: HashMap<Arc<str>, Held>,
    pub(super) pending: BTreeMap<Arc<str>, Pending>,
    pub(super) in_flight: Option<InFlight>,
    pub(super) refused: BTreeMap<Arc<str>, Refusal>,
    /// Brought along in a version that is not known, hence with references that are not.
    pub(super) blind: BTreeSet<Arc<str>>,
    /// It asked for a set that may be empty, and waits for an answer even then.
    pub(super) owed: bool,
    /// Where every response is the whole set: what it was.
    pub(super) whole: Option<Whole>,
    pub(super) sent_sequence: u64,
    pub(super) accepted_sequence: u64,
}

impl Kind {
    /// Whether the client asked for `name`. A VHDS client asks for all hosts of a RouteConfiguration by its bare
    /// name, and on demand for all that are narrower than one which it has.
    pub(super) fn covers(&self, kind: ResourceType, form: Form, name: &str) -> bool {
        self.wildcard
            || self.names.contains(name)
            || (kind == ResourceType::VirtualHost && self.covers_host(form.hosts, name))
    }

    fn covers_host(&self, hosts: Hosts, name: &str) -> bool {
        match hosts {
            Hosts::Inline => false,
            Hosts::Each => split_virtual_host(name).is_some_and(|(routes, _)| self.names.contains(routes)),
            Hosts::OnDemand => wider(name).any(|wide| self.names.contains(&*wide)),
        }
    }

    /// The version that the client uses of what it was told of, where that is known.
    pub(super) fn before(&self, name: &Arc<str>) -> Option<Version> {
        let response = self.in_flight.as_ref()?;
        response.names.iter().find(|(told, _)| told == name).and_then(|(_, before)| *before)
    }

    /// The same, before it is told anything new.
    pub(super) fn in_use(&self, name: &Arc<str>) -> Option<Version> {
        let held = self.held.get(name)?;
        match held.standing {
            Standing::Accepted => held.told,
            Standing::Rejected => self.refused.get(name).and_then(|refusal| refusal.in_use),
            Standing::Waiting => None,
        }
    }

    /// Notes that the client asks for `name`.
    pub(super) fn want(&mut self, name: &str) -> Arc<str> {
        if let Some(name) = self.names.get(name) {
            return Arc::clone(name);
        }
        let name: Arc<str> = name.into();
        self.bytes += name.len();
        self.names.insert(Arc::clone(&name));
        name
    }

    /// Notes that it does not any more.
    pub(super) fn want_no_longer(&mut self, name: &str) {
        if self.names.remove(name) {
            self.bytes -= name.len();
        }
    }

    /// Notes that the client must hear of `name`.
    pub(super) fn mark(&mut self, name: &Arc<str>, again: bool, now: Instant) {
        let pending = self.pending.entry(Arc::clone(name)).or_insert(Pending { since: now, again });
        pending.again |= again;
    }

    /// What the client says that it brought along.
    pub(super) fn claim(
        &mut self,
        name: Arc<str>,
        version: Option<Version>,
        references: Option<Arc<[Reference]>>,
        uses: &mut Uses,
    ) {
        if references.is_none() {
            self.blind.insert(Arc::clone(&name));
        }
        let old = references.unwrap_or_default();
        uses.retain(&old);
        let held =
            Held { told: version, standing: Standing::Accepted, in_use: true, nonce: 0, old, new: Arc::default() };
        if let Some(before) = self.held.insert(name, held) {
            release(&before, uses);
        }
    }

    /// Notes that response `nonce` tells the client of `name`.
    pub(super) fn tell(
        &mut self,
        name: &Arc<str>,
        version: Option<Version>,
        references: Arc<[Reference]>,
        nonce: u64,
        uses: &mut Uses,
    ) {
        uses.retain(&references);
        let held = self.held.entry(Arc::clone(name)).or_insert_with(|| Held {
            told: None,
            standing: Standing::Waiting,
            in_use: false,
            nonce,
            old: Arc::default(),
            new: Arc::default(),
        });
        uses.release(&std::mem::replace(&mut held.new, references));
        (held.told, held.standing, held.nonce) = (version, Standing::Waiting, nonce);
    }

    /// The client accepted what response `nonce` told of `name`.
    pub(super) fn accept(&mut self, name: &Arc<str>, nonce: u64, uses: &mut Uses) {
        let Some(held) = self.held.get_mut(name).filter(|held| held.nonce == nonce) else { return };
        self.refused.remove(name);
        self.blind.remove(name);
        if let Some(whole) = &mut self.whole {
            whole.accept(name);
        }
        let new = std::mem::take(&mut held.new);
        uses.release(&std::mem::replace(&mut held.old, new));
        (held.standing, held.in_use) = (Standing::Accepted, held.told.is_some());
        if held.told.is_none() && !self.names.contains(name) {
            self.held.remove(name);
        }
    }

    /// The client refused what response `nonce` told of `name`.
    pub(super) fn refuse(&mut self, (name, in_use): &(Arc<str>, Option<Version>), nonce: u64, text: &Arc<str>) {
        let Some(held) = self.held.get_mut(name).filter(|held| held.nonce == nonce) else { return };
        if let Some(version) = held.told {
            held.standing = Standing::Rejected;
            self.refused.insert(Arc::clone(name), Refusal { version, in_use: *in_use, text: Arc::clone(text) });
            if let Some(whole) = &mut self.whole {
                whole.refuse(name);
            }
        }
    }

    /// Forgets what the client unsubscribed from: it drops it by itself.
    pub(super) fn forget(&mut self, name: &Arc<str>, uses: &mut Uses) {
        self.pending.remove(name);
        self.refused.remove(name);
        self.blind.remove(name);
        if let Some(whole) = &mut self.whole {
            whole.forget(name);
        }
        if let Some(held) = self.held.remove(name) {
            release(&held, uses);
        }
    }

    /// Virtual hosts of a RouteConfiguration that the client knows or must hear of.
    pub(super) fn hosts_of(&self, routes: &str) -> BTreeSet<Arc<str>> {
        let of = |name: &&Arc<str>| name.strip_prefix(routes).is_some_and(|rest| rest.starts_with('/'));
        self.held.keys().chain(self.pending.keys()).filter(of).cloned().collect()
    }

    /// Names that the client knows or must hear of.
    pub(super) fn known(&self) -> BTreeSet<Arc<str>> {
        self.held.keys().chain(self.pending.keys()).cloned().collect()
    }

    /// Whether a refused version that the client was sent, or the one that it still uses, refers to
    /// this, or may: what it uses is not always known.
    pub(super) fn refused_refers_to(&self, reference: &Reference) -> bool {
        let refers = |name: &Arc<str>| self.held.get(name).is_some_and(|held| held.refers_to(reference));
        self.refused.keys().any(|name| self.blind.contains(name) || refers(name))
    }
}

fn release(held: &Held, uses: &mut Uses) {
    uses.release(&held.old);
    uses.release(&held.new);
}
