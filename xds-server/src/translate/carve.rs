//! Borders inside served wildcards: where another tenant owns a narrower name, or another listener
//! has one, that name gets a virtual host without routes, so that the wildcard's routes never
//! answer for it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use weir_config::model::{ResourceType, VirtualHost, name};

use super::facts::Facts;
use super::ledger::Ledger;
use super::port_plan::{ListenerId, Ports, Table};
use super::unit::{Group, Maker, PortId};
use crate::index::Pattern;

/// Domains by RouteConfiguration, each with whose it is and at which listener.
type Domains = BTreeMap<String, BTreeMap<Pattern, (Group, ListenerId)>>;

/// Served domains, and the borders that were carved.
#[derive(Debug, Default)]
pub(crate) struct Carve {
    domains: Domains,
    /// Served wildcards, by the RouteConfigurations that have them.
    wildcards: BTreeMap<Pattern, BTreeSet<String>>,
    /// Port and address of each RouteConfiguration.
    places: BTreeMap<String, (PortId, IpAddr)>,
    carved: BTreeMap<String, BTreeSet<Pattern>>,
    dirty: BTreeSet<(String, Pattern)>,
}

impl Carve {
    /// Takes in which RouteConfigurations a port has, and which hostnames of listeners changed
    /// there.
    pub(crate) fn set_port(
        &mut self,
        port: PortId,
        old: &BTreeMap<String, IpAddr>,
        new: &BTreeMap<String, IpAddr>,
        changed: &BTreeSet<(IpAddr, Pattern)>,
    ) {
        for gone in old.keys().filter(|routes| !new.contains_key(*routes)) {
            self.places.remove(gone);
            let carved = self.carved.get(gone).into_iter().flatten();
            self.dirty.extend(carved.map(|pattern| (gone.clone(), pattern.clone())));
        }
        for (routes, address) in new {
            self.places.insert(routes.clone(), (port, *address));
            let here = changed.iter().filter(|(at, _)| at == address);
            self.dirty.extend(here.map(|(_, pattern)| (routes.clone(), pattern.clone())));
        }
    }

    /// Replaces the domains that a group serves.
    pub(crate) fn set_domains(
        &mut self,
        facts: &Facts,
        ports: &Ports,
        group: &Group,
        old: &BTreeMap<(String, Pattern), ListenerId>,
        new: &BTreeMap<(String, Pattern), ListenerId>,
    ) {
        for (key, _) in old.iter().filter(|(key, _)| !new.contains_key(*key)) {
            let (routes, domain) = key;
            if let Some(domains) = self.domains.get_mut(routes)
                && domains.get(domain).is_some_and(|(owner, _)| owner == group)
            {
                domains.remove(domain);
                if domains.is_empty() {
                    self.domains.remove(routes);
                }
                self.touch(facts, ports, routes, domain);
            }
        }
        for ((routes, domain), listener) in new {
            let value = (group.clone(), listener.clone());
            let domains = self.domains.entry(routes.clone()).or_default();
            if domains.insert(domain.clone(), value.clone()) != Some(value) {
                self.touch(facts, ports, routes, domain);
            }
        }
    }

    /// Marks a border at `entry` wherever a served wildcard lies above it.
    pub(crate) fn entry_changed(&mut self, entry: &Pattern) {
        for routes in entry.wider().filter_map(|wider| self.wildcards.get(&wider)).flatten() {
            self.dirty.insert((routes.clone(), entry.clone()));
        }
    }

    /// Marks what a domain that came, went or changed hands may carve.
    fn touch(&mut self, facts: &Facts, ports: &Ports, routes: &str, domain: &Pattern) {
        let mut borders = vec![domain.clone()];
        if domain.is_wildcard() {
            let served = self.domains.get(routes).is_some_and(|domains| domains.contains_key(domain));
            let holders = self.wildcards.entry(domain.clone()).or_default();
            if served {
                holders.insert(routes.to_owned());
            } else {
                holders.remove(routes);
            }
            if holders.is_empty() {
                self.wildcards.remove(domain);
            }
            borders.extend(facts.names.below(domain).map(|(entry, _)| entry.clone()));
            if let Some(table) = self.table(ports, routes) {
                borders.extend(table.range(domain..).map(|(host, _)| host).take_while(|h| domain.covers(h)).cloned());
            }
            if let Some(carved) = self.carved.get(routes) {
                borders.extend(carved.range(domain..).take_while(|border| domain.covers(border)).cloned());
            }
        }
        self.dirty.extend(borders.into_iter().map(|border| (routes.to_owned(), border)));
    }

    fn table<'a>(&self, ports: &'a Ports, routes: &str) -> Option<&'a Table> {
        let (port, address) = self.places.get(routes)?;
        ports.0.get(port)?.tables.get(address)
    }

    /// Carves what is marked; answers with how many borders were looked at.
    pub(crate) fn settle(&mut self, facts: &Facts, ports: &Ports, ledger: &mut Ledger) -> usize {
        let dirty = std::mem::take(&mut self.dirty);
        for (routes, border) in &dirty {
            let name = name::virtual_host(routes, &border.to_string());
            let wanted = self.is_border(facts, ports, routes, border);
            let carved = self.carved.entry(routes.clone()).or_default();
            if wanted && carved.insert(border.clone()) {
                let host = VirtualHost { name, domains: vec![border.domain()], owner: None, routes: Vec::new() };
                ledger.put(&Maker::Carve, host.into());
            } else if !wanted && carved.remove(border) {
                ledger.retract(&Maker::Carve, &(ResourceType::VirtualHost, name));
            }
            if carved.is_empty() {
                self.carved.remove(routes);
            }
        }
        dirty.len()
    }

    fn is_border(&self, facts: &Facts, ports: &Ports, routes: &str, border: &Pattern) -> bool {
        let (Some(domains), Some(table)) = (self.domains.get(routes), self.table(ports, routes)) else { return false };
        if domains.contains_key(border) {
            return false;
        }
        let Some((group, listener)) = border.wider().find_map(|wider| domains.get(&wider)) else { return false };
        let foreign_name = facts.names.owner(border).is_some_and(|owner| group.names() != Some(owner));
        let other_listener =
            table.get(border).is_some_and(|(id, owner)| id != listener && (owner == group || *owner == Group::System));
        foreign_name || other_listener
    }
}
