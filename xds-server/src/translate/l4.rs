//! TLSRoutes, TCPRoutes and UDPRoutes: which connections of a listener go where.
//!
//! A route claims names at the chains of listeners. Of several that claim one the more specific hostname wins, then
//! the oldest route (the Gateway API's guide to conflicts); all of them are accepted. [`super::sockets`] makes chains
//! of what won.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use weir_config::kinds::gateway::{L4RouteRule, ParentReference};
use weir_config::kinds::{Kind, ObjectKey};
use weir_config::model::Split;
use weir_config::model::name::NO_CLUSTER;

use super::attach::{Attachment, attach};
use super::backends::{Unresolved, Use};
use super::claims::{Claim, Wish};
use super::group_plan::{Context, GroupPlan, conditions, name_parent, parent_status, shown};
use super::hostnames::{Place, Served, serve};
use super::policies;
use super::port_plan::{ListenerFact, ListenerId};
use super::protocol::Protocol;
use super::routes::Rules;
use crate::index::{Age, NsName, Objects, Pattern};
use crate::status::{Condition, ObjectStatus, ParentStatus};

/// A route, as far as the three kinds are alike.
pub(super) struct L4Route<'a> {
    kind: Kind,
    metadata: &'a ObjectMeta,
    parents: &'a [ParentReference],
    /// None: the kind has no hostnames.
    hostnames: Option<&'a [String]>,
    rules: &'a [L4RouteRule],
}

/// Those of a namespace.
pub(super) fn of_namespace<'a>(objects: &'a Objects, namespace: &'a str) -> impl Iterator<Item = L4Route<'a>> {
    let tls = objects.tls_routes(namespace).map(|route| L4Route {
        kind: Kind::TLSRoute,
        metadata: &route.metadata,
        parents: &route.spec.parent_refs,
        hostnames: Some(&route.spec.hostnames),
        rules: &route.spec.rules,
    });
    let tcp = objects.tcp_routes(namespace).map(|route| L4Route {
        kind: Kind::TCPRoute,
        metadata: &route.metadata,
        parents: &route.spec.parent_refs,
        hostnames: None,
        rules: &route.spec.rules,
    });
    let udp = objects.udp_routes(namespace).map(|route| L4Route {
        kind: Kind::UDPRoute,
        metadata: &route.metadata,
        parents: &route.spec.parent_refs,
        hostnames: None,
        rules: &route.spec.rules,
    });
    tls.chain(tcp).chain(udp)
}

/// Works one route out: its claims and its conditions are added to `plan`.
pub(super) fn one(context: &Context<'_>, route: &L4Route<'_>, plan: &mut GroupPlan) {
    let Context { facts, ports, group, namespace, .. } = *context;
    let mut status = ObjectStatus::default();
    let mut attached = BTreeSet::new();
    let key = ObjectKey::new(route.kind, namespace, route.metadata.name.clone().unwrap_or_default());
    for parent in route.parents {
        name_parent(namespace, parent, plan);
        let conditions = match attach(facts, ports, route.kind, namespace, parent) {
            Attachment::NotOurs => continue,
            Attachment::Nowhere(message) => {
                let conditions = vec![Condition::fails("Accepted", "NoMatchingParent", message)];
                status.parents.push(ParentStatus { claimed: false, ..parent_status(parent, conditions) });
                continue;
            }
            Attachment::Refused(reason, message) => vec![Condition::fails("Accepted", reason, message)],
            Attachment::To(listeners) => {
                let served = match route.hostnames {
                    Some(hostnames) => serve(facts, ports, group, hostnames, &listeners),
                    None => everything(&listeners),
                };
                let rules = Rules {
                    unresolved: claim(context, (route, status.parents.len()), &listeners, &served, plan),
                    ..Rules::default()
                };
                let with_policy = std::mem::take(&mut plan.backends.with_policy);
                for listener in &listeners {
                    let pair = |service: &NsName| (service.clone(), listener.id.gateway.clone());
                    plan.ancestors.extend(with_policy.iter().map(pair));
                    if facts.traffic_policies.contains(&key) {
                        plan.routes.insert((key.clone(), listener.id.gateway.clone()));
                    }
                }
                let conditions = conditions(context, &served, &rules);
                attached.extend(served.listeners);
                plan.wanted.extend(served.wanted);
                conditions
            }
        };
        status.parents.push(parent_status(parent, conditions));
    }
    for listener in attached {
        *plan.attached.entry(listener).or_default() += 1;
    }
    plan.statuses.push((key, status));
}

/// What a route without hostnames serves.
pub(crate) fn everything(listeners: &[&ListenerFact]) -> Served {
    let mut served = Served { matched: true, ..Served::default() };
    for listener in listeners {
        served.listeners.insert(listener.id.clone());
        served.places.extend(listener.binds.iter().filter_map(|bind| {
            let routes = bind.routes.clone()?;
            Some(Place {
                routes,
                domain: Pattern::ANY,
                listener: listener.id.clone(),
                port: listener.port.number,
                tls: listener.tls,
                asked: 0,
            })
        }));
    }
    served
}

/// Claims the places of a route; answers with what is wrong with its backends.
fn claim(
    context: &Context<'_>,
    (route, parent): (&L4Route<'_>, usize),
    listeners: &[&ListenerFact],
    served: &Served,
    plan: &mut GroupPlan,
) -> Vec<Unresolved> {
    let by_id: BTreeMap<&ListenerId, &ListenerFact> = listeners.iter().map(|fact| (&fact.id, *fact)).collect();
    let mut splits: Vec<(Use, Split)> = Vec::new();
    let mut problems = Vec::new();
    let wanted = served.listeners.iter().filter_map(|id| by_id.get(id)).filter_map(|fact| fact.protocol).map(use_of);
    for use_ in wanted {
        if splits.iter().all(|(known, _)| *known != use_) {
            splits.push((use_, split(context, route, use_, plan, &mut problems)));
        }
    }
    let age = Age::of(route.metadata);
    let key = ObjectKey::new(route.kind, &age.namespace, &age.name);
    for place in &served.places {
        let Some(fact) = by_id.get(&place.listener) else { continue };
        let Some(use_) = fact.protocol.map(use_of) else { continue };
        let Some((_, split)) = splits.iter().find(|(known, _)| *known == use_) else { continue };
        let order = (Reverse(place.asked), age.clone());
        let (mut split, gateway) = (split.clone(), &place.listener.gateway);
        if use_ != Use::Datagrams
            && let Some(connect) = policies::for_rule(context.facts, &key, None, &place.listener).connect
        {
            plan.backends.split_connects_within(&mut split, connect);
        }
        if let Some(certificate) = shown(context.facts, gateway)
            && plan.backends.show_to(&mut split, Vec::new(), gateway, &certificate)
        {
            plan.certificates.insert(certificate);
        }
        let claim = Claim { order, owner: context.owner.cloned(), split };
        let spots = plan.claims.entry(fact.port).or_default();
        let spot = (place.routes.clone(), place.domain.clone());
        let wish = Wish {
            order: claim.order.clone(),
            route: key.clone(),
            parent,
            port: place.port,
            named: route.hostnames.is_some(),
        };
        plan.wishes.entry(fact.port).or_default().entry(spot.clone()).or_default().insert(wish);
        if spots.get(&spot).is_none_or(|best| claim.order < best.order) {
            spots.insert(spot, claim);
        }
    }
    problems
}

/// How backends are spoken to by connections that come in so.
fn use_of(protocol: Protocol) -> Use {
    match protocol {
        Protocol::Udp => Use::Datagrams,
        Protocol::TlsTerminate => Use::Within,
        _ => Use::Bytes,
    }
}

/// Where a route's connections go. A tenant that is not served now has its connections closed.
fn split(
    context: &Context<'_>,
    route: &L4Route<'_>,
    use_: Use,
    plan: &mut GroupPlan,
    problems: &mut Vec<Unresolved>,
) -> Split {
    let nowhere = || Split::One(NO_CLUSTER.to_owned());
    let (Some(owner), Some(rule)) = (context.owner, route.rules.first()) else { return nowhere() };
    plan.backends.referrer(route.kind, use_);
    let mut found = Vec::new();
    let split =
        plan.backends.connections(context.facts, &owner.tenant, context.namespace, &rule.backend_refs, &mut found);
    problems.extend(found.into_iter().filter(|problem| !problems.contains(problem)).collect::<Vec<_>>());
    split.filter(|_| context.refusal.is_none()).unwrap_or_else(nowhere)
}
