//! The loop: events in, what they touch worked out anew, differences out.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use weir_config::kinds::{Kind, Object, ObjectKey, SYSTEM_TENANT};
use weir_config::model::{Delta, Resource, Snapshot};

use super::backends::Carrier;
use super::behind::{Behind, Wished};
use super::carve::Carve;
use super::claims::{Claims, Wishes};
use super::dirty::{Change, Dirty, Links};
use super::facts::Facts;
use super::group_plan::{GroupPlan, Kept};
use super::ledger::Ledger;
use super::limits::Limits;
use super::listeners;
use super::port_plan::{Holder, ListenerId, PortPlan, Ports};
use super::sockets::{self, Claimed};
use super::tenant;
use super::unit::{Group, Maker, PortId};
use super::{Settings, backend_tls, endpoints, gateway_status, listener_sets, policies, tenant_status};
use crate::index::{Belongs, NsName, Pattern, Reverse};
use crate::status::ObjectStatus;
use crate::watch::Event;

/// The objects seen so far and what they become: a pure function of the set of objects, whatever
/// the order in which they came.
#[derive(Debug, Default)]
pub struct World {
    facts: Facts,
    links: Links,
    ports: Ports,
    groups: HashMap<Group, Kept>,
    attached: BTreeMap<ListenerId, u32>,
    carve: Carve,
    limits: Limits,
    ledger: Ledger,
    claimed: BTreeMap<PortId, Claimed>,
    wished: BTreeMap<PortId, Wished>,
    behind: Behind,
    statuses: BTreeMap<ObjectKey, ObjectStatus>,
    moved: BTreeSet<String>,
    changed: BTreeSet<ObjectKey>,
    work: Work,
}

/// How many units the last [`World::apply`] worked out, by kind: what a change costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Ports of edges.
    pub ports: usize,
    /// Tenants; the platform and a namespace without a tenant count as one each.
    pub tenants: usize,
    /// Ports whose sockets were made anew, for what tenants' routes claim there.
    pub sockets: usize,
    /// Borders inside served wildcards.
    pub borders: usize,
    /// Services whose endpoints were read.
    pub services: usize,
    /// Secrets.
    pub secrets: usize,
    /// Gateways whose status was written.
    pub gateways: usize,
}

impl World {
    /// An empty world.
    pub fn new(settings: Settings) -> Self {
        Self { facts: Facts::new(settings), ..Self::default() }
    }

    /// Takes changes in and says what they change in the resources. Costs what the change touches.
    pub fn apply(&mut self, events: &[Event]) -> Delta {
        self.changed.clear();
        let mut dirty = Dirty { limits: self.ledger.snapshot().filters.is_empty(), ..Dirty::default() };
        for event in events {
            self.take(event, &mut dirty);
        }
        self.work = Work { ports: dirty.ports.len(), ..Work::default() };
        let worked = std::mem::take(&mut dirty.ports);
        for port in worked.iter().copied() {
            self.work_port(port, &mut dirty);
        }
        self.work.tenants = dirty.groups.len();
        for group in std::mem::take(&mut dirty.groups) {
            self.work_group(&group, &mut dirty);
        }
        self.work.sockets = dirty.sockets.len();
        dirty.sockets.extend(worked);
        for port in std::mem::take(&mut dirty.sockets) {
            self.work_sockets(port);
        }
        for entry in &dirty.entries {
            self.carve.entry_changed(entry);
        }
        self.work.borders = self.carve.settle(&self.facts, &self.ports, &mut self.ledger);
        self.work.services = dirty.endpoints.len();
        for service in &dirty.endpoints {
            self.work_endpoints(service);
        }
        self.work.secrets = dirty.secrets.len();
        for secret in std::mem::take(&mut dirty.secrets) {
            self.work_secret(secret);
        }
        if dirty.limits
            && let Some(limits) = self.limits.renewed(&self.facts)
        {
            self.ledger.replace(&Maker::Limits, vec![limits.into()]);
        }
        self.work_policy_statuses(&dirty);
        for policy in std::mem::take(&mut dirty.tls_policies) {
            self.work_tls_policy(policy);
        }
        for policy in std::mem::take(&mut dirty.traffic_policies) {
            self.work_traffic_policy(policy);
        }
        // Before Gateways, which count those that are attached.
        for set in std::mem::take(&mut dirty.listener_sets) {
            self.work_listener_set(set);
        }
        self.work.gateways = dirty.gateways.len();
        for id in dirty.gateways {
            self.work_gateway(id);
        }
        self.moved = dirty.namespaces;
        self.ledger.settle()
    }

    /// All resources.
    pub fn snapshot(&self) -> &Snapshot {
        self.ledger.snapshot()
    }

    /// Conditions of every object that has any.
    pub fn statuses(&self) -> &BTreeMap<ObjectKey, ObjectStatus> {
        &self.statuses
    }

    /// Whose an object is: a Tenant's own name, or that of its namespace's tenant (`system`: the platform's).
    pub fn tenant_of_object(&self, key: &ObjectKey) -> Option<String> {
        if key.kind == Kind::Tenant {
            return Some(key.name.clone());
        }
        let group = (!key.namespace.is_empty()).then(|| Group::of(&self.facts.tenancy, &key.namespace))?;
        group.tenant().map(str::to_owned)
    }

    /// What the objects say.
    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// What the Gateways make of the ports.
    pub(crate) fn ports(&self) -> &Ports {
        &self.ports
    }

    /// Namespaces whose tenant the last [`World::apply`] may have changed.
    pub fn moved(&self) -> impl Iterator<Item = &String> {
        self.moved.iter()
    }

    /// The tenant whose workloads those of a namespace are, `system` for the platform's own; none without one. That
    /// a namespace is served as the platform's for want of a tenant (`--unassigned=system`) gives nobody in it a claim.
    pub fn tenant_of(&self, namespace: &str) -> Option<String> {
        match self.facts.tenancy.of(namespace) {
            Belongs::System => Some(SYSTEM_TENANT.to_owned()),
            Belongs::Tenant(tenant) => Some(tenant),
            Belongs::Unassigned | Belongs::Nobody | Belongs::Conflict(_) => None,
        }
    }

    /// Objects of which the last [`World::apply`] changed the conditions, or that have none since.
    pub fn changed(&self) -> &BTreeSet<ObjectKey> {
        &self.changed
    }

    /// What the last [`World::apply`] cost.
    pub fn work(&self) -> Work {
        self.work
    }

    /// Stores an event's object, and marks what it touches, unless nothing changes.
    fn take(&mut self, event: &Event, dirty: &mut Dirty) {
        let (key, old, new) = match event {
            Event::Apply(object) => (object.key(), self.facts.objects.insert(object.clone()), Some(object)),
            Event::Delete(key) => (key.clone(), self.facts.objects.remove(key), None),
            Event::SecretsRead(read) => {
                if self.facts.secrets_read != *read {
                    self.facts.secrets_read = read.clone();
                    dirty.ports.extend(self.links.port_secrets.range(..).flat_map(|(_, ports)| ports));
                    let all =
                        self.links.gateway_certificates.range(..).flat_map(|(_, gateways)| gateways.iter().cloned());
                    for gateway in all.collect::<Vec<_>>() {
                        dirty.at_gateway(&self.facts, &self.links, &gateway);
                    }
                }
                return;
            }
        };
        if old.as_ref() == new {
            return;
        }
        if new.is_none() {
            self.set_status(key.clone(), ObjectStatus::default());
        }
        let new = new.map(|object| &**object);
        if let Some(Object::GatewayClass(class)) = new {
            self.set_status(key.clone(), gateway_status::class(class, self.facts.settings.classes.per_gateway()));
        }
        let change = Change { key: &key, old: old.as_deref(), new };
        dirty.learn(&mut self.facts, &mut self.links, &mut self.limits, &change);
    }

    fn set_status(&mut self, key: ObjectKey, mut status: ObjectStatus) {
        if status.is_empty() {
            if self.statuses.remove(&key).is_some() {
                self.changed.insert(key);
            }
            return;
        }
        let object = self.facts.objects.get(key.kind, &key.namespace, &key.name);
        status.observed_generation = object.and_then(|object| object.metadata().generation);
        if self.statuses.get(&key) != Some(&status) {
            // A copy has no spare room, which lists have that grew.
            self.statuses.insert(key.clone(), status.clone());
            self.changed.insert(key);
        }
    }

    fn work_port(&mut self, port: PortId, dirty: &mut Dirty) {
        let old = self.ports.0.remove(&port).unwrap_or_default();
        let mut new = listeners::plan(&self.facts, port, self.links.gateway_ports.owners(&port));
        self.ledger.replace(&Maker::Port(port), std::mem::take(&mut new.resources));
        self.links.port_names.set(&port, std::mem::take(&mut new.names));
        self.links.port_wildcards.set(&port, std::mem::take(&mut new.wildcards));
        self.links.port_secrets.set(&port, std::mem::take(&mut new.referred));
        self.links.port_authorities.set(&port, std::mem::take(&mut new.authorities));
        self.links.port_grants.set(&port, std::mem::take(&mut new.grants));
        dirty.secrets.extend(self.links.port_uses.set(&port, std::mem::take(&mut new.secrets)));

        let holders: BTreeSet<&Holder> = old.holders.keys().chain(new.holders.keys()).collect();
        for holder in holders {
            let (gateway, set) = holder;
            let object = match set {
                Some((namespace, name)) => ObjectKey::new(Kind::ListenerSet, namespace, name),
                None => ObjectKey::new(Kind::Gateway, &gateway.0, &gateway.1),
            };
            if !same_listeners(&old, &new, holder) {
                dirty.groups.extend(self.links.group_parents.owners(&object).cloned());
            }
            // Whether anything of it is different only for people is not compared: a status costs little.
            dirty.listener_sets.extend(set.clone());
            dirty.gateways.insert(gateway.clone());
        }
        let changed = changed_hosts(&old, &new);
        for (_, host) in &changed {
            dirty.region(&self.facts, &self.links, host);
        }
        self.carve.set_port(port, &old.routes, &new.routes, &changed);
        if !new.holders.is_empty() {
            self.ports.0.insert(port, new);
        }
    }

    fn work_group(&mut self, group: &Group, dirty: &mut Dirty) {
        let old = self.groups.remove(group).unwrap_or_default().plan();
        let mut new = tenant::compute(&self.facts, &self.ports, group);
        self.ledger.replace(&Maker::Group(group.clone()), std::mem::take(&mut new.resources));
        for (key, mut status) in std::mem::take(&mut new.statuses) {
            self.behind.tell(&key, &mut status);
            self.set_status(key, status);
        }
        if let Group::Tenant(name) = group {
            dirty.tenant_statuses.insert(name.clone());
        }
        self.carve.set_domains(&self.facts, &self.ports, group, &old.domains, &new.domains);
        self.count_attached(&old, &new, dirty);
        self.claim(group, &old.claims, &new.claims, dirty);
        self.wish(group, &old.wishes, &new.wishes, dirty);
        let links = &mut self.links;
        let backends = std::mem::take(&mut new.backends);
        links.group_parents.set(group, std::mem::take(&mut new.parents));
        links.group_names.set(group, std::mem::take(&mut new.wanted));
        links.group_services.set(group, backends.services);
        for (route, _) in links.group_routes.set(group, std::mem::take(&mut new.routes)) {
            dirty.traffic_policies.extend(self.facts.traffic_policies.owners(&route).cloned());
        }
        for (service, _) in links.group_ancestors.set(group, std::mem::take(&mut new.ancestors)) {
            dirty.tls_policies.extend(self.facts.tls_policies.owners(&service).cloned());
            let key = ObjectKey::new(Kind::Service, service.0, service.1);
            dirty.traffic_policies.extend(self.facts.traffic_policies.owners(&key).cloned());
        }
        links.group_grants.set(group, backends.grants);
        dirty.secrets.extend(links.group_uses.set(group, std::mem::take(&mut new.certificates)));
        let moved = links.group_endpoints.set(group, std::mem::take(&mut new.endpoints));
        dirty.endpoints.extend(moved.into_iter().map(|(namespace, service, ..)| (namespace, service)));
        if let Some(kept) = Kept::of(new) {
            self.groups.insert(group.clone(), kept);
        }
    }

    /// Takes in what a group claims now, and marks the ports where that is something else.
    fn claim(&mut self, group: &Group, old: &Claims, new: &Claims, dirty: &mut Dirty) {
        for port in old.keys().chain(new.keys()).filter(|port| old.get(port) != new.get(port)) {
            dirty.sockets.insert(*port);
            let claimed = self.claimed.entry(*port).or_default();
            match new.get(port) {
                Some(spots) => claimed.insert(group.clone(), spots.clone()),
                None => claimed.remove(group),
            };
            if claimed.is_empty() {
                self.claimed.remove(port);
            }
        }
    }

    /// The same of what it wishes.
    fn wish(&mut self, group: &Group, old: &Wishes, new: &Wishes, dirty: &mut Dirty) {
        for port in old.keys().chain(new.keys()).filter(|port| old.get(port) != new.get(port)) {
            dirty.sockets.insert(*port);
            let wished = self.wished.entry(*port).or_default();
            match new.get(port) {
                Some(spots) => wished.insert(group.clone(), spots.clone()),
                None => wished.remove(group),
            };
            if wished.is_empty() {
                self.wished.remove(port);
            }
        }
    }

    fn work_sockets(&mut self, port: PortId) {
        for route in self.behind.set(port, self.wished.get(&port)) {
            if let Some(mut status) = self.statuses.get(&route).cloned() {
                self.behind.tell(&route, &mut status);
                self.set_status(route, status);
            }
        }
        let (mut listeners, mut wildcards): (Vec<Resource>, _) = (Vec::new(), BTreeSet::new());
        if let Some(plan) = self.ports.0.get(&port) {
            let claimed = self.claimed.get(&port);
            for socket in &plan.sockets {
                let table = plan.tables.get(&socket.address.ip());
                listeners.push(sockets::listener(&self.facts, socket, table, claimed, &mut wildcards).into());
            }
        }
        self.ledger.replace(&Maker::Sockets(port), listeners);
        self.links.socket_wildcards.set(&port, wildcards);
    }

    fn count_attached(&mut self, old: &GroupPlan, new: &GroupPlan, dirty: &mut Dirty) {
        for (listener, count) in &old.attached {
            if let Some(total) = self.attached.get_mut(listener) {
                *total -= count;
            }
        }
        for (listener, count) in &new.attached {
            *self.attached.entry(listener.clone()).or_default() += count;
        }
        for listener in old.attached.keys().chain(new.attached.keys()) {
            if old.attached.get(listener) != new.attached.get(listener) {
                match &listener.set {
                    Some(set) => dirty.listener_sets.insert(set.clone()),
                    None => dirty.gateways.insert(listener.gateway.clone()),
                };
            }
            if self.attached.get(listener) == Some(&0) {
                self.attached.remove(listener);
            }
        }
    }

    fn work_endpoints(&mut self, (namespace, service): &NsName) {
        let first = (namespace.clone(), service.clone(), 0, Carrier::Tcp);
        let last = (namespace.clone(), service.clone(), u16::MAX, Carrier::Udp);
        let assignments: Vec<Resource> = self
            .links
            .group_endpoints
            .range(first..=last)
            .map(|(port, _)| endpoints::translate(&self.facts, port).into())
            .collect();
        self.ledger.replace(&Maker::Endpoints((namespace.clone(), service.clone())), assignments);
    }

    fn work_secret(&mut self, id: NsName) {
        let used = self.links.port_uses.contains(&id) || self.links.group_uses.contains(&id);
        let secret =
            self.facts.certificates.get(&id).filter(|_| used).and_then(|certificate| certificate.as_ref().ok());
        let resources = secret.map(|secret| Resource::Secret(secret.clone())).into_iter().collect();
        self.ledger.replace(&Maker::Secret(id), resources);
    }

    fn work_policy_statuses(&mut self, dirty: &Dirty) {
        for name in &dirty.plan_statuses {
            if let Some(plan) = self.facts.objects.plan("", name) {
                let status = tenant_status::plan(plan, self.limits.tenants(name));
                self.set_status(ObjectKey::new(Kind::Plan, "", name), status);
            }
        }
        for name in &dirty.tenant_statuses {
            if let Some(tenant) = self.facts.objects.tenant("", name) {
                let status = tenant_status::tenant(&self.facts, name, tenant);
                self.set_status(ObjectKey::new(Kind::Tenant, "", name), status);
            }
        }
    }

    fn work_tls_policy(&mut self, id: NsName) {
        let gateways = |service: &NsName| gateways_of(&self.links.group_ancestors, service);
        let status = match self.facts.objects.backend_tls_policy(&id.0, &id.1) {
            Some(policy) => backend_tls::status(&self.facts, policy, gateways),
            None => ObjectStatus::default(),
        };
        self.set_status(ObjectKey::new(Kind::BackendTLSPolicy, id.0, id.1), status);
    }

    fn work_traffic_policy(&mut self, id: NsName) {
        let gateways = |target: &ObjectKey| match target.kind {
            Kind::Service => gateways_of(&self.links.group_ancestors, &(target.namespace.clone(), target.name.clone())),
            _ => gateways_of(&self.links.group_routes, target),
        };
        let status = match self.facts.objects.traffic_policy(&id.0, &id.1) {
            Some(policy) => policies::status(&self.facts, policy, gateways),
            None => ObjectStatus::default(),
        };
        self.set_status(ObjectKey::new(Kind::TrafficPolicy, id.0, id.1), status);
    }

    fn work_listener_set(&mut self, id: NsName) {
        let status = match self.facts.objects.listener_set(&id.0, &id.1) {
            Some(set) => listener_sets::status(&self.facts, &self.ports, &self.attached, &id, set),
            None => ObjectStatus::default(),
        };
        self.set_status(ObjectKey::new(Kind::ListenerSet, id.0, id.1), status);
    }

    fn work_gateway(&mut self, id: NsName) {
        let status = match self.facts.own_gateway(&id.0, &id.1) {
            Some(gateway) => gateway_status::gateway(&self.facts, &self.ports, &self.attached, &id, gateway),
            None => ObjectStatus::default(),
        };
        self.set_status(ObjectKey::new(Kind::Gateway, id.0, id.1), status);
    }
}

/// The Gateways that something is at.
fn gateways_of<T: Ord + Clone>(links: &Reverse<(T, NsName), Group>, of: &T) -> BTreeSet<NsName> {
    let first = (of.clone(), NsName::default());
    let found = links.range(first..).take_while(|((found, _), _)| found == of);
    found.map(|((_, gateway), _)| gateway.clone()).collect()
}

fn same_listeners(old: &PortPlan, new: &PortPlan, holder: &Holder) -> bool {
    let (old, new) = (old.holders.get(holder), new.holders.get(holder));
    let (old, new) = (old.map_or(&[][..], Vec::as_slice), new.map_or(&[][..], Vec::as_slice));
    old.len() == new.len() && old.iter().zip(new).all(|(old, new)| old.same_to_routes(new))
}

/// Hostnames whose listener is another now, or whose Gateway is of another tenant.
fn changed_hosts(old: &PortPlan, new: &PortPlan) -> BTreeSet<(IpAddr, Pattern)> {
    let mut changed = BTreeSet::new();
    for address in old.tables.keys().chain(new.tables.keys()) {
        let (before, after) = (old.tables.get(address), new.tables.get(address));
        for host in before.into_iter().chain(after).flat_map(|table| table.keys()) {
            if before.and_then(|table| table.get(host)) != after.and_then(|table| table.get(host)) {
                changed.insert((*address, host.clone()));
            }
        }
    }
    changed
}
