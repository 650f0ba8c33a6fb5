//! What a stream gets, by who opened it.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::service::InterceptorLayer;
use tonic::{Code, Status, Streaming};
use weir_config::bootstrap::Load;
use weir_config::model::ResourceType;
use weir_config::xds::FEATURE_VHDS;

use super::world::World;
use crate::ads::{Admission, Discovery, Store};
use crate::auth::{Caller, Identity, Principal};
use crate::metrics::Metrics;
use crate::namespaces::Namespaces;
use crate::scope::Role;

/// A server that takes callers for whom it is told.
struct Server {
    namespaces: Arc<Namespaces>,
    role: Arc<Mutex<Option<Role>>>,
    address: String,
    _stop: DropGuard,
}

impl Server {
    async fn start() -> Self {
        let (store, namespaces) = (Arc::new(Store::new()), Arc::<Namespaces>::default());
        World::new().publish(&Default::default(), &store);
        let role = Arc::new(Mutex::new(None));
        let stop = CancellationToken::new();
        let ready = watch::Sender::new(true).subscribe();
        let metrics = Arc::new(Metrics::new().unwrap());
        let admission = Arc::new(Admission::new(Load::default(), Instant::now()));
        let shutdown = stop.clone();
        let service = Discovery {
            store,
            registry: Arc::default(),
            namespaces: Arc::clone(&namespaces),
            metrics,
            admission,
            ready,
            shutdown,
        };
        let told = Arc::clone(&role);
        let gate = InterceptorLayer::new(move |mut request: tonic::Request<()>| {
            if let Some(role) = told.lock().unwrap().clone() {
                let identity = Arc::new(Identity { principal: Principal::Anonymous, expires: None });
                request.extensions_mut().insert(Caller { identity, role, ended: CancellationToken::new() });
            }
            Ok(request)
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let server = tonic::transport::Server::builder().layer(gate).add_routes(service.routes());
        let end = stop.clone().cancelled_owned();
        tokio::spawn(server.serve_with_incoming_shutdown(TcpListenerStream::new(listener), end));
        Self { namespaces, role, address, _stop: stop.drop_guard() }
    }

    /// A stream of a caller of this role that asks for all clusters.
    async fn stream(&self, role: Option<Role>) -> Result<Stream, Status> {
        *self.role.lock().unwrap() = role;
        let (requests, outbound) = mpsc::channel(8);
        let node = Node { id: "edge-1".into(), client_features: vec![FEATURE_VHDS.into()], ..Node::default() };
        let type_url = ResourceType::Cluster.url().to_owned();
        requests.send(DeltaDiscoveryRequest { node: Some(node), type_url, ..Default::default() }).await.unwrap();
        let mut client = AggregatedDiscoveryServiceClient::connect(self.address.clone()).await.unwrap();
        let inbound = client.delta_aggregated_resources(ReceiverStream::new(outbound)).await?.into_inner();
        Ok(Stream { inbound, _requests: requests })
    }
}

struct Stream {
    inbound: Streaming<DeltaDiscoveryResponse>,
    _requests: mpsc::Sender<DeltaDiscoveryRequest>,
}

impl Stream {
    /// Names in the next response.
    async fn names(&mut self) -> Result<Vec<String>, Status> {
        let next = tokio::time::timeout(Duration::from_secs(60), self.inbound.message()).await;
        Ok(next.expect("nothing comes")?.unwrap().resources.into_iter().map(|resource| resource.name).collect())
    }
}

#[tokio::test]
async fn a_caller_gets_what_its_role_may_see() {
    let server = Server::start().await;
    server.namespaces.set([("shop".to_owned(), Some("t0".to_owned())), ("other".to_owned(), Some("t1".to_owned()))]);
    let all: &[&str] = &["t0/c0"];
    for (role, names) in [
        (Role::Anyone, all),
        (Role::Edge("x0".into()), all),
        (Role::Edge("x1".into()), &[]),
        (Role::Edge("t0".into()), &[]),
        (Role::Sidecar("shop".into()), all),
        (Role::Sidecar("other".into()), &[]),
        (Role::Sidecar("t0".into()), &[]),
    ] {
        assert_eq!(server.stream(Some(role.clone())).await.unwrap().names().await.unwrap(), names, "{role:?}");
    }
}

#[tokio::test]
async fn an_operator_gets_nothing_and_neither_does_who_came_by_another_way_than_the_gate() {
    let server = Server::start().await;
    let code = |refused: Result<Stream, Status>| refused.err().unwrap().code();
    assert_eq!(code(server.stream(Some(Role::Operator)).await), Code::PermissionDenied);
    assert_eq!(code(server.stream(None).await), Code::Unauthenticated);
}

#[tokio::test]
async fn a_sidecars_stream_ends_when_its_namespace_has_another_tenant() {
    let server = Server::start().await;
    let move_to = |namespace: &str, tenant: Option<&str>| {
        server.namespaces.set([(namespace.to_owned(), tenant.map(str::to_owned))]);
    };
    let sidecar = || Some(Role::Sidecar("shop".into()));
    move_to("shop", Some("t1"));
    let mut stream = server.stream(sidecar()).await.unwrap();
    assert_eq!(stream.names().await.unwrap(), [""; 0]);
    let mut edge = server.stream(Some(Role::Edge("x0".into()))).await.unwrap();
    assert_eq!(edge.names().await.unwrap(), ["t0/c0"]);
    move_to("elsewhere", Some("t0"));
    move_to("shop", Some("t0"));
    assert_eq!(stream.names().await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(server.stream(sidecar()).await.unwrap().names().await.unwrap(), ["t0/c0"]);
}
