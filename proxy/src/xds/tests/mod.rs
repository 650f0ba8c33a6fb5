//! The xDS client against a server that is played by hand.

mod client;
mod persist;
mod pipeline;
mod secrets;
mod simulation;
mod warm;

use std::sync::Arc;

use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource as Wire};
use envoy_types::pb::google::protobuf::Any;
use weir_config::FieldError;
use weir_config::model::*;
use weir_config::xds::encode;

use super::Admit;
use super::client::Client;

/// Accepts all but what is called `bad`.
struct NotBad;

impl Admit for NotBad {
    fn admit(&self, resource: &Resource) -> Result<(), Vec<FieldError>> {
        if resource.name().contains("bad") { Err(vec![FieldError::new("some.field", "is bad")]) } else { Ok(()) }
    }
}

fn new_client() -> Client {
    Client::new("edge-0", "edge", Arc::new(NotBad))
}

fn listener(name: &str, routes: &str, secrets: &[&str]) -> Resource {
    let secrets: Vec<String> = secrets.iter().map(ToString::to_string).collect();
    let tls = (!secrets.is_empty()).then(|| DownstreamTls { secrets, alpn: vec!["http/1.1".into()], clients: None });
    let http = HttpOptions {
        stat_prefix: "http".into(),
        routes: RouteSource::Rds(routes.into()),
        filters: vec![],
        idle_timeout: None,
        request_headers_timeout: None,
        stream_idle_timeout: None,
        max_request_headers_kb: None,
        use_remote_address: true,
        http2: None,
        access_log: false,
    };
    let chains = vec![FilterChain {
        name: "chain".into(),
        server_names: vec![],
        tls,
        passthrough: false,
        network: Network::Http(http),
    }];
    Listener { name: name.into(), address: "127.0.0.1:0".parse().unwrap(), chains, udp: None }.into()
}

fn routes(name: &str, vhds: bool) -> Resource {
    RouteConfiguration { name: name.into(), virtual_hosts: vec![], vhds }.into()
}

fn host(routes: &str, domain: &str, cluster: &str) -> Resource {
    let route = Route {
        name: "r".into(),
        owner: None,
        matches: RouteMatch {
            path: PathMatch::Prefix("/".into()),
            method: None,
            headers: vec![],
            query: vec![],
            fraction: None,
        },
        action: RouteAction::Forward(Forward::to(Split::One(cluster.into()))),
        request_headers: Default::default(),
        response_headers: Default::default(),
        cors: None,
        session: None,
    };
    let domains = vec![Domain::Exact(domain.into())];
    VirtualHost { name: name::virtual_host(routes, domain), domains, owner: None, routes: vec![route] }.into()
}

fn cluster(name: &str) -> Resource {
    Cluster::new(name, EndpointSource::Eds(format!("eds/{name}"))).into()
}

fn endpoints(cluster: &str, port: u16) -> Resource {
    let endpoint = Endpoint { address: ([127, 0, 0, 1], port).into(), health: HealthStatus::Healthy, weight: 1 };
    let localities = vec![LocalityEndpoints { endpoints: vec![endpoint], ..LocalityEndpoints::default() }];
    LoadAssignment { name: format!("eds/{cluster}"), localities }.into()
}

fn wire(resource: &Resource, version: &str) -> Wire {
    Wire {
        name: resource.name().into(),
        version: version.into(),
        resource: Some(Any { type_url: resource.kind().url().into(), value: encode(resource).to_vec() }),
        ..Wire::default()
    }
}

fn response(kind: ResourceType, resources: &[&Resource], removed: &[&str]) -> DeltaDiscoveryResponse {
    DeltaDiscoveryResponse {
        type_url: kind.url().into(),
        nonce: format!("nonce of {}", kind.message()),
        resources: resources.iter().map(|r| wire(r, "1")).collect(),
        removed_resources: removed.iter().map(ToString::to_string).collect(),
        ..DeltaDiscoveryResponse::default()
    }
}

/// `Listener`, `+a`, `-b`: what a request says, for comparing.
fn said(requests: &[DeltaDiscoveryRequest]) -> Vec<String> {
    let say = |r: &DeltaDiscoveryRequest| {
        let mut words = vec![r.type_url.rsplit('.').next().unwrap().to_owned()];
        if !r.response_nonce.is_empty() {
            words.push(if r.error_detail.is_some() { "NACK".into() } else { "ACK".into() });
        }
        words.extend(r.resource_names_subscribe.iter().map(|n| format!("+{n}")));
        words.extend(r.resource_names_unsubscribe.iter().map(|n| format!("-{n}")));
        words.join(" ")
    };
    requests.iter().map(say).collect()
}

fn names(delta: &Delta) -> (Vec<String>, Vec<String>) {
    (
        delta.upserts.iter().map(|r| r.name().to_owned()).collect(),
        delta.removals.iter().map(|(_, n)| n.clone()).collect(),
    )
}
