//! What the server's parts share: the world, its resources, and what is to be told of them.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

use tokio::sync::watch;
use weir_config::kinds::{Kind, ObjectKey};
use weir_config::model::ResourceType;

use crate::ads::{Registry, Store};
use crate::metrics::Metrics;
use crate::status::report::{FindingReport, ObjectReport, StatusReport};
use crate::translate::{Settings, World};
use crate::watch::{Batch, Event, Finding};

/// The server's state.
#[derive(Debug)]
pub struct State {
    world: RwLock<World>,
    store: Arc<Store>,
    registry: Arc<Registry>,
    metrics: Arc<Metrics>,
    findings: Mutex<Vec<Finding>>,
    objects: Mutex<Vec<HashSet<ObjectKey>>>,
    ready: watch::Sender<bool>,
}

impl State {
    /// A server that has seen no object yet.
    ///
    /// # Errors
    /// Metrics that cannot be made.
    pub fn new(settings: Settings) -> anyhow::Result<Self> {
        Ok(Self {
            world: RwLock::new(World::new(settings)),
            store: Arc::default(),
            registry: Arc::default(),
            metrics: Arc::new(Metrics::new()?),
            findings: Mutex::default(),
            objects: Mutex::new(vec![HashSet::new(); Kind::ALL.len()]),
            ready: watch::Sender::new(false),
        })
    }

    /// Resources.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Proxies.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Metrics.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Whether the first batch was taken in.
    pub fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// Hears when the first batch was taken in.
    pub fn watch_ready(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    /// Takes a batch in: objects, then resources, then word of what is wrong. Batches come one at a time.
    pub fn apply(&self, batch: &Batch) {
        let begun = Instant::now();
        let delta = self.world.write().unwrap_or_else(PoisonError::into_inner).apply(&batch.events);
        self.metrics.translated(begun.elapsed());
        if self.store.publish(&delta) {
            for kind in ResourceType::ALL {
                self.metrics.set_resources(*kind, self.store.count(*kind));
            }
        }
        self.count(&batch.events);
        self.note(&batch.findings);
        self.ready.send_replace(true);
    }

    fn count(&self, events: &[Event]) {
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            let kind = match event {
                Event::Apply(object) => {
                    objects[object.kind() as usize].insert(object.key());
                    object.kind()
                }
                Event::Delete(key) => {
                    objects[key.kind as usize].remove(key);
                    key.kind
                }
            };
            self.metrics.set_objects(kind, objects[kind as usize].len());
        }
    }

    /// Keeps what is wrong now, and logs what was not wrong before.
    fn note(&self, findings: &[Finding]) {
        let mut known = self.findings.lock().unwrap_or_else(PoisonError::into_inner);
        for finding in findings.iter().filter(|finding| !known.contains(finding)) {
            let object = finding.object.as_ref().map(ToString::to_string).unwrap_or_default();
            let (file, line, error) = (finding.file.display(), finding.line, &finding.error);
            tracing::warn!(%file, line, object, %error, "a document cannot be used; what it said before is served on");
        }
        self.metrics.set_findings(findings.len());
        known.clear();
        known.extend_from_slice(findings);
    }

    /// Everything there is to tell.
    pub fn status(&self) -> StatusReport {
        let objects = {
            let world = self.world.read().unwrap_or_else(PoisonError::into_inner);
            world.statuses().iter().map(|(key, status)| ObjectReport::new(key, status)).collect()
        };
        let findings = self.findings.lock().unwrap_or_else(PoisonError::into_inner);
        StatusReport {
            ready: self.is_ready(),
            sequence: self.store.read().sequence(),
            resources: ResourceType::ALL
                .iter()
                .map(|kind| (kind.message().to_owned(), self.store.count(*kind)))
                .collect(),
            objects,
            findings: findings.iter().map(FindingReport::from).collect(),
            proxies: self.registry.proxies(),
        }
    }
}
