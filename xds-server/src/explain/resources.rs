//! The resources by which a proxy decides on a host: of a size that does not grow with the fleet.

use std::collections::BTreeSet;
use std::sync::Arc;

use weir_config::model::{
    EndpointSource, FilterConfig, Listener, LocalRateLimit, Network, Resource, VirtualHost, name,
};
use weir_config::xds;

use super::listeners::{narrowed, routes_of};
use super::{Question, Scene};
use crate::index::NsName;
use crate::translate::World;

/// Endpoints of one answer; clusters beyond that come without theirs.
const MOST_ENDPOINTS: usize = 5000;

/// Puts the resources in, as JSON, in sending order. Answers with the Services of their clusters.
pub(super) fn gather(
    world: &World,
    question: &Question,
    chosen: &[Arc<Listener>],
    scene: &mut Scene,
) -> BTreeSet<NsName> {
    let snapshot = world.snapshot();
    let listeners = chosen.iter().map(|listener| narrowed(listener, question));
    // One of which no chain could take the connection takes none: there is no such resource.
    let listeners: Vec<Listener> =
        listeners.filter(|listener| !listener.chains.is_empty() || listener.udp.is_some()).collect();
    let names: BTreeSet<&str> = listeners.iter().flat_map(|l| &l.chains).filter_map(routes_of).collect();
    let hosts: Vec<&Arc<VirtualHost>> = names
        .iter()
        .flat_map(|routes| question.domains().map(move |domain| name::virtual_host(routes, &domain)))
        .filter_map(|name| snapshot.virtual_hosts.get(&name))
        .collect();
    let proxied = listeners.iter().flat_map(|listener| {
        let chains = listener.chains.iter().filter_map(|chain| match &chain.network {
            Network::Tcp(proxied) => Some(proxied),
            Network::Http(_) => None,
        });
        chains.chain(listener.udp.as_deref())
    });
    let mut clusters: BTreeSet<&str> = proxied.flat_map(|proxied| proxied.split.clusters()).collect();
    let mut plans = BTreeSet::new();
    for host in &hosts {
        plans.extend(host.owner.iter().filter_map(|owner| owner.plan.as_deref()));
        for route in &host.routes {
            plans.extend(route.owner.iter().filter_map(|owner| owner.plan.as_deref()));
            clusters.extend(route.clusters());
        }
    }
    let behind = clusters.iter().filter_map(|name| name::split_cluster(name));
    let behind = behind.map(|(namespace, service, _)| (namespace.to_owned(), service.to_owned())).collect();
    let clusters: Vec<_> = clusters.into_iter().filter_map(|name| snapshot.clusters.get(name)).collect();
    let mut resources: Vec<Resource> = clusters.iter().map(|cluster| Resource::Cluster(Arc::clone(cluster))).collect();
    let services: BTreeSet<&str> = clusters
        .iter()
        .filter_map(|cluster| match &cluster.endpoints {
            EndpointSource::Eds(service) => Some(service.as_str()),
            EndpointSource::Static(_) => None,
        })
        .collect();
    let mut room = MOST_ENDPOINTS;
    for assignment in services.into_iter().filter_map(|service| snapshot.endpoints.get(service)) {
        let count: usize = assignment.localities.iter().map(|locality| locality.endpoints.len()).sum();
        match room.checked_sub(count) {
            Some(left) => {
                room = left;
                resources.push(Resource::LoadAssignment(Arc::clone(assignment)));
            }
            None => scene.left_off.endpoints += 1,
        }
    }
    resources.extend(snapshot.filters.values().map(|filter| Resource::from(of_plans(filter, &plans))));
    resources.extend(listeners.iter().map(|listener| Resource::from(listener.clone())));
    let routes = names.iter().filter_map(|name| snapshot.routes.get(*name));
    resources.extend(routes.map(|routes| Resource::RouteConfiguration(Arc::clone(routes))));
    resources.extend(hosts.into_iter().map(|host| Resource::VirtualHost(Arc::clone(host))));
    let json = |resource: &Resource| xds::json::to_json(resource.kind(), &xds::encode(resource)).ok();
    scene.resources = resources.iter().filter_map(json).collect();
    behind
}

/// A limit with nothing but these plans.
fn of_plans(filter: &FilterConfig, plans: &BTreeSet<&str>) -> FilterConfig {
    let kept = filter.config.plans.iter().filter(|(plan, _)| plans.contains(plan.as_str()));
    let kept = kept.map(|(plan, bucket)| (plan.clone(), *bucket)).collect();
    FilterConfig { name: filter.name.clone(), config: LocalRateLimit { plans: kept, ..filter.config.clone() } }
}
