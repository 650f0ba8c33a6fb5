//! `/clusters` and `/listeners`, in Envoy's line format.

use std::collections::BTreeMap;
use std::fmt::Write;

use weir_config::model::{Cluster, EndpointSource, HealthStatus, LoadAssignment, Resource};

use crate::serve::Statuses;
use crate::xds::pipeline::State;

/// A line for each property of each endpoint: `cluster::address::property::value`.
pub(super) fn clusters(state: &State) -> String {
    let assignments: BTreeMap<&str, &LoadAssignment> = state
        .active
        .iter()
        .filter_map(|(resource, _)| match resource {
            Resource::LoadAssignment(assignment) => Some((assignment.name.as_str(), assignment.as_ref())),
            _ => None,
        })
        .collect();
    let mut out = String::new();
    for (resource, _) in &state.active {
        let Resource::Cluster(cluster) = resource else { continue };
        let endpoints = match &cluster.endpoints {
            EndpointSource::Eds(name) => assignments.get(name.as_str()).copied(),
            EndpointSource::Static(assignment) => Some(assignment),
        };
        let _ = writeln!(out, "{}::added_via_api::true", cluster.name);
        if let Some(assignment) = endpoints {
            endpoints_of(cluster, assignment, &mut out);
        }
    }
    out
}

fn endpoints_of(cluster: &Cluster, assignment: &LoadAssignment, out: &mut String) {
    for locality in &assignment.localities {
        for endpoint in &locality.endpoints {
            let at = format!("{}::{}", cluster.name, endpoint.address);
            let _ = writeln!(out, "{at}::health_flags::{}", health(endpoint.health));
            let _ = writeln!(out, "{at}::weight::{}", endpoint.weight);
            let _ = writeln!(out, "{at}::region::{}", locality.locality.region);
            let _ = writeln!(out, "{at}::zone::{}", locality.locality.zone);
            let _ = writeln!(out, "{at}::priority::{}", locality.priority);
        }
    }
}

fn health(status: HealthStatus) -> &'static str {
    match status {
        HealthStatus::Unknown | HealthStatus::Healthy => "healthy",
        HealthStatus::Degraded => "/degraded_eds_health",
        HealthStatus::Unhealthy => "/failed_eds_health",
        HealthStatus::Draining => "/eds_status_draining",
    }
}

/// A line for each listener: `name::address`, with the port really bound, or why it is not.
pub(super) fn listeners(statuses: &Statuses) -> String {
    let mut out = String::new();
    for (name, status) in statuses {
        let _ = match (&status.bound, &status.error) {
            (Some(bound), _) => writeln!(out, "{name}::{bound}"),
            (None, Some(error)) => writeln!(out, "{name}::{} (not bound: {error})", status.address),
            (None, None) => writeln!(out, "{name}::{} (not bound yet)", status.address),
        };
    }
    out
}
