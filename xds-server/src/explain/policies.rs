//! Policies that are about what is in question: the candidates and their rules, the Gateways whose listeners could take
//! the connection, and the Services behind.

use std::collections::BTreeSet;

use weir_config::kinds::gateway::BackendTLSPolicy;
use weir_config::kinds::traffic_policy::TrafficPolicy;
use weir_config::kinds::{Kind, ObjectKey};

use super::Scene;
use super::scene::{Policy, PolicyTarget, Setting};
use crate::index::NsName;
use crate::translate::facts::Facts;
use crate::translate::{backend_tls, duration, policies, refers};

/// Policies of one answer.
const MOST_POLICIES: usize = 64;

/// Puts the policies in; `services` are those that candidates send to.
pub(super) fn gather(facts: &Facts, services: &BTreeSet<NsName>, scene: &mut Scene) {
    let mut targets = routes(scene);
    targets.extend(gateways(scene));
    targets.extend(services.iter().map(|(namespace, name)| ObjectKey::new(Kind::Service, namespace, name)));
    let mut found: Vec<Policy> = Vec::new();
    for target in &targets {
        for (namespace, name) in facts.traffic_policies.owners(target) {
            let Some(policy) = facts.objects.traffic_policy(namespace, name) else { continue };
            let about = refers::traffic_targets(policy).filter(|(of, _)| of == target);
            found.extend(about.map(|(_, section)| of_traffic(facts, policy, target, section)));
        }
    }
    for service in services {
        for (namespace, name) in facts.tls_policies.owners(service) {
            let Some(policy) = facts.objects.backend_tls_policy(namespace, name) else { continue };
            let about = refers::tls_targets(policy).filter(|(of, _)| of == service);
            found.extend(about.map(|(_, section)| of_tls(facts, policy, service, section)));
        }
    }
    scene.left_off.policies = found.len().saturating_sub(MOST_POLICIES);
    found.truncate(MOST_POLICIES);
    scene.policies = found;
}

fn routes(scene: &Scene) -> BTreeSet<ObjectKey> {
    let kinds = [Kind::HTTPRoute, Kind::GRPCRoute, Kind::TLSRoute, Kind::TCPRoute, Kind::UDPRoute];
    let of = |name: &str| kinds.into_iter().find(|kind| kind.name() == name);
    let routes = scene.candidates.iter();
    routes.filter_map(|route| Some(ObjectKey::new(of(&route.kind)?, &route.namespace, &route.name))).collect()
}

fn gateways(scene: &Scene) -> BTreeSet<ObjectKey> {
    let of_chains = |listener: &super::ListenerScene| {
        let chains = listener.chains.iter().filter_map(|chain| chain.listener.clone());
        chains.chain(listener.taken_by.clone()).collect::<Vec<_>>()
    };
    let listeners = scene.listeners.iter().flat_map(of_chains);
    let key = |of: super::GatewayListener| {
        let (namespace, name) = of.gateway.split_once('/')?;
        Some(ObjectKey::new(Kind::Gateway, namespace, name))
    };
    listeners.filter_map(key).collect()
}

fn of_traffic(facts: &Facts, policy: &TrafficPolicy, target: &ObjectKey, section: Option<&str>) -> Policy {
    let spec = &policy.spec;
    let timeouts = spec.timeouts.clone().unwrap_or_default();
    // No connection stands in no time: such a bound is none.
    let connect = timeouts.connect.filter(|text| duration::parse(text).is_some_and(|time| !time.is_zero()));
    let retry = spec.retry.as_ref().map(|retry| {
        let codes = (!retry.codes.is_empty()).then(|| {
            let codes: Vec<String> = retry.codes.iter().map(u32::to_string).collect();
            format!("on {} too", codes.join(", "))
        });
        let attempts = retry.attempts.map(|attempts| format!("at most {attempts} more"));
        let backoff = retry.backoff.as_ref().map(|backoff| format!("after {backoff}"));
        let parts: Vec<String> = attempts.into_iter().chain(codes).chain(backoff).collect();
        if parts.is_empty() { "as it is by default".to_owned() } else { parts.join(", ") }
    });
    let sticky = spec.sticky.as_ref().and_then(|sticky| match (&sticky.cookie, &sticky.header) {
        (Some(cookie), _) => Some(format!("by cookie {}", cookie.name)),
        (None, header) => header.as_ref().map(|header| format!("by header {}", header.name)),
    });
    let fields = [
        ("timeouts.request", timeouts.request),
        ("timeouts.backendRequest", timeouts.backend_request),
        ("timeouts.connect", connect),
        ("retry", retry),
        ("sticky", sticky),
    ];
    Policy {
        kind: Kind::TrafficPolicy.name().to_owned(),
        sets: settings(fields),
        ..policy_of(facts, &policy.metadata.name, target, section, policies::refusal(facts, policy, target, section))
    }
}

fn of_tls(facts: &Facts, policy: &BackendTLSPolicy, service: &NsName, section: Option<&str>) -> Policy {
    let validation = &policy.spec.validation;
    let maps = validation.ca_certificate_refs.iter().map(|reference| format!("{} {}", reference.kind, reference.name));
    let trust = validation.well_known.clone().unwrap_or_else(|| maps.collect::<Vec<_>>().join(", "));
    let target = ObjectKey::new(Kind::Service, &service.0, &service.1);
    let fields = [("hostname", Some(validation.hostname.clone())), ("trust", Some(trust))];
    Policy {
        kind: Kind::BackendTLSPolicy.name().to_owned(),
        sets: settings(fields),
        ..policy_of(
            facts,
            &policy.metadata.name,
            &target,
            section,
            backend_tls::refusal(facts, policy, service, section),
        )
    }
}

/// What all policies have. They are of their targets' namespace.
fn policy_of(
    facts: &Facts,
    name: &Option<String>,
    target: &ObjectKey,
    section: Option<&str>,
    refusal: Option<(&'static str, String)>,
) -> Policy {
    let (reason, message) = refusal.unwrap_or_else(|| ("Accepted", String::new()));
    let ports = facts.objects.service(&target.namespace, &target.name).filter(|_| target.kind == Kind::Service);
    let mut ports = ports.and_then(|service| service.spec.as_ref()).into_iter().flat_map(|s| s.ports.iter().flatten());
    let port = section.and_then(|section| ports.find(|port| port.name.as_deref() == Some(section)));
    Policy {
        kind: String::new(),
        namespace: target.namespace.clone(),
        name: name.clone().unwrap_or_default(),
        target: PolicyTarget {
            kind: target.kind.name().to_owned(),
            name: target.name.clone(),
            section: section.map(str::to_owned),
            port: port.and_then(|port| u16::try_from(port.port).ok()),
        },
        sets: Vec::new(),
        holds: reason == "Accepted",
        reason: reason.to_owned(),
        message,
    }
}

fn settings<const N: usize>(fields: [(&str, Option<String>); N]) -> Vec<Setting> {
    let setting = |(field, value): (&str, Option<String>)| Some(Setting { field: field.to_owned(), value: value? });
    fields.into_iter().filter_map(setting).collect()
}
