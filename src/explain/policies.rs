//! What each policy about a request decides, and what it leaves to a closer one.

use weir_xds_server::explain::{GatewayListener, Open, Policy, Scene, Setting};

use super::answer::{BackendPart, Left, PolicyPart, PolicyTarget, RoutePart};

/// Why a policy holds for nothing: its target has no such part. Which it would be is not known, so all are told.
const NO_SUCH_PART: &str = "TargetNotFound";
/// Why a policy is not the one that counts: an older one is about the very same.
const OLDER: &str = "Conflicted";
const CONNECT: &str = "timeouts.connect";

/// Those of the route that wins, at its listener, the closest first; `open` is what its rule leaves to them.
pub(super) fn of_route(
    scene: &Scene,
    route: &RoutePart,
    at: Option<&GatewayListener>,
    open: Open,
    backends: &[BackendPart],
) -> Vec<PolicyPart> {
    let about = scene.policies.iter().filter_map(|policy| Some((closeness(policy, route, at)?, policy)));
    let by_services = backends.iter().map(|backend| {
        backend
            .policies
            .iter()
            .find(|policy| policy.in_force.iter().any(|setting| setting.field == CONNECT))
            .map(called)
    });
    // Where every backend's Service says it, nobody else does.
    let connect = by_services.collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().next());
    let itself = if open == Open::default() { "the rule, which sends nothing on," } else { "the rule itself" };
    let own = |field: &str| {
        let open = match field {
            "timeouts.request" => open.request,
            "timeouts.backendRequest" => open.backend_request,
            CONNECT => open.connect,
            "retry" => open.retry,
            _ => open.sticky,
        };
        (!open).then(|| itself.to_owned()).or_else(|| connect.clone().filter(|_| field == CONNECT))
    };
    settled(about, own)
}

/// How close a policy is to a rule at a listener; none: it is about something else.
fn closeness(policy: &Policy, route: &RoutePart, at: Option<&GatewayListener>) -> Option<usize> {
    let target = &policy.target;
    let section = target.section.as_deref();
    if target.kind == "Gateway" {
        let at = at?;
        let own = at.listener_set.is_none().then_some(at.listener.as_str());
        let gateway = at.gateway == format!("{}/{}", policy.namespace, target.name);
        return match section {
            _ if !gateway => None,
            None => Some(3),
            Some(_) if policy.reason == NO_SUCH_PART => Some(4),
            section => (section == own).then_some(2),
        };
    }
    let this = (&route.kind, &route.namespace, &route.name);
    match section {
        _ if this != (&target.kind, &policy.namespace, &target.name) => None,
        None => Some(1),
        Some(_) if policy.reason == NO_SUCH_PART => Some(4),
        section => (section == route.rule_name.as_deref()).then_some(0),
    }
}

/// Those of a port of a Service; `tls`: whether what is said of TLS means anything there.
pub(super) fn of_service(scene: &Scene, (namespace, name, port): (&str, &str, u16), tls: bool) -> Vec<PolicyPart> {
    let rank = |policy: &Policy| {
        let target = &policy.target;
        let this = ("Service", namespace, name) == (&*target.kind, &*policy.namespace, &*target.name);
        match (&target.section, target.port) {
            _ if !this => None,
            (None, _) => Some(1),
            (Some(_), None) => Some(2),
            (Some(_), of) => (of == Some(port)).then_some(0),
        }
    };
    let of_kind = |kind: &'static str| {
        let of_kind = scene.policies.iter().filter(move |policy| policy.kind == kind);
        of_kind.filter_map(move |policy| Some((rank(policy)?, policy)))
    };
    let mut parts = settled(of_kind("TrafficPolicy"), |_| None);
    if tls {
        parts.extend(one_for_all(of_kind("BackendTLSPolicy").collect()));
    }
    parts
}

/// Field by field, the closest holds that says it. `own` says what goes before every policy.
fn settled<'s>(
    about: impl Iterator<Item = (usize, &'s Policy)>,
    own: impl Fn(&str) -> Option<String>,
) -> Vec<PolicyPart> {
    let mut about: Vec<_> = about.collect();
    about.sort_by_key(|(rank, policy)| (*rank, !policy.holds, &policy.name));
    let mut decided: Vec<(String, String)> = Vec::new();
    let mut parts = Vec::new();
    for (_, policy) in about {
        let mut part = part(policy);
        let name = called(&part);
        for setting in policy.sets.iter().filter(|_| policy.holds) {
            let closer = || decided.iter().find(|(field, _)| *field == setting.field).map(|(_, by)| by.clone());
            match own(&setting.field).or_else(closer) {
                Some(by) => part.left.push(Left { setting: setting.clone(), by }),
                None => {
                    decided.push((setting.field.clone(), name.clone()));
                    part.in_force.push(setting.clone());
                }
            }
        }
        parts.push(part);
    }
    parts
}

/// The closest holds as a whole, whatever it says: where it cannot be honoured, nothing takes its place.
fn one_for_all(mut about: Vec<(usize, &Policy)>) -> Vec<PolicyPart> {
    let out = |policy: &Policy| matches!(&*policy.reason, OLDER | NO_SUCH_PART);
    about.sort_by_key(|(rank, policy)| (*rank, out(policy), &policy.name));
    let first = about.iter().map(|(_, policy)| *policy).find(|policy| !out(policy));
    let judged = |(_, policy): (usize, &Policy)| {
        let mut part = part(policy);
        match first {
            Some(first) if policy.holds && !std::ptr::eq(first, policy) => {
                let by = called(&self::part(first));
                let left = |setting: &Setting| Left { setting: setting.clone(), by: by.clone() };
                part.left = policy.sets.iter().map(left).collect();
            }
            _ if policy.holds => part.in_force.clone_from(&policy.sets),
            _ => {}
        }
        part
    };
    about.into_iter().map(judged).collect()
}

fn part(policy: &Policy) -> PolicyPart {
    let target = &policy.target;
    PolicyPart {
        kind: policy.kind.clone(),
        namespace: policy.namespace.clone(),
        name: policy.name.clone(),
        target: PolicyTarget {
            kind: target.kind.clone(),
            name: target.name.clone(),
            section_name: target.section.clone(),
        },
        in_force: Vec::new(),
        left: Vec::new(),
        reason: policy.reason.clone(),
        message: policy.message.clone(),
    }
}

/// A policy, as people name it.
fn called(part: &PolicyPart) -> String {
    let section = part.target.section_name.as_ref().map(|section| format!(" `{section}`")).unwrap_or_default();
    format!("{} {}/{} ({} {}{section})", part.kind, part.namespace, part.name, part.target.kind, part.target.name)
}

/// A policy in a line: what it decides, what it does not, or why it does not hold.
pub(super) fn shown(part: &PolicyPart) -> String {
    let name = called(part);
    if part.reason != "Accepted" {
        return format!("{name} does not hold: {}: {}", part.reason, part.message);
    }
    let text = |setting: &Setting| format!("{} {}", setting.field, setting.value);
    let mut parts: Vec<String> = part.in_force.iter().map(text).collect();
    for by in part.left.chunk_by(|one, next| one.by == next.by) {
        let settings: Vec<String> = by.iter().map(|left| text(&left.setting)).collect();
        parts.push(format!("not {} ({} decides)", settings.join(", "), by[0].by));
    }
    if parts.is_empty() { format!("{name} says nothing") } else { format!("{name}: {}", parts.join("; ")) }
}
