//! What the server knows beside the objects: what proxies say of what they became, and what tenants used. It goes
//! into the statuses that are written and shown.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use weir_config::kinds::{Kind, ObjectKey};
use weir_config::model::ResourceType;

use super::State;
use crate::ads::{Acknowledged, Refused};
use crate::status::serving::{Board, Current, Refusals, Serving, overlay, serving};
use crate::status::{Condition, MonthUsage, ObjectStatus};
use crate::translate::World;

/// Bytes of a text by which a proxy's refusal is shown on one object.
const MAX_TEXT: usize = 1024;

/// What is known beside the objects.
#[derive(Debug, Default)]
pub(super) struct Said {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// What proxies of other replicas say.
    peers: Acknowledged,
    /// Of the leader alone.
    board: Option<Board>,
    refusals: Refusals,
    usage: HashMap<String, MonthUsage>,
    /// Whether Weir knows the release of the cluster's CRDs; of a GatewayClass. None: nobody has looked yet.
    bundle: Option<Option<Condition>>,
}

/// What is to be written to an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Wanted {
    /// This.
    Status(Box<ObjectStatus>),
    /// Nothing: Weir has nothing to say of it.
    Nothing,
    /// It cannot be said yet.
    Early,
}

impl Said {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// This replica leads from now on, or does not any more.
    pub fn lead(&self, leads: bool) {
        let mut known = self.said.known();
        known.board = leads.then(|| Board::new(Instant::now()));
        known.refusals = Refusals::default();
    }

    /// What proxies of this replica say now.
    pub fn acknowledged(&self) -> Acknowledged {
        Acknowledged::of(&self.registry.proxies())
    }

    /// What proxies of other replicas say.
    pub fn set_peers(&self, peers: Acknowledged) {
        self.said.known().peers = peers;
    }

    /// What tenants used in this month; those whose status it changes are news.
    pub fn set_usage(&self, usage: HashMap<String, MonthUsage>) {
        let mut known = self.said.known();
        let old = std::mem::replace(&mut known.usage, usage);
        let changed = |tenant: &&String| old.get(*tenant) != known.usage.get(*tenant);
        let keys: Vec<_> = old.keys().chain(known.usage.keys()).filter(changed).map(tenant_key).collect();
        drop(known);
        self.news.changed(&keys);
    }

    /// What GatewayClasses say of the cluster's CRDs; none: it cannot be found out.
    pub fn set_bundle(&self, bundle: Option<Condition>) {
        let mut known = self.said.known();
        let bundle = Some(bundle);
        if known.bundle == bundle {
            return;
        }
        known.bundle = bundle;
        drop(known);
        let classes: Vec<ObjectKey> = {
            let world = self.world.read().unwrap_or_else(PoisonError::into_inner);
            let first = ObjectKey::new(Kind::GatewayClass, "", "");
            let classes = world.world().statuses().range(first..).map(|(key, _)| key);
            classes.take_while(|key| key.kind == Kind::GatewayClass).cloned().collect()
        };
        self.news.changed(&classes);
    }

    /// Judges anew what proxies make of the configuration. What looks different since is news. Answers with what
    /// is refused and was not before, by object.
    pub fn judge(&self, own: &Acknowledged, now: Instant) -> Vec<(ObjectKey, String)> {
        let current = self.listeners_now();
        let mut heard = own.clone();
        heard.add(&self.said.known().peers);
        let refusals = {
            let world = self.world.read().unwrap_or_else(PoisonError::into_inner);
            refusals(world.world(), &heard.refused)
        };
        let mut known = self.said.known();
        let Some(board) = &mut known.board else { return Vec::new() };
        let moved = board.update(&heard, &current, now);
        let old = std::mem::replace(&mut known.refusals, refusals);
        let differs = |place: &&(ObjectKey, Option<String>)| old.0.get(*place) != known.refusals.0.get(*place);
        let touched: Vec<_> = old.0.keys().chain(known.refusals.0.keys()).filter(differs).cloned().collect();
        let new = touched.iter().filter_map(|place| Some((place.0.clone(), known.refusals.0.get(place)?.clone())));
        let new = new.collect();
        drop(known);
        self.news.changed(touched.iter().map(|(key, _)| key));
        if moved {
            self.news.changed(&self.with_listeners());
        }
        new
    }

    /// Every object whose status says what proxies make of its listeners.
    fn with_listeners(&self) -> Vec<ObjectKey> {
        let world = self.world.read().unwrap_or_else(PoisonError::into_inner);
        let served = |(key, status): (&ObjectKey, &ObjectStatus)| {
            status.listeners.iter().any(|listener| !listener.served_by.is_empty()).then(|| key.clone())
        };
        let of = |kind: Kind| {
            let all = world.world().statuses().range(ObjectKey::new(kind, "", "")..);
            all.take_while(move |(key, _)| key.kind == kind).filter_map(served)
        };
        of(Kind::Gateway).chain(of(Kind::ListenerSet)).collect()
    }

    /// What is to be written to an object. Only the leader knows.
    pub fn wanted(&self, key: &ObjectKey) -> Wanted {
        let Some(mut status) = self.status_of(key) else { return Wanted::Nothing };
        let known = self.said.known();
        if key.kind == Kind::GatewayClass && !status.conditions.is_empty() {
            let Some(bundle) = &known.bundle else { return Wanted::Early };
            status.conditions.extend(bundle.clone());
        }
        add_usage(key, &mut status, &known.usage);
        let shown = |listener: &str| known.board.as_ref()?.serving(listener);
        if overlay(key, &mut status, shown, &known.refusals) { Wanted::Status(Box::new(status)) } else { Wanted::Early }
    }

    /// Every object that has a status.
    pub fn with_status(&self) -> Vec<ObjectKey> {
        let world = self.world.read().unwrap_or_else(PoisonError::into_inner);
        world.world().statuses().keys().cloned().collect()
    }

    /// `metadata.uid` of an object; none: there is no such object, or its source gives none.
    pub fn uid_of(&self, key: &ObjectKey) -> Option<String> {
        let world = self.world.read().unwrap_or_else(PoisonError::into_inner);
        world.object(key)?.metadata().uid.clone()
    }

    /// The statuses as they are at this moment, with what proxies say.
    pub(super) fn shown(&self) -> Vec<(ObjectKey, ObjectStatus)> {
        let current = self.listeners_now();
        let mut heard = self.acknowledged();
        heard.add(&self.said.known().peers);
        let at: BTreeMap<&String, Serving> =
            current.keys().map(|name| (name, serving(name, &heard, &current))).collect();
        let (mut all, refusals) = {
            let world = self.world.read().unwrap_or_else(PoisonError::into_inner);
            let all: Vec<_> = world.world().statuses().iter().map(|(k, status)| (k.clone(), status.clone())).collect();
            (all, refusals(world.world(), &heard.refused))
        };
        let known = self.said.known();
        let unknown = Serving::Pending("it is not published yet".into());
        for (key, status) in &mut all {
            add_usage(key, status, &known.usage);
            overlay(key, status, |listener| at.get(&listener.to_owned()).or(Some(&unknown)), &refusals);
        }
        all
    }

    fn status_of(&self, key: &ObjectKey) -> Option<ObjectStatus> {
        let world = self.world.read().unwrap_or_else(PoisonError::into_inner);
        world.world().statuses().get(key).cloned()
    }

    /// Versions of each Listener, of every form.
    fn listeners_now(&self) -> Current {
        self.store.versions(ResourceType::Listener)
    }
}

fn add_usage(key: &ObjectKey, status: &mut ObjectStatus, usage: &HashMap<String, MonthUsage>) {
    if key.kind == Kind::Tenant
        && let Some(tenant) = &mut status.tenant
    {
        tenant.usage = usage.get(&key.name).cloned();
    }
}

fn tenant_key(name: &String) -> ObjectKey {
    ObjectKey::new(Kind::Tenant, "", name)
}

/// Refused resources, by the objects that they come of.
fn refusals(world: &World, refused: &[Refused]) -> Refusals {
    let mut all = Refusals::default();
    for refused in refused {
        let kind = ResourceType::ALL.iter().find(|kind| kind.message() == refused.type_name);
        let Some(kind) = kind else { continue };
        for place in world.blame(*kind, &refused.name, &refused.message) {
            // A refused Listener matters only where no proxy has it: the board knows.
            if *kind == ResourceType::Listener {
                continue;
            }
            let text = all.0.entry(place).or_default();
            if text.len() < MAX_TEXT {
                let who = if refused.proxies == 1 {
                    "a proxy refuses".to_owned()
                } else {
                    format!("{} proxies refuse", refused.proxies)
                };
                let separator = if text.is_empty() { "" } else { "; " };
                *text += &format!("{separator}{who} {} {}: {}", kind.message(), refused.name, refused.message);
                text.truncate(text.floor_char_boundary(MAX_TEXT));
            }
        }
    }
    all
}

#[cfg(test)]
#[path = "said_tests.rs"]
mod tests;
