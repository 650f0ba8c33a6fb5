//! The resources that all streams share, and the news that they changed.
//!
//! One writer at a time encodes without holding the readers' lock; readers hold it for as long as
//! it takes to look up the names that changed.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::watch;
use weir_config::model::{Delta, ResourceType};

use super::encoded::Encoded;
use super::form::Form;
use super::held::first_part;
use super::resources::{Edit, Resources};
use super::view::View;
use crate::scope::Scope;

/// The store.
#[derive(Debug)]
pub struct Store {
    resources: RwLock<Resources>,
    /// Held by whoever makes a change, from reading the old state to putting the new one in place.
    writer: Mutex<Writer>,
    newest: watch::Sender<u64>,
}

/// What streams want, by how many of them.
#[derive(Debug, Default)]
struct Writer {
    scopes: HashMap<Scope, usize>,
    /// Those among them that want the inline form.
    inline: HashMap<Scope, usize>,
}

impl Writer {
    /// Whether a stream wants the inline form of a RouteConfiguration, by its name or that of a host in it.
    fn wants_inline(&self, name: &str) -> bool {
        !self.inline.is_empty()
            && (self.inline.contains_key(&Scope::Everything)
                || first_part(name).is_some_and(|edge| self.inline.contains_key(&Scope::Edge(edge.into()))))
    }
}

/// True if it is the first.
fn enter(counts: &mut HashMap<Scope, usize>, scope: &Scope) -> bool {
    let count = counts.entry(scope.clone()).or_default();
    *count += 1;
    *count == 1
}

/// True if it was the last.
fn leave(counts: &mut HashMap<Scope, usize>, scope: &Scope) -> bool {
    let Some(count) = counts.get_mut(scope) else { return false };
    *count -= 1;
    let last = *count == 0;
    if last {
        counts.remove(scope);
    }
    last
}

impl Default for Store {
    fn default() -> Self {
        Self { resources: RwLock::default(), writer: Mutex::default(), newest: watch::Sender::new(0) }
    }
}

impl Store {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a change in. What is equal to what is there is dropped; true if anything is left.
    pub fn publish(&self, delta: &Delta) -> bool {
        let writer = self.writer();
        let upserts = delta.upserts.iter().map(|resource| Arc::new(Encoded::new(resource))).collect();
        let removals = delta.removals.iter().map(|(kind, name)| (*kind, Arc::from(name.as_str()))).collect();
        self.put(&writer, Edit { upserts, removals, inline: Vec::new() })
    }

    fn put(&self, writer: &MutexGuard<'_, Writer>, mut edit: Edit) -> bool {
        if !writer.inline.is_empty() {
            let touched = self.read().inline_after(&edit, |name| writer.wants_inline(name));
            edit.inline.extend(touched);
        }
        let (changed, sequence) = {
            let mut resources = self.write();
            (resources.apply(edit), resources.sequence())
        };
        if changed {
            self.newest.send_replace(sequence);
        }
        changed
    }

    /// The resources as they are. Hold it briefly: a change waits for it.
    pub fn read(&self) -> RwLockReadGuard<'_, Resources> {
        self.resources.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the number of the newest change.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// Versions of each resource of a type, of every form that it has, by name.
    pub fn versions(&self, kind: ResourceType) -> BTreeMap<String, Vec<String>> {
        let resources = self.read();
        let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for resource in resources.of(kind, Form::STORED) {
            let all = resource.versions().map(|version| version.to_string()).collect();
            versions.insert(resource.name.to_string(), all);
        }
        versions
    }

    /// Number of resources of a type.
    pub fn count(&self, kind: ResourceType) -> usize {
        self.read().of(kind, Form::STORED).len()
    }

    /// Keeps what a stream of that form and scope needs for as long as the answer lives: what the scope holds,
    /// and the inline form of its RouteConfigurations. Both are made when the first such stream comes, which
    /// costs what the scope holds, and dropped with the last.
    pub fn enter(self: &Arc<Self>, form: Form, scope: Scope) -> Interest {
        let mut writer = self.writer();
        if enter(&mut writer.scopes, &scope) && matches!(scope, Scope::Edge(_) | Scope::Tenant(_)) {
            let held = self.read().held_by(&scope);
            self.write().keep_scope(&scope, held);
        }
        if form.is_inline() && enter(&mut writer.inline, &scope) {
            let inline = self.read().missing_inline(|name| writer.wants_inline(name));
            self.put(&writer, Edit { inline, ..Edit::default() });
        }
        drop(writer);
        Interest { store: Arc::clone(self), form, scope }
    }

    fn leave(&self, form: Form, scope: &Scope) {
        let mut writer = self.writer();
        if form.is_inline() && leave(&mut writer.inline, scope) {
            self.write().forget_inline(|name| writer.wants_inline(name));
        }
        let last = leave(&mut writer.scopes, scope);
        // It may be large: it is dropped when nobody waits any more.
        let _gone = last.then(|| self.write().forget_scope(scope));
    }

    fn write(&self) -> RwLockWriteGuard<'_, Resources> {
        self.resources.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(crate) fn publish_encoded(&self, upserts: Vec<Encoded>, removals: &[(ResourceType, &str)]) -> bool {
        let upserts = upserts.into_iter().map(Arc::new).collect();
        let removals = removals.iter().map(|(kind, name)| (*kind, Arc::from(*name))).collect();
        self.put(&self.writer(), Edit { upserts, removals, inline: Vec::new() })
    }
}

/// A stream's interest in what its scope holds, in its form.
#[derive(Debug)]
pub struct Interest {
    store: Arc<Store>,
    form: Form,
    scope: Scope,
}

impl Interest {
    /// The form.
    pub fn form(&self) -> Form {
        self.form
    }

    /// The scope.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// What the stream may see of `resources`.
    pub fn view<'a>(&'a self, resources: &'a Resources) -> View<'a> {
        View::new(resources, self.form, &self.scope)
    }
}

impl Drop for Interest {
    fn drop(&mut self) {
        self.store.leave(self.form, &self.scope);
    }
}
