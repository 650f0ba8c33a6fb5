//! TLS listeners of tenants' Gateways take no connection that is meant for another tenant.
//!
//! A chain is chosen by SNI alone. So where a tenant's listener has a wildcard, and another tenant
//! owns a name below it, that name is added to the chain that it would reach without the listener.

use std::collections::{BTreeMap, BTreeSet};

use weir_config::model::FilterChain;

use super::facts::Facts;
use super::port_plan::{ListenerId, Table};
use super::unit::Group;
use crate::index::Pattern;

/// Adds the names to `chains`, which are found by `place`. Answers with the wildcards below which
/// a change of ownership matters.
pub(crate) fn give_back(
    facts: &Facts,
    table: &Table,
    chains: &mut Vec<FilterChain>,
    place: &BTreeMap<ListenerId, usize>,
) -> BTreeSet<Pattern> {
    let of_tenants = table.iter().filter(|(host, (_, owner))| host.is_wildcard() && *owner != Group::System);
    let wildcards: BTreeSet<Pattern> = of_tenants.map(|(host, _)| host.clone()).collect();
    let mut named: BTreeMap<usize, FilterChain> = BTreeMap::new();
    let entries: BTreeMap<&Pattern, &str> = wildcards.iter().flat_map(|wildcard| facts.names.below(wildcard)).collect();
    for (entry, tenant) in entries {
        let Some((_, owner)) = covering(table, entry, |_| true) else { continue };
        let mine = |owner: &Group| *owner == Group::System || owner.names() == Some(tenant);
        if mine(owner) {
            continue;
        }
        let Some((listener, _)) = covering(table, entry, mine) else { continue };
        let (Some(at), Some(name)) = (place.get(listener), entry.server_name()) else { continue };
        if chains[*at].server_names.is_empty() {
            let copy = || FilterChain { name: format!("{}/named", chains[*at].name), ..chains[*at].clone() };
            named.entry(*at).or_insert_with(copy).server_names.push(name);
        } else {
            chains[*at].server_names.push(name);
        }
    }
    chains.extend(named.into_values());
    wildcards
}

/// The listener that has `host` most specifically, of those whose owner counts.
fn covering<'a>(table: &'a Table, host: &Pattern, counts: impl Fn(&Group) -> bool) -> Option<&'a (ListenerId, Group)> {
    let own = std::iter::once(host.clone());
    own.chain(host.wider()).find_map(|pattern| table.get(&pattern).filter(|(_, owner)| counts(owner)))
}
