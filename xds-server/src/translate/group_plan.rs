//! What a group's objects come to, and what is said of each of its routes, whatever its kind.

use std::collections::{BTreeMap, BTreeSet};

use weir_config::kinds::ObjectKey;
use weir_config::kinds::gateway::ParentReference;
use weir_config::model::{Owner, Resource};

use super::attach::parent_of;
use super::backends::{Backends, ServicePort};
use super::claims::{Claims, Wishes};
use super::client_certificates;
use super::facts::Facts;
use super::hostnames::Served;
use super::port_plan::{ListenerId, Ports};
use super::routes::Rules;
use super::unit::Group;
use crate::index::{Belongs, NsName, Pattern};
use crate::status::{Condition, ObjectStatus, ParentStatus};

/// What a group's objects come to, and what that depends on.
#[derive(Debug, Default)]
pub(crate) struct GroupPlan {
    pub(crate) resources: Vec<Resource>,
    pub(crate) statuses: Vec<(ObjectKey, ObjectStatus)>,
    /// Domains served, by RouteConfiguration, each at one listener.
    pub(crate) domains: BTreeMap<(String, Pattern), ListenerId>,
    /// Routes attached to each listener.
    pub(crate) attached: BTreeMap<ListenerId, u32>,
    pub(crate) backends: Backends,
    /// Ports of Services whose endpoints are needed.
    pub(crate) endpoints: BTreeSet<ServicePort>,
    /// Gateways and ListenerSets that routes name.
    pub(crate) parents: BTreeSet<ObjectKey>,
    /// Secrets whose certificates backends are shown.
    pub(crate) certificates: BTreeSet<NsName>,
    /// Routes that a TrafficPolicy is about, each with a Gateway where it is.
    pub(crate) routes: BTreeSet<(ObjectKey, NsName)>,
    /// Services that a BackendTLSPolicy or a TrafficPolicy is about, each with a Gateway that has a route to it.
    pub(crate) ancestors: BTreeSet<(NsName, NsName)>,
    pub(crate) wanted: BTreeSet<Pattern>,
    /// What routes of whole connections claim.
    pub(crate) claims: Claims,
    pub(crate) wishes: Wishes,
}

/// What is kept of a group's plan, to tell what another one changes: there are as many as tenants, so it takes the
/// room that it needs and no more, as a map does not.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    domains: Box<[((String, Pattern), ListenerId)]>,
    attached: Box<[(ListenerId, u32)]>,
    claims: Claims,
    wishes: Wishes,
}

impl Kept {
    /// Of this plan; none where nothing of it is kept.
    pub(crate) fn of(plan: GroupPlan) -> Option<Self> {
        let GroupPlan { domains, attached, claims, wishes, .. } = plan;
        let any = !domains.is_empty() || !attached.is_empty() || !claims.is_empty();
        let kept = || Self {
            domains: domains.into_iter().collect(),
            attached: attached.into_iter().collect(),
            claims,
            wishes,
        };
        any.then(kept)
    }

    /// The plan, as far as it was kept.
    pub(crate) fn plan(self) -> GroupPlan {
        let Self { domains, attached, claims, wishes } = self;
        GroupPlan {
            domains: domains.into_iter().collect(),
            attached: attached.into_iter().collect(),
            claims,
            wishes,
            ..GroupPlan::default()
        }
    }
}

/// What holds for all routes of a namespace.
pub(super) struct Context<'a> {
    pub(super) facts: &'a Facts,
    pub(super) ports: &'a Ports,
    pub(super) group: &'a Group,
    pub(super) owner: Option<&'a Owner>,
    pub(super) refusal: Option<Refusal>,
    pub(super) namespace: &'a str,
}

/// Remembers that a route names a parent.
pub(super) fn name_parent(namespace: &str, parent: &ParentReference, plan: &mut GroupPlan) {
    plan.parents.extend(parent_of(namespace, parent));
}

/// The Secret of the certificate that a Gateway shows to backends, if it has one that can be used.
pub(super) fn shown(facts: &Facts, gateway: &NsName) -> Option<NsName> {
    client_certificates::shown(facts, facts.own_gateway(&gateway.0, &gateway.1)?)?.ok()
}

pub(super) fn parent_status(parent: &ParentReference, conditions: Vec<Condition>) -> ParentStatus {
    ParentStatus { parent_ref: parent.clone(), conditions, claimed: true }
}

pub(super) fn conditions(context: &Context<'_>, served: &Served, rules: &Rules) -> Vec<Condition> {
    let namespace = context.namespace;
    let lost = served.lost.join("; ");
    let dropped = rules.dropped.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let reason = rules.dropped.first().map_or("UnsupportedValue", |first| first.reason);
    let nothing_served = served.listeners.is_empty();
    let mut conditions = vec![if nothing_served && !served.matched {
        Condition::fails("Accepted", "NoMatchingListenerHostname", lost.clone())
    } else if nothing_served {
        Condition::fails("Accepted", "NotAllowed", lost.clone())
    } else if rules.routes.is_empty() && !rules.dropped.is_empty() {
        Condition::fails("Accepted", reason, format!("no rule is left: {dropped}"))
    } else if let Some((_, message)) = context.refusal {
        Condition::holds("Accepted", "Accepted", message)
    } else if context.facts.tenancy.of(namespace) == Belongs::Unassigned {
        let message = format!("served as the platform's own: namespace {namespace} has no tenant");
        Condition::holds("Accepted", "Accepted", message)
    } else {
        // Routes of connections have no routes here, and may be behind others.
        let done = if rules.routes.is_empty() { "attached" } else { "served" };
        Condition::holds("Accepted", "Accepted", format!("the route is {done}"))
    }];
    if conditions.iter().all(|condition| condition.status) {
        let (reason, message) = match (dropped.is_empty(), lost.is_empty()) {
            (true, true) => ("", String::new()),
            (true, false) => ("NotAllowed", format!("hostnames not served: {lost}")),
            (false, true) => (reason, format!("dropped rules: {dropped}")),
            (false, false) => (reason, format!("dropped rules: {dropped}; hostnames not served: {lost}")),
        };
        if !reason.is_empty() {
            conditions.push(Condition::holds("PartiallyInvalid", reason, message));
        }
    }
    conditions.push(match rules.unresolved.first() {
        Some(first) => {
            let mut messages: Vec<&str> = rules.unresolved.iter().map(|problem| problem.message.as_str()).collect();
            messages.dedup();
            Condition::fails("ResolvedRefs", first.reason, messages.join("; "))
        }
        None => Condition::holds("ResolvedRefs", "ResolvedRefs", "every backend is there"),
    });
    conditions
}

/// Name of the route that answers in place of a tenant's, and a sentence for people.
pub(super) type Refusal = (&'static str, &'static str);
