//! The Services in front of edges: which one a Gateway is reached by, whose it is, and the addresses that it has.

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use sha2::{Digest, Sha256};
use weir_config::bootstrap::{EdgeAddress, EdgeService};
use weir_config::kinds::gateway::{GATEWAY_GROUP, Gateway};
use weir_config::kinds::{GATEWAY_NAME_LABEL, Kind, MADE_BY, Object, ObjectKey};

use super::facts::Facts;
use crate::index::NsName;

/// Characters of a Service's name (RFC 1035, DNS label).
const MAX_NAME: usize = 63;
/// Addresses that the status of a Gateway holds.
const MAX_ADDRESSES: usize = 16;

/// Name of the Service of a Gateway, `<Gateway>-<GatewayClass>` (GEP-1762): as it is where that is a DNS label, else cut
/// to one, with a hash that tells it from others.
pub(crate) fn name(gateway: &str, class: &str) -> String {
    let plain = format!("{gateway}-{class}");
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if plain.len() <= MAX_NAME
        && plain.bytes().all(inner)
        && plain.starts_with(|first: char| first.is_ascii_lowercase())
    {
        return plain;
    }
    let hash: String =
        Sha256::digest(format!("{gateway}/{class}")).iter().take(4).map(|b| format!("{b:02x}")).collect();
    let cut =
        plain.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' });
    let cut: String = std::iter::once('g').chain("-".chars()).chain(cut).take(MAX_NAME - 9).collect();
    format!("{}-{hash}", cut.trim_end_matches('-'))
}

/// The Gateway for which a Service was made, by the label and the owner that the server gave it: its id and `uid`. None:
/// it is somebody else's.
pub(crate) fn made_for(service: &Service) -> Option<(NsName, &str)> {
    let labels = service.metadata.labels.as_ref()?;
    let made = labels.get(MADE_BY.0).is_some_and(|value| value == MADE_BY.1);
    let owner = service.metadata.owner_references.as_ref()?.iter().find(|owner| is_gateway(owner))?;
    let named = labels.contains_key(GATEWAY_NAME_LABEL);
    (made && named).then(|| ((service.metadata.namespace.clone().unwrap_or_default(), owner.name.clone()), &*owner.uid))
}

fn is_gateway(owner: &OwnerReference) -> bool {
    owner.kind == "Gateway" && owner.api_version.split('/').next() == Some(GATEWAY_GROUP)
}

/// Whether a Service is the one that was made for this Gateway, and not for one that had its name before.
pub(crate) fn is_of(service: &Service, gateway: &Gateway) -> bool {
    let meta = &gateway.metadata;
    let id = (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default());
    made_for(service).is_some_and(|(owner, uid)| owner == id && Some(uid) == meta.uid.as_deref())
}

/// The addresses that a Gateway has by the Services in front of its edge, or why it has none yet.
pub(crate) fn given(facts: &Facts, settings: &EdgeService, gateway: &Gateway) -> Result<Vec<EdgeAddress>, String> {
    let (service, shown) = if settings.per_gateway {
        let namespace = gateway.metadata.namespace.as_deref().unwrap_or_default();
        let name = name(gateway.metadata.name.as_deref().unwrap_or_default(), &gateway.spec.gateway_class_name);
        let shown = format!("{namespace}/{name}");
        let service = facts.objects.service(namespace, &name);
        if service.is_some_and(|service| !is_of(service, gateway)) {
            return Err(format!(
                "the Gateway's Service would be {shown}, and that name is taken by a Service that was not made for it: \
                 rename one of both"
            ));
        }
        (service, shown)
    } else {
        let Some(one) = &settings.name else { return Ok(Vec::new()) };
        (facts.objects.service(&one.namespace, &one.name), one.to_string())
    };
    let service = service.ok_or_else(|| format!("Service {shown} is not there yet"))?;
    let addresses = addresses(service);
    if addresses.is_empty() { Err(format!("Service {shown} has no address yet")) } else { Ok(addresses) }
}

/// Where a Service is reached: by the load balancer that it asked for, else at its cluster addresses.
fn addresses(service: &Service) -> Vec<EdgeAddress> {
    let spec = service.spec.as_ref();
    if spec.and_then(|spec| spec.type_.as_deref()) == Some("LoadBalancer") {
        let ingress = service.status.as_ref().and_then(|status| status.load_balancer.as_ref()?.ingress.as_ref());
        let texts = ingress.into_iter().flatten().filter_map(|one| one.ip.as_ref().or(one.hostname.as_ref()));
        return texts.filter_map(|text| text.to_ascii_lowercase().parse().ok()).take(MAX_ADDRESSES).collect();
    }
    let both = spec.and_then(|spec| spec.cluster_ips.as_ref()).into_iter().flatten();
    // Of one family, it is kept in the older field alone. A headless Service has `None`.
    let one = spec.and_then(|spec| spec.cluster_ip.as_ref().filter(|_| spec.cluster_ips.is_none()));
    let all = both.chain(one);
    all.filter_map(|text| text.parse().ok().map(EdgeAddress::Ip)).collect()
}

/// The Gateways whose addresses a Service may be, as it was or is.
pub(crate) fn reached_by(facts: &Facts, key: &ObjectKey, objects: [Option<&Object>; 2]) -> Vec<NsName> {
    let settings = || facts.settings.classes.services();
    let shared = settings().filter(|(_, settings)| {
        settings.name.as_ref().is_some_and(|one| (&one.namespace, &one.name) == (&key.namespace, &key.name))
    });
    let shared: Vec<_> = shared.map(|(edge, _)| edge).collect();
    let id = |gateway: &Gateway| {
        (gateway.metadata.namespace.clone().unwrap_or_default(), gateway.metadata.name.clone().unwrap_or_default())
    };
    if !shared.is_empty() {
        let all = facts.objects.of(Kind::Gateway).filter_map(|object| match &**object {
            Object::Gateway(gateway) => Some(id(gateway)),
            _ => None,
        });
        return all.filter(|gateway| facts.edge_of(gateway).is_some_and(|edge| shared.contains(&edge))).collect();
    }
    if !settings().any(|(_, settings)| settings.per_gateway) {
        return Vec::new();
    }
    let made = objects.into_iter().flatten().filter_map(|object| match object {
        Object::Service(service) => made_for(service).map(|(gateway, _)| gateway),
        _ => None,
    });
    // One that takes a Gateway's name, or gives it back.
    let named = facts.objects.gateways(&key.namespace).filter(|gateway| {
        name(gateway.metadata.name.as_deref().unwrap_or_default(), &gateway.spec.gateway_class_name) == key.name
    });
    made.chain(named.map(id)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_has_the_name_of_gateway_and_class_or_one_that_kubernetes_takes() {
        assert_eq!(name("public", "weir"), "public-weir");
        let odd = ["public.example", "1st", &"a".repeat(70), &"b".repeat(253)].map(|gateway| name(gateway, "weir"));
        for name in &odd {
            assert!(name.len() <= MAX_NAME && name.starts_with("g-") && !name.contains('.'), "{name}");
        }
        assert_ne!(name(&"a".repeat(70), "weir"), name(&"a".repeat(71), "weir"));
        assert_ne!(name("a.b", "weir"), name("a-b", "weir"));
    }

    #[test]
    fn a_load_balancer_gives_its_own_addresses_and_no_cluster_address_meanwhile() {
        let found = |value: serde_json::Value| -> Vec<String> {
            let service: Service = serde_json::from_value(value).unwrap();
            addresses(&service).iter().map(ToString::to_string).collect()
        };
        let balanced = |ingress: serde_json::Value| {
            found(serde_json::json!({
                "spec": {"type": "LoadBalancer", "clusterIPs": ["10.0.0.9"]},
                "status": {"loadBalancer": {"ingress": ingress}},
            }))
        };
        assert_eq!(balanced(serde_json::json!([])), Vec::<String>::new());
        let both = serde_json::json!([{"ip": "192.0.2.1"}, {"hostname": "lb.example.com"}]);
        assert_eq!(balanced(both), ["192.0.2.1", "lb.example.com"]);
        let inside = serde_json::json!({"spec": {"type": "ClusterIP", "clusterIPs": ["10.0.0.9", "fd00::9"]}});
        assert_eq!(found(inside), ["10.0.0.9", "fd00::9"]);
        assert_eq!(found(serde_json::json!({"spec": {"clusterIPs": ["None"]}})), Vec::<String>::new());
    }
}
