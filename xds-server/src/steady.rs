//! The world, guarded: a panic in translation is a bug of ours, and must cost nobody what is served.
//!
//! After one, what was published stays, the world is made anew from all objects, and if that fails too
//! it is tried again with each change. A process that ended instead would come back to the same
//! objects, and as `weir up` would take the proxy along.

use std::collections::{BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use weir_config::kinds::{Kind, Object, ObjectKey};
use weir_config::model::{Delta, ResourceType};

use crate::ads::{Form, Resources};
use crate::translate::{Settings, World};
use crate::watch::{Event, SecretsRead};

/// A world that survives its own faults.
#[derive(Debug)]
pub(crate) struct Steady {
    settings: Settings,
    objects: Vec<HashMap<ObjectKey, Arc<Object>>>,
    secrets: SecretsRead,
    world: World,
    /// Namespaces that may belong to another tenant, since last asked.
    moved: BTreeSet<String>,
    /// False after a panic, until the world was made anew.
    whole: bool,
    apply: Apply,
    /// Objects whose statuses are new, different or gone.
    changed: BTreeSet<ObjectKey>,
}

type Apply = fn(&mut World, &[Event]) -> Delta;

impl Steady {
    /// An empty world.
    pub(crate) fn new(settings: Settings) -> Self {
        let world = World::new(settings.clone());
        let moved = settings.system_namespaces.iter().cloned().collect();
        let objects = vec![HashMap::new(); Kind::ALL.len()];
        let (apply, changed): (Apply, _) = (World::apply, BTreeSet::new());
        Self { settings, objects, secrets: SecretsRead::All, world, moved, changed, whole: true, apply }
    }

    /// The world; after a fault as it was left by it.
    pub(crate) fn world(&self) -> &World {
        &self.world
    }

    /// Number of objects of a kind.
    pub(crate) fn count(&self, kind: Kind) -> usize {
        self.objects[kind as usize].len()
    }

    /// Namespaces whose tenant may be another than when this was last asked, each with the tenant it has now.
    pub(crate) fn take_moved(&mut self) -> Vec<(String, Option<String>)> {
        let moved = std::mem::take(&mut self.moved);
        let with_tenant = |namespace: String| {
            let tenant = self.world.tenant_of(&namespace);
            (namespace, tenant)
        };
        moved.into_iter().map(with_tenant).collect()
    }

    /// An object.
    pub(crate) fn object(&self, key: &ObjectKey) -> Option<&Object> {
        self.objects[key.kind as usize].get(key).map(|object| &**object)
    }

    /// Objects whose statuses changed with the last change that was taken in.
    pub(crate) fn changed(&self) -> &BTreeSet<ObjectKey> {
        &self.changed
    }

    /// Takes changes in and says what they change in `published`; none where translation fails.
    pub(crate) fn apply(&mut self, events: &[Event], published: &Resources) -> Option<Delta> {
        for event in events {
            match event {
                Event::Apply(object) => {
                    self.objects[object.kind() as usize].insert(object.key(), Arc::clone(object));
                }
                Event::Delete(key) => {
                    if key.kind == Kind::Namespace {
                        self.moved.insert(key.name.clone());
                    }
                    self.objects[key.kind as usize].remove(key);
                }
                Event::SecretsRead(read) => self.secrets = read.clone(),
            }
        }
        if self.whole {
            let (world, apply) = (&mut self.world, self.apply);
            if let Ok(delta) = catch_unwind(AssertUnwindSafe(|| apply(world, events))) {
                self.moved.extend(self.world.moved().cloned());
                self.changed.clone_from(self.world.changed());
                return Some(delta);
            }
            self.whole = false;
            tracing::error!(
                "translation panicked, which is a bug: what was served is served on; trying anew with all objects"
            );
        }
        let (mut fresh, apply) = (World::new(self.settings.clone()), self.apply);
        let objects = self.objects.iter().flat_map(HashMap::values).cloned().map(Event::Apply);
        let all: Vec<Event> = objects.chain([Event::SecretsRead(self.secrets.clone())]).collect();
        let Ok(mut delta) = catch_unwind(AssertUnwindSafe(|| apply(&mut fresh, &all))) else {
            tracing::error!("translation of all objects panicked too: changes are not in effect until one mends it");
            return None;
        };
        for kind in ResourceType::ALL {
            let gone = published.of(*kind, Form::STORED).filter(|old| fresh.snapshot().get(*kind, &old.name).is_none());
            delta.removals.extend(gone.map(|old| (*kind, old.name.to_string())));
        }
        self.moved.extend(fresh.moved().cloned());
        self.changed = self.world.statuses().keys().chain(fresh.statuses().keys()).cloned().collect();
        (self.world, self.whole) = (fresh, true);
        Some(delta)
    }
}

#[cfg(test)]
mod tests {
    use weir_config::kinds::plan::{Plan, PlanSpec, RequestRate};
    use weir_config::kinds::tenant::{Tenant, TenantSpec};

    use super::*;
    use crate::ads::Store;

    /// As the world, but for a fault: it cannot bear a Plan called `bad`, once it has taken it in half.
    fn faulty(world: &mut World, events: &[Event]) -> Delta {
        let delta = world.apply(events);
        let bad =
            |event: &Event| matches!(event, Event::Apply(object) if object.metadata().name.as_deref() == Some("bad"));
        assert!(!events.iter().any(bad), "a bug");
        delta
    }

    fn plan(name: &str, per_second: u32) -> Event {
        let spec = PlanSpec { requests: Some(RequestRate { per_second, burst: None }), ..PlanSpec::default() };
        Event::Apply(Arc::new(Plan::new(name, spec).into()))
    }

    #[test]
    fn a_fault_leaves_what_is_served_and_goes_with_its_cause() {
        let store = Store::new();
        let mut steady = Steady { apply: faulty, ..Steady::new(Settings::default()) };
        let mut apply = |events: &[Event]| {
            let delta = steady.apply(events, &store.read());
            delta.map(|delta| (store.publish(&delta), steady.world().snapshot().clone()))
        };
        let spec = TenantSpec { plan: "pro".into(), ..TenantSpec::default() };
        apply(&[plan("pro", 1), Event::Apply(Arc::new(Tenant::new("acme", spec).into()))]).unwrap();
        assert!(apply(&[plan("bad", 1)]).is_none());
        assert!(apply(&[plan("pro", 2)]).is_none(), "the cause is still there");
        let (changed, snapshot) = apply(&[Event::Delete(ObjectKey::new(Kind::Plan, "", "bad"))]).unwrap();
        assert!(changed, "what came meanwhile is in effect");
        let rates = |snapshot: &weir_config::model::Snapshot| format!("{:?}", snapshot.filters);
        assert!(rates(&snapshot).contains("tokens_per_fill: 2"), "{}", rates(&snapshot));
        assert!(apply(&[plan("pro", 3)]).unwrap().0, "and it goes on as before");
    }
}
