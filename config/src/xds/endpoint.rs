//! `ClusterLoadAssignment`.

use xds_api::pb::envoy::config::core::v3::{HealthStatus as ProtoHealth, Locality as ProtoLocality};
use xds_api::pb::envoy::config::endpoint::v3::cluster_load_assignment::Policy;
use xds_api::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use xds_api::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint as ProtoEndpoint, LbEndpoint, LocalityLbEndpoints,
};

use super::read::{At, Problems, fields, fitting};
use super::scalar;
use crate::model::{Endpoint, HealthStatus, LoadAssignment, Locality, LocalityEndpoints};

/// Envoy's own bound of `priority`.
const MOST_PRIORITY: u32 = 128;
/// Envoy's own default of `overprovisioning_factor`, in per cent.
const OVERPROVISIONING: u32 = 140;

pub(super) fn write(value: &LoadAssignment) -> ClusterLoadAssignment {
    ClusterLoadAssignment {
        cluster_name: value.name.clone(),
        endpoints: value.localities.iter().map(write_locality).collect(),
        ..Default::default()
    }
}

fn write_locality(value: &LocalityEndpoints) -> LocalityLbEndpoints {
    let Locality { region, zone } = &value.locality;
    let known = !region.is_empty() || !zone.is_empty();
    LocalityLbEndpoints {
        locality: known.then(|| ProtoLocality { region: region.clone(), zone: zone.clone(), ..Default::default() }),
        lb_endpoints: value.endpoints.iter().map(write_endpoint).collect(),
        priority: value.priority,
        ..Default::default()
    }
}

fn write_endpoint(value: &Endpoint) -> LbEndpoint {
    let health = match value.health {
        HealthStatus::Unknown => ProtoHealth::Unknown,
        HealthStatus::Healthy => ProtoHealth::Healthy,
        HealthStatus::Degraded => ProtoHealth::Degraded,
        HealthStatus::Unhealthy => ProtoHealth::Unhealthy,
        HealthStatus::Draining => ProtoHealth::Draining,
    };
    LbEndpoint {
        health_status: health as i32,
        load_balancing_weight: (value.weight != 1).then(|| scalar::uint32(value.weight)),
        host_identifier: Some(HostIdentifier::Endpoint(ProtoEndpoint {
            address: Some(scalar::socket_address(value.address)),
            ..Default::default()
        })),
        ..Default::default()
    }
}

pub(super) fn read(message: ClusterLoadAssignment, at: &At<'_>, problems: &mut Problems) -> Option<LoadAssignment> {
    fields!(message => ClusterLoadAssignment, at, problems;
        read cluster_name endpoints policy;
        refuse named_endpoints;
        pass;);
    if let Some(policy) = policy {
        read_policy(policy, &at.field("policy"), problems);
    }
    let mut localities = Vec::with_capacity(endpoints.len());
    for (index, locality) in endpoints.into_iter().enumerate() {
        localities.push(read_locality(locality, &at.item("endpoints", index), problems));
    }
    if cluster_name.is_empty() {
        problems.missing(&at.field("cluster_name"));
    }
    Some(LoadAssignment { name: cluster_name, localities })
}

fn read_policy(policy: Policy, at: &At<'_>, problems: &mut Problems) {
    fields!(policy => Policy, at, problems;
        read overprovisioning_factor;
        refuse drop_overloads weighted_priority_health;
        pass endpoint_stale_after;);
    if overprovisioning_factor.is_some_and(|factor| factor.value != OVERPROVISIONING) {
        problems.unsupported(&at.field("overprovisioning_factor"));
    }
}

fn read_locality(message: LocalityLbEndpoints, at: &At<'_>, problems: &mut Problems) -> LocalityEndpoints {
    fields!(message => LocalityLbEndpoints, at, problems;
        read locality lb_endpoints priority;
        refuse lb_config;
        pass load_balancing_weight proximity;);
    if priority > MOST_PRIORITY {
        problems.add(&at.field("priority"), format!("must be at most {MOST_PRIORITY}"));
    }
    let locality = locality.unwrap_or_default();
    let endpoints = lb_endpoints.into_iter().enumerate();
    let endpoints = fitting(
        endpoints.filter_map(|(index, endpoint)| read_endpoint(endpoint, &at.item("lb_endpoints", index), problems)),
    );
    LocalityEndpoints { locality: Locality { region: locality.region, zone: locality.zone }, priority, endpoints }
}

fn read_endpoint(message: LbEndpoint, at: &At<'_>, problems: &mut Problems) -> Option<Endpoint> {
    fields!(message => LbEndpoint, at, problems;
        read health_status load_balancing_weight host_identifier;
        refuse;
        pass metadata;);
    let weight = load_balancing_weight.map_or(1, |weight| weight.value);
    if weight == 0 {
        problems.add(&at.field("load_balancing_weight"), "must be at least 1");
    }
    let health = match ProtoHealth::try_from(health_status) {
        Ok(ProtoHealth::Unknown) => HealthStatus::Unknown,
        Ok(ProtoHealth::Healthy) => HealthStatus::Healthy,
        Ok(ProtoHealth::Degraded) => HealthStatus::Degraded,
        Ok(ProtoHealth::Unhealthy | ProtoHealth::Timeout) => HealthStatus::Unhealthy,
        Ok(ProtoHealth::Draining) => HealthStatus::Draining,
        Err(_) => {
            problems.add(&at.field("health_status"), format!("has no value {health_status}"));
            return None;
        }
    };
    let endpoint = match host_identifier {
        Some(HostIdentifier::Endpoint(endpoint)) => endpoint,
        Some(HostIdentifier::EndpointName(_)) => {
            problems.unsupported(&at.field("endpoint_name"));
            return None;
        }
        None => {
            problems.missing(&at.field("endpoint"));
            return None;
        }
    };
    let at = at.field("endpoint");
    fields!(endpoint => ProtoEndpoint, at, problems;
        read address;
        refuse additional_addresses;
        pass health_check_config hostname;);
    Some(Endpoint { address: scalar::read_socket_address(address, &at.field("address"), problems)?, health, weight })
}
