//! Which units an event touches.

use std::collections::BTreeSet;

use weir_config::kinds::gateway::GatewayListener;
use weir_config::kinds::{Kind, Object, ObjectKey, SYSTEM_TENANT};

use super::backends::ServicePort;
use super::classes::EdgeId;
use super::client_certificates;
use super::edge_services;
use super::facts::{Facts, Moved};
use super::limits::Limits;
use super::refers;
use super::tenant;
use super::unit::{Group, PortId};
use crate::index::objects::service_of;
use crate::index::{NsName, Pattern, Reverse};

/// Units to work out.
#[derive(Debug, Default)]
pub(crate) struct Dirty {
    pub(crate) ports: BTreeSet<PortId>,
    pub(crate) groups: BTreeSet<Group>,
    /// Ports whose sockets are to be made anew.
    pub(crate) sockets: BTreeSet<PortId>,
    pub(crate) entries: BTreeSet<Pattern>,
    pub(crate) endpoints: BTreeSet<NsName>,
    pub(crate) secrets: BTreeSet<NsName>,
    /// Gateways, Plans and Tenants whose status may be different.
    pub(crate) gateways: BTreeSet<NsName>,
    pub(crate) plan_statuses: BTreeSet<String>,
    pub(crate) tenant_statuses: BTreeSet<String>,
    pub(crate) listener_sets: BTreeSet<NsName>,
    /// TrafficPolicies whose status may be different.
    pub(crate) traffic_policies: BTreeSet<NsName>,
    /// BackendTLSPolicies whose status may be different.
    pub(crate) tls_policies: BTreeSet<NsName>,
    pub(crate) limits: bool,
    /// Namespaces whose tenant may be another.
    pub(crate) namespaces: BTreeSet<String>,
}

/// From what units depend on, back to the units.
#[derive(Debug, Default)]
pub(crate) struct Links {
    /// Ports to the Gateways that have a listener there.
    pub(crate) gateway_ports: Reverse<PortId, NsName>,
    pub(crate) port_names: Reverse<Pattern, PortId>,
    pub(crate) port_wildcards: Reverse<Pattern, PortId>,
    /// Wildcards that routes of whole connections have.
    pub(crate) socket_wildcards: Reverse<Pattern, PortId>,
    /// Secrets that are referred to, and those that are used.
    pub(crate) port_secrets: Reverse<NsName, PortId>,
    pub(crate) port_uses: Reverse<NsName, PortId>,
    pub(crate) port_authorities: Reverse<NsName, PortId>,
    pub(crate) port_grants: Reverse<String, PortId>,
    /// Secrets to the Gateways that refer to them for their certificate toward backends, whatever becomes of it.
    pub(crate) gateway_certificates: Reverse<NsName, NsName>,
    /// Secrets that clusters use.
    pub(crate) group_uses: Reverse<NsName, Group>,
    /// Gateways and ListenerSets that routes name.
    pub(crate) group_parents: Reverse<ObjectKey, Group>,
    pub(crate) group_names: Reverse<Pattern, Group>,
    pub(crate) group_services: Reverse<NsName, Group>,
    pub(crate) group_grants: Reverse<String, Group>,
    pub(crate) group_endpoints: Reverse<ServicePort, Group>,
    /// Routes that a TrafficPolicy is about, each with a Gateway where it is.
    pub(crate) group_routes: Reverse<(ObjectKey, NsName), Group>,
    /// Services that a BackendTLSPolicy or a TrafficPolicy is about, each with a Gateway that has a route to it.
    pub(crate) group_ancestors: Reverse<(NsName, NsName), Group>,
}

/// An object that changed: what was there, and what is.
pub(crate) struct Change<'a> {
    pub(crate) key: &'a ObjectKey,
    pub(crate) old: Option<&'a Object>,
    pub(crate) new: Option<&'a Object>,
}

impl Dirty {
    /// Learns a change that the store of objects already has, and marks what it touches.
    pub(crate) fn learn(&mut self, facts: &mut Facts, links: &mut Links, limits: &mut Limits, change: &Change<'_>) {
        let key = change.key;
        let id: NsName = (key.namespace.clone(), key.name.clone());
        let selecting = if key.kind == Kind::Namespace { facts.tenancy.selecting(&key.name) } else { Vec::new() };
        let usable =
            facts.certificates.get(&id).map(|certificate| certificate.as_ref().map(|_| ()).map_err(String::clone));
        let Moved { namespaces, entries } = facts.learn(key, change.new);
        self.traffic_policies.extend(facts.traffic_policies.owners(key).cloned());
        match key.kind {
            Kind::Namespace => self.namespace(facts, links, &key.name, &selecting),
            Kind::Tenant => {
                self.plan_statuses.extend(limits.learn_tenant(facts, &key.name));
                self.limits = true;
                self.tenant_statuses.insert(key.name.clone());
                self.tenant(facts, links, &key.name);
                for namespace in namespaces {
                    self.namespace(facts, links, &namespace, &[]);
                }
                for entry in entries {
                    self.region(facts, links, &entry);
                    for wider in entry.wider() {
                        self.ports.extend(links.port_wildcards.owners(&wider).copied());
                        self.sockets.extend(links.socket_wildcards.owners(&wider).copied());
                    }
                    self.entries.insert(entry);
                }
            }
            Kind::Plan => {
                limits.learn_plan(facts, &key.name);
                self.limits = true;
                self.plan_statuses.insert(key.name.clone());
                self.tenant_statuses.extend(limits.users(&key.name));
                if change.old.is_some() != change.new.is_some() {
                    self.groups.extend(limits.users(&key.name).into_iter().map(Group::Tenant));
                }
            }
            Kind::GatewayClass => {
                let of_class = |object: &Object| match object {
                    Object::Gateway(gateway) => gateway.spec.gateway_class_name == key.name,
                    _ => false,
                };
                let all = facts.objects.of(Kind::Gateway).filter(|object| of_class(object)).cloned();
                for gateway in all.collect::<Vec<_>>() {
                    self.gateway(facts, links, &gateway.key(), Some(&gateway), Some(&gateway));
                    self.referrers(links, &gateway.key());
                    self.traffic_policies.extend(facts.traffic_policies.owners(&gateway.key()).cloned());
                }
            }
            Kind::Gateway => {
                self.gateway(facts, links, key, change.old, change.new);
                let seen = |object: Option<&Object>| match object {
                    Some(Object::Gateway(gateway)) => {
                        Some((facts.serves(gateway), gateway.spec.tls.as_ref().and_then(|tls| tls.backend.clone())))
                    }
                    _ => None,
                };
                if seen(change.old) != seen(change.new) {
                    self.at_gateway(facts, links, &id);
                }
            }
            Kind::HTTPRoute | Kind::GRPCRoute | Kind::TLSRoute | Kind::TCPRoute | Kind::UDPRoute => {
                self.groups.insert(Group::of(&facts.tenancy, &key.namespace));
            }
            Kind::ReferenceGrant => {
                self.groups.extend(links.group_grants.owners(&key.namespace).cloned());
                self.ports.extend(links.port_grants.owners(&key.namespace).copied());
                let first = (key.namespace.clone(), String::new());
                let there = links.gateway_certificates.range(first..).take_while(|((ns, _), _)| *ns == key.namespace);
                let gateways: BTreeSet<NsName> = there.flat_map(|(_, gateways)| gateways.iter().cloned()).collect();
                gateways.iter().for_each(|gateway| self.at_gateway(facts, links, gateway));
            }
            Kind::Service => {
                self.groups.extend(links.group_services.owners(&id).cloned());
                self.tls_policies.extend(facts.tls_policies.owners(&id).cloned());
                self.gateways.extend(edge_services::reached_by(facts, key, [change.old, change.new]));
                self.endpoints.insert(id);
            }
            Kind::EndpointSlice => {
                self.endpoints.extend(change.old.and_then(service_of));
                self.endpoints.extend(change.new.and_then(service_of));
            }
            Kind::TrafficPolicy => {
                let policies = [change.old, change.new].into_iter().flatten();
                let targets: BTreeSet<ObjectKey> = policies.flat_map(traffic_targets_of).collect();
                for target in &targets {
                    self.traffic(facts, links, target);
                }
                self.traffic_policies.insert(id);
            }
            Kind::BackendTLSPolicy => {
                let policies = [change.old, change.new].into_iter().flatten();
                let services: BTreeSet<NsName> = policies.flat_map(targets_of).collect();
                for service in &services {
                    self.service_tls(facts, links, service);
                }
                self.tls_policies.insert(id);
            }
            Kind::ConfigMap => {
                let policies: Vec<NsName> = facts.policy_authorities.owners(&id).cloned().collect();
                for policy in &policies {
                    let services: Vec<NsName> = facts.tls_policies.keys(policy).cloned().collect();
                    services.iter().for_each(|service| self.service_tls(facts, links, service));
                }
                self.tls_policies.extend(policies);
                self.ports.extend(links.port_authorities.owners(&id).copied());
            }
            Kind::ListenerSet => self.listener_set(facts, links, change),
            Kind::Secret => {
                let now = facts.certificates.get(&id).map(|c| c.as_ref().map(|_| ()).map_err(String::clone));
                if now != usable {
                    self.ports.extend(links.port_secrets.owners(&id).copied());
                    let gateways: Vec<NsName> = links.gateway_certificates.owners(&id).cloned().collect();
                    gateways.iter().for_each(|gateway| self.at_gateway(facts, links, gateway));
                }
                self.secrets.insert(id);
            }
        }
    }

    /// Marks what a target's TrafficPolicies mean to anyone: the routes, and each of the policies.
    fn traffic(&mut self, facts: &Facts, links: &Links, target: &ObjectKey) {
        let id = (target.namespace.clone(), target.name.clone());
        match target.kind {
            Kind::Gateway => self.at_gateway(facts, links, &id),
            Kind::Service => self.groups.extend(links.group_services.owners(&id).cloned()),
            _ => {
                self.groups.insert(Group::of(&facts.tenancy, &target.namespace));
            }
        }
        self.traffic_policies.extend(facts.traffic_policies.owners(target).cloned());
    }

    /// Marks what a Service's BackendTLSPolicies mean to anyone: who sends to it, and each of them.
    fn service_tls(&mut self, facts: &Facts, links: &Links, service: &NsName) {
        self.groups.extend(links.group_services.owners(service).cloned());
        self.tls_policies.extend(facts.tls_policies.owners(service).cloned());
    }

    /// Marks what a region of names means to anyone: whose names lie in it, and whose wishes.
    pub(crate) fn region(&mut self, facts: &Facts, links: &Links, region: &Pattern) {
        let inside = links.group_names.range(region..).take_while(|(name, _)| region.covers(name));
        self.groups.extend(inside.flat_map(|(_, groups)| groups.iter().cloned()));
        let inside = links.port_names.range(region..).take_while(|(name, _)| region.covers(name));
        self.ports.extend(inside.flat_map(|(_, ports)| ports.iter().copied()));
        for tenant in facts.names.claimants(region) {
            self.tenant(facts, links, tenant);
        }
    }

    fn tenant(&mut self, facts: &Facts, links: &Links, tenant: &str) {
        if tenant == SYSTEM_TENANT {
            return;
        }
        let group = Group::Tenant(tenant.to_owned());
        for namespace in tenant::namespaces(facts, &group) {
            self.gateways_of(facts, links, &namespace);
        }
        self.groups.insert(group);
    }

    /// Marks all that may have had a namespace, or has it.
    fn namespace(&mut self, facts: &Facts, links: &Links, namespace: &str, selecting: &[String]) {
        self.namespaces.insert(namespace.to_owned());
        let now = facts.tenancy.selecting(namespace);
        self.groups.extend(now.iter().chain(selecting).cloned().map(Group::Tenant));
        self.groups.insert(Group::Unowned(namespace.to_owned()));
        if facts.settings.unassigned_is_system || facts.tenancy.system().any(|name| name == namespace) {
            self.groups.insert(Group::System);
        }
        self.gateways_of(facts, links, namespace);
    }

    fn gateways_of(&mut self, facts: &Facts, links: &Links, namespace: &str) {
        for gateway in facts.objects.gateways(namespace) {
            let id = (namespace.to_owned(), gateway.metadata.name.clone().unwrap_or_default());
            self.ports.extend(links.gateway_ports.keys(&id).copied());
            self.gateways.insert(id);
        }
        for set in facts.objects.listener_sets(namespace) {
            let id = (namespace.to_owned(), set.metadata.name.clone().unwrap_or_default());
            self.ports.extend(
                refers::gateway_of(set)
                    .and_then(|gateway| facts.edge_of(&gateway))
                    .into_iter()
                    .flat_map(|edge| ports_of(edge, &set.spec.listeners)),
            );
            self.groups.extend(links.group_parents.owners(&ObjectKey::new(Kind::ListenerSet, &id.0, &id.1)).cloned());
            self.listener_sets.insert(id);
        }
    }

    /// Marks the ports of a ListenerSet, as it was and as it is, and what it is attached to.
    fn listener_set(&mut self, facts: &Facts, links: &mut Links, change: &Change<'_>) {
        let mut gateways = BTreeSet::new();
        for set in [change.old, change.new].into_iter().flatten() {
            let Object::ListenerSet(set) = set else { continue };
            let Some(gateway) = refers::gateway_of(set) else { continue };
            if let Some(edge) = facts.edge_of(&gateway) {
                self.ports.extend(ports_of(edge, &set.spec.listeners));
            }
            gateways.insert(gateway);
        }
        for gateway in gateways {
            links.gateway_ports.set(&gateway, all_ports(facts, &gateway));
            self.gateways.insert(gateway);
        }
        let parent = |object: Option<&Object>| match object {
            Some(Object::ListenerSet(set)) => refers::gateway_of(set),
            _ => None,
        };
        if parent(change.old) != parent(change.new) {
            self.referrers(links, change.key);
        }
        self.listener_sets.insert((change.key.namespace.clone(), change.key.name.clone()));
    }

    fn gateway(
        &mut self,
        facts: &Facts,
        links: &mut Links,
        key: &ObjectKey,
        old: Option<&Object>,
        new: Option<&Object>,
    ) {
        let id = (key.namespace.clone(), key.name.clone());
        // Which edge serves it is in its name, and never changes.
        let edge = facts.edge_of(&id);
        let ports = |object: Option<&Object>| -> BTreeSet<PortId> {
            match (edge, object) {
                (Some(edge), Some(Object::Gateway(gateway))) => ports_of(edge, &gateway.spec.listeners),
                _ => BTreeSet::new(),
            }
        };
        self.ports.extend(ports(old));
        self.ports.extend(ports(new));
        let shows = match new {
            Some(Object::Gateway(gateway)) if facts.serves(gateway) => client_certificates::referred(gateway),
            _ => None,
        };
        links.gateway_certificates.set(&id, shows.into_iter().collect());
        self.ports.extend(links.gateway_ports.keys(&id).copied());
        let now = all_ports(facts, &id);
        self.ports.extend(now.iter().copied());
        links.gateway_ports.set(&id, now);
        for set in facts.listener_sets.owners(&id) {
            self.listener_sets.insert(set.clone());
            // Which of them may attach, or whose Gateway it is, may be different.
            self.groups.extend(links.group_parents.owners(&ObjectKey::new(Kind::ListenerSet, &set.0, &set.1)).cloned());
        }
        self.gateways.insert(id);
    }

    /// Marks a Gateway's status, and the routes at it and at its ListenerSets.
    pub(crate) fn at_gateway(&mut self, facts: &Facts, links: &Links, id: &NsName) {
        self.gateways.insert(id.clone());
        self.referrers(links, &ObjectKey::new(Kind::Gateway, &id.0, &id.1));
        for (namespace, name) in facts.listener_sets.owners(id) {
            self.referrers(links, &ObjectKey::new(Kind::ListenerSet, namespace, name));
        }
    }

    /// Marks the routes that name a Gateway or ListenerSet.
    fn referrers(&mut self, links: &Links, parent: &ObjectKey) {
        self.groups.extend(links.group_parents.owners(parent).cloned());
    }
}

fn traffic_targets_of(object: &Object) -> Vec<ObjectKey> {
    match object {
        Object::TrafficPolicy(policy) => refers::traffic_targets(policy).map(|(target, _)| target).collect(),
        _ => Vec::new(),
    }
}

fn targets_of(object: &Object) -> Vec<NsName> {
    match object {
        Object::BackendTLSPolicy(policy) => refers::tls_targets(policy).map(|(service, _)| service).collect(),
        _ => Vec::new(),
    }
}

fn ports_of(edge: EdgeId, listeners: &[GatewayListener]) -> BTreeSet<PortId> {
    listeners.iter().map(|listener| PortId { edge, number: listener.port }).collect()
}

/// Every port at which a Gateway of Weir's, or a ListenerSet that names it, has a listener.
fn all_ports(facts: &Facts, id: &NsName) -> BTreeSet<PortId> {
    let (Some(gateway), Some(edge)) = (facts.own_gateway(&id.0, &id.1), facts.edge_of(id)) else {
        return BTreeSet::new();
    };
    let sets = facts.listener_sets.owners(id).filter_map(|(ns, name)| facts.objects.listener_set(ns, name));
    let all = std::iter::once(&gateway.spec.listeners).chain(sets.map(|set| &set.spec.listeners));
    all.flat_map(|listeners| ports_of(edge, listeners)).collect()
}
