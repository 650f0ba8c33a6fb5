//! Routes that name the host, or take any, and what became of each.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use weir_config::kinds::gateway::{HTTPRoute, ParentReference};
use weir_config::kinds::{Kind, Object};
use weir_config::model::{self, Resource, RouteMatch, VirtualHost};
use weir_config::xds;

use super::scene::{Candidate, MatchPlace, NearName, Owner, Parent, Place, Unresolved};
use super::{Question, Scene, Step};
use crate::index::{Age, Pattern};
use crate::translate::attach::{Attachment, attach};
use crate::translate::backends::Backends;
use crate::translate::facts::Facts;
use crate::translate::hostnames::serve;
use crate::translate::precedence::Precedence;
use crate::translate::routes::{self, Rules};
use crate::translate::unit::Group;
use crate::translate::{World, limits};

/// Candidates of one answer.
const MOST_CANDIDATES: usize = 64;
/// Names that are spelt almost alike.
const MOST_NEAR: usize = 5;
/// Other names of the owner's routes.
const MOST_SERVED: usize = 8;
/// Letters that an almost equal name has wrong.
const NEAR: usize = 2;
/// The tenant of a route that has none, in resources that nobody is sent.
const NOBODY: &str = "-";

/// Finds the candidates, whose the host is, and, where no route serves it, what is close.
pub(super) fn find(world: &World, question: &Question, scene: &mut Scene) {
    let facts = world.facts();
    let own = Pattern::parse(&question.host).ok();
    scene.owner = own.as_ref().and_then(|own| owner(facts, own));
    let naming: Vec<&HTTPRoute> = routes_of(facts).filter(|route| names(facts, question, scene, route)).collect();
    scene.candidates = naming.iter().take(MOST_CANDIDATES).map(|route| judge(world, question, route)).collect();
    scene.left_off.candidates = naming.len().saturating_sub(MOST_CANDIDATES);
    if scene.candidates.iter().any(|candidate| candidate.parents.iter().any(|parent| parent.served)) {
        return;
    }
    let mut near: BTreeMap<String, NearName> = BTreeMap::new();
    let mut served = BTreeSet::new();
    let tenant = scene.owner.as_ref().map(|owner| owner.tenant.as_str());
    for route in routes_of(facts) {
        let group = Group::of(&facts.tenancy, namespace(route));
        for hostname in route.spec.hostnames.iter().filter(|hostname| !question.is_in(hostname)) {
            if let Some(distance) = distance(&question.host, hostname) {
                let route = format!("{}/{}", namespace(route), name(route));
                near.entry(hostname.clone()).or_insert(NearName { distance, hostname: hostname.clone(), route });
            }
            if tenant.is_some() && group.names() == tenant {
                served.insert(hostname.clone());
            }
        }
    }
    let near: BTreeSet<NearName> = near.into_values().collect();
    scene.near = near.into_iter().take(MOST_NEAR).collect();
    scene.served = served.into_iter().take(MOST_SERVED).collect();
}

fn owner(facts: &Facts, host: &Pattern) -> Option<Owner> {
    let (entry, tenant) = facts.names.deciding(host)?;
    let lost_by = facts.names.claims(&entry).skip(1).map(str::to_owned).collect();
    Some(Owner { tenant: tenant.to_owned(), entry: entry.to_string(), lost_by })
}

fn routes_of(facts: &Facts) -> impl Iterator<Item = &HTTPRoute> {
    facts.objects.of(Kind::HTTPRoute).filter_map(|object| match &**object {
        Object::HTTPRoute(route) => Some(route),
        _ => None,
    })
}

/// Whether a route names the host. One without hostnames takes what its tenant has of its listeners': it
/// is looked at where the host is its tenant's.
fn names(facts: &Facts, question: &Question, scene: &Scene, route: &HTTPRoute) -> bool {
    if !route.spec.hostnames.is_empty() {
        return route.spec.hostnames.iter().any(|hostname| question.is_in(hostname));
    }
    let group = Group::of(&facts.tenancy, namespace(route));
    group != Group::Unowned(namespace(route).to_owned())
        && group.names() == scene.owner.as_ref().map(|owner| owner.tenant.as_str())
}

/// What became of a route, by the functions that translate it.
fn judge(world: &World, question: &Question, route: &HTTPRoute) -> Candidate {
    let facts = world.facts();
    let namespace = namespace(route);
    let group = Group::of(&facts.tenancy, namespace);
    let owner = match group.tenant() {
        Some(tenant) => limits::owner(facts, tenant),
        None => model::Owner { tenant: NOBODY.to_owned(), plan: None },
    };
    let rules = routes::translate(facts, &owner, route, &mut Backends::default());
    let hostnames: Vec<String> =
        route.spec.hostnames.iter().filter(|hostname| question.is_in(hostname)).cloned().collect();
    let parents = route.spec.parent_refs.iter();
    Candidate {
        namespace: namespace.to_owned(),
        name: name(route).to_owned(),
        tenant: group.tenant().map(str::to_owned),
        created: Age::of(&route.metadata).created().map(|time| time.to_string()),
        parents: parents
            .filter_map(|parent| judge_parent(world, question, &group, route, &hostnames, parent))
            .collect(),
        hostnames,
        dropped: rules.dropped.iter().map(ToString::to_string).collect(),
        unresolved: unresolved(facts, &owner, route),
        matches: places(route, &rules),
        routes: shown(question, rules),
    }
}

/// Backends that are not there, of each rule by itself.
fn unresolved(facts: &Facts, owner: &model::Owner, route: &HTTPRoute) -> Vec<Unresolved> {
    let mut found = Vec::new();
    for (rule, alone) in route.spec.rules.iter().flatten().enumerate() {
        let mut route = route.clone();
        route.spec.rules = Some(vec![alone.clone()]);
        let rules = routes::translate(facts, owner, &route, &mut Backends::default());
        found.extend(rules.unresolved.into_iter().map(|problem| Unresolved { rule, message: problem.message }));
    }
    found
}

fn judge_parent(
    world: &World,
    question: &Question,
    group: &Group,
    route: &HTTPRoute,
    hostnames: &[String],
    parent: &ParentReference,
) -> Option<Parent> {
    let (facts, ports) = (world.facts(), world.ports());
    let namespace = namespace(route);
    let mut judged = Parent {
        parent: called(namespace, parent),
        served: false,
        reason: String::new(),
        message: String::new(),
        places: Vec::new(),
    };
    match attach(facts, ports, Kind::HTTPRoute, namespace, parent) {
        Attachment::NotOurs => return None,
        Attachment::Nowhere(message) => (judged.reason, judged.message) = ("NoMatchingParent".to_owned(), message),
        Attachment::Refused(reason, message) => (judged.reason, judged.message) = (reason.to_owned(), message),
        Attachment::To(listeners) => {
            let served = serve(facts, ports, group, hostnames, &listeners);
            let here = served.places.iter().filter(|place| question.is_in(&place.domain.to_string()));
            let place = |place: &crate::translate::hostnames::Place| Place {
                routes: place.routes.clone(),
                domain: place.domain.to_string(),
                asked: place.asked,
            };
            judged.places = here.map(place).collect();
            judged.served = !judged.places.is_empty();
            if !judged.served {
                let (reason, other) = match (served.matched, served.listeners.is_empty()) {
                    (false, _) => ("NoMatchingListenerHostname", "no listener that takes the route has this host"),
                    (true, true) => ("NotAllowed", "the host is not the tenant's at these listeners"),
                    (true, false) => ("NotProgrammed", "its listener is not programmed, or has not this host"),
                };
                judged.reason = reason.to_owned();
                judged.message = if served.lost.is_empty() { other.to_owned() } else { served.lost.join("; ") };
            }
        }
    }
    Some(judged)
}

/// A parent, as people name it.
fn called(namespace: &str, parent: &ParentReference) -> String {
    let section = parent.section_name.as_ref().map(|section| format!("/{section}")).unwrap_or_default();
    let port = parent.port.map(|port| format!(" port {port}")).unwrap_or_default();
    format!("{}/{}{section}{port}", parent.namespace.as_deref().unwrap_or(namespace), parent.name)
}

fn places(route: &HTTPRoute, rules: &Rules) -> Vec<MatchPlace> {
    let named = route.spec.rules.as_deref().unwrap_or_default();
    let place = |translated: &model::Route| {
        let mut parts = translated.name.rsplit('/');
        let index = parts.next()?.parse().ok()?;
        let rule: usize = parts.next()?.parse().ok()?;
        let rule_name = named.get(rule).and_then(|rule| rule.name.clone());
        Some(MatchPlace { name: translated.name.clone(), rule, rule_name, index })
    };
    rules.routes.iter().filter_map(|(_, translated)| place(translated)).collect()
}

fn shown(question: &Question, rules: Rules) -> serde_json::Value {
    let host = VirtualHost {
        name: format!("candidate/{}", question.host),
        domains: vec![model::Domain::Any],
        owner: None,
        routes: rules.routes.into_iter().map(|(_, route)| route).collect(),
    };
    let resource = Resource::from(host);
    // The codec brings back what it made itself; a fault of it shows as a candidate without matches.
    xds::json::to_json(resource.kind(), &xds::encode(&resource)).unwrap_or_default()
}

fn namespace(route: &HTTPRoute) -> &str {
    route.metadata.namespace.as_deref().unwrap_or_default()
}

fn name(route: &HTTPRoute) -> &str {
    route.metadata.name.as_deref().unwrap_or_default()
}

/// How many letters are wrong, if they are few.
fn distance(host: &str, hostname: &str) -> Option<usize> {
    if host.len().abs_diff(hostname.len()) > NEAR || host.len() <= 2 * NEAR {
        return None;
    }
    let distance = strsim::osa_distance(host, &hostname.to_ascii_lowercase());
    (1..=NEAR).contains(&distance).then_some(distance)
}

/// A match, and what decides its place among the others of a host.
#[derive(Clone, Copy, Debug)]
pub struct Tried<'a> {
    /// How specific the hostname is by which its route has the host ([`Place::asked`]).
    pub asked: usize,
    /// The match.
    pub matches: &'a RouteMatch,
    /// Its route.
    pub candidate: &'a Candidate,
    /// Its place there.
    pub place: &'a MatchPlace,
}

impl Tried<'_> {
    fn precedence(&self) -> Precedence {
        let created = self.candidate.created.as_deref().and_then(|text| text.parse::<Timestamp>().ok());
        let age = Age::new(created, self.candidate.namespace.clone(), self.candidate.name.clone());
        Precedence::new(self.matches, &age, self.place.rule, self.place.index)
    }
}

/// The rule of precedence by which one of two different matches of one host is tried first; none where
/// the more specific hostname decides. Both serve the same virtual host.
pub fn step(one: Tried<'_>, other: Tried<'_>) -> Option<Step> {
    (one.asked == other.asked).then(|| one.precedence().step(&other.precedence()))
}

/// Whether `one` is tried before `other`. Both serve the same virtual host.
pub fn is_before(one: Tried<'_>, other: Tried<'_>) -> bool {
    let key = |tried: &Tried<'_>| (std::cmp::Reverse(tried.asked), tried.precedence());
    key(&one) < key(&other)
}
