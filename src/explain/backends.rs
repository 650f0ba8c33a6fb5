//! Where a request goes, and what each share of such requests gets.

use std::sync::Arc;

use weir_config::model::name::{self, NO_CLUSTER};
use weir_config::model::{EndpointSource, Forward, HealthStatus, LoadAssignment, Route, RouteAction, Split};
use weir_proxy::request::cluster::ClusterSlot;
use weir_xds_server::explain::Scene;

use super::answer::{BackendPart, EndpointPart, Kind, ResultPart, service};
use super::tables::{self, Decided, Tables};
use super::{effects, policies};

/// Endpoints of a backend that are shown.
const MOST_ENDPOINTS: usize = 8;

/// The backends of the route that matched, with the share of each.
pub(super) fn of(scene: &Scene, tables: &Tables, decided: &Decided, model: Option<&Route>) -> Vec<BackendPart> {
    let (Some(route), Some(RouteAction::Forward(Forward { split, missing, .. }))) =
        (&decided.route, model.map(|model| &model.action))
    else {
        return Vec::new();
    };
    parts(scene, tables, split, tables::clusters(route), Some(*missing))
}

/// The clusters of a split, with the share of each. `missing` is the answer for one that does not exist; of connections
/// there is none.
pub(super) fn parts(
    scene: &Scene,
    tables: &Tables,
    split: &Split,
    clusters: Vec<Arc<ClusterSlot>>,
    missing: Option<u16>,
) -> Vec<BackendPart> {
    let weights: Vec<u32> = match split {
        Split::One(_) => vec![1],
        Split::Weighted(list) => list.iter().map(|share| share.weight).collect(),
    };
    let sum: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
    let backend = |(cluster, weight): (Arc<ClusterSlot>, u32)| {
        let state = cluster.state.load();
        let assignment = assignment(tables, &cluster.name);
        // One that was left out of the answer for its size is not judged.
        let unseen = assignment.is_none() && scene.left_off.endpoints > 0;
        let used = |address| state.endpoints.iter().any(|endpoint| endpoint.address == address);
        let all = assignment.into_iter().flat_map(|assignment| &assignment.localities);
        let all = all.flat_map(|locality| locality.endpoints.iter().map(|e| (locality.locality.zone.as_str(), e)));
        let endpoints = all.clone().take(MOST_ENDPOINTS).map(|(zone, endpoint)| EndpointPart {
            address: endpoint.address.to_string(),
            health: health(endpoint.health),
            zone: zone.to_owned(),
            used: used(endpoint.address),
        });
        let tls = tables.snapshot.clusters.get(&*cluster.name).and_then(|model| Some(model.tls.as_ref()?.sni.clone()));
        let port = name::split_cluster(&cluster.name);
        BackendPart {
            policies: port.map(|port| policies::of_service(scene, port, tls.is_some())).unwrap_or_default(),
            tls,
            service: service(&cluster.name),
            weight,
            share: (f64::from(weight) / sum * 10_000.0).round() / 100.0,
            status: match (state.known, state.endpoints.is_empty()) {
                (false, _) => missing,
                (true, true) if !unseen => missing.map(|_| 503),
                (true, _) => None,
            },
            closed: missing.is_none() && (!state.known || (state.endpoints.is_empty() && !unseen)),
            endpoints: endpoints.collect(),
            endpoint_count: all.count(),
            usable: state.endpoints.len(),
            cluster: if *cluster.name == *NO_CLUSTER { String::new() } else { cluster.name.to_string() },
        }
    };
    clusters.into_iter().zip(weights).map(backend).collect()
}

/// What a request gets that this route matched.
pub(super) fn result(scene: &Scene, tables: &Tables, decided: &Decided, model: &Route) -> ResultPart {
    let backends = of(scene, tables, decided, Some(model));
    let unresolved = || {
        let found = scene.candidates.iter().find_map(|candidate| {
            Some((candidate, candidate.matches.iter().find(|place| place.name == model.name)?.rule))
        });
        let problems = found.into_iter().flat_map(|(candidate, rule)| {
            candidate.unresolved.iter().filter(move |problem| problem.rule == rule).map(|p| p.message.as_str())
        });
        let problems: Vec<&str> = problems.collect();
        if problems.is_empty() { String::new() } else { format!(": {}", problems.join("; ")) }
    };
    if let RouteAction::Direct { status } = &model.action {
        let text = format!("the rule has no backend that can be used{}", unresolved());
        return ResultPart { kind: Kind::Failed, status: Some(*status), text };
    }
    if let RouteAction::Redirect(redirect) = &model.action {
        let text = format!("redirected to {}", effects::redirect(redirect));
        return ResultPart { kind: Kind::Redirected, status: Some(redirect.status), text };
    }
    let shares = |wanted: &dyn Fn(&&BackendPart) -> bool| -> String {
        let chosen = backends.iter().filter(|backend| backend.weight > 0).filter(wanted);
        let text = |backend: &BackendPart| {
            if backends.len() == 1 {
                backend.service.clone()
            } else {
                format!("{} {}%", called(backend), backend.share)
            }
        };
        chosen.map(text).collect::<Vec<_>>().join(", ")
    };
    let good = shares(&|backend| backend.status.is_none());
    let bad = |status: u16| {
        let names = shares(&|backend| backend.status == Some(status));
        let why = if status == 503 { "no endpoint is ready".to_owned() } else { format!("not there{}", unresolved()) };
        (!names.is_empty()).then(|| format!("{status} for {names} ({why})"))
    };
    let statuses: std::collections::BTreeSet<u16> =
        backends.iter().filter(|backend| backend.weight > 0).filter_map(|backend| backend.status).collect();
    let problems: Vec<String> = statuses.iter().filter_map(|status| bad(*status)).collect();
    match (good.is_empty(), problems.is_empty()) {
        (false, true) => ResultPart { kind: Kind::Forwarded, status: None, text: format!("goes to {good}") },
        (false, false) => {
            let text = format!("goes to {good}; {}", problems.join("; "));
            ResultPart { kind: Kind::PartlyForwarded, status: None, text }
        }
        (true, _) => {
            let status = if statuses.len() == 1 { statuses.first().copied() } else { None };
            let text = format!("no backend can answer: {}", problems.join("; "));
            ResultPart { kind: Kind::Failed, status, text }
        }
    }
}

/// A backend, as people name it.
pub(super) fn called(backend: &BackendPart) -> &str {
    if backend.service.is_empty() { "backends that are not there" } else { &backend.service }
}

fn assignment<'t>(tables: &'t Tables, cluster: &str) -> Option<&'t LoadAssignment> {
    match &tables.snapshot.clusters.get(cluster)?.endpoints {
        EndpointSource::Eds(service) => tables.snapshot.endpoints.get(service).map(|assignment| &**assignment),
        EndpointSource::Static(assignment) => Some(assignment),
    }
}

fn health(status: HealthStatus) -> &'static str {
    match status {
        HealthStatus::Unknown | HealthStatus::Healthy => "ready",
        HealthStatus::Degraded => "terminating",
        HealthStatus::Unhealthy => "unhealthy",
        HealthStatus::Draining => "draining",
    }
}
