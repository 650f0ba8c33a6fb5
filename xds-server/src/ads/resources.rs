//! Every resource by type and name, in each of its forms, and the recent changes. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use weir_config::model::ResourceType;
use weir_config::model::name::split_virtual_host;

use super::change::Change;
use super::encoded::{ByName, Encoded};
use super::form::Form;
use super::held::{Held, Scopes};
use crate::scope::Scope;

/// Changes that came together.
type Published = Arc<[Change]>;

/// Names in the log of changes, at most. A stream that is further behind compares everything.
const MAX_LOGGED: usize = 200_000;

/// What an edit does to one RouteConfiguration and its hosts: new, gone (`None`), or untouched (absent).
#[derive(Default)]
struct Overlay<'a> {
    own: Option<Option<&'a Arc<Encoded>>>,
    hosts: BTreeMap<&'a str, Option<&'a Arc<Encoded>>>,
}

/// All resources.
#[derive(Debug, Default)]
pub struct Resources {
    by_kind: [ByName; ResourceType::ALL.len()],
    /// RouteConfigurations in the inline form, while some client wants them.
    inline: ByName,
    scopes: Scopes,
    /// The last of them has the number `sequence`.
    log: VecDeque<Published>,
    logged: usize,
    sequence: u64,
}

/// What to put in place, made outside any lock.
#[derive(Debug, Default)]
pub(super) struct Edit {
    pub(super) upserts: Vec<Arc<Encoded>>,
    pub(super) removals: Vec<(ResourceType, Arc<str>)>,
    /// Inline forms, new or gone.
    pub(super) inline: Vec<(Arc<str>, Option<Arc<Encoded>>)>,
}

impl Resources {
    /// Number of the newest change; 0: none yet.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// What a scope holds by reference: nothing, unless some stream has it ([`Store::enter`](super::Store::enter)).
    pub(super) fn held(&self, scope: &Scope) -> Option<&Held> {
        self.scopes.held(scope)
    }

    pub(super) fn map(&self, kind: ResourceType, form: Form) -> &ByName {
        match kind {
            ResourceType::RouteConfiguration if form.is_inline() => &self.inline,
            _ => &self.by_kind[kind as usize],
        }
    }

    /// The resource of that name.
    pub fn get(&self, kind: ResourceType, form: Form, name: &str) -> Option<&Arc<Encoded>> {
        self.map(kind, form).get(name).map(|resource| resource.in_style(form.style))
    }

    /// All of a type, by name.
    pub fn of(&self, kind: ResourceType, form: Form) -> impl ExactSizeIterator<Item = &Arc<Encoded>> {
        self.map(kind, form).values().map(move |resource| resource.in_style(form.style))
    }

    /// VirtualHosts of one RouteConfiguration, by name.
    pub fn hosts<'a, 'b>(&'a self, routes: &'b str) -> impl Iterator<Item = &'a Arc<Encoded>> + use<'a, 'b> {
        let from = format!("{routes}/");
        let range = (Bound::Included(from.as_str()), Bound::Unbounded);
        self.by_kind[ResourceType::VirtualHost as usize]
            .range::<str, _>(range)
            .take_while(move |(name, _)| name.strip_prefix(routes).is_some_and(|rest| rest.starts_with('/')))
            .filter(move |(name, _)| split_virtual_host(name).is_some_and(|(parent, _)| parent == routes))
            .map(|(_, host)| host)
    }

    /// Changes after `sequence`; none if the log does not reach back so far. Costs what is missing, however long
    /// the log is.
    pub fn since(&self, sequence: u64) -> Option<Vec<Arc<[Change]>>> {
        let missing = usize::try_from(self.sequence.saturating_sub(sequence)).ok()?;
        // Every change has the number after that of the one before.
        let first = self.log.len().checked_sub(missing)?;
        Some(self.log.range(first..).cloned().collect())
    }

    /// Inline forms of the RouteConfigurations that `edit` touches and somebody wants, as they will be after it.
    pub(super) fn inline_after(
        &self,
        edit: &Edit,
        wanted: impl Fn(&str) -> bool,
    ) -> Vec<(Arc<str>, Option<Arc<Encoded>>)> {
        let upserts = edit.upserts.iter().map(|e| (e.kind, &e.name, Some(e)));
        let removals = edit.removals.iter().map(|(kind, name)| (*kind, name, None));
        let mut touched: BTreeMap<Arc<str>, Overlay<'_>> = BTreeMap::new();
        for (kind, name, new) in removals.chain(upserts).filter(|(_, name, _)| wanted(name)) {
            match (kind, split_virtual_host(name)) {
                (ResourceType::RouteConfiguration, _) => {
                    touched.entry(Arc::clone(name)).or_default().own = Some(new);
                }
                (ResourceType::VirtualHost, Some((routes, _))) => {
                    touched.entry(routes.into()).or_default().hosts.insert(name, new);
                }
                _ => {}
            }
        }
        touched.into_iter().map(|(name, overlay)| self.inline_under(name, overlay)).collect()
    }

    fn inline_under(&self, name: Arc<str>, overlay: Overlay<'_>) -> (Arc<str>, Option<Arc<Encoded>>) {
        let old = self.get(ResourceType::RouteConfiguration, Form::STORED, &name);
        let Some(own) = overlay.own.unwrap_or(old) else { return (name, None) };
        let mut hosts: BTreeMap<&str, Option<&Arc<Encoded>>> =
            self.hosts(&name).map(|host| (&*host.name, Some(host))).collect();
        hosts.extend(overlay.hosts);
        let inline = own.inline(hosts.into_values().flatten());
        (name, Some(Arc::new(inline)))
    }

    /// Inline forms that are wanted and not there.
    pub(super) fn missing_inline(&self, wanted: impl Fn(&str) -> bool) -> Vec<(Arc<str>, Option<Arc<Encoded>>)> {
        let routes = self.of(ResourceType::RouteConfiguration, Form::STORED);
        let missing = routes.filter(|own| wanted(&own.name) && !self.inline.contains_key(&own.name));
        missing.map(|own| (Arc::clone(&own.name), Some(Arc::new(own.inline(self.hosts(&own.name)))))).collect()
    }

    /// Drops the inline forms that no client wants.
    pub(super) fn forget_inline(&mut self, wanted: impl Fn(&str) -> bool) {
        self.inline.retain(|name, _| wanted(name));
    }

    /// What a scope holds by reference, for [`Resources::keep_scope`].
    pub(super) fn held_by(&self, scope: &Scope) -> Held {
        Held::of(scope, &self.by_kind)
    }

    /// Keeps what a scope holds from now on, which is `held` now.
    pub(super) fn keep_scope(&mut self, scope: &Scope, held: Held) {
        self.scopes.keep(scope, held);
    }

    /// Keeps a scope no longer that no stream has.
    pub(super) fn forget_scope(&mut self, scope: &Scope) -> Option<Held> {
        self.scopes.forget(scope)
    }

    /// What changes cost the scopes that streams have, so far: each resource that a scope gained or lost.
    pub fn scope_work(&self) -> u64 {
        self.scopes.work
    }

    /// Puts one resource in place, or takes it away (none), and notes what that changes.
    fn set(&mut self, kind: ResourceType, name: &Arc<str>, new: Option<Arc<Encoded>>, changes: &mut Vec<Change>) {
        let of_kind = &mut self.by_kind[kind as usize];
        let new_references = new.as_ref().map(|new| Arc::clone(&new.references)).unwrap_or_default();
        let old = match new {
            Some(new) if of_kind.get(name).is_some_and(|old| old.version == new.version) => return,
            Some(new) => of_kind.insert(Arc::clone(name), new),
            None => match of_kind.remove(name) {
                Some(old) => Some(old),
                None => return,
            },
        };
        changes.push(Change { kind, inline: own_form(kind), name: Arc::clone(name), scope: None });
        let old_references = old.map(|old| Arc::clone(&old.references)).unwrap_or_default();
        let clusters = &self.by_kind[ResourceType::Cluster as usize];
        self.scopes.moved(clusters, (kind, name), (&old_references, &new_references), changes);
    }

    /// Puts `edit` in place; what is equal to what is there changes nothing. True if anything changed.
    pub(super) fn apply(&mut self, edit: Edit) -> bool {
        let mut changes = Vec::new();
        for (kind, name) in edit.removals {
            self.set(kind, &name, None, &mut changes);
        }
        for resource in edit.upserts {
            let (kind, name) = (resource.kind, Arc::clone(&resource.name));
            self.set(kind, &name, Some(resource), &mut changes);
        }
        for (name, inline) in edit.inline {
            let changed = match inline {
                Some(inline) => put(&mut self.inline, inline),
                None => self.inline.remove(&name).is_some(),
            };
            if changed {
                let kind = ResourceType::RouteConfiguration;
                changes.push(Change { kind, inline: Some(true), name, scope: None });
            }
        }
        if changes.is_empty() {
            return false;
        }
        self.sequence += 1;
        self.logged += changes.len();
        self.log.push_back(changes.into());
        while self.logged > MAX_LOGGED {
            let Some(oldest) = self.log.pop_front() else { break };
            self.logged -= oldest.len();
        }
        true
    }
}

/// Only a RouteConfiguration changes in one form alone (styles are made of one value, and change together); a
/// change to the one as stored is a change for those who get its hosts by themselves.
fn own_form(kind: ResourceType) -> Option<bool> {
    (kind == ResourceType::RouteConfiguration).then_some(false)
}

fn put(map: &mut ByName, resource: Arc<Encoded>) -> bool {
    if map.get(&resource.name).is_some_and(|old| old.version == resource.version) {
        return false;
    }
    map.insert(Arc::clone(&resource.name), resource);
    true
}
