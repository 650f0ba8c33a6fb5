//! `BackendTLSPolicy`: which backends are reached over TLS, whom to trust there, and what policies are told.
//!
//! Of two policies for the same port of a Service (or the same Service) the older holds; one that names the port
//! goes before one that does not. A port whose policy cannot be honoured is not reached at all.

use std::collections::BTreeSet;

use weir_config::kinds::gateway::{BackendTLSPolicy, GATEWAY_GROUP, ParentReference};
use weir_config::model::{Roots, SubjectName, UpstreamTls};

use super::authorities;
use super::facts::Facts;
use super::refers;
use crate::index::{Age, NsName};
use crate::status::{AncestorStatus, Condition, ObjectStatus};

/// Ancestors that the API takes, all controllers' together.
const MAX_ANCESTORS: usize = 16;

/// How a port of a Service is reached.
pub(crate) enum Reached {
    /// In plain text: no policy is about it.
    Plain,
    /// Over TLS.
    Tls(UpstreamTls),
    /// Not at all: a sentence.
    Never(String),
}

/// How a port of a Service is reached; `port` is the port's name.
pub(crate) fn of_port(facts: &Facts, service: &NsName, port: Option<&str>) -> Reached {
    let named = port.filter(|name| !name.is_empty()).and_then(|name| oldest(facts, service, Some(name)));
    let Some(policy) = named.or_else(|| oldest(facts, service, None)) else { return Reached::Plain };
    match judge(facts, policy) {
        Judged { tls: Some(tls), .. } => Reached::Tls(tls),
        Judged { problem, .. } => {
            let name = policy.metadata.name.as_deref().unwrap_or_default();
            let problem = problem.map(|(_, message)| message).unwrap_or_default();
            Reached::Never(format!(
                "Service {}/{} is not reached: its BackendTLSPolicy {name} cannot be honoured: {problem}",
                service.0, service.1
            ))
        }
    }
}

/// The policy that holds for a Service, or for one port of it by name.
fn oldest<'a>(facts: &'a Facts, service: &NsName, section: Option<&str>) -> Option<&'a BackendTLSPolicy> {
    let policies =
        facts.tls_policies.owners(service).filter_map(|(ns, name)| facts.objects.backend_tls_policy(ns, name));
    let about = policies.filter(|policy| refers::tls_targets(policy).any(|(of, at)| of == *service && at == section));
    about.min_by_key(|policy| Age::of(&policy.metadata))
}

/// What a policy comes to, whatever it is attached to.
struct Judged {
    tls: Option<UpstreamTls>,
    /// Why it is not accepted.
    problem: Option<(&'static str, String)>,
    /// What is wrong with its references.
    unresolved: Option<(&'static str, String)>,
}

fn judge(facts: &Facts, policy: &BackendTLSPolicy) -> Judged {
    let validation = &policy.spec.validation;
    let refused = |reason, message| Judged { tls: None, problem: Some((reason, message)), unresolved: None };
    if let Some(option) = policy.spec.options.keys().next() {
        return refused("Unsupported", format!("spec.options `{option}` is not supported"));
    }
    let mut unresolved = None;
    let roots = match validation.well_known.as_deref() {
        Some("System") => Roots::System,
        Some(other) => {
            let message = format!("spec.validation.wellKnownCACertificates `{other}` is not known: write `System`");
            return refused("Invalid", message);
        }
        None => {
            let (bundles, problems) = bundles(facts, policy);
            let messages: Vec<&str> = problems.iter().map(|(_, message)| message.as_str()).collect();
            unresolved = problems.first().map(|(reason, _)| (*reason, messages.join("; ")));
            if bundles.is_empty() {
                let message = format!("no CA certificate can be used: {}", messages.join("; "));
                return Judged { tls: None, problem: Some(("NoValidCACertificate", message)), unresolved };
            }
            Roots::Pem(authorities::joined(&bundles))
        }
    };
    let named = validation.subject_alt_names.iter().filter_map(|name| match name.type_.as_str() {
        "Hostname" => name.hostname.clone().map(SubjectName::Dns),
        _ => name.uri.clone().map(SubjectName::Uri),
    });
    let mut names: Vec<SubjectName> = named.collect();
    if names.is_empty() {
        names.push(SubjectName::Dns(validation.hostname.clone()));
    }
    let tls = UpstreamTls { sni: validation.hostname.clone(), roots, names, certificate: None };
    Judged { tls: Some(tls), problem: None, unresolved }
}

/// The CA certificates of a policy, and what is wrong with those that cannot be used.
fn bundles(facts: &Facts, policy: &BackendTLSPolicy) -> (Vec<String>, Vec<(&'static str, String)>) {
    let namespace = policy.metadata.namespace.as_deref().unwrap_or_default();
    let (mut bundles, mut problems) = (Vec::new(), Vec::new());
    for reference in &policy.spec.validation.ca_certificate_refs {
        let called = format!("{} {namespace}/{}", reference.kind, reference.name);
        if (reference.group.as_str(), reference.kind.as_str()) != ("", "ConfigMap") {
            problems.push(("InvalidKind", format!("{called} is not a ConfigMap")));
            continue;
        }
        match facts.objects.config_map(namespace, &reference.name).map(authorities::read) {
            None => problems.push(("InvalidCACertificateRef", format!("there is no {called}"))),
            Some(Err(problem)) => problems.push(("InvalidCACertificateRef", format!("{called} {problem}"))),
            Some(Ok(bundle)) => bundles.push(bundle),
        }
    }
    (bundles, problems)
}

/// Status of a policy: an entry for each Gateway with a route to one of its Services.
///
/// `gateways` are those of a Service.
pub(crate) fn status(
    facts: &Facts,
    policy: &BackendTLSPolicy,
    gateways: impl Fn(&NsName) -> BTreeSet<NsName>,
) -> ObjectStatus {
    let judged = judge(facts, policy);
    let of_targets: Vec<(NsName, Option<&str>, BTreeSet<NsName>)> =
        refers::tls_targets(policy).map(|(service, section)| (service.clone(), section, gateways(&service))).collect();
    let all: BTreeSet<&NsName> = of_targets.iter().flat_map(|(_, _, gateways)| gateways).collect();
    let entry = |gateway: &NsName| {
        let here = of_targets.iter().filter(|(_, _, gateways)| gateways.contains(gateway));
        let mut lost = here.filter_map(|(service, section, _)| lost(facts, policy, service, *section));
        let accepted = match lost.next().or_else(|| judged.problem.clone()) {
            Some((reason, message)) => Condition::fails("Accepted", reason, message),
            None => Condition::holds("Accepted", "Accepted", "its Services are reached over TLS"),
        };
        let resolved = match &judged.unresolved {
            Some((reason, message)) => Condition::fails("ResolvedRefs", reason, message.clone()),
            None => Condition::holds("ResolvedRefs", "ResolvedRefs", "every reference is good"),
        };
        AncestorStatus { ancestor_ref: ancestor(gateway), conditions: vec![accepted, resolved] }
    };
    let ancestors = all.into_iter().take(MAX_ANCESTORS).map(entry).collect();
    ObjectStatus { ancestors, ..ObjectStatus::default() }
}

/// A Gateway, as statuses of policies name it.
pub(crate) fn ancestor(gateway: &NsName) -> ParentReference {
    ParentReference {
        group: Some(GATEWAY_GROUP.into()),
        kind: Some("Gateway".into()),
        namespace: Some(gateway.0.clone()),
        name: gateway.1.clone(),
        ..ParentReference::default()
    }
}

/// Why a policy has no Service reached over TLS by it, of one of its targets: reason and message.
pub(crate) fn refusal(
    facts: &Facts,
    policy: &BackendTLSPolicy,
    service: &NsName,
    section: Option<&str>,
) -> Option<(&'static str, String)> {
    lost(facts, policy, service, section).or_else(|| judge(facts, policy).problem)
}

/// Why a policy does not hold for one of its targets.
fn lost(
    facts: &Facts,
    policy: &BackendTLSPolicy,
    service: &NsName,
    section: Option<&str>,
) -> Option<(&'static str, String)> {
    let called = format!("Service {}/{}", service.0, service.1);
    let spec = facts.objects.service(&service.0, &service.1).and_then(|service| service.spec.as_ref());
    let mut ports = spec.into_iter().flat_map(|spec| spec.ports.iter().flatten());
    if let Some(section) = section
        && !ports.any(|port| port.name.as_deref() == Some(section))
    {
        return Some(("TargetNotFound", format!("{called} has no port of the name `{section}`")));
    }
    let holds = oldest(facts, service, section)?;
    let name = |policy: &BackendTLSPolicy| policy.metadata.name.clone().unwrap_or_default();
    let part = section.map(|section| format!(" port `{section}`")).unwrap_or_default();
    (name(holds) != name(policy))
        .then(|| ("Conflicted", format!("the older BackendTLSPolicy {} holds for {called}{part}", name(holds))))
}
