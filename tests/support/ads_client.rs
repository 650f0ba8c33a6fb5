//! A delta ADS client of the test's own, to see exactly what our server sends.

use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use envoy_types::pb::google::rpc::Status;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use weir_config::model::ResourceType;

use super::site::{Site, XDS};
use super::wait;

/// An open stream.
pub struct AdsClient {
    runtime: Runtime,
    send: mpsc::Sender<DeltaDiscoveryRequest>,
    receive: Streaming<DeltaDiscoveryResponse>,
    node: Option<Node>,
}

impl AdsClient {
    /// Connects as a node with these client features.
    pub fn connect(site: &Site, features: &[&str]) -> Self {
        Self::connect_to(site, XDS, features)
    }

    /// The same, to the server at another port of the site.
    pub fn connect_to(site: &Site, port: u16, features: &[&str]) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let url = format!("http://{}:{port}", site.ip());
        let (send, requests) = mpsc::channel(64);
        let receive = runtime.block_on(async {
            let mut client = AggregatedDiscoveryServiceClient::connect(url).await.unwrap();
            client.delta_aggregated_resources(ReceiverStream::new(requests)).await.unwrap().into_inner()
        });
        let features = features.iter().map(|f| f.to_string()).collect();
        let node = Node { id: "test".into(), cluster: "edge".into(), client_features: features, ..Node::default() };
        Self { runtime, send, receive, node: Some(node) }
    }

    /// Subscribes; `known` are versions from an earlier stream.
    pub fn subscribe(&mut self, kind: ResourceType, names: &[String], known: &[(String, String)]) {
        let request = DeltaDiscoveryRequest {
            type_url: kind.url().into(),
            resource_names_subscribe: names.to_vec(),
            initial_resource_versions: known.iter().cloned().collect(),
            ..DeltaDiscoveryRequest::default()
        };
        self.request(request);
    }

    /// The next response, not answered yet; none if none comes within `patience`.
    pub fn next(&mut self, patience: Duration) -> Option<DeltaDiscoveryResponse> {
        let next = async { tokio::time::timeout(patience, self.receive.message()).await };
        self.runtime.block_on(next).ok().map(|message| message.unwrap().expect("the server ended the stream"))
    }

    /// Answers a response: an acknowledgement, or a refusal with its reason.
    pub fn answer(&mut self, response: &DeltaDiscoveryResponse, refusal: Option<&str>) {
        let error = refusal.map(|reason| Status { code: 3, message: reason.into(), ..Status::default() });
        self.request(DeltaDiscoveryRequest {
            type_url: response.type_url.clone(),
            response_nonce: response.nonce.clone(),
            error_detail: error,
            ..DeltaDiscoveryRequest::default()
        });
    }

    /// Acknowledges what comes until `last` is satisfied with a response; returns all of them.
    pub fn until(&mut self, last: impl Fn(&DeltaDiscoveryResponse) -> bool) -> Vec<DeltaDiscoveryResponse> {
        let mut all = Vec::new();
        loop {
            let response = self.next(wait::PATIENCE).expect("a response");
            self.answer(&response, None);
            let done = last(&response);
            all.push(response);
            if done {
                return all;
            }
        }
    }

    fn request(&mut self, mut request: DeltaDiscoveryRequest) {
        request.node = self.node.take();
        self.runtime.block_on(self.send.send(request)).unwrap();
    }
}
