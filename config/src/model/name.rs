//! Names of resources. They are injective: parts are joined by `/`, which no DNS label holds, so
//! that no choice of names by one tenant can spell another's.

use std::net::IpAddr;
use std::time::Duration;

/// Name of the Listener at `address`:`port` of `edge`.
pub fn listener(edge: &str, address: IpAddr, port: u16) -> String {
    format!("{edge}/{address}/{port}/tcp")
}

/// Name of the Listener of datagrams at `address`:`port` of `edge`.
pub fn udp_listener(edge: &str, address: IpAddr, port: u16) -> String {
    format!("{edge}/{address}/{port}/udp")
}

/// What the names of the chains begin with that take whole connections (or the datagrams) of one listener of a
/// Gateway: its protocol, `tls`, `tcp` or `udp`, tells it from others of that address and port.
pub fn connections(
    edge: &str,
    address: IpAddr,
    port: u16,
    protocol: &str,
    namespace: &str,
    gateway: &str,
    listener: &str,
) -> String {
    format!("{edge}/{address}/{port}/{protocol}/{namespace}/{gateway}/{listener}")
}

/// The same of a listener of a ListenerSet.
pub fn connections_of_set(
    edge: &str,
    address: IpAddr,
    port: u16,
    protocol: &str,
    namespace: &str,
    set: &str,
    listener: &str,
) -> String {
    format!("{edge}/{address}/{port}/{protocol}-set/{namespace}/{set}/{listener}")
}

/// Name of the RouteConfiguration that all HTTP listeners of one address and port share.
pub fn http_routes(edge: &str, address: IpAddr, port: u16) -> String {
    format!("{edge}/{address}/{port}/http")
}

/// Name of the RouteConfiguration (and of the filter chain) of one HTTPS listener of a Gateway.
pub fn https_routes(edge: &str, address: IpAddr, port: u16, namespace: &str, gateway: &str, listener: &str) -> String {
    format!("{edge}/{address}/{port}/https/{namespace}/{gateway}/{listener}")
}

/// Name of the RouteConfiguration (and of the filter chain) of one HTTPS listener of a ListenerSet.
pub fn https_routes_of_set(
    edge: &str,
    address: IpAddr,
    port: u16,
    namespace: &str,
    set: &str,
    listener: &str,
) -> String {
    format!("{edge}/{address}/{port}/https-set/{namespace}/{set}/{listener}")
}

/// Name of a VirtualHost, as VHDS wants it: the RouteConfiguration's name, `/`, the domain.
pub fn virtual_host(route_configuration: &str, domain: &str) -> String {
    format!("{route_configuration}/{domain}")
}

/// The two parts of a VirtualHost's name, split from the right; none where there is no `/`.
pub fn split_virtual_host(name: &str) -> Option<(&str, &str)> {
    name.rsplit_once('/')
}

/// Name of the Cluster by which `tenant`'s routes reach a port of a Service. Connections belong to
/// a Cluster, so tenants never share them. `way` is how it is spoken to where that is not by HTTP as its port says.
pub fn cluster(tenant: &str, namespace: &str, service: &str, port: u16, way: Option<&str>) -> String {
    match way {
        Some(way) => format!("{tenant}/{namespace}/{service}/{port}/{way}"),
        None => format!("{tenant}/{namespace}/{service}/{port}"),
    }
}

/// Namespace, Service and port of a Cluster that [`cluster`] named, whatever was added to the name; none of another.
pub fn split_cluster(name: &str) -> Option<(&str, &str, u16)> {
    let mut parts = name.split('/').skip(1);
    Some((parts.next()?, parts.next()?, parts.next()?.parse().ok()?))
}

/// Name of the Cluster by which routes at one Gateway reach what `cluster` does, showing that Gateway's certificate.
pub fn cluster_of_gateway(cluster: &str, namespace: &str, gateway: &str) -> String {
    format!("{cluster}/at/{namespace}/{gateway}")
}

/// Name of the Cluster that reaches what `cluster` does, waiting so long for a connection.
pub fn cluster_connecting(cluster: &str, within: Duration) -> String {
    format!("{cluster}/within/{}", within.as_millis())
}

/// A cluster that no server ever sends: the share of backends that are not valid goes there, and is
/// answered as the route says (`cluster_not_found_response_code`).
pub const NO_CLUSTER: &str = "weir.dev/no-cluster";

/// EDS `service_name` of a port of a Service; all tenants' Clusters of it share the endpoints.
pub fn endpoints(namespace: &str, service: &str, port: u16) -> String {
    format!("{namespace}/{service}/{port}")
}

/// EDS `service_name` of a port of a Service that takes datagrams: the same number may take connections too.
pub fn udp_endpoints(namespace: &str, service: &str, port: u16) -> String {
    format!("{namespace}/{service}/{port}/udp")
}

/// Name of the SDS secret of a Kubernetes Secret.
pub fn secret(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

/// Name of the ECDS resource that holds every plan's request rate.
pub const RATE_LIMITS: &str = "weir.dev/local_ratelimit";
