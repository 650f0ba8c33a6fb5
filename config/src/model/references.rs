//! Which resources a resource names: what must be there for it to work.

use super::{
    Cluster, EndpointSource, FilterChain, HttpFilter, Listener, Network, Proxied, Resource, ResourceType, Route,
    RouteAction, RouteSource, UpstreamTls, VirtualHost,
};

impl Route {
    /// Names of the clusters that it sends requests to, copies too.
    pub fn clusters(&self) -> impl Iterator<Item = &str> {
        let forward = match &self.action {
            RouteAction::Forward(forward) => Some(forward),
            RouteAction::Redirect(_) | RouteAction::Direct { .. } => None,
        };
        forward.into_iter().flat_map(|forward| {
            let copies = forward.mirrors.iter().map(|mirror| mirror.cluster.as_str());
            forward.split.clusters().chain(copies)
        })
    }
}

/// Calls `visit` for each name that `resource` names, repeated where it says so repeatedly. What comes by VHDS
/// is named by nobody.
pub fn references(resource: &Resource, visit: &mut dyn FnMut(ResourceType, &str)) {
    match resource {
        Resource::Listener(listener) => of_listener(listener, visit),
        Resource::RouteConfiguration(routes) => routes.virtual_hosts.iter().for_each(|host| of_host(host, visit)),
        Resource::VirtualHost(host) => of_host(host, visit),
        Resource::Cluster(cluster) => of_cluster(cluster, visit),
        Resource::LoadAssignment(_) | Resource::Secret(_) | Resource::FilterConfig(_) => {}
    }
}

fn of_cluster(cluster: &Cluster, visit: &mut dyn FnMut(ResourceType, &str)) {
    if let EndpointSource::Eds(name) = &cluster.endpoints {
        visit(ResourceType::LoadAssignment, name);
    }
    if let Some(UpstreamTls { certificate: Some(name), .. }) = cluster.tls.as_deref() {
        visit(ResourceType::Secret, name);
    }
}

fn of_listener(listener: &Listener, visit: &mut dyn FnMut(ResourceType, &str)) {
    if let Some(proxied) = &listener.udp {
        of_proxied(proxied, visit);
    }
    for FilterChain { tls, network, .. } in &listener.chains {
        tls.iter().flat_map(|tls| &tls.secrets).for_each(|name| visit(ResourceType::Secret, name));
        let http = match network {
            Network::Http(http) => http,
            Network::Tcp(proxied) => {
                of_proxied(proxied, visit);
                continue;
            }
        };
        for filter in &http.filters {
            if let HttpFilter::Discovered(name) = filter {
                visit(ResourceType::FilterConfig, name);
            }
        }
        match &http.routes {
            RouteSource::Rds(name) => visit(ResourceType::RouteConfiguration, name),
            RouteSource::Inline(routes) => routes.virtual_hosts.iter().for_each(|host| of_host(host, visit)),
        }
    }
}

fn of_proxied(proxied: &Proxied, visit: &mut dyn FnMut(ResourceType, &str)) {
    proxied.split.clusters().for_each(|name| visit(ResourceType::Cluster, name));
}

fn of_host(host: &VirtualHost, visit: &mut dyn FnMut(ResourceType, &str)) {
    host.routes.iter().flat_map(Route::clusters).for_each(|name| visit(ResourceType::Cluster, name));
}
