//! The service of all types on one stream.

use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use tonic::{Request, Response, Status, Streaming};

use super::variant::{Delta, World};
use super::{Discovery, MAX_REQUEST, Responses};

#[tonic::async_trait]
impl AggregatedDiscoveryService for Discovery {
    type StreamAggregatedResourcesStream = Responses<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Responses<DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        self.stream::<World>(request, None)
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        self.stream::<Delta>(request, None)
    }
}

impl Discovery {
    /// As tonic services: all types on one stream, and one type on each.
    pub fn routes(self) -> tonic::service::Routes {
        let aggregated = AggregatedDiscoveryServiceServer::new(self.clone()).max_decoding_message_size(MAX_REQUEST);
        self.add_separate(tonic::service::Routes::new(aggregated))
    }
}
