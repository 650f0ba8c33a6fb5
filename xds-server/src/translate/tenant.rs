//! A tenant's routes: virtual hosts, clusters, and the conditions of each route.

use std::collections::{BTreeMap, BTreeSet};

use weir_config::kinds::gateway::HTTPRoute;
use weir_config::kinds::{Kind, ObjectKey};
use weir_config::model::{
    Cluster, Forward, HeaderMutation, HeaderOp, Owner, Resource, RetryBudget, Route, RouteAction, RouteMatch,
    VirtualHost, name,
};

use super::attach::{Attachment, attach};
use super::facts::{Facts, Standing};
use super::group_plan::{Context, GroupPlan, Refusal, conditions, name_parent, parent_status, shown};
use super::hostnames::serve;
use super::l4;
use super::limits;
use super::policies;
use super::port_plan::Ports;
use super::precedence::Precedence;
use super::redirects;
use super::requests::{self, Requests, Rivals};
use super::routes::Rules;
use super::unit::Group;
use crate::index::{Belongs, NsName, Pattern};
use crate::status::{Condition, ObjectStatus, ParentStatus};

/// Seconds after which a client may ask a tenant again that is not served now.
const RETRY_AFTER: &str = "60";

/// Routes of one domain, in order: the more specific hostname first, then precedence.
type Ordered = BTreeMap<(std::cmp::Reverse<usize>, Precedence), Route>;

/// Works a group out.
pub(crate) fn compute(facts: &Facts, ports: &Ports, group: &Group) -> GroupPlan {
    let mut plan = GroupPlan::default();
    let owner = group.tenant().map(|tenant| limits::owner(facts, tenant));
    let refusal = match group {
        Group::Tenant(tenant) => refusal(&facts.standing(tenant)),
        Group::System | Group::Unowned(_) => None,
    };
    let mut hosts: BTreeMap<(String, Pattern), Ordered> = BTreeMap::new();
    let namespaces = namespaces(facts, group);
    let routes = requests::of_namespaces(&facts.objects, &namespaces);
    for namespace in &namespaces {
        let context = Context { facts, ports, group, owner: owner.as_ref(), refusal, namespace };
        for route in l4::of_namespace(&facts.objects, namespace) {
            l4::one(&context, &route, &mut plan);
        }
    }
    // The older first: of an HTTPRoute and a GRPCRoute that share a name the older has it.
    let mut rivals = Rivals::new(&routes);
    for (age, route) in &routes {
        let context = Context { facts, ports, group, owner: owner.as_ref(), refusal, namespace: &age.namespace };
        one_route(&context, route, &mut rivals, &mut plan, &mut hosts);
    }
    let mut virtual_hosts = Vec::with_capacity(hosts.len());
    for ((table, domain), ordered) in hosts {
        let routes = match refusal {
            Some((name, _)) => vec![unavailable(name, owner.clone())],
            None => ordered.into_values().collect::<Box<[Route]>>().into_vec(),
        };
        let name = name::virtual_host(&table, &domain.to_string());
        virtual_hosts.push(VirtualHost { name, domains: vec![domain.domain()], owner: owner.clone(), routes });
    }
    let of_hosts = virtual_hosts.iter().flat_map(|host| &host.routes).flat_map(Route::clusters);
    let of_claims = plan.claims.values().flat_map(BTreeMap::values).flat_map(|claim| claim.split.clusters());
    let (mut clusters, endpoints) = plan.backends.used(of_hosts.chain(of_claims));
    bound_retries(&virtual_hosts, &mut clusters);
    plan.endpoints = endpoints;
    plan.resources.extend(clusters.into_values().map(Resource::from));
    plan.resources.extend(virtual_hosts.into_iter().map(Resource::from));
    plan
}

/// Says of the clusters of routes that retry how many retries they bear at one time: an Envoy that is told nothing has
/// three, whatever the load. The others say nothing, as there are many.
fn bound_retries(hosts: &[VirtualHost], clusters: &mut BTreeMap<String, Cluster>) {
    let forwards = hosts.iter().flat_map(|host| &host.routes).filter_map(|route| match &route.action {
        RouteAction::Forward(forward) => Some(forward),
        RouteAction::Redirect(_) | RouteAction::Direct { .. } => None,
    });
    let retry = |forward: &&Forward| forward.retry.as_ref().is_some_and(|retry| retry.attempts != Some(0));
    for name in forwards.filter(retry).flat_map(|forward| forward.split.clusters()) {
        if let Some(cluster) = clusters.get_mut(name) {
            cluster.retry_budget = Some(RetryBudget::default());
        }
    }
}

/// Namespaces of a group.
pub(crate) fn namespaces(facts: &Facts, group: &Group) -> Vec<String> {
    let tenancy = &facts.tenancy;
    match group {
        Group::Unowned(namespace) => {
            let still = Group::of(tenancy, namespace) == *group;
            still.then(|| namespace.clone()).into_iter().collect()
        }
        Group::Tenant(name) => {
            let alone = |namespace: &&String| tenancy.of(namespace) == Belongs::Tenant(name.clone());
            tenancy.selected_by(name).filter(alone).cloned().collect()
        }
        Group::System => {
            let mut all: BTreeSet<String> = tenancy.system().cloned().collect();
            if facts.settings.unassigned_is_system {
                for kind in Kind::ROUTES.into_iter().chain([Kind::Gateway]) {
                    let found = facts.objects.namespaces(kind);
                    all.extend(found.into_iter().filter(|namespace| tenancy.of(namespace) == Belongs::Unassigned));
                }
            }
            all.into_iter().collect()
        }
    }
}

fn one_route(
    context: &Context<'_>,
    route: &Requests<'_>,
    rivals: &mut Rivals,
    plan: &mut GroupPlan,
    hosts: &mut BTreeMap<(String, Pattern), Ordered>,
) {
    let Context { facts, ports, group, owner, namespace, .. } = *context;
    let (kind, http) = (route.kind(), route.as_http());
    let parents = &http.spec.parent_refs;
    parents.iter().for_each(|parent| name_parent(namespace, parent, plan));
    let key = ObjectKey::new(kind, namespace, http.metadata.name.clone().unwrap_or_default());
    let attachments: Vec<_> = parents.iter().map(|parent| attach(facts, ports, kind, namespace, parent)).collect();
    let rules = match owner {
        Some(owner) if attachments.iter().any(|a| matches!(a, Attachment::To(_))) => {
            route.translate(facts, owner, &mut plan.backends)
        }
        _ => Rules::default(),
    };
    let with_policy = std::mem::take(&mut plan.backends.with_policy);
    let mut status = ObjectStatus::default();
    let mut attached = BTreeSet::new();
    for (parent, attachment) in parents.iter().zip(attachments) {
        let conditions = match attachment {
            Attachment::NotOurs => continue,
            Attachment::Nowhere(message) => {
                let conditions = vec![Condition::fails("Accepted", "NoMatchingParent", message)];
                status.parents.push(ParentStatus { claimed: false, ..parent_status(parent, conditions) });
                continue;
            }
            Attachment::Refused(reason, message) => vec![Condition::fails("Accepted", reason, message)],
            Attachment::To(listeners) => {
                for listener in &listeners {
                    let pair = |service: &NsName| (service.clone(), listener.id.gateway.clone());
                    plan.ancestors.extend(with_policy.iter().map(pair));
                    if facts.traffic_policies.contains(&key) {
                        plan.routes.insert((key.clone(), listener.id.gateway.clone()));
                    }
                }
                let served = serve(facts, ports, group, &http.spec.hostnames, &listeners);
                if let Some(message) = rivals.refuse(kind, &served, &rules) {
                    let mut conditions = conditions(context, &served, &rules);
                    conditions.retain(|condition| condition.type_ == "ResolvedRefs");
                    conditions.insert(0, Condition::fails("Accepted", "HostnameConflict", message));
                    status.parents.push(parent_status(parent, conditions));
                    continue;
                }
                let conditions = conditions(context, &served, &rules);
                for place in served.places.iter().filter(|_| !rules.routes.is_empty()) {
                    let spot = (place.routes.clone(), place.domain.clone());
                    plan.domains.insert(spot.clone(), place.listener.clone());
                    let ordered = hosts.entry(spot).or_default();
                    for (precedence, translated) in &rules.routes {
                        let order = (std::cmp::Reverse(place.asked), precedence.clone());
                        let mut route = translated.clone();
                        if let RouteAction::Redirect(redirect) = &mut route.action {
                            redirects::settle(redirect, place.port, place.tls);
                        }
                        let said = policies::for_rule(facts, &key, rule_name(http, &route), &place.listener);
                        said.apply(&mut route);
                        if let Some(connect) = said.connect {
                            plan.backends.connect_within(&mut route, connect);
                        }
                        if let Some(certificate) = shown(facts, &place.listener.gateway)
                            && plan.backends.show(&mut route, &place.listener.gateway, &certificate)
                        {
                            plan.certificates.insert(certificate);
                        }
                        ordered.insert(order, route);
                    }
                }
                if !rules.routes.is_empty() {
                    attached.extend(served.listeners);
                }
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

/// The name of the rule that a translated route comes of.
fn rule_name<'a>(http: &'a HTTPRoute, route: &Route) -> Option<&'a str> {
    let index: usize = route.name.rsplit('/').nth(1)?.parse().ok()?;
    http.spec.rules.as_ref()?.get(index)?.name.as_deref()
}

fn refusal(standing: &Standing) -> Option<Refusal> {
    match standing {
        Standing::Served => None,
        Standing::Suspended => Some(("suspended", "the tenant is suspended: its names answer 503")),
        Standing::WithoutPlan => Some(("without-plan", "the tenant's Plan does not exist: its names answer 503")),
    }
}

/// The one route of a virtual host whose tenant is not served now.
fn unavailable(reason: &str, owner: Option<Owner>) -> Route {
    let retry = HeaderOp { name: "retry-after".into(), value: RETRY_AFTER.into(), append: false };
    Route {
        owner,
        response_headers: HeaderMutation { remove: Vec::new(), ops: vec![retry] },
        ..Route::new(reason, RouteMatch::default(), RouteAction::Direct { status: 503 })
    }
}
