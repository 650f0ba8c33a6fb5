//! Clusters and their endpoints.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use weir_config::model::{
    Cluster, EndpointSource, HealthStatus, Http2Options, LoadAssignment, UpstreamProtocol, UpstreamTls,
};

use super::slots::Slots;
use crate::request::cluster::{ClusterSlot, ClusterTable, EndpointTable, TlsSettings};
use crate::request::retry::RetryLimit;
use crate::tls::{Origin, SecretSlot, Wants};

/// Envoy's `connect_timeout` where none is given.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Every cluster that was sent or is named, and every endpoint assignment.
#[derive(Debug, Default)]
pub(super) struct Clusters {
    slots: Slots<ClusterSlot>,
    next_id: u64,
    /// Those that were sent.
    settings: HashMap<Arc<str>, Settings>,
    /// By EDS `service_name`.
    assignments: HashMap<Arc<str>, Assignment>,
}

#[derive(Debug)]
struct Settings {
    connect_timeout: Duration,
    protocol: UpstreamProtocol,
    http2: Option<Arc<Http2Options>>,
    tls: Tls,
    retries: RetryLimit,
    source: Source,
}

/// TLS of a cluster as it was sent, and what became of it.
#[derive(Debug)]
enum Tls {
    Plain,
    Settings(Box<UpstreamTls>, TlsSettings),
    /// It cannot be used: never is plain text sent instead.
    Broken,
}

#[derive(Debug)]
enum Source {
    Eds(Arc<str>),
    Static(Arc<[EndpointTable]>),
}

/// Endpoints, and the clusters that use them.
#[derive(Debug, Default)]
struct Assignment {
    /// None until they are sent.
    endpoints: Option<Arc<[EndpointTable]>>,
    /// Names of clusters.
    users: Vec<Arc<str>>,
}

impl Clusters {
    /// The slot of a cluster that a route names.
    pub(super) fn slot(&mut self, name: &str) -> Arc<ClusterSlot> {
        let id = &mut self.next_id;
        self.slots.named(name, || make(id, name))
    }

    /// A cluster was sent.
    pub(super) fn set(&mut self, cluster: &Cluster, secrets: &mut Slots<SecretSlot>, wants: &Arc<Wants>) {
        let id = &mut self.next_id;
        let slot = self.slots.sent(&cluster.name, || make(id, &cluster.name));
        let source = match &cluster.endpoints {
            EndpointSource::Static(assignment) => Source::Static(choose(assignment)),
            EndpointSource::Eds(service) => Source::Eds(self.service(service)),
        };
        let connect_timeout = cluster.connect_timeout.filter(|t| !t.is_zero()).unwrap_or(CONNECT_TIMEOUT);
        let tls = self.tls(cluster, secrets, wants);
        self.unuse(&slot.name);
        if let Source::Eds(service) = &source {
            let users = &mut self.assignments.entry(service.clone()).or_default().users;
            if users.is_empty() {
                // Most have one user; room for four each is much where there are many.
                users.reserve_exact(1);
            }
            users.push(slot.name.clone());
        }
        let http2 = cluster.http2.as_deref().cloned().map(Arc::new);
        let retries = cluster.retry_budget.map(RetryLimit::from).unwrap_or_default();
        let settings = Settings { connect_timeout, protocol: cluster.protocol, http2, tls, retries, source };
        self.settings.insert(slot.name.clone(), settings);
        self.publish(&slot);
    }

    /// TLS of a cluster that was sent: what there is already, where it says the same, so that its sessions and
    /// connections go on.
    fn tls(&self, cluster: &Cluster, secrets: &mut Slots<SecretSlot>, wants: &Arc<Wants>) -> Tls {
        let Some(model) = &cluster.tls else { return Tls::Plain };
        if let Some(Settings { protocol, tls: Tls::Settings(old, settings), .. }) =
            self.settings.get(cluster.name.as_str())
            && old == model
            && *protocol == cluster.protocol
        {
            return Tls::Settings(old.clone(), settings.clone());
        }
        let certificate =
            model.certificate.as_ref().map(|name| secrets.named(name, || SecretSlot::new(name, wants.clone())));
        match Origin::new(model, cluster.protocol, certificate) {
            Ok(origin) => Tls::Settings(model.clone(), TlsSettings(origin.into())),
            Err(error) => {
                tracing::error!(cluster = cluster.name, %error, "a cluster's TLS cannot be set up: it serves nothing");
                Tls::Broken
            }
        }
    }

    /// A cluster is gone: it answers as one that was never sent.
    pub(super) fn remove(&mut self, name: &str) {
        let Some(slot) = self.slots.gone(name) else { return };
        self.unuse(name);
        self.settings.remove(name);
        self.publish(&slot);
    }

    /// Endpoints were sent.
    pub(super) fn assign(&mut self, assignment: &LoadAssignment) {
        let service = self.service(&assignment.name);
        self.assignments.entry(service).or_default().endpoints = Some(choose(assignment));
        self.publish_users(&assignment.name);
    }

    /// Endpoints are gone: their clusters have none.
    pub(super) fn unassign(&mut self, name: &str) {
        if let Some(assignment) = self.assignments.get_mut(name) {
            assignment.endpoints = None;
        }
        self.publish_users(name);
        self.forget_assignment(name);
    }

    /// Forgets clusters that nobody sends or names.
    pub(super) fn sweep(&mut self) {
        self.slots.sweep();
    }

    /// The name of an assignment, as it is held already, or new.
    fn service(&self, name: &str) -> Arc<str> {
        self.assignments.get_key_value(name).map_or_else(|| name.into(), |(name, _)| name.clone())
    }

    /// Takes a cluster from the users of its endpoints.
    fn unuse(&mut self, name: &str) {
        let Some(Settings { source: Source::Eds(service), .. }) = self.settings.get(name) else { return };
        let service = service.clone();
        if let Some(assignment) = self.assignments.get_mut(&service) {
            assignment.users.retain(|user| **user != *name);
        }
        self.forget_assignment(&service);
    }

    fn forget_assignment(&mut self, name: &str) {
        if self.assignments.get(name).is_some_and(|a| a.endpoints.is_none() && a.users.is_empty()) {
            self.assignments.remove(name);
        }
    }

    fn publish_users(&self, service: &str) {
        for user in self.assignments.get(service).iter().flat_map(|a| &a.users) {
            if let Some(slot) = self.slots.get(user) {
                self.publish(slot);
            }
        }
    }

    /// Puts into a slot what is known of its cluster, if that is new.
    fn publish(&self, slot: &ClusterSlot) {
        let table = match self.settings.get(&slot.name) {
            None => ClusterTable::default(),
            Some(Settings { tls: Tls::Broken, .. }) => ClusterTable::default(),
            Some(Settings { connect_timeout, protocol, http2, tls, retries, source }) => {
                let endpoints = match source {
                    Source::Static(endpoints) => Some(endpoints),
                    Source::Eds(service) => self.assignments.get(service).and_then(|a| a.endpoints.as_ref()),
                };
                let table = ClusterTable::new(*connect_timeout, endpoints.cloned().unwrap_or_default());
                let tls = match tls {
                    Tls::Settings(_, settings) => Some(settings.clone()),
                    Tls::Plain | Tls::Broken => None,
                };
                ClusterTable { protocol: *protocol, http2: http2.clone(), tls, retries: *retries, ..table }
            }
        };
        if **slot.state.load() != table {
            slot.state.store(Arc::new(table));
        }
    }
}

fn make(next_id: &mut u64, name: &str) -> ClusterSlot {
    *next_id += 1;
    ClusterSlot::new(*next_id, name, rand::random::<u32>().into())
}

/// The endpoints that take requests: those of the lowest priority that has any which is well (or of
/// which nothing is said); where no priority has one, the degraded ones of the lowest that has those.
fn choose(assignment: &LoadAssignment) -> Arc<[EndpointTable]> {
    let well = |health| matches!(health, HealthStatus::Unknown | HealthStatus::Healthy);
    let degraded = |health| matches!(health, HealthStatus::Degraded);
    let best = best(assignment, well);
    if best.is_empty() { self::best(assignment, degraded) } else { best }.into()
}

fn best(assignment: &LoadAssignment, takes: impl Fn(HealthStatus) -> bool) -> Vec<EndpointTable> {
    let candidates = || {
        let localities = assignment.localities.iter();
        localities.flat_map(|l| l.endpoints.iter().filter(|e| takes(e.health)).map(move |e| (l.priority, e)))
    };
    let lowest = candidates().map(|(priority, _)| priority).min();
    let of_lowest = candidates().filter(|(priority, _)| Some(*priority) == lowest);
    of_lowest.map(|(_, e)| EndpointTable { address: e.address, weight: e.weight.max(1) }).collect()
}
