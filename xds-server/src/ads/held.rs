//! What each scope holds, kept by counting references as changes come in. Pure.
//!
//! A scope has roots, by their names alone: of an edge its Listeners, RouteConfigurations and
//! VirtualHosts, of a tenant its Clusters. It holds them and, at any distance, the Clusters,
//! LoadAssignments, Secrets and filter configurations that they refer to. Only scopes that some stream
//! has are kept; to begin one costs what it holds, and a change costs the references that it adds and
//! takes away.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use weir_config::model::ResourceType;

use super::change::Change;
use super::encoded::{ByName, Encoded, Reference};
use crate::scope::Scope;

/// First part of a name: an edge's of its own resources, a tenant's of its clusters.
pub(super) fn first_part(name: &str) -> Option<&str> {
    name.split_once('/').map(|(first, _)| first)
}

/// Whether a name stands below `first`.
pub(super) fn is_below(name: &str, first: &str) -> bool {
    name.strip_prefix(first).is_some_and(|rest| rest.starts_with('/'))
}

/// Resources whose names stand below `first`.
pub(super) fn below<'a>(all: &'a ByName, first: &'a str) -> impl Iterator<Item = &'a Arc<Encoded>> {
    let from = format!("{first}/");
    all.range::<str, _>((Bound::Included(from.as_str()), Bound::Unbounded))
        .take_while(move |(name, _)| is_below(name, first))
        .map(|(_, resource)| resource)
}

/// Types of which the names alone say whether a scope has them; of the others its references do.
pub(super) fn is_root(scope: &Scope, kind: ResourceType) -> bool {
    match scope {
        Scope::Edge(_) => {
            matches!(kind, ResourceType::Listener | ResourceType::RouteConfiguration | ResourceType::VirtualHost)
        }
        Scope::Tenant(_) => kind == ResourceType::Cluster,
        Scope::Everything | Scope::Nothing => false,
    }
}

/// How often what a scope holds refers to each resource, whether that is there or not.
#[derive(Debug, Default)]
pub(super) struct Held([BTreeMap<Arc<str>, u32>; ResourceType::ALL.len()]);

impl Held {
    /// What the scope holds by reference among `all`.
    pub(super) fn of(scope: &Scope, all: &[ByName; ResourceType::ALL.len()]) -> Self {
        let mut held = Self::default();
        let (Scope::Edge(first) | Scope::Tenant(first)) = scope else { return held };
        let clusters = &all[ResourceType::Cluster as usize];
        for kind in ResourceType::ALL.iter().filter(|kind| is_root(scope, **kind)) {
            for root in below(&all[*kind as usize], first) {
                root.references.iter().for_each(|reference| held.retain(clusters, reference, &mut |_| ()));
            }
        }
        held
    }

    /// Whether anything that the scope holds refers to this.
    pub(super) fn has(&self, kind: ResourceType, name: &str) -> bool {
        self.0[kind as usize].contains_key(name)
    }

    /// What is referred to, by name.
    pub(super) fn names(&self, kind: ResourceType) -> impl Iterator<Item = &Arc<str>> {
        self.0[kind as usize].keys()
    }

    /// Another reference; `came` hears of each resource that the scope did not hold before.
    fn retain(&mut self, clusters: &ByName, reference: &Reference, came: &mut impl FnMut(&Reference)) {
        if !by_reference(reference.0) {
            return;
        }
        let count = self.0[reference.0 as usize].entry(Arc::clone(&reference.1)).or_default();
        *count += 1;
        if *count == 1 {
            came(reference);
            for further in further(clusters, reference) {
                self.retain(clusters, further, came);
            }
        }
    }

    /// A reference less; `went` hears of each resource that the scope holds no longer.
    fn release(&mut self, clusters: &ByName, reference: &Reference, went: &mut impl FnMut(&Reference)) {
        if !by_reference(reference.0) {
            return;
        }
        let counts = &mut self.0[reference.0 as usize];
        let Some(count) = counts.get_mut(&reference.1) else { return };
        *count -= 1;
        if *count == 0 {
            counts.remove(&reference.1);
            went(reference);
            for further in further(clusters, reference) {
                self.release(clusters, further, went);
            }
        }
    }
}

/// Types that a scope holds because something refers to them. A listener's routes are its own by name.
fn by_reference(kind: ResourceType) -> bool {
    !matches!(kind, ResourceType::Listener | ResourceType::RouteConfiguration | ResourceType::VirtualHost)
}

/// What a resource that is held by reference refers to itself: only clusters do.
fn further<'a>(clusters: &'a ByName, (kind, name): &Reference) -> &'a [Reference] {
    match kind {
        ResourceType::Cluster => clusters.get(name).map_or(&[], |cluster| &cluster.references),
        _ => &[],
    }
}

/// A scope that streams have.
#[derive(Debug)]
struct Kept {
    scope: Scope,
    held: Held,
}

/// Every scope that some stream has.
#[derive(Debug, Default)]
pub(super) struct Scopes {
    /// Edges by name: as many as the bootstrap lists, at most.
    edges: HashMap<Arc<str>, Kept>,
    tenants: HashMap<Arc<str>, Kept>,
    /// Resources that scopes gained or lost by reference, so far.
    pub(super) work: u64,
}

impl Scopes {
    /// What the scope holds by reference; nothing where no stream has it.
    pub(super) fn held(&self, scope: &Scope) -> Option<&Held> {
        match scope {
            Scope::Edge(name) => self.edges.get(name).map(|kept| &kept.held),
            Scope::Tenant(name) => self.tenants.get(name).map(|kept| &kept.held),
            Scope::Everything | Scope::Nothing => None,
        }
    }

    /// Keeps a scope from now on.
    pub(super) fn keep(&mut self, scope: &Scope, held: Held) {
        let kept = Kept { scope: scope.clone(), held };
        match scope {
            Scope::Edge(name) => self.edges.insert(Arc::clone(name), kept),
            Scope::Tenant(name) => self.tenants.insert(Arc::clone(name), kept),
            Scope::Everything | Scope::Nothing => None,
        };
    }

    /// Keeps a scope no longer; the answer is for the caller to drop where nobody waits.
    pub(super) fn forget(&mut self, scope: &Scope) -> Option<Held> {
        match scope {
            Scope::Edge(name) => self.edges.remove(name),
            Scope::Tenant(name) => self.tenants.remove(name),
            Scope::Everything | Scope::Nothing => None,
        }
        .map(|kept| kept.held)
    }

    /// Takes in that `name` refers to `new` where it referred to `old`; both are sorted. `clusters` have what
    /// is there now. What a scope gains or loses by it is a change of its own.
    pub(super) fn moved(
        &mut self,
        clusters: &ByName,
        (kind, name): (ResourceType, &str),
        (old, new): (&[Reference], &[Reference]),
        changes: &mut Vec<Change>,
    ) {
        if old == new {
            return;
        }
        let mut work = 0;
        let mut shift = |kept: &mut Kept| {
            let mut note = |(kind, name): &Reference| {
                work += 1;
                let scope = Some(kept.scope.clone());
                changes.push(Change { kind: *kind, name: Arc::clone(name), inline: None, scope });
            };
            for came in new.iter().filter(|reference| old.binary_search(reference).is_err()) {
                kept.held.retain(clusters, came, &mut note);
            }
            for went in old.iter().filter(|reference| new.binary_search(reference).is_err()) {
                kept.held.release(clusters, went, &mut note);
            }
        };
        if kind == ResourceType::Cluster {
            first_part(name).and_then(|tenant| self.tenants.get_mut(tenant)).into_iter().for_each(&mut shift);
            self.edges.values_mut().filter(|kept| kept.held.has(kind, name)).for_each(shift);
        } else if !by_reference(kind) {
            first_part(name).and_then(|edge| self.edges.get_mut(edge)).into_iter().for_each(shift);
        }
        self.work += work;
    }
}
