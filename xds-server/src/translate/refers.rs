//! What objects refer to, by themselves: by this it is known which of them an edit of another touches.

use std::collections::BTreeSet;

use weir_config::kinds::gateway::{BackendTLSPolicy, GATEWAY_GROUP, ListenerSet, PolicyTargetReference};
use weir_config::kinds::traffic_policy::TrafficPolicy;
use weir_config::kinds::{Kind, ObjectKey};

use crate::index::NsName;

/// Kinds of targets of a TrafficPolicy.
const TARGETS: [Kind; 7] =
    [Kind::Gateway, Kind::HTTPRoute, Kind::GRPCRoute, Kind::TLSRoute, Kind::TCPRoute, Kind::UDPRoute, Kind::Service];

/// The Gateway that a ListenerSet names; none if it names something else.
pub(crate) fn gateway_of(set: &ListenerSet) -> Option<NsName> {
    let parent = &set.spec.parent_ref;
    let group = parent.group.as_deref().unwrap_or(GATEWAY_GROUP);
    let kind = parent.kind.as_deref().unwrap_or("Gateway");
    let namespace = parent.namespace.clone().or_else(|| set.metadata.namespace.clone()).unwrap_or_default();
    (group == GATEWAY_GROUP && kind == "Gateway").then(|| (namespace, parent.name.clone()))
}

/// What a policy is about, each with the part of it.
pub(crate) fn traffic_targets(policy: &TrafficPolicy) -> impl Iterator<Item = (ObjectKey, Option<&str>)> {
    let namespace = policy.metadata.namespace.clone().unwrap_or_default();
    policy.spec.target_refs.iter().filter_map(move |target| {
        let kind = { TARGETS }.into_iter().find(|kind| (kind.group(), kind.name()) == (&target.group, &target.kind))?;
        Some((ObjectKey::new(kind, &namespace, &target.name), target.section_name.as_deref()))
    })
}

/// Services of the policy's namespace that it targets, each with the port's name where it is about one.
pub(crate) fn tls_targets(policy: &BackendTLSPolicy) -> impl Iterator<Item = (NsName, Option<&str>)> {
    let namespace = policy.metadata.namespace.clone().unwrap_or_default();
    let services = policy.spec.target_refs.iter().filter(|target| is_service(target));
    services.map(move |target| ((namespace.clone(), target.name.clone()), target.section_name.as_deref()))
}

/// ConfigMaps that a policy refers to.
pub(crate) fn authorities(policy: &BackendTLSPolicy) -> BTreeSet<NsName> {
    let namespace = policy.metadata.namespace.clone().unwrap_or_default();
    let refs = &policy.spec.validation.ca_certificate_refs;
    refs.iter().map(|reference| (namespace.clone(), reference.name.clone())).collect()
}

fn is_service(target: &PolicyTargetReference) -> bool {
    (target.group.as_str(), target.kind.as_str()) == ("", "Service")
}
