use std::path::Path;
use std::sync::Arc;

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use weir_config::FieldError;
use weir_config::bootstrap::Admin;
use weir_config::kinds::plan::{Plan, PlanSpec};
use weir_config::model::ResourceType;
use weir_config::xds::FEATURE_VHDS;

#[path = "admin_tests.rs"]
mod admin_tests;
#[path = "auth_tests.rs"]
mod auth_tests;
#[path = "usage_tests.rs"]
mod usage_tests;

use super::*;
use crate::watch::{Event, Finding};

impl Source for mpsc::Receiver<Batch> {
    async fn next(&mut self) -> Option<Batch> {
        self.recv().await
    }
}

/// Ports of its own choice, and its state in `folder`.
fn local(folder: &Path) -> ServerBootstrap {
    let any = Address::Tcp(([127, 0, 0, 1], 0).into());
    let mut bootstrap = ServerBootstrap::new("unused");
    bootstrap.state_dir = folder.to_owned();
    bootstrap.xds.address = any.clone();
    bootstrap.admin = Admin::new(any);
    bootstrap.authentication.anonymous = true;
    bootstrap
}

struct Running {
    batches: mpsc::Sender<Batch>,
    addresses: Addresses,
    stop: CancellationToken,
    server: tokio::task::JoinHandle<anyhow::Result<()>>,
    folder: tempfile::TempDir,
}

async fn start() -> Running {
    let folder = tempfile::tempdir().unwrap();
    let bootstrap = local(folder.path());
    start_with(bootstrap, folder).await
}

async fn start_with(bootstrap: ServerBootstrap, folder: tempfile::TempDir) -> Running {
    let (batches, source) = mpsc::channel(1);
    let (bound, addresses) = oneshot::channel();
    let stop = CancellationToken::new();
    let token = stop.clone();
    let server = tokio::spawn(async move { run_with(source, &bootstrap, token, bound).await });
    Running { batches, addresses: addresses.await.unwrap(), stop, server, folder }
}

impl Running {
    async fn client(&self) -> AggregatedDiscoveryServiceClient<tonic::transport::Channel> {
        AggregatedDiscoveryServiceClient::connect(format!("http://{}", self.addresses.xds)).await.unwrap()
    }

    /// Asks for all clusters on a new stream.
    async fn stream(&self) -> (mpsc::Sender<DeltaDiscoveryRequest>, tonic::Streaming<DeltaDiscoveryResponse>) {
        let (requests, outbound) = mpsc::channel(8);
        let node = Node { id: "edge-1".into(), client_features: vec![FEATURE_VHDS.into()], ..Node::default() };
        let type_url = ResourceType::FilterConfig.url().to_owned();
        let names = vec!["*".to_owned()];
        let first = DeltaDiscoveryRequest {
            node: Some(node),
            type_url,
            resource_names_subscribe: names,
            ..DeltaDiscoveryRequest::default()
        };
        requests.send(first).await.unwrap();
        let inbound = self.client().await.delta_aggregated_resources(ReceiverStream::new(outbound)).await.unwrap();
        (requests, inbound.into_inner())
    }

    /// Body of an admin page, by a client as plain as can be.
    async fn page(&self, path: &str) -> String {
        ask(&self.addresses.admin, path).await
    }

    async fn finish(self) {
        self.stop.cancel();
        self.server.await.unwrap().unwrap();
    }
}

async fn ask(address: &Address, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let Address::Tcp(address) = address else { panic!("a TCP address was asked for") };
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

fn batch() -> Batch {
    let plan = Plan::new("pro", PlanSpec::default());
    let finding =
        Finding { file: "a.yaml".into(), line: 3, object: None, error: FieldError::new("spec.plan", "is missing") };
    Batch { events: vec![Event::Apply(Arc::new(plan.into()))], findings: vec![finding], ..Batch::default() }
}

#[tokio::test]
async fn an_address_that_others_reach_is_refused_with_advice() {
    let folder = tempfile::tempdir().unwrap();
    let mut bootstrap = local(folder.path());
    bootstrap.xds.address = "0.0.0.0:18000".parse().unwrap();
    let (_, source) = mpsc::channel::<Batch>(1);
    let (bound, _) = oneshot::channel();
    let error = run_with(source, &bootstrap, CancellationToken::new(), bound).await.unwrap_err().to_string();
    assert!(error.contains("0.0.0.0:18000") && error.contains("127.0.0.1:18000"), "{error}");
}

#[tokio::test]
async fn the_address_for_others_tells_health_and_metrics_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let mut bootstrap = local(folder.path());
    bootstrap.admin.metrics_address = Some(bootstrap.admin.address.clone());
    let server = start_with(bootstrap, folder).await;
    let open = server.addresses.metrics.clone().unwrap();
    assert!(ask(&open, "/ready").await.starts_with("HTTP/1.1 503"));
    server.batches.send(batch()).await.unwrap();
    while !ask(&open, "/ready").await.starts_with("HTTP/1.1 200") {}
    assert!(ask(&open, "/stats/prometheus").await.contains("weir_findings 1"));
    for path in ["/", "/config_dump", "/v1/status", "/v1/explain?host=a", "/v1/usage", "/v1/usage/audit"] {
        assert!(ask(&open, path).await.starts_with("HTTP/1.1 404"), "{path}");
    }
    server.finish().await;
}

#[tokio::test]
async fn a_stream_is_answered_once_everything_was_read_and_ends_with_the_server() {
    let server = start().await;
    assert!(server.page("/ready").await.starts_with("HTTP/1.1 503"));
    // Nothing was read yet, so that the stream must wait for this batch.
    let (_requests, mut responses) = {
        let (opened, ()) = tokio::join!(server.stream(), async { server.batches.send(batch()).await.unwrap() });
        opened
    };
    let response = responses.message().await.unwrap().unwrap();
    assert_eq!(response.type_url, ResourceType::FilterConfig.url());
    assert!(server.page("/ready").await.starts_with("HTTP/1.1 200"));

    let status = server.page("/v1/status").await;
    for expected in ["edge-1", "TypedExtensionConfig", "a.yaml", "spec.plan: is missing"] {
        assert!(status.contains(expected), "{expected} is not in {status}");
    }
    let metrics = server.page("/stats/prometheus").await;
    for expected in ["weir_xds_streams 1", "weir_findings 1", "weir_objects{kind=\"Plan\"} 1"] {
        assert!(metrics.contains(expected), "{expected} is not in {metrics}");
    }
    assert!(server.page("/config_dump").await.contains("\"resources\""));

    server.finish().await;
    assert_eq!(responses.message().await.unwrap_err().code(), tonic::Code::Unavailable);
}

#[tokio::test]
async fn a_unix_socket_is_served_and_its_file_goes_with_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("xds.sock");
    // What a server that was killed leaves behind.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let mut bootstrap = local(dir.path());
    bootstrap.xds.address = Address::Unix(path.clone());
    let (_batches, source) = mpsc::channel::<Batch>(1);
    let (bound, addresses) = oneshot::channel();
    let stop = CancellationToken::new();
    let token = stop.clone();
    let server = tokio::spawn(async move { run_with(source, &bootstrap, token, bound).await });
    assert_eq!(addresses.await.unwrap().xds, Address::Unix(path.clone()));
    tokio::net::UnixStream::connect(&path).await.unwrap();
    stop.cancel();
    server.await.unwrap().unwrap();
    assert!(!path.exists());
}
