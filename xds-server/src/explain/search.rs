//! Which routes are in question. What is read of each route (its hostnames, its parents) needs no world, so that the
//! server's is not held meanwhile: [`Search::begin`] takes references to the routes, [`Search::find`] reads them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_config::kinds::gateway::ParentReference;
use weir_config::kinds::{Kind, Object, ObjectKey};

use super::scene::{NearName, Owner};
use super::{Question, Traffic};
use crate::index::Pattern;
use crate::translate::World;
use crate::translate::attach::parent_of;
use crate::translate::facts::Facts;
use crate::translate::tenant;
use crate::translate::unit::Group;

/// Candidates of one answer.
const MOST_CANDIDATES: usize = 64;
/// Names that are spelt almost alike.
const MOST_NEAR: usize = 5;
/// Other names of the owner's routes.
const MOST_SERVED: usize = 8;
/// Letters that an almost equal name has wrong.
const NEAR: usize = 2;

/// What is searched.
#[derive(Debug)]
pub struct Search {
    /// Every route of the kinds in question.
    routes: Vec<Arc<Object>>,
    owner: Option<Owner>,
    /// Namespaces of the host's owner.
    namespaces: BTreeSet<String>,
    /// Gateways and ListenerSets with a listener at the port in question.
    holders: BTreeSet<ObjectKey>,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// Routes that name the host or take any, or that name a parent with the port.
    pub(super) candidates: Vec<ObjectKey>,
    /// How many more there are.
    pub(super) left_off: usize,
    pub(super) owner: Option<Owner>,
    pub(super) near: Vec<NearName>,
    pub(super) served: Vec<String>,
}

impl Search {
    /// Takes what the search needs: a reference to each route, and what belongs to one owner and one port.
    pub fn begin(world: &World, question: &Question) -> Self {
        let facts = world.facts();
        let own = Pattern::parse(&question.host).ok().filter(|_| question.has_name());
        let owner = own.as_ref().and_then(|own| owner(facts, own));
        let group = owner.as_ref().map_or(Group::System, |owner| Group::Tenant(owner.tenant.clone()));
        let at_port = world.ports().all().filter(|(port, _)| port.number == question.default_port());
        let holders = at_port.flat_map(|(_, plan)| plan.holders.values().flatten()).map(|fact| fact.id.object());
        Self {
            routes: question.kinds().iter().flat_map(|kind| facts.objects.of(*kind)).cloned().collect(),
            namespaces: tenant::namespaces(facts, &group).into_iter().collect(),
            holders: if question.has_name() { BTreeSet::new() } else { holders.collect() },
            owner,
        }
    }

    /// Reads the routes.
    pub fn find(self, question: &Question) -> Found {
        let mut found = Found { owner: self.owner.clone(), ..Found::default() };
        let (mut near, mut served) = (BTreeMap::new(), BTreeSet::new());
        for object in &self.routes {
            let Some(view) = View::of(object) else { continue };
            if self.is_candidate(question, &view) {
                if found.candidates.len() < MOST_CANDIDATES {
                    found.candidates.push(object.key());
                } else {
                    found.left_off += 1;
                }
            }
            for hostname in view.hostnames.iter().filter(|hostname| !question.is_in(hostname)) {
                if let Some(distance) = distance(&question.host, hostname) {
                    let route = format!("{}/{}", view.namespace, view.name);
                    let name = NearName { distance, hostname: hostname.clone(), route };
                    near.entry(hostname.clone()).or_insert(name);
                }
                if self.owner.is_some() && self.namespaces.contains(view.namespace) && served.len() < MOST_SERVED {
                    served.insert(hostname.clone());
                }
            }
        }
        let near: BTreeSet<NearName> = near.into_values().collect();
        found.near = near.into_iter().take(MOST_NEAR).collect();
        found.served = served.into_iter().collect();
        found
    }

    /// Whether a route is in question. One without hostnames takes what its tenant has of its listeners': it is looked
    /// at where the host is its tenant's.
    fn is_candidate(&self, question: &Question, view: &View<'_>) -> bool {
        match question.traffic {
            Traffic::Requests | Traffic::Tls if view.hostnames.is_empty() => self.namespaces.contains(view.namespace),
            Traffic::Requests | Traffic::Tls => view.hostnames.iter().any(|hostname| question.is_in(hostname)),
            Traffic::Tcp | Traffic::Udp => view.parents.iter().any(|parent| {
                let names = parent_of(view.namespace, parent).is_some_and(|key| self.holders.contains(&key));
                names && parent.port.is_none_or(|port| port == question.default_port())
            }),
        }
    }
}

fn owner(facts: &Facts, host: &Pattern) -> Option<Owner> {
    let (entry, tenant) = facts.names.deciding(host)?;
    let lost_by = facts.names.claims(&entry).skip(1).map(str::to_owned).collect();
    Some(Owner { tenant: tenant.to_owned(), entry: entry.to_string(), lost_by })
}

/// How many letters are wrong, if they are few.
fn distance(host: &str, hostname: &str) -> Option<usize> {
    if host.len().abs_diff(hostname.len()) > NEAR || host.len() <= 2 * NEAR {
        return None;
    }
    let distance = strsim::osa_distance(host, &hostname.to_ascii_lowercase());
    (1..=NEAR).contains(&distance).then_some(distance)
}

/// A route, as far as all kinds are alike.
pub(super) struct View<'a> {
    pub(super) kind: Kind,
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    pub(super) hostnames: &'a [String],
    pub(super) parents: &'a [ParentReference],
}

impl<'a> View<'a> {
    pub(super) fn of(object: &'a Object) -> Option<Self> {
        let (kind, hostnames, parents) = match object {
            Object::HTTPRoute(route) => (Kind::HTTPRoute, &*route.spec.hostnames, &route.spec.parent_refs),
            Object::GRPCRoute(route) => (Kind::GRPCRoute, &*route.spec.hostnames, &route.spec.parent_refs),
            Object::TLSRoute(route) => (Kind::TLSRoute, &*route.spec.hostnames, &route.spec.parent_refs),
            Object::TCPRoute(route) => (Kind::TCPRoute, &[][..], &route.spec.parent_refs),
            Object::UDPRoute(route) => (Kind::UDPRoute, &[][..], &route.spec.parent_refs),
            _ => return None,
        };
        let metadata = object.metadata();
        Some(Self {
            kind,
            namespace: metadata.namespace.as_deref().unwrap_or_default(),
            name: metadata.name.as_deref().unwrap_or_default(),
            hostnames,
            parents,
        })
    }
}
