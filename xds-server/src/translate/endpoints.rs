//! EndpointSlices to load assignments.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::discovery::v1::{Endpoint as KubeEndpoint, EndpointSlice};
use weir_config::model::{Endpoint, HealthStatus, LoadAssignment, Locality, LocalityEndpoints, name};

use super::facts::Facts;

/// The endpoints of one port of a Service, by zone, in order. Ready ones are healthy; those that
/// terminate and still serve are degraded, which is to say that they are used where no ready one
/// is left, as kube-proxy does; all others are left out.
pub(crate) fn translate(facts: &Facts, namespace: &str, service: &str, port: u16) -> LoadAssignment {
    let mut found: BTreeMap<Locality, BTreeMap<SocketAddr, HealthStatus>> = BTreeMap::new();
    if let Some(port_name) = port_name(facts, namespace, service, port) {
        for slice in facts.objects.slices(namespace, service) {
            let Some(number) = slice_port(slice, &port_name) else { continue };
            for endpoint in slice.endpoints.iter().flatten() {
                let address = endpoint.addresses.first().and_then(|text| text.parse::<IpAddr>().ok());
                let (Some(address), Some(health)) = (address, health(endpoint)) else { continue };
                let locality = Locality { region: String::new(), zone: endpoint.zone.clone().unwrap_or_default() };
                let known =
                    found.entry(locality).or_default().entry(SocketAddr::new(address, number)).or_insert(health);
                // One address may stand in two slices while it moves; its better word counts.
                if health == HealthStatus::Healthy {
                    *known = health;
                }
            }
        }
    }
    let endpoint = |(address, health)| Endpoint { address, health, weight: 1 };
    let localities = found
        .into_iter()
        .map(|(locality, addresses)| LocalityEndpoints {
            locality,
            priority: 0,
            endpoints: addresses.into_iter().map(endpoint).collect(),
        })
        .collect();
    LoadAssignment { name: name::endpoints(namespace, service, port), localities }
}

/// Name of a Service's port, by which slices know it; empty for the only port.
fn port_name(facts: &Facts, namespace: &str, service: &str, port: u16) -> Option<String> {
    let spec = facts.objects.service(namespace, service)?.spec.as_ref()?;
    let port = spec.ports.iter().flatten().find(|p| p.port == i32::from(port))?;
    Some(port.name.clone().unwrap_or_default())
}

fn slice_port(slice: &EndpointSlice, port_name: &str) -> Option<u16> {
    if !matches!(slice.address_type.as_str(), "IPv4" | "IPv6") {
        return None;
    }
    let ports = slice.ports.iter().flatten();
    let tcp = |protocol: Option<&str>| protocol.unwrap_or("TCP") == "TCP";
    ports
        .filter(|port| port.name.as_deref().unwrap_or_default() == port_name && tcp(port.protocol.as_deref()))
        .find_map(|port| u16::try_from(port.port?).ok())
}

fn health(endpoint: &KubeEndpoint) -> Option<HealthStatus> {
    let conditions = endpoint.conditions.as_ref();
    let ready = conditions.and_then(|c| c.ready).unwrap_or(true);
    let terminating = conditions.and_then(|c| c.terminating).unwrap_or(false);
    let serving = conditions.and_then(|c| c.serving).unwrap_or(ready);
    match (ready, serving && terminating) {
        (true, _) => Some(HealthStatus::Healthy),
        (false, true) => Some(HealthStatus::Degraded),
        (false, false) => None,
    }
}
