//! Virtual hosts on demand: an Envoy asks for the host that a request names, and gets the virtual host that
//! serves it, under its own name and with what was asked for as an alias.
//!
//! Envoy 1.40 asks for a name once, and only where it has no virtual host for a request. So with a wildcard go
//! all narrower hosts below it, which it would never ask for; what is not there is remembered, and sent once it
//! is; and a name whose host goes is served by the next wider one. Its first request names nothing, and its
//! listener waits until it hears of any host of its routes: it is greeted with one that does not exist.

use std::sync::Arc;
use std::time::Instant;

use weir_config::model::ResourceType;
use weir_config::model::name::{split_virtual_host, virtual_host};

use super::asked::{own, wider};
use super::kind::Standing;
use super::message::Excess;
use super::stream::Subscriptions;
use crate::ads::encoded::Encoded;
use crate::ads::form::Hosts;
use crate::ads::view::View;

/// A host that nobody can have (RFC 6761).
const NOBODY: &str = "none.invalid";

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

/// Virtual hosts that are narrower than this one.
fn below<'a>(view: &View<'a>, name: &str) -> Vec<&'a Arc<Encoded>> {
    let Some((routes, domain)) = split_virtual_host(name) else { return Vec::new() };
    if !domain.starts_with('*') {
        return Vec::new();
    }
    view.hosts(routes).filter(|host| wider(&host.name).any(|wide| wide == name)).collect()
}
