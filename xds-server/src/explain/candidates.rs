//! What became of each route in question, by the functions that translate it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use weir_config::kinds::gateway::ParentReference;
use weir_config::kinds::{Kind, Object, ObjectKey};
use weir_config::model::{self, Resource, RouteMatch, VirtualHost};
use weir_config::xds;

use super::scene::{Call, Candidate, MatchPlace, Parent, Place, Unresolved};
use super::search::{Found, View};
use super::{Question, Scene, Step};
use crate::index::{Age, NsName};
use crate::status::{Condition, ParentStatus};
use crate::translate::attach::{Attachment, attach};
use crate::translate::backends::Backends;
use crate::translate::facts::Facts;
use crate::translate::hostnames::{self, Served, serve};
use crate::translate::precedence::Precedence;
use crate::translate::requests::Requests;
use crate::translate::routes::Rules;
use crate::translate::unit::Group;
use crate::translate::{World, grpc, l4, limits};

/// The tenant of a route that has none, in resources that nobody is sent.
const NOBODY: &str = "-";

/// Judges what was found; where no route serves the host, what is close stays in the scene. Answers with the Services
/// that have policies and that candidates send requests to.
pub(super) fn judge_all(world: &World, question: &Question, found: Found, scene: &mut Scene) -> BTreeSet<NsName> {
    let objects = &world.facts().objects;
    let get = |key: &ObjectKey| objects.get(key.kind, &key.namespace, &key.name);
    scene.owner = found.owner;
    let mut services = BTreeSet::new();
    let found_objects = found.candidates.iter().filter_map(get);
    scene.candidates = found_objects.filter_map(|object| judge(world, question, object, &mut services)).collect();
    scene.left_off.candidates = found.left_off;
    if !scene.candidates.iter().any(|candidate| candidate.parents.iter().any(|parent| parent.served)) {
        (scene.near, scene.served) = (found.near, found.served);
    }
    services
}

/// What became of a route.
fn judge(world: &World, question: &Question, object: &Object, services: &mut BTreeSet<NsName>) -> Option<Candidate> {
    let (facts, view) = (world.facts(), View::of(object)?);
    let group = Group::of(&facts.tenancy, view.namespace);
    let hostnames: Vec<String> = view.hostnames.iter().filter(|name| question.is_in(name)).cloned().collect();
    let key = object.key();
    let told = world.statuses().get(&key).map(|status| status.parents.as_slice()).unwrap_or_default();
    let parents = view.parents.iter().filter_map(|parent| {
        let told = told.iter().find(|status| status.parent_ref == *parent);
        judge_parent(world, question, (&group, &view, &hostnames), parent, told)
    });
    let candidate = Candidate {
        kind: key.kind.name().to_owned(),
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        tenant: group.tenant().map(str::to_owned),
        created: Age::of(object.metadata()).created().map(|time| time.to_string()),
        parents: parents.collect(),
        hostnames,
        dropped: Vec::new(),
        unresolved: Vec::new(),
        matches: Vec::new(),
        routes: serde_json::Value::Null,
    };
    let owner = match group.tenant() {
        Some(tenant) => limits::owner(facts, tenant),
        None => model::Owner { tenant: NOBODY.to_owned(), plan: None },
    };
    Some(match object {
        Object::HTTPRoute(route) => of_requests(facts, question, &owner, (&Requests::Http(route), services), candidate),
        Object::GRPCRoute(route) => {
            let route = Requests::Grpc(route, Box::new(grpc::as_http(route)));
            of_requests(facts, question, &owner, (&route, services), candidate)
        }
        _ => Candidate { unresolved: told_unresolved(told), ..candidate },
    })
}

/// What a route of requests is beside what all are.
fn of_requests(
    facts: &Facts,
    question: &Question,
    owner: &model::Owner,
    (route, services): (&Requests<'_>, &mut BTreeSet<NsName>),
    candidate: Candidate,
) -> Candidate {
    let mut backends = Backends::default();
    let rules = route.translate(facts, owner, &mut backends);
    services.append(&mut backends.with_policy);
    Candidate {
        dropped: rules.dropped.iter().map(ToString::to_string).collect(),
        unresolved: unresolved(facts, owner, route),
        matches: places(route, &rules),
        routes: shown(question, rules),
        ..candidate
    }
}

/// Backends that are not there, of each rule by itself.
fn unresolved(facts: &Facts, owner: &model::Owner, route: &Requests<'_>) -> Vec<Unresolved> {
    let rules = route.as_http().spec.rules.iter().flatten().count();
    let alone = |rule: usize| match route {
        Requests::Http(route) => {
            let mut route = (*route).clone();
            route.spec.rules = route.spec.rules.map(|rules| rules.into_iter().skip(rule).take(1).collect());
            Requests::Http(&route).translate(facts, owner, &mut Backends::default())
        }
        Requests::Grpc(route, _) => {
            let mut route = (*route).clone();
            route.spec.rules = route.spec.rules.map(|rules| rules.into_iter().skip(rule).take(1).collect());
            let http = Box::new(grpc::as_http(&route));
            Requests::Grpc(&route, http).translate(facts, owner, &mut Backends::default())
        }
    };
    let of_rule = |rule| alone(rule).unresolved.into_iter().map(move |p| Unresolved { rule, message: p.message });
    (0..rules).flat_map(of_rule).collect()
}

/// The same of a route of whole connections, which has one rule: as its status says it.
fn told_unresolved(told: &[ParentStatus]) -> Vec<Unresolved> {
    let conditions = told.iter().flat_map(|parent| &parent.conditions);
    let failing = conditions.filter(|condition| condition.type_ == "ResolvedRefs" && !condition.status);
    let messages: BTreeSet<&str> = failing.map(|condition| condition.message.as_str()).collect();
    messages.into_iter().map(|message| Unresolved { rule: 0, message: message.to_owned() }).collect()
}

fn judge_parent(
    world: &World,
    question: &Question,
    (group, view, hostnames): (&Group, &View<'_>, &[String]),
    parent: &ParentReference,
    told: Option<&ParentStatus>,
) -> Option<Parent> {
    let (facts, ports) = (world.facts(), world.ports());
    let mut judged = Parent {
        parent: called(view.namespace, parent),
        served: false,
        reason: String::new(),
        message: String::new(),
        places: Vec::new(),
    };
    match attach(facts, ports, view.kind, view.namespace, parent) {
        Attachment::NotOurs => return None,
        Attachment::Nowhere(message) => (judged.reason, judged.message) = ("NoMatchingParent".to_owned(), message),
        Attachment::Refused(reason, message) => (judged.reason, judged.message) = (reason.to_owned(), message),
        Attachment::To(listeners) => {
            let served = match view.kind {
                Kind::TCPRoute | Kind::UDPRoute => l4::everything(&listeners),
                _ => serve(facts, ports, group, hostnames, &listeners),
            };
            if let Some(lost) = told.and_then(rival) {
                (judged.reason, judged.message) = (lost.reason.clone(), lost.message.clone());
                return Some(judged);
            }
            let here = served.places.iter().filter(|place| is_asked(question, place));
            judged.places = here.map(place).collect();
            judged.served = !judged.places.is_empty();
            if !judged.served {
                let (reason, other) = unserved(question, &served);
                judged.reason = reason.to_owned();
                judged.message = if served.lost.is_empty() { other.to_owned() } else { served.lost.join("; ") };
            }
        }
    }
    Some(judged)
}

/// That a route of the other kind has the name, which is known where all of a tenant's are compared.
fn rival(told: &ParentStatus) -> Option<&Condition> {
    let mut conditions = told.conditions.iter();
    conditions.find(|condition| condition.type_ == "Accepted" && condition.reason == "HostnameConflict")
}

fn is_asked(question: &Question, place: &hostnames::Place) -> bool {
    match question.has_name() {
        true => question.is_in(&place.domain.to_string()),
        false => place.port == question.default_port(),
    }
}

fn place(place: &hostnames::Place) -> Place {
    Place { routes: place.routes.clone(), domain: place.domain.to_string(), asked: place.asked }
}

/// Why a route serves the host nowhere, though listeners take it.
fn unserved(question: &Question, served: &Served) -> (&'static str, &'static str) {
    match (served.matched, served.listeners.is_empty()) {
        _ if !question.has_name() => ("NotProgrammed", "its listener is not programmed, or has another port"),
        (false, _) => ("NoMatchingListenerHostname", "no listener that takes the route has this host"),
        (true, true) => ("NotAllowed", "the host is not the tenant's at these listeners"),
        (true, false) => ("NotProgrammed", "its listener is not programmed, or has not this host"),
    }
}

/// A parent, as people name it.
fn called(namespace: &str, parent: &ParentReference) -> String {
    let section = parent.section_name.as_ref().map(|section| format!("/{section}")).unwrap_or_default();
    let port = parent.port.map(|port| format!(" port {port}")).unwrap_or_default();
    let set = if parent.kind.as_deref() == Some("ListenerSet") { "ListenerSet " } else { "" };
    format!("{set}{}/{}{section}{port}", parent.namespace.as_deref().unwrap_or(namespace), parent.name)
}

fn places(route: &Requests<'_>, rules: &Rules) -> Vec<MatchPlace> {
    let named = route.as_http().spec.rules.as_deref().unwrap_or_default();
    let place = |translated: &model::Route| {
        let mut parts = translated.name.rsplit('/');
        let index = parts.next()?.parse().ok()?;
        let rule: usize = parts.next()?.parse().ok()?;
        let rule_name = named.get(rule).and_then(|rule| rule.name.clone());
        let call = match route {
            Requests::Http(_) => None,
            Requests::Grpc(route, _) => {
                let (expression, (service, method)) = grpc::call(route, rule, index);
                Some(Call { expression, service, method })
            }
        };
        Some(MatchPlace { name: translated.name.clone(), rule, rule_name, index, call })
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
        let age = age(self.candidate);
        let place = (self.place.rule, self.place.index);
        match self.place.call {
            Some(Call { expression, service, method }) => {
                Precedence::grpc(expression, (service, method), self.matches, &age, place)
            }
            None => Precedence::new(self.matches, &age, place.0, place.1),
        }
    }
}

fn age(candidate: &Candidate) -> Age {
    let created = candidate.created.as_deref().and_then(|text| text.parse::<Timestamp>().ok());
    Age::new(created, candidate.namespace.clone(), candidate.name.clone())
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

/// The rule by which one of two routes has a name, or a port, that both claim: each with how specific its hostname is.
/// None where the more specific hostname decides.
pub fn step_of_claims(one: (usize, &Candidate), other: (usize, &Candidate)) -> Option<Step> {
    let same_age = age(one.1).created() == age(other.1).created();
    (one.0 == other.0).then_some(if same_age { Step::Name } else { Step::Age })
}
