//! `TrafficPolicy`: what Gateways, routes, rules and Services say of how requests are sent on.
//!
//! A route's own rule goes before every policy. Of policies the closest counts, field by field: that of the rule, of the
//! route, of the listener, of the Gateway. Of two about the very same the older holds. A policy with a field that nothing
//! enforces yet holds for nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use weir_config::kinds::traffic_policy::{Sticky, TrafficPolicy, TrafficRetry};
use weir_config::kinds::{Kind, ObjectKey};
use weir_config::model::{Retry, RetryOn, Route, RouteAction, SessionPersistence};

use super::backend_tls::ancestor;
use super::duration;
use super::facts::Facts;
use super::port_plan::ListenerId;
use super::refers;
use crate::index::{Age, NsName};
use crate::status::{AncestorStatus, Condition, ObjectStatus};

/// Ancestors that the API takes, all controllers' together.
const MAX_ANCESTORS: usize = 16;

/// What is said of a rule.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Said {
    request: Option<Duration>,
    backend_request: Option<Duration>,
    retry: Option<TrafficRetry>,
    sticky: Option<Sticky>,
    /// Until a connection stands.
    pub(crate) connect: Option<Duration>,
}

/// What policies say of a rule of `route` at a listener.
pub(crate) fn for_rule(facts: &Facts, route: &ObjectKey, rule: Option<&str>, listener: &ListenerId) -> Said {
    if facts.traffic_policies.is_empty() {
        return Said::default();
    }
    let gateway = ObjectKey::new(Kind::Gateway, &listener.gateway.0, &listener.gateway.1);
    let own = listener.set.is_none().then_some(listener.listener.as_str());
    let closest_first = [
        rule.and_then(|rule| holding(facts, route, Some(rule))),
        holding(facts, route, None),
        own.and_then(|own| holding(facts, &gateway, Some(own))),
        holding(facts, &gateway, None),
    ];
    let mut said = Said::default();
    closest_first.into_iter().flatten().for_each(|policy| said.fill(policy));
    said
}

/// Until a connection to a port of a Service stands, where a policy says it; `port` is the port's name.
pub(crate) fn connect(facts: &Facts, service: &NsName, port: Option<&str>) -> Option<Duration> {
    let key = ObjectKey::new(Kind::Service, &service.0, &service.1);
    let named = port.filter(|name| !name.is_empty()).and_then(|name| holding(facts, &key, Some(name)));
    let mut said = Said::default();
    [named, holding(facts, &key, None)].into_iter().flatten().for_each(|policy| said.fill(policy));
    said.connect
}

/// The policy that holds for an object, or one part of it.
fn holding<'a>(facts: &'a Facts, target: &ObjectKey, section: Option<&str>) -> Option<&'a TrafficPolicy> {
    oldest(facts, target, section).filter(|policy| unsupported(policy).is_none())
}

fn oldest<'a>(facts: &'a Facts, target: &ObjectKey, section: Option<&str>) -> Option<&'a TrafficPolicy> {
    let policies = facts.traffic_policies.owners(target);
    let policies = policies.filter_map(|(namespace, name)| facts.objects.traffic_policy(namespace, name));
    let about =
        policies.filter(|policy| refers::traffic_targets(policy).any(|(of, at)| of == *target && at == section));
    about.min_by_key(|policy| Age::of(&policy.metadata))
}

/// What nothing enforces yet, or not there.
fn unsupported(policy: &TrafficPolicy) -> Option<String> {
    let spec = &policy.spec;
    let fields = [
        ("jwt", spec.jwt.is_some()),
        ("rateLimit", spec.rate_limit.is_some()),
        ("circuitBreaker", spec.circuit_breaker.is_some()),
        ("outlierDetection", spec.outlier_detection.is_some()),
        ("loadBalancing", spec.load_balancing.is_some()),
    ];
    let set: Vec<String> = fields.iter().filter(|(_, set)| *set).map(|(field, _)| format!("spec.{field}")).collect();
    if !set.is_empty() {
        return Some(format!("not enforced yet: {}; nothing of the policy holds", set.join(", ")));
    }
    let of_requests = spec.retry.is_some()
        || spec.sticky.is_some()
        || spec
            .timeouts
            .as_ref()
            .is_some_and(|timeouts| timeouts.request.is_some() || timeouts.backend_request.is_some());
    let aims_at = |kinds: &[Kind]| {
        let mut targets = spec.target_refs.iter().map(|target| target.kind.as_str());
        targets.any(|target| kinds.iter().any(|kind| kind.name() == target))
    };
    if aims_at(&[Kind::UDPRoute]) {
        return Some(
            "a UDPRoute makes no connections and has no requests: nothing of a policy means anything there".into(),
        );
    }
    if of_requests && aims_at(&[Kind::TLSRoute, Kind::TCPRoute]) {
        return Some(
            "for a TLSRoute or TCPRoute only spec.timeouts.connect is supported: nothing within is read".into(),
        );
    }
    (of_requests && aims_at(&[Kind::Service])).then(|| {
        "for a Service only spec.timeouts.connect is supported: write the rest for the routes that send to it".into()
    })
}

impl Said {
    /// Takes from a policy what no closer one said.
    fn fill(&mut self, policy: &TrafficPolicy) {
        let timeouts = policy.spec.timeouts.as_ref();
        let read = |text: Option<&String>| text.and_then(|text| duration::parse(text));
        self.request = self.request.or_else(|| read(timeouts?.request.as_ref()));
        self.backend_request = self.backend_request.or_else(|| read(timeouts?.backend_request.as_ref()));
        self.connect = self.connect.or_else(|| read(timeouts?.connect.as_ref())).filter(|time| !time.is_zero());
        self.retry = self.retry.take().or_else(|| policy.spec.retry.clone());
        self.sticky = self.sticky.take().or_else(|| policy.spec.sticky.clone());
    }

    /// Fills what a translated rule leaves open.
    pub(crate) fn apply(&self, route: &mut Route) {
        let open = Open::of(route);
        let RouteAction::Forward(forward) = &mut route.action else { return };
        let one_try = self.backend_request.filter(|time| !time.is_zero() && open.backend_request);
        if open.request {
            // With a timeout of one try alone the whole exchange has none, or it would be cut at Envoy's 15 s.
            forward.timeout = self.request.or(self.backend_request.map(|_| Duration::ZERO));
        }
        if open.retry && (self.retry.is_some() || one_try.is_some()) {
            let own = forward.retry.as_ref().and_then(|retry| retry.per_try_timeout);
            let per_try_timeout = own.or(one_try);
            forward.retry = Some(Box::new(match &self.retry {
                Some(retry) => Retry { per_try_timeout, ..retries(retry) },
                None => Retry { attempts: Some(0), per_try_timeout, ..Retry::default() },
            }));
        }
        if open.sticky {
            route.session = self.sticky.as_ref().and_then(session).map(Box::new);
        }
    }
}

/// What a translated rule leaves to policies, by the fields of a TrafficPolicy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Open {
    /// `timeouts.request`.
    pub request: bool,
    /// `timeouts.backendRequest`.
    pub backend_request: bool,
    /// `timeouts.connect`.
    pub connect: bool,
    /// `retry`.
    pub retry: bool,
    /// `sticky`.
    pub sticky: bool,
}

impl Open {
    /// Of a route as its rule alone makes it; one that sends nothing on leaves nothing open.
    pub fn of(route: &Route) -> Self {
        let RouteAction::Forward(forward) = &route.action else { return Self::default() };
        // A rule's own timeout of one try is a retry policy that tries nothing again.
        let retry = forward.retry.as_ref().is_none_or(|retry| retry.attempts == Some(0));
        let one_try = forward.retry.as_ref().and_then(|retry| retry.per_try_timeout);
        Self {
            request: forward.timeout.is_none(),
            backend_request: retry && one_try.is_none(),
            connect: true,
            retry,
            sticky: route.session.is_none(),
        }
    }
}

fn retries(retry: &TrafficRetry) -> Retry {
    Retry {
        on: RetryOn { connect_failure: true, refused_stream: true, reset: true, ..RetryOn::default() },
        statuses: retry.codes.iter().filter_map(|code| u16::try_from(*code).ok()).collect(),
        attempts: retry.attempts,
        per_try_timeout: None,
        back_off: retry
            .backoff
            .as_ref()
            .and_then(|text| duration::parse(text))
            .filter(|base| !base.is_zero())
            .map(|base| (base, None)),
    }
}

fn session(sticky: &Sticky) -> Option<SessionPersistence> {
    if let Some(cookie) = &sticky.cookie {
        let ttl = cookie.ttl.as_ref().and_then(|text| duration::parse(text)).unwrap_or_default();
        // A cookie's life is counted in seconds.
        let ttl = Duration::from_secs(ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0));
        return Some(SessionPersistence::Cookie { name: cookie.name.clone(), path: "/".into(), ttl });
    }
    let header = sticky.header.as_ref()?;
    Some(SessionPersistence::Header { name: header.name.to_ascii_lowercase() })
}

/// Status of a policy: an entry for each Gateway where it has an effect.
///
/// `gateways` are those at which a route is, or a Service is sent to.
pub(crate) fn status(
    facts: &Facts,
    policy: &TrafficPolicy,
    gateways: impl Fn(&ObjectKey) -> BTreeSet<NsName>,
) -> ObjectStatus {
    let at = |target: &ObjectKey| match target.kind {
        Kind::Gateway => {
            let id = (target.namespace.clone(), target.name.clone());
            facts.own_gateway(&id.0, &id.1).map(|_| id).into_iter().collect()
        }
        _ => gateways(target),
    };
    let of_targets: Vec<(ObjectKey, Option<&str>, BTreeSet<NsName>)> =
        refers::traffic_targets(policy).map(|(target, section)| (target.clone(), section, at(&target))).collect();
    let all: BTreeSet<&NsName> = of_targets.iter().flat_map(|(_, _, gateways)| gateways).collect();
    let entry = |gateway: &NsName| {
        let here = of_targets.iter().filter(|(_, _, gateways)| gateways.contains(gateway));
        let mut refused = here.filter_map(|(target, section, _)| refusal(facts, policy, target, *section));
        let accepted = match refused.next() {
            Some((reason, message)) => Condition::fails("Accepted", reason, message),
            None => Condition::holds("Accepted", "Accepted", "the policy holds, as far as no closer one does"),
        };
        AncestorStatus { ancestor_ref: ancestor(gateway), conditions: vec![accepted] }
    };
    let ancestors = all.into_iter().take(MAX_ANCESTORS).map(entry).collect();
    ObjectStatus { ancestors, ..ObjectStatus::default() }
}

/// Why a policy does not hold for one of its targets: reason and message.
pub(crate) fn refusal(
    facts: &Facts,
    policy: &TrafficPolicy,
    target: &ObjectKey,
    section: Option<&str>,
) -> Option<(&'static str, String)> {
    unsupported(policy).map(|message| ("Unsupported", message)).or_else(|| lost(facts, policy, target, section))
}

fn lost(
    facts: &Facts,
    policy: &TrafficPolicy,
    target: &ObjectKey,
    section: Option<&str>,
) -> Option<(&'static str, String)> {
    if let Some(section) = section
        && !has_section(facts, target, section)
    {
        return Some(("TargetNotFound", format!("{target} has no part of the name `{section}`")));
    }
    let holds = oldest(facts, target, section)?;
    let name = |policy: &TrafficPolicy| policy.metadata.name.clone().unwrap_or_default();
    let part = section.map(|section| format!(" `{section}`")).unwrap_or_default();
    (name(holds) != name(policy))
        .then(|| ("Conflicted", format!("the older TrafficPolicy {} holds for {target}{part}", name(holds))))
}

fn has_section(facts: &Facts, target: &ObjectKey, section: &str) -> bool {
    let (namespace, name) = (target.namespace.as_str(), target.name.as_str());
    let objects = &facts.objects;
    match target.kind {
        Kind::Gateway => objects
            .gateway(namespace, name)
            .is_some_and(|gateway| gateway.spec.listeners.iter().any(|l| l.name == section)),
        Kind::Service => {
            let spec = objects.service(namespace, name).and_then(|service| service.spec.as_ref());
            let mut ports = spec.into_iter().flat_map(|spec| spec.ports.iter().flatten());
            ports.any(|port| port.name.as_deref() == Some(section))
        }
        Kind::HTTPRoute => objects
            .routes(namespace)
            .find(|route| route.metadata.name.as_deref() == Some(name))
            .is_some_and(|route| route.spec.rules.iter().flatten().any(|rule| rule.name.as_deref() == Some(section))),
        Kind::GRPCRoute => objects
            .grpc_routes(namespace)
            .find(|route| route.metadata.name.as_deref() == Some(name))
            .is_some_and(|route| route.spec.rules.iter().flatten().any(|rule| rule.name.as_deref() == Some(section))),
        // Their one rule is the route.
        _ => false,
    }
}
