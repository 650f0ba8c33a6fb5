//! EndpointSlices to load assignments.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::discovery::v1::{Endpoint as KubeEndpoint, EndpointSlice};
use weir_config::model::{Endpoint, HealthStatus, LoadAssignment, Locality, LocalityEndpoints, name};

use super::backends::{Carrier, ServicePort};
use super::facts::Facts;

/// The endpoints of one port of a Service, by zone, in order. Ready ones are healthy; those that
/// terminate and still serve are degraded, which is to say that they are used where no ready one
/// is left, as kube-proxy does; all others are left out.
pub(crate) fn translate(facts: &Facts, (namespace, service, port, carrier): &ServicePort) -> LoadAssignment {
    let (port, carrier) = (*port, *carrier);
    let mut found: BTreeMap<Locality, BTreeMap<SocketAddr, HealthStatus>> = BTreeMap::new();
    if let Some(port_name) = port_name(facts, namespace, service, port, carrier) {
        for slice in facts.objects.slices(namespace, service) {
            let Some(number) = slice_port(slice, &port_name, carrier) else { continue };
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
    let name = match carrier {
        Carrier::Tcp => name::endpoints(namespace, service, port),
        Carrier::Udp => name::udp_endpoints(namespace, service, port),
    };
    LoadAssignment { name, localities }
}

/// Name of a Service's port, by which slices know it; empty for the only port.
fn port_name(facts: &Facts, namespace: &str, service: &str, port: u16, carrier: Carrier) -> Option<String> {
    let spec = facts.objects.service(namespace, service)?.spec.as_ref()?;
    let port = spec.ports.iter().flatten().find(|p| p.port == i32::from(port) && is(p.protocol.as_deref(), carrier))?;
    Some(port.name.clone().unwrap_or_default())
}

fn slice_port(slice: &EndpointSlice, port_name: &str, carrier: Carrier) -> Option<u16> {
    if !matches!(slice.address_type.as_str(), "IPv4" | "IPv6") {
        return None;
    }
    let ports = slice.ports.iter().flatten();
    ports
        .filter(|port| port.name.as_deref().unwrap_or_default() == port_name && is(port.protocol.as_deref(), carrier))
        .find_map(|port| u16::try_from(port.port?).ok())
}

/// Whether a port's protocol is this one.
fn is(protocol: Option<&str>, carrier: Carrier) -> bool {
    protocol.unwrap_or("TCP") == carrier.name()
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
