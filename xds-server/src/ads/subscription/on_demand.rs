//! Virtual hosts on demand: an Envoy asks for the host that a request names, and gets the virtual host that
//! serves it, under its own name and with what was asked for as an alias.
//!
//! Envoy 1.40 asks for a name once, and only where it has no virtual host for a request. So with a wildcard go
//! all narrower hosts below it, which it would never ask for; what is not there is remembered, and sent once it
//! is; and a name whose host goes is served by the next wider one. Its first request names nothing, and its
//! listener waits until it hears of any host of its routes: it is greeted with one that does not exist.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use weir_config::model::ResourceType;
use weir_config::model::name::{split_virtual_host, virtual_host};

use super::kind::Standing;
use super::message::Excess;
use super::{Subscriptions, View};
use crate::ads::encoded::Encoded;
use crate::ads::form::Hosts;

/// Names of one stream that are remembered, and as many that were asked for and not answered yet. What comes
/// beyond is answered and forgotten: clients of the Envoy choose the names.
const MAX_ASKED: usize = 100_000;
/// A host that nobody can have (RFC 6761).
const NOBODY: &str = "none.invalid";

/// What was asked for.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// As the client wrote it, by the name that a host of its own would have.
    names: BTreeMap<String, BTreeSet<Arc<str>>>,
    remembered: usize,
    /// Virtual hosts that are to be sent, each with the names by which it was asked for.
    aliases: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
    /// Names for which there is no virtual host, until that is said.
    unknown: BTreeSet<Arc<str>>,
    waiting: usize,
    /// Routes whose first word was given.
    greeted: BTreeSet<Arc<str>>,
}

impl Asked {
    /// Notes that `name` is to be answered, by `host` if there is one.
    fn answer(&mut self, name: Arc<str>, host: Option<&Arc<str>>) -> Result<(), Excess> {
        if self.waiting >= MAX_ASKED {
            return Err(Excess::Names);
        }
        let new = match host {
            Some(host) => self.aliases.entry(Arc::clone(host)).or_default().insert(name),
            None => self.unknown.insert(name),
        };
        self.waiting += usize::from(new);
        Ok(())
    }

    /// Remembers what was asked for, as far as there is room.
    fn remember(&mut self, name: &Arc<str>) {
        if self.remembered < MAX_ASKED {
            let new = self.names.entry(own(name)).or_default().insert(Arc::clone(name));
            self.remembered += usize::from(new);
        }
    }

    /// What was asked for that a virtual host of this name would serve.
    fn served_by(&self, host: &str) -> Vec<Arc<str>> {
        let exact = self.names.get(host).into_iter().flatten().cloned();
        let Some((routes, domain)) = split_virtual_host(host) else { return exact.collect() };
        if !domain.starts_with('*') {
            return exact.collect();
        }
        let from = format!("{routes}/");
        let all = self.names.range(from.clone()..).take_while(|(name, _)| name.starts_with(&from));
        let below = all.filter(|(name, _)| wider(name).any(|wide| wide == host));
        below.flat_map(|(_, names)| names).cloned().chain(exact).collect()
    }

    /// Everything that is remembered.
    fn all(&self) -> Vec<Arc<str>> {
        self.names.values().flatten().cloned().collect()
    }

    /// Whether `name` waits for word that there is nothing.
    pub(super) fn is_unknown(&self, name: &str) -> bool {
        self.unknown.contains(name)
    }

    /// Forgets that `name` waits for word that there is nothing.
    pub(super) fn settle(&mut self, name: &str) {
        self.waiting -= usize::from(self.unknown.remove(name));
    }

    /// The names by which `host` was asked for, which are answered now.
    pub(super) fn take(&mut self, host: &str) -> Vec<Arc<str>> {
        let aliases = self.aliases.remove(host).unwrap_or_default();
        self.waiting -= aliases.len();
        aliases.into_iter().collect()
    }

    /// What was asked for of these routes.
    fn of(&self, routes: &str) -> Vec<Arc<str>> {
        let from = format!("{routes}/");
        let all = self.names.range(from.clone()..).take_while(|(name, _)| name.starts_with(&from));
        all.flat_map(|(_, names)| names).cloned().collect()
    }

    /// The client does not ask for this name any more, nor for hosts of these routes.
    pub(super) fn forget(&mut self, name: &str) {
        self.greeted.remove(name);
        let from = format!("{name}/");
        let below = self.names.range(from.clone()..).take_while(|(other, _)| other.starts_with(&from));
        let gone: Vec<String> = below.map(|(name, _)| name.clone()).chain([own(name)]).collect();
        for name in gone {
            self.remembered -= self.names.remove(&name).map_or(0, |names| names.len());
        }
    }
}

impl Subscriptions {
    /// The host that a request names, for an Envoy that has no virtual host for it.
    pub(super) fn demand(&mut self, name: &str, view: &View<'_>, now: Instant) -> Result<(), Excess> {
        let name: Arc<str> = name.into();
        let host = serving(view, &name);
        self.asked.remember(&name);
        self.asked.answer(Arc::clone(&name), host.map(|host| &host.name))?;
        match host {
            Some(host) => self.want_host(host, true, view, now),
            None => self.kinds[ResourceType::VirtualHost as usize].mark(&name, true, now),
        }
        Ok(())
    }

    /// A virtual host came, went or changed: what was asked for may be served by another one now.
    pub(super) fn demand_again(&mut self, host: &str, view: &View<'_>, now: Instant) {
        for name in self.asked.served_by(host) {
            self.serve_again(&name, view, now);
        }
    }

    /// The same of everything, for a stream that missed changes.
    pub(super) fn demand_all_again(&mut self, view: &View<'_>, now: Instant) {
        for name in self.asked.all() {
            self.serve_again(&name, view, now);
        }
    }

    fn serve_again(&mut self, name: &Arc<str>, view: &View<'_>, now: Instant) {
        let has_routes = split_virtual_host(name).is_some_and(|(routes, _)| self.asked.greeted.contains(routes));
        let Some(host) = serving(view, name).filter(|_| has_routes) else { return };
        if !self.kinds[ResourceType::VirtualHost as usize].names.contains(&host.name) {
            // A client that lets so much wait for an answer gets the host all the same.
            let _ = self.asked.answer(Arc::clone(name), Some(&host.name));
            self.want_host(host, false, view, now);
        }
    }

    fn want_host(&mut self, host: &Encoded, again: bool, view: &View<'_>, now: Instant) {
        let state = &mut self.kinds[ResourceType::VirtualHost as usize];
        state.want(&host.name);
        state.mark(&host.name, again, now);
        for narrower in below(view, &host.name) {
            state.mark(&narrower.name, false, now);
        }
    }

    /// The client drops these routes with all their hosts. Should they come again, it needs the hosts again, and does
    /// not ask.
    pub(super) fn leave_hosts(&mut self, routes: &str) {
        self.asked.greeted.remove(routes);
        let state = &mut self.kinds[ResourceType::VirtualHost as usize];
        for host in state.hosts_of(routes) {
            state.want_no_longer(&host);
            state.forget(&host, &mut self.uses);
        }
    }

    /// Gives the first word to routes that the client has, where it waits for it.
    pub(super) fn greet(&mut self, view: &View<'_>, now: Instant) {
        if view.form().hosts != Hosts::OnDemand || !self.kinds[ResourceType::VirtualHost as usize].asked {
            return;
        }
        let routes = &self.kinds[ResourceType::RouteConfiguration as usize];
        let has = |name: &&Arc<str>| {
            routes.held.get(*name).is_some_and(|held| held.in_use && held.standing == Standing::Accepted)
        };
        // Which routes a stream of hosts alone is about it does not say.
        let new: Vec<Arc<str>> = if self.mode.alone {
            view.of(ResourceType::RouteConfiguration).map(|routes| Arc::clone(&routes.name)).collect()
        } else {
            routes.names.iter().filter(has).cloned().collect()
        };
        for name in new {
            if self.asked.greeted.insert(Arc::clone(&name)) {
                let greeting: Arc<str> = virtual_host(&name, NOBODY).into();
                if self.asked.answer(Arc::clone(&greeting), None).is_ok() {
                    self.kinds[ResourceType::VirtualHost as usize].mark(&greeting, true, now);
                }
                for name in self.asked.of(&name) {
                    self.serve_again(&name, view, now);
                }
            }
        }
    }
}

/// The virtual host that serves what an Envoy asks for: `<routes>/<Host>`, as a client sent it.
fn serving<'a>(view: &View<'a>, name: &str) -> Option<&'a Arc<Encoded>> {
    let exact = own(name);
    let get = |name: &str| view.get(ResourceType::VirtualHost, name);
    get(&exact).or_else(|| wider(&exact).find_map(|name| get(&name)))
}

/// Names of the virtual hosts that would serve a host if it had none of its own, narrowest first.
pub(super) fn wider(name: &str) -> impl Iterator<Item = String> {
    let (routes, domain) = split_virtual_host(name).unwrap_or_default();
    let own = domain.strip_prefix("*.").unwrap_or(domain);
    let labels = if own == "*" { None } else { Some(own.match_indices('.').map(|(at, _)| &own[at..])) };
    // `*.a.b` is no wider than itself; `*.b` is.
    let suffixes = labels.into_iter().flatten().map(move |suffix| virtual_host(routes, &format!("*{suffix}")));
    suffixes.chain((own != "*").then(|| virtual_host(routes, "*")))
}

/// Virtual hosts that are narrower than this one.
fn below<'a>(view: &View<'a>, name: &str) -> Vec<&'a Arc<Encoded>> {
    let Some((routes, domain)) = split_virtual_host(name) else { return Vec::new() };
    if !domain.starts_with('*') {
        return Vec::new();
    }
    view.hosts(routes).filter(|host| wider(&host.name).any(|wide| wide == name)).collect()
}

/// Name of the virtual host that would serve `<routes>/<Host>` alone.
fn own(name: &str) -> String {
    let (routes, host) = split_virtual_host(name).unwrap_or_default();
    virtual_host(routes, &without_port(host).to_ascii_lowercase())
}

/// A Host without its port; an IPv6 address keeps its brackets.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wider_names_come_narrowest_first() {
        let wider = |name: &str| wider(name).collect::<Vec<_>>();
        assert_eq!(wider("rc/a.b.c"), ["rc/*.b.c", "rc/*.c", "rc/*"]);
        assert_eq!(wider("rc/*.b.c"), ["rc/*.c", "rc/*"]);
        assert_eq!(wider("e/rc/local"), ["e/rc/*"]);
        assert!(wider("rc/*").is_empty());
    }

    #[test]
    fn a_port_is_left_out() {
        assert_eq!(
            ["a.b:80", "a.b", "[::1]:80", "[::1]", "a:"].map(without_port),
            ["a.b", "a.b", "[::1]", "[::1]", "a"]
        );
    }

    #[test]
    fn what_is_kept_of_names_is_bounded_and_given_back() {
        let mut asked = Asked::default();
        for n in 0..=MAX_ASKED {
            let name: Arc<str> = format!("rc/{n}").into();
            asked.remember(&name);
            assert_eq!(asked.answer(name, None).is_ok(), n < MAX_ASKED);
        }
        assert_eq!(asked.remembered, MAX_ASKED);
        asked.settle("rc/0");
        asked.answer("rc/another".into(), Some(&"rc/host".into())).unwrap();
        assert_eq!(asked.take("rc/host"), ["rc/another".into()]);
        asked.forget("rc");
        assert_eq!((asked.remembered, asked.names.len()), (0, 0));
    }

    #[test]
    fn names_are_found_by_the_host_that_would_serve_them() {
        let mut asked = Asked::default();
        for name in ["rc/a.b:80", "rc/A.B", "rc/x.a.b", "rc2/a.b", "rc/b"] {
            asked.remember(&name.into());
        }
        let served = |host: &str| asked.served_by(host).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(served("rc/a.b"), ["rc/A.B", "rc/a.b:80"]);
        assert_eq!(served("rc/*.b"), ["rc/A.B", "rc/a.b:80", "rc/x.a.b"]);
        assert_eq!(served("rc/*").len(), 4);
        assert!(served("rc/c").is_empty());
    }
}
