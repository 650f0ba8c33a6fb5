//! What the server's parts share: the world, its resources, and what is to be told of them.

mod made;
mod said;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

use tokio::sync::watch;
use weir_config::FieldError;
use weir_config::model::{Listener, Network, Resource, ResourceType, VirtualHost};

use crate::ads::{ProxyReport, Registry, Store};
use crate::explain::{self, Question, Scene};
use crate::metrics::Metrics;
use crate::namespaces::Namespaces;
use crate::seen::News;
use crate::status::report::{FindingReport, StatusReport};
use crate::status::select::Selection;
use crate::steady::Steady;
use crate::translate::Settings;
use crate::usage::intake::now_ms;
use crate::usage::metrics::Stats;
use crate::usage::reporters::Ledger;
use crate::watch::{Batch, Event, Finding};

use made::Touched;
use said::Said;
pub use said::Wanted;

/// The server's state.
#[derive(Debug)]
pub struct State {
    world: RwLock<Steady>,
    store: Arc<Store>,
    registry: Arc<Registry>,
    namespaces: Arc<Namespaces>,
    metrics: Arc<Metrics>,
    findings: Mutex<BTreeSet<Finding>>,
    ready: watch::Sender<bool>,
    usage: Arc<Stats>,
    given: Arc<Ledger>,
    news: News,
    said: Said,
    touched: Touched,
}

impl State {
    /// A server that has seen no object yet; `usage` is what its statistics say of usage.
    ///
    /// # Errors
    /// Metrics that cannot be made.
    pub fn new(settings: Settings, usage: Arc<Stats>) -> anyhow::Result<Self> {
        Ok(Self {
            world: RwLock::new(Steady::new(settings)),
            store: Arc::default(),
            registry: Arc::default(),
            namespaces: Arc::default(),
            metrics: Arc::new(Metrics::new()?),
            findings: Mutex::default(),
            ready: watch::Sender::new(false),
            usage,
            given: Arc::default(),
            news: News::default(),
            said: Said::default(),
            touched: Touched::default(),
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

    /// Whose namespaces are.
    pub fn namespaces(&self) -> &Arc<Namespaces> {
        &self.namespaces
    }

    /// Metrics.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Which tenants edges were given.
    pub fn given(&self) -> &Arc<Ledger> {
        &self.given
    }

    /// Notes all that edges are given now, again.
    pub fn renew_given(&self) {
        let world = self.world.read().unwrap_or_else(PoisonError::into_inner);
        let snapshot = world.world().snapshot();
        let hosts = snapshot.virtual_hosts.values().flat_map(|host| given_by(host));
        let listeners = snapshot.listeners.values().flat_map(|listener| given_by_listener(listener));
        self.given.note(hosts.chain(listeners), now_ms());
    }

    /// Statistics of usage.
    pub fn usage(&self) -> &Stats {
        &self.usage
    }

    /// Word of statuses that may have to be written.
    pub fn news(&self) -> &News {
        &self.news
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
        if batch.waiting {
            return self.note(&batch.findings);
        }
        let begun = Instant::now();
        let (delta, moved) = {
            let mut world = self.world.write().unwrap_or_else(PoisonError::into_inner);
            let delta = world.apply(&batch.events, &self.store.read());
            self.count(&batch.events, &world);
            self.news.changed(world.changed());
            self.touched.note(&batch.events, world.changed(), world.world());
            let moved = if delta.is_some() { world.take_moved() } else { Vec::new() };
            (delta, moved)
        };
        self.metrics.translated(begun.elapsed());
        let gone = batch.events.iter().filter_map(|event| match event {
            Event::Delete(key) => Some(key),
            _ => None,
        });
        self.news.seen(&batch.statuses, gone);
        let Some(delta) = delta else {
            let mut findings = batch.findings.clone();
            findings.push(fault());
            return self.note(&findings);
        };
        // Before there is anything new to see.
        self.namespaces.set(moved);
        let hosts = delta.upserts.iter().filter_map(|resource| match resource {
            Resource::VirtualHost(host) => Some(host),
            _ => None,
        });
        let listeners = delta.upserts.iter().filter_map(|resource| match resource {
            Resource::Listener(listener) => Some(listener),
            _ => None,
        });
        let listeners = listeners.flat_map(|listener| given_by_listener(listener));
        self.given.note(hosts.flat_map(|host| given_by(host)).chain(listeners), now_ms());
        if self.store.publish(&delta) {
            for kind in ResourceType::ALL {
                self.metrics.set_resources(*kind, self.store.count(*kind));
            }
        }
        self.note(&batch.findings);
        self.ready.send_replace(true);
    }

    fn count(&self, events: &[Event], world: &Steady) {
        let kind = |event: &Event| match event {
            Event::Apply(object) => Some(object.kind()),
            Event::Delete(key) => Some(key.kind),
            Event::SecretsRead(_) => None,
        };
        for kind in events.iter().filter_map(kind).collect::<BTreeSet<_>>() {
            self.metrics.set_objects(kind, world.count(kind));
        }
    }

    /// Keeps what is wrong now, and logs what was not wrong before.
    fn note(&self, findings: &[Finding]) {
        let mut known = self.findings.lock().unwrap_or_else(PoisonError::into_inner);
        for finding in findings.iter().filter(|finding| !known.contains(finding)) {
            let object = finding.object.as_ref().map(ToString::to_string).unwrap_or_default();
            let (file, line, error) = (finding.file.display(), finding.line, &finding.error);
            if finding.file.as_os_str().is_empty() {
                tracing::warn!(object, %error, "something is wrong with what the server reads");
            } else {
                tracing::warn!(%file, line, object, %error, "a document cannot be used; what it said before is served on");
            }
        }
        self.metrics.set_findings(findings.len());
        known.clear();
        known.extend(findings.iter().cloned());
    }

    /// What there is about one host. Every route's hostnames are read without the lock.
    pub fn explain(&self, question: &Question) -> Scene {
        let search =
            explain::Search::begin(self.world.read().unwrap_or_else(PoisonError::into_inner).world(), question);
        let found = search.find(question);
        explain::finish(self.world.read().unwrap_or_else(PoisonError::into_inner).world(), question, found)
    }

    /// What there is to tell of what is asked for.
    pub fn status(&self, selection: &Selection) -> StatusReport {
        let all = self.shown();
        let (objects, counts) = {
            let world = self.world.read().unwrap_or_else(PoisonError::into_inner);
            let statuses = all.iter().map(|(key, status)| (key, status));
            selection.select(statuses, |key| world.world().tenant_of_object(key))
        };
        let mut proxies = self.registry.proxies();
        let proxy_count = proxies.len();
        let refused = |proxy: &ProxyReport| proxy.types.iter().any(|t| !t.rejections.is_empty());
        proxies.sort_by_key(|proxy| !refused(proxy));
        proxies.truncate(selection.limit());
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
            proxies,
            proxy_count,
            counts,
        }
    }
}

/// The edge to which a virtual host gives its tenants, each with it.
fn given_by(host: &VirtualHost) -> impl Iterator<Item = (&str, &str)> {
    let edge = host.name.split_once('/').map_or(host.name.as_str(), |(edge, _)| edge);
    let of_routes = host.routes.iter().filter_map(|route| route.owner.as_ref());
    let tenants: BTreeSet<&str> = host.owner.iter().chain(of_routes).map(|owner| owner.tenant.as_str()).collect();
    tenants.into_iter().map(move |tenant| (edge, tenant))
}

/// The edge to which a listener gives the tenants of whole connections, each with it.
fn given_by_listener(listener: &Listener) -> impl Iterator<Item = (&str, &str)> {
    let edge = listener.name.split_once('/').map_or(listener.name.as_str(), |(edge, _)| edge);
    let of_chains = listener.chains.iter().filter_map(|chain| match &chain.network {
        Network::Tcp(proxied) => Some(proxied),
        Network::Http(_) => None,
    });
    let proxied = of_chains.chain(listener.udp.as_deref());
    let tenants: BTreeSet<&str> =
        proxied.filter_map(|proxied| proxied.owner.as_ref()).map(|owner| owner.tenant.as_str()).collect();
    tenants.into_iter().map(move |tenant| (edge, tenant))
}

/// What people are told where translation itself failed.
fn fault() -> Finding {
    let problem = "a fault in Weir keeps the newest changes from taking effect; what was served before is served on";
    let error = FieldError::new("", problem).hint("the log has its place; please report it");
    Finding::without_file(None, error)
}
