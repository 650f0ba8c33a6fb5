//! Which units an event touches.

use std::collections::BTreeSet;

use weir_config::kinds::gateway::Gateway;
use weir_config::kinds::{Kind, Object, ObjectKey, SYSTEM_TENANT};

use super::backends::ServicePort;
use super::classes::EdgeId;
use super::facts::{Facts, Moved};
use super::limits::Limits;
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
    pub(crate) port_grants: Reverse<String, PortId>,
    pub(crate) group_gateways: Reverse<NsName, Group>,
    pub(crate) group_names: Reverse<Pattern, Group>,
    pub(crate) group_services: Reverse<NsName, Group>,
    pub(crate) group_grants: Reverse<String, Group>,
    pub(crate) group_endpoints: Reverse<ServicePort, Group>,
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
                }
            }
            Kind::Gateway => {
                self.gateway(facts, links, key, change.old, change.new);
                let serves = |object: Option<&Object>| match object {
                    Some(Object::Gateway(gateway)) => Some(facts.serves(gateway)),
                    _ => None,
                };
                if serves(change.old) != serves(change.new) {
                    self.referrers(links, key);
                }
            }
            Kind::HTTPRoute | Kind::GRPCRoute | Kind::TLSRoute | Kind::TCPRoute | Kind::UDPRoute => {
                self.groups.insert(Group::of(&facts.tenancy, &key.namespace));
            }
            Kind::ReferenceGrant => {
                self.groups.extend(links.group_grants.owners(&key.namespace).cloned());
                self.ports.extend(links.port_grants.owners(&key.namespace).copied());
            }
            Kind::Service => {
                self.groups.extend(links.group_services.owners(&id).cloned());
                self.endpoints.insert(id);
            }
            Kind::EndpointSlice => {
                self.endpoints.extend(change.old.and_then(service_of));
                self.endpoints.extend(change.new.and_then(service_of));
            }
            Kind::ConfigMap | Kind::ListenerSet | Kind::BackendTLSPolicy => {}
            Kind::Secret => {
                let now = facts.certificates.get(&id).map(|c| c.as_ref().map(|_| ()).map_err(String::clone));
                if now != usable {
                    self.ports.extend(links.port_secrets.owners(&id).copied());
                }
                self.secrets.insert(id);
            }
        }
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
                (Some(edge), Some(Object::Gateway(gateway))) => ports_of(edge, gateway),
                _ => BTreeSet::new(),
            }
        };
        self.ports.extend(ports(old));
        self.ports.extend(ports(new));
        let served = facts.own_gateway(&key.namespace, &key.name).is_some();
        links.gateway_ports.set(&id, if served { ports(new) } else { BTreeSet::new() });
        self.gateways.insert(id);
    }

    /// Marks the routes that name a Gateway.
    fn referrers(&mut self, links: &Links, gateway: &ObjectKey) {
        let id = (gateway.namespace.clone(), gateway.name.clone());
        self.groups.extend(links.group_gateways.owners(&id).cloned());
    }
}

fn ports_of(edge: EdgeId, gateway: &Gateway) -> BTreeSet<PortId> {
    gateway.spec.listeners.iter().map(|listener| PortId { edge, number: listener.port }).collect()
}
