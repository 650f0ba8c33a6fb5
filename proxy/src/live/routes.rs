//! RouteConfigurations: virtual hosts that came with them, and those that came by VHDS.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use arc_swap::ArcSwap;
use weir_config::model::{Delta, Resource, ResourceType, RouteConfiguration, VirtualHost, name};

use super::compile::Compiler;
use crate::request::table::{HostTable, VirtualHostTable};

/// Every RouteConfiguration that was sent or is named, by name.
#[derive(Debug, Default)]
pub(super) struct Routes {
    by_name: HashMap<Arc<str>, Configuration>,
    /// Those touched since they were last found to be sent: only these are swept.
    unsent: BTreeSet<Arc<str>>,
}

/// A slot that chains point to.
pub(super) type RoutesSlot = Arc<ArcSwap<HostTable>>;

#[derive(Debug)]
struct Configuration {
    slot: RoutesSlot,
    /// None until it is sent: then nothing is served.
    model: Option<Arc<RouteConfiguration>>,
    /// Hosts that came with it, by name.
    inline: HashMap<Arc<str>, Arc<VirtualHostTable>>,
    /// Hosts that came by VHDS, by name. They are kept whatever becomes of the rest, and served
    /// while the configuration asks for VHDS.
    vhds: HashMap<Arc<str>, Arc<VirtualHostTable>>,
    /// Names of hosts that lack a domain because another host holds it.
    losers: BTreeSet<Arc<str>>,
}

/// What changes in one configuration.
#[derive(Debug, Default)]
struct Change {
    /// Sent anew, or gone.
    model: Option<Option<Arc<RouteConfiguration>>>,
    /// By name: sent anew, or gone.
    vhds: BTreeMap<String, Option<Arc<VirtualHost>>>,
}

impl Routes {
    /// The slot of a configuration that a listener names.
    pub(super) fn slot(&mut self, name: &str) -> RoutesSlot {
        self.configuration(name).slot.clone()
    }

    /// Takes a configuration that came with a listener, under a name that no resource has.
    pub(super) fn set(&mut self, name: &str, model: &RouteConfiguration, compiler: &mut Compiler<'_>) -> RoutesSlot {
        // Nothing comes by VHDS to routes without a name of their own.
        let model = RouteConfiguration { vhds: false, ..model.clone() };
        let configuration = self.configuration(name);
        configuration.apply(Change { model: Some(Some(Arc::new(model))), vhds: BTreeMap::new() }, compiler);
        configuration.slot.clone()
    }

    /// A configuration that came with a listener is gone.
    pub(super) fn unset(&mut self, name: &str, compiler: &mut Compiler<'_>) {
        let configuration = self.configuration(name);
        configuration.apply(Change { model: Some(None), vhds: BTreeMap::new() }, compiler);
    }

    /// Makes the change, one swap for each configuration that it touches.
    pub(super) fn apply(&mut self, delta: &Delta, compiler: &mut Compiler<'_>) {
        let mut changes: BTreeMap<String, Change> = BTreeMap::new();
        for (kind, name) in &delta.removals {
            match kind {
                ResourceType::RouteConfiguration => changes.entry(name.clone()).or_default().model = Some(None),
                ResourceType::VirtualHost => {
                    if let Some((parent, _)) = name::split_virtual_host(name) {
                        changes.entry(parent.to_owned()).or_default().vhds.insert(name.clone(), None);
                    }
                }
                _ => {}
            }
        }
        for resource in &delta.upserts {
            match resource {
                Resource::RouteConfiguration(model) => {
                    changes.entry(model.name.clone()).or_default().model = Some(Some(model.clone()));
                }
                Resource::VirtualHost(host) => {
                    if let Some((parent, _)) = name::split_virtual_host(&host.name) {
                        let change = changes.entry(parent.to_owned()).or_default();
                        change.vhds.insert(host.name.clone(), Some(host.clone()));
                    }
                }
                _ => {}
            }
        }
        for (name, change) in changes {
            self.configuration(&name).apply(change, compiler);
        }
    }

    /// Forgets configurations that nobody sends or names.
    pub(super) fn sweep(&mut self) {
        let (by_name, unsent) = (&mut self.by_name, &mut self.unsent);
        unsent.retain(|name| {
            let Some(c) = by_name.get(name) else { return false };
            let sent = c.model.is_some();
            let idle = !sent && c.vhds.is_empty() && Arc::strong_count(&c.slot) == 1;
            if idle {
                by_name.remove(name);
            }
            !sent && !idle
        });
    }

    /// The configuration of that name, which the caller may change or refer to.
    fn configuration(&mut self, name: &str) -> &mut Configuration {
        let name = self.by_name.get_key_value(name).map_or_else(|| name.into(), |(name, _)| name.clone());
        self.unsent.insert(name.clone());
        self.by_name.entry(name).or_insert_with(|| Configuration {
            slot: Arc::new(ArcSwap::from_pointee(HostTable::new(rand::random()))),
            model: None,
            inline: HashMap::new(),
            vhds: HashMap::new(),
            losers: BTreeSet::new(),
        })
    }
}

impl Configuration {
    fn apply(&mut self, change: Change, compiler: &mut Compiler<'_>) {
        let mut table = HostTable::clone(&self.slot.load());
        let mut new = Vec::new();
        let had_vhds = self.serves_vhds();
        if let Some(model) = change.model {
            self.set_model(model, &mut table, &mut new, compiler);
        }
        self.set_vhds(change.vhds, &mut table, &mut new, compiler);
        match (had_vhds, self.serves_vhds()) {
            (false, true) => new.extend(self.vhds.values().cloned()),
            (true, false) => self.vhds.values().for_each(|host| table.remove(host)),
            _ => {}
        }
        // By name, so that of two hosts with one domain the same one always comes first.
        new.sort_by(|a, b| a.name.cmp(&b.name));
        for host in &new {
            self.insert(host, &mut table);
        }
        for name in std::mem::take(&mut self.losers) {
            if let Some(host) = self.served(&name).cloned() {
                self.insert(&host, &mut table);
            }
        }
        self.slot.store(Arc::new(table));
    }

    fn serves_vhds(&self) -> bool {
        self.model.as_ref().is_some_and(|model| model.vhds)
    }

    fn served(&self, name: &str) -> Option<&Arc<VirtualHostTable>> {
        self.inline.get(name).or_else(|| self.vhds.get(name).filter(|_| self.serves_vhds()))
    }

    fn insert(&mut self, host: &Arc<VirtualHostTable>, table: &mut HostTable) {
        if !table.insert(host) && self.losers.insert(host.name.clone()) {
            tracing::warn!(virtual_host = %host.name, "another virtual host holds one of its domains, and keeps it");
        }
    }

    /// Takes out the hosts that are gone or different, and compiles those that are new or different.
    fn set_model(
        &mut self,
        model: Option<Arc<RouteConfiguration>>,
        table: &mut HostTable,
        new: &mut Vec<Arc<VirtualHostTable>>,
        compiler: &mut Compiler<'_>,
    ) {
        let old = std::mem::replace(&mut self.model, model.clone());
        let old: HashMap<&str, &VirtualHost> =
            old.iter().flat_map(|m| &m.virtual_hosts).map(|host| (host.name.as_str(), host)).collect();
        let hosts = model.as_ref().map(|m| m.virtual_hosts.as_slice()).unwrap_or_default();
        let names: HashSet<&str> = hosts.iter().map(|host| host.name.as_str()).collect();
        self.inline.retain(|name, host| {
            let stays = names.contains(&**name);
            if !stays {
                table.remove(host);
            }
            stays
        });
        for host in hosts.iter().filter(|host| old.get(host.name.as_str()) != Some(host)) {
            replace(&mut self.inline, host, table, new, compiler);
        }
    }

    fn set_vhds(
        &mut self,
        change: BTreeMap<String, Option<Arc<VirtualHost>>>,
        table: &mut HostTable,
        new: &mut Vec<Arc<VirtualHostTable>>,
        compiler: &mut Compiler<'_>,
    ) {
        let mut compiled = Vec::new();
        for (name, host) in change {
            match host {
                Some(host) => replace(&mut self.vhds, &host, table, &mut compiled, compiler),
                None => {
                    if let Some(old) = self.vhds.remove(name.as_str()) {
                        table.remove(&old);
                    }
                }
            }
        }
        if self.serves_vhds() {
            new.append(&mut compiled);
        }
    }
}

/// Compiles a host and puts it in place of the one of its name, which leaves the table. One that
/// does not compile changes nothing.
fn replace(
    hosts: &mut HashMap<Arc<str>, Arc<VirtualHostTable>>,
    model: &VirtualHost,
    table: &mut HostTable,
    new: &mut Vec<Arc<VirtualHostTable>>,
    compiler: &mut Compiler<'_>,
) {
    let old = hosts.get(model.name.as_str());
    match compiler.virtual_host(model, old.map(|old| &**old)) {
        Ok(host) => {
            if let Some(old) = old {
                table.remove(old);
            }
            hosts.insert(host.name.clone(), host.clone());
            new.push(host);
        }
        Err(errors) => {
            let reasons: Vec<_> = errors.iter().map(ToString::to_string).collect();
            tracing::error!(virtual_host = model.name, reasons = reasons.join("; "), "it keeps its last good form");
        }
    }
}
