//! A port's sockets, with the chains of those routes that take whole connections.
//!
//! What nobody serves is closed, and never left to a wider name: a listener's hostname without a route, a name that
//! is another tenant's, or another listener's, below a wildcard that a route has.

use std::collections::{BTreeMap, BTreeSet};

use weir_config::model::name::NO_CLUSTER;
use weir_config::model::{FilterChain, Listener, Network, Proxied, Split};

use super::claims::{Claim, Spot};
use super::facts::Facts;
use super::port_plan::{L4Listener, Socket, Table};
use super::protocol::Protocol;
use super::unit::Group;
use crate::index::Pattern;

/// What is claimed at a port, by whom.
pub(crate) type Claimed = BTreeMap<Group, BTreeMap<Spot, Claim>>;

/// The Listener of a socket. The wildcards below which a change of ownership matters are added to `wildcards`.
pub(crate) fn listener(
    facts: &Facts,
    socket: &Socket,
    table: Option<&Table>,
    claimed: Option<&Claimed>,
    wildcards: &mut BTreeSet<Pattern>,
) -> Listener {
    let winners = winners(socket, claimed);
    let mut listener =
        Listener { name: socket.name.clone(), address: socket.address, chains: socket.chains.clone(), udp: None };
    let only = socket.l4.iter().next().filter(|(_, l4)| !l4.protocol.has_names());
    if let Some((base, l4)) = only {
        let claim = winners.get(&(base.as_str(), &Pattern::ANY)).map(|(_, claim)| *claim);
        let name = claim.map_or_else(|| format!("{base}/none"), |claim| format!("{base}/{}", claim.route()));
        let proxied = proxied(facts, &name, claim);
        if l4.protocol == Protocol::Udp {
            listener.udp = Some(Box::new(proxied));
        } else {
            listener.chains.push(chain(name, None, proxied));
        }
        return listener;
    }
    let mut names: BTreeMap<Pattern, Option<&Group>> = BTreeMap::new();
    names.extend(listener.chains.iter().flat_map(patterns).map(|pattern| (pattern, None)));
    let mut chains: BTreeMap<String, FilterChain> = BTreeMap::new();
    for ((base, domain), (group, claim)) in &winners {
        let Some(l4) = socket.l4.get(*base) else { continue };
        names.insert((*domain).clone(), Some(*group));
        let server = domain.server_name();
        let name = format!("{base}/{}{}", claim.route(), if server.is_some() { "" } else { "/any" });
        let new = || chain(name.clone(), Some(l4), proxied(facts, &name, Some(claim)));
        chains.entry(name.clone()).or_insert_with(new).server_names.extend(server);
    }
    listener.chains.extend(chains.into_values());
    let refused = refused(facts, socket, table, &names);
    let held = names.iter().filter(|(name, group)| name.is_wildcard() && group.is_some());
    wildcards.extend(held.map(|(name, _)| name.clone()));
    close(facts, refused, &mut listener);
    listener.chains.sort_by(|a, b| a.name.cmp(&b.name));
    listener
}

/// Who has each spot of the socket.
fn winners<'a>(
    socket: &Socket,
    claimed: Option<&'a Claimed>,
) -> BTreeMap<(&'a str, &'a Pattern), (&'a Group, &'a Claim)> {
    let mut winners: BTreeMap<(&str, &Pattern), (&Group, &Claim)> = BTreeMap::new();
    for (group, spots) in claimed.into_iter().flatten() {
        for ((base, domain), claim) in spots.iter().filter(|((base, _), _)| socket.l4.contains_key(base)) {
            let best = winners.entry((base, domain)).or_insert((group, claim));
            if claim.order < best.1.order {
                *best = (group, claim);
            }
        }
    }
    winners
}

/// Names that nobody may serve. `names` are those of chains: of a group's route, or of HTTP.
fn refused(
    facts: &Facts,
    socket: &Socket,
    table: Option<&Table>,
    names: &BTreeMap<Pattern, Option<&Group>>,
) -> BTreeSet<Pattern> {
    let free = |name: &Pattern| !names.contains_key(name);
    // The group whose route would take a name for want of a chain of its own.
    let taker = |name: &Pattern| name.wider().find_map(|wider| names.get(&wider).copied()).flatten();
    let own = socket.l4.values().flat_map(|l4| &l4.hosts).filter(|host| free(host)).cloned();
    let mut refused: BTreeSet<Pattern> = own.collect();
    for (host, (_, owner)) in table.into_iter().flatten().filter(|(host, _)| free(host)) {
        if taker(host).is_some_and(|group| owner == group || *owner == Group::System) {
            refused.insert(host.clone());
        }
    }
    for (wildcard, _) in names.iter().filter(|(name, group)| name.is_wildcard() && group.is_some()) {
        let foreign = |entry: &Pattern, tenant: &str| {
            free(entry) && taker(entry).is_some_and(|group| group.names() != Some(tenant))
        };
        let below = facts.names.below(wildcard).filter(|(entry, tenant)| foreign(entry, tenant));
        refused.extend(below.map(|(entry, _)| entry.clone()));
    }
    refused
}

/// Adds the chains that close what asks for these names.
fn close(facts: &Facts, names: BTreeSet<Pattern>, listener: &mut Listener) {
    let servers: Vec<_> = names.iter().filter_map(Pattern::server_name).collect();
    let mut add = |name: String, server_names| {
        let proxied = proxied(facts, &name, None);
        let closing = FilterChain { server_names, passthrough: true, ..chain(name, None, proxied) };
        listener.chains.push(closing);
    };
    let name = &listener.name.clone();
    if !servers.is_empty() {
        add(format!("{name}/none"), servers);
    }
    if names.contains(&Pattern::ANY) {
        add(format!("{name}/none/any"), Vec::new());
    }
}

fn chain(name: String, l4: Option<&L4Listener>, proxied: Proxied) -> FilterChain {
    FilterChain {
        name,
        server_names: Vec::new(),
        tls: l4.and_then(|l4| l4.tls.clone()),
        passthrough: l4.is_some_and(|l4| l4.protocol == Protocol::TlsPassthrough),
        network: Network::Tcp(proxied),
    }
}

fn proxied(facts: &Facts, name: &str, claim: Option<&Claim>) -> Proxied {
    Proxied {
        stat_prefix: name.to_owned(),
        split: claim.map_or_else(|| Split::One(NO_CLUSTER.to_owned()), |claim| claim.split.clone()),
        owner: claim.and_then(|claim| claim.owner.clone()),
        idle_timeout: None,
        access_log: facts.settings.access_log,
    }
}

/// The names that a chain takes.
fn patterns(chain: &FilterChain) -> Vec<Pattern> {
    match chain.server_names.as_slice() {
        [] => vec![Pattern::ANY],
        names => names.iter().map(Pattern::of_server_name).collect(),
    }
}
