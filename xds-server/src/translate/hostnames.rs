//! Which names a route serves at the listeners that take it.
//!
//! A name is served where the route asks for it, the listener has it, the tenant owns it, and no
//! other listener of the port has it more specifically.

use std::collections::BTreeSet;

use super::facts::Facts;
use super::port_plan::{ListenerFact, ListenerId, Ports};
use super::unit::Group;
use crate::index::Pattern;

/// A name that a route serves in one RouteConfiguration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) routes: String,
    pub(crate) domain: Pattern,
    pub(crate) listener: ListenerId,
    /// The listener's port, and whether it speaks TLS.
    pub(crate) port: u16,
    pub(crate) tls: bool,
    /// How specific the route's own hostname is: that of two routes that serve one domain goes first.
    pub(crate) asked: usize,
}

/// The names of a route at one parent.
#[derive(Debug, Default)]
pub(crate) struct Served {
    pub(crate) places: Vec<Place>,
    /// Listeners at which the route serves something, or would if they had a certificate.
    pub(crate) listeners: BTreeSet<ListenerId>,
    /// Hostnames that the route does not serve, each with why.
    pub(crate) lost: Vec<String>,
    /// Whether any hostname is a listener's at all.
    pub(crate) matched: bool,
    /// What was looked up, so that a change of ownership finds it.
    pub(crate) wanted: BTreeSet<Pattern>,
}

/// Works out what `hostnames` come to at `listeners`.
pub(crate) fn serve(
    facts: &Facts,
    ports: &Ports,
    group: &Group,
    hostnames: &[String],
    listeners: &[&ListenerFact],
) -> Served {
    let mut served = Served::default();
    if hostnames.is_empty() {
        ask(facts, ports, group, None, listeners, &mut served);
    }
    for text in hostnames {
        match Pattern::parse(text) {
            Ok(asked) => ask(facts, ports, group, Some(&asked), listeners, &mut served),
            Err(problem) => served.lost.push(format!("`{text}` {problem}")),
        }
    }
    served
}

fn ask(
    facts: &Facts,
    ports: &Ports,
    group: &Group,
    asked: Option<&Pattern>,
    listeners: &[&ListenerFact],
    served: &mut Served,
) {
    let pattern = asked.cloned().unwrap_or(Pattern::ANY);
    let (mut matched, mut owned, mut won) = (false, false, false);
    for listener in listeners {
        for host in &listener.hosts {
            let Some(wanted) = pattern.intersect(host) else { continue };
            matched = true;
            for domain in facts.names.served(group.names(), &wanted) {
                owned = true;
                for bind in &listener.binds {
                    if ports.most_specific(listener.port, bind.address, &domain, group) != Some(&listener.id) {
                        continue;
                    }
                    won = true;
                    served.listeners.insert(listener.id.clone());
                    if let Some(routes) = &bind.routes {
                        served.places.push(Place {
                            routes: routes.clone(),
                            domain: domain.clone(),
                            listener: listener.id.clone(),
                            port: listener.port.number,
                            tls: listener.tls,
                            asked: pattern.specificity(),
                        });
                    }
                }
            }
            served.wanted.insert(wanted);
        }
    }
    served.matched |= matched;
    let name = asked.map_or_else(|| "the listeners' hostnames".to_owned(), |asked| format!("`{asked}`"));
    match (matched, owned, won) {
        (_, _, true) => {}
        (false, ..) => served.lost.push(format!("{name} is no listener's hostname")),
        (true, false, _) => served.lost.push(match facts.names.owner_of(&pattern).filter(|_| asked.is_some()) {
            Some(owner) => format!("{name} belongs to Tenant {owner}"),
            None => format!("{name} is in no hostname of the tenant's"),
        }),
        (true, true, false) => served.lost.push(format!("{name} is served by a more specific listener of the port")),
    }
}
