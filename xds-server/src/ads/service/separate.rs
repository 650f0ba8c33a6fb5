//! The services of one type each: the same streams, with one type on each.

use envoy_types::pb::envoy::service::cluster::v3::cluster_discovery_service_server as cds;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use envoy_types::pb::envoy::service::endpoint::v3::endpoint_discovery_service_server as eds;
use envoy_types::pb::envoy::service::extension::v3::extension_config_discovery_service_server as ecds;
use envoy_types::pb::envoy::service::listener::v3::listener_discovery_service_server as lds;
use envoy_types::pb::envoy::service::route::v3::route_discovery_service_server as rds;
use envoy_types::pb::envoy::service::route::v3::virtual_host_discovery_service_server as vhds;
use envoy_types::pb::envoy::service::secret::v3::secret_discovery_service_server as sds;
use tonic::{Request, Response, Status, Streaming};
use weir_config::model::ResourceType;

use super::variant::{Delta, World};
use super::{Discovery, MAX_REQUEST, Responses};

macro_rules! service {
    ($service:path, $kind:ident, $stream_type:ident $stream:ident, $delta_type:ident $delta:ident, $fetch:ident) => {
        #[tonic::async_trait]
        impl $service for Discovery {
            type $stream_type = Responses<DiscoveryResponse>;
            type $delta_type = Responses<DeltaDiscoveryResponse>;

            async fn $stream(
                &self,
                request: Request<Streaming<DiscoveryRequest>>,
            ) -> Result<Response<Self::$stream_type>, Status> {
                self.stream::<World>(request, Some(ResourceType::$kind))
            }

            async fn $delta(
                &self,
                request: Request<Streaming<DeltaDiscoveryRequest>>,
            ) -> Result<Response<Self::$delta_type>, Status> {
                self.stream::<Delta>(request, Some(ResourceType::$kind))
            }

            async fn $fetch(&self, _: Request<DiscoveryRequest>) -> Result<Response<DiscoveryResponse>, Status> {
                Err(no_polling())
            }
        }
    };
}

service!(cds::ClusterDiscoveryService, Cluster, StreamClustersStream stream_clusters,
    DeltaClustersStream delta_clusters, fetch_clusters);
service!(eds::EndpointDiscoveryService, LoadAssignment, StreamEndpointsStream stream_endpoints,
    DeltaEndpointsStream delta_endpoints, fetch_endpoints);
service!(lds::ListenerDiscoveryService, Listener, StreamListenersStream stream_listeners,
    DeltaListenersStream delta_listeners, fetch_listeners);
service!(rds::RouteDiscoveryService, RouteConfiguration, StreamRoutesStream stream_routes,
    DeltaRoutesStream delta_routes, fetch_routes);
service!(sds::SecretDiscoveryService, Secret, StreamSecretsStream stream_secrets,
    DeltaSecretsStream delta_secrets, fetch_secrets);
service!(ecds::ExtensionConfigDiscoveryService, FilterConfig, StreamExtensionConfigsStream stream_extension_configs,
    DeltaExtensionConfigsStream delta_extension_configs, fetch_extension_configs);

#[tonic::async_trait]
impl vhds::VirtualHostDiscoveryService for Discovery {
    type DeltaVirtualHostsStream = Responses<DeltaDiscoveryResponse>;

    async fn delta_virtual_hosts(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaVirtualHostsStream>, Status> {
        self.stream::<Delta>(request, Some(ResourceType::VirtualHost))
    }
}

fn no_polling() -> Status {
    Status::unimplemented(
        "this server answers on streams only: use Stream* or Delta* methods, in an Envoy's bootstrap `api_type: \
         DELTA_GRPC` (or GRPC)",
    )
}

impl Discovery {
    /// All services of one type each.
    pub(super) fn add_separate(self, routes: tonic::service::Routes) -> tonic::service::Routes {
        routes
            .add_service(cds::ClusterDiscoveryServiceServer::new(self.clone()).max_decoding_message_size(MAX_REQUEST))
            .add_service(eds::EndpointDiscoveryServiceServer::new(self.clone()).max_decoding_message_size(MAX_REQUEST))
            .add_service(lds::ListenerDiscoveryServiceServer::new(self.clone()).max_decoding_message_size(MAX_REQUEST))
            .add_service(rds::RouteDiscoveryServiceServer::new(self.clone()).max_decoding_message_size(MAX_REQUEST))
            .add_service(
                vhds::VirtualHostDiscoveryServiceServer::new(self.clone()).max_decoding_message_size(MAX_REQUEST),
            )
            .add_service(sds::SecretDiscoveryServiceServer::new(self.clone()).max_decoding_message_size(MAX_REQUEST))
            .add_service(ecds::ExtensionConfigDiscoveryServiceServer::new(self).max_decoding_message_size(MAX_REQUEST))
    }
}
