//! A server over a directory of manifests, its proxies, and edits.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use stats_alloc::Region;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::sync::CancellationToken;
use weir_config::bootstrap::{Address, Admin, ServerBootstrap};
use weir_config::model::ResourceType;
use weir_config::xds::FEATURE_VHDS;

use crate::ALLOCATOR;

/// Tenants of the two fleets.
const FEW: usize = 100;
const MANY: usize = 2_000;
/// Edits before counting begins: what is made once belongs to none.
const WARM: usize = 10;
const EDITS: usize = 50;
const PROXIES: usize = 4;
const PATIENCE: Duration = Duration::from_secs(120);
const ROUTES: &str = "edge/0.0.0.0/80/http";

/// Of one edit, on average.
#[derive(Debug)]
struct Cost {
    allocations: usize,
    bytes: usize,
}

#[tokio::test]
async fn an_edit_costs_no_more_in_a_large_fleet() {
    let few = cost(FEW).await;
    let many = cost(MANY).await;
    println!("an edit with {FEW} tenants: {few:?}, with {MANY}: {many:?}");
    assert!(few.allocations > 100, "{few:?}: nothing was counted");
    assert!(many.allocations * 5 <= few.allocations * 6, "with {MANY} tenants {many:?}, with {FEW} {few:?}");
    assert!(many.bytes * 5 <= few.bytes * 6, "with {MANY} tenants {many:?}, with {FEW} {few:?}");
}

/// What an edit costs in a fleet of so many tenants.
async fn cost(tenants: usize) -> Cost {
    let folder = tempfile::tempdir().unwrap();
    let manifests = folder.path().join("manifests");
    fs::create_dir(&manifests).unwrap();
    fs::write(manifests.join("platform.yaml"), include_str!("../golden/with/platform.yaml")).unwrap();
    for n in 0..tenants {
        fs::write(file(&manifests, n), tenant(n, "/first")).unwrap();
    }
    let any = Address::Tcp(([127, 0, 0, 1], 0).into());
    let mut bootstrap = ServerBootstrap::new(&manifests);
    bootstrap.state_dir = folder.path().join("state");
    bootstrap.xds.address = any.clone();
    bootstrap.admin = Admin::new(any);
    bootstrap.authentication.anonymous = true;
    let (stop, (bound, addresses)) = (CancellationToken::new(), oneshot::channel());
    let token = stop.clone();
    let server = tokio::spawn(async move { weir_xds_server::server::run(&bootstrap, token, bound).await });
    let addresses = addresses.await.unwrap();
    let mut proxies = Vec::new();
    for _ in 0..PROXIES {
        proxies.push(Proxy::connect(&addresses.xds, tenants).await);
    }
    for proxy in &mut proxies {
        proxy.hosts(tenants).await;
    }
    for number in 0..WARM {
        edit(&manifests, number * 31 % tenants, &format!("/warm-{number}"), &mut proxies).await;
    }
    let region = Region::new(ALLOCATOR);
    for number in 0..EDITS {
        edit(&manifests, number * 37 % tenants, &format!("/edit-{number}-"), &mut proxies).await;
    }
    let change = region.change();
    stop.cancel();
    server.await.unwrap().unwrap();
    Cost { allocations: change.allocations / EDITS, bytes: change.bytes_allocated / EDITS }
}

fn file(manifests: &Path, tenant: usize) -> PathBuf {
    manifests.join(format!("t{tenant:05}.yaml"))
}

/// Puts a file in place and waits until every proxy has the path that is new in it.
async fn edit(manifests: &Path, number: usize, path: &str, proxies: &mut [Proxy]) {
    let beside = manifests.join(".next");
    fs::write(&beside, tenant(number, path)).unwrap();
    fs::rename(&beside, file(manifests, number)).unwrap();
    for proxy in proxies {
        proxy.path(path).await;
    }
}

fn tenant(n: usize, path: &str) -> String {
    format!(
        "kind: Tenant
apiVersion: weir.dev/v1alpha1
metadata: {{name: t{n:05}}}
spec: {{plan: pro, hostnames: [t{n:05}.example]}}
---
kind: Namespace
apiVersion: v1
metadata: {{name: n{n:05}, labels: {{weir.dev/tenant: t{n:05}}}}}
---
kind: Service
apiVersion: v1
metadata: {{namespace: n{n:05}, name: web}}
spec: {{ports: [{{port: 80}}]}}
---
kind: EndpointSlice
apiVersion: discovery.k8s.io/v1
metadata: {{namespace: n{n:05}, name: web, labels: {{kubernetes.io/service-name: web}}}}
addressType: IPv4
ports: [{{port: 8080}}]
endpoints: [{{addresses: [10.0.0.1]}}]
---
kind: HTTPRoute
apiVersion: gateway.networking.k8s.io/v1
metadata: {{namespace: n{n:05}, name: web}}
spec:
  parentRefs: [{{namespace: weir-system, name: public}}]
  hostnames: [t{n:05}.example]
  rules: [{{matches: [{{path: {{value: {path}}}}}], backendRefs: [{{name: web, port: 80}}]}}]
"
    )
}

/// A client as plain as can be, which accepts everything.
struct Proxy {
    requests: mpsc::UnboundedSender<DeltaDiscoveryRequest>,
    responses: tonic::Streaming<DeltaDiscoveryResponse>,
}

impl Proxy {
    async fn connect(xds: &Address, tenants: usize) -> Self {
        let (requests, outbound) = mpsc::unbounded_channel();
        let node = Node { id: "edge-1".into(), client_features: vec![FEATURE_VHDS.into()], ..Node::default() };
        let services = (0..tenants).map(|n| format!("n{n:05}/web/80")).collect();
        let wanted = [
            (ResourceType::Cluster, Vec::new()),
            (ResourceType::LoadAssignment, services),
            (ResourceType::Listener, Vec::new()),
            (ResourceType::RouteConfiguration, vec![ROUTES.to_owned()]),
            (ResourceType::VirtualHost, vec![ROUTES.to_owned()]),
        ];
        for (kind, names) in wanted {
            let request = DeltaDiscoveryRequest {
                node: (kind == ResourceType::Cluster).then(|| node.clone()),
                type_url: kind.url().to_owned(),
                resource_names_subscribe: names,
                ..DeltaDiscoveryRequest::default()
            };
            requests.send(request).unwrap();
        }
        let mut client = AggregatedDiscoveryServiceClient::connect(format!("http://{xds}")).await.unwrap();
        let opened = client.delta_aggregated_resources(UnboundedReceiverStream::new(outbound)).await.unwrap();
        Self { requests, responses: opened.into_inner() }
    }

    /// The next response, acknowledged.
    async fn next(&mut self) -> DeltaDiscoveryResponse {
        let response = tokio::time::timeout(PATIENCE, self.responses.message()).await.unwrap().unwrap().unwrap();
        let acknowledgement = DeltaDiscoveryRequest {
            type_url: response.type_url.clone(),
            response_nonce: response.nonce.clone(),
            ..DeltaDiscoveryRequest::default()
        };
        self.requests.send(acknowledgement).unwrap();
        response
    }

    /// Waits for so many virtual hosts.
    async fn hosts(&mut self, mut count: usize) {
        while count > 0 {
            let response = self.next().await;
            if response.type_url == ResourceType::VirtualHost.url() {
                count -= response.resources.len();
            }
        }
    }

    /// Waits for a resource with this path in it.
    async fn path(&mut self, path: &str) {
        let has = |bytes: &[u8]| bytes.windows(path.len()).any(|window| window == path.as_bytes());
        while !self.next().await.resources.iter().filter_map(|r| r.resource.as_ref()).any(|any| has(&any.value)) {}
    }
}
