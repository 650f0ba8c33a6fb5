//! A small delta ADS server: it has a snapshot, and tells each stream how that differs from what
//! the stream was told before.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse, Resource as Wire,
};
use envoy_types::pb::google::protobuf::Any;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::{TcpListenerStream, UnboundedReceiverStream};
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};
use weir_config::model::{Resource, ResourceType, Snapshot};
use weir_config::xds::encode;

/// A server on a thread.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    world: watch::Sender<Snapshot>,
    /// Texts of the refusals that clients sent.
    pub(crate) refusals: Arc<Mutex<Vec<String>>>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Server {
    /// On a port that the system chooses.
    pub(crate) fn start(world: Snapshot) -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into(), world)
    }

    pub(crate) fn start_at(address: SocketAddr, world: Snapshot) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let world = watch::Sender::new(world);
        let refusals = Arc::default();
        let service = Service { world: world.clone(), refusals: Arc::clone(&refusals) };
        let listener = runtime.block_on(tokio::net::TcpListener::bind(address)).unwrap();
        let address = listener.local_addr().unwrap();
        let router = tonic::transport::Server::builder().add_service(AggregatedDiscoveryServiceServer::new(service));
        runtime.spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));
        Self { address, world, refusals, runtime: Some(runtime) }
    }

    /// Changes the snapshot; every stream is told.
    pub(crate) fn edit(&self, change: impl FnOnce(&mut Snapshot)) {
        self.world.send_modify(change);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

struct Service {
    world: watch::Sender<Snapshot>,
    refusals: Arc<Mutex<Vec<String>>>,
}

/// What one stream asked for and was told.
#[derive(Default)]
struct Told {
    names: BTreeMap<ResourceType, BTreeSet<String>>,
    sent: BTreeMap<(ResourceType, String), Resource>,
}

impl Told {
    fn wanted(&self, resource: &Resource) -> bool {
        let Some(names) = self.names.get(&resource.kind()) else { return false };
        match resource.kind() {
            ResourceType::Cluster | ResourceType::Listener => true,
            ResourceType::VirtualHost => names.contains(resource.name().rsplit_once('/').unwrap().0),
            _ => names.contains(resource.name()),
        }
    }

    /// What of `kind` must be said now; `always`: even if that is nothing.
    fn news(&mut self, kind: ResourceType, world: &Snapshot, always: bool) -> Option<DeltaDiscoveryResponse> {
        let key = |r: &Resource| (r.kind(), r.name().to_owned());
        let new: Vec<_> =
            world.of(kind).into_iter().filter(|r| self.wanted(r) && self.sent.get(&key(r)) != Some(r)).collect();
        let gone: Vec<_> =
            self.sent.keys().filter(|(k, name)| *k == kind && world.get(kind, name).is_none()).cloned().collect();
        if new.is_empty() && gone.is_empty() && !always {
            return None;
        }
        gone.iter().for_each(|key| drop(self.sent.remove(key)));
        self.sent.extend(new.iter().map(|r| (key(r), r.clone())));
        let wire = |r: &Resource| Wire {
            name: r.name().into(),
            version: format!("{:x}", crc32fast::hash(&encode(r))),
            resource: Some(Any { type_url: kind.url().into(), value: encode(r).to_vec() }),
            ..Wire::default()
        };
        Some(DeltaDiscoveryResponse {
            type_url: kind.url().into(),
            nonce: "n".into(),
            resources: new.iter().map(wire).collect(),
            removed_resources: gone.into_iter().map(|(_, name)| name).collect(),
            ..DeltaDiscoveryResponse::default()
        })
    }
}

type Out<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl AggregatedDiscoveryService for Service {
    type StreamAggregatedResourcesStream = Out<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Out<DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        _: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        Err(Status::unimplemented("delta only"))
    }

    async fn delta_aggregated_resources(
        &self,
        requests: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        let (out, responses) = mpsc::unbounded_channel();
        let (mut world, refusals) = (self.world.subscribe(), Arc::clone(&self.refusals));
        let mut requests = requests.into_inner();
        tokio::spawn(async move {
            let mut told = Told::default();
            loop {
                let asked = tokio::select! {
                    Some(Ok(request)) = requests.next() => {
                        if let Some(error) = request.error_detail {
                            refusals.lock().unwrap().push(error.message);
                        }
                        if !request.response_nonce.is_empty() {
                            continue;
                        }
                        let kind = ResourceType::from_url(&request.type_url).unwrap();
                        told.names.entry(kind).or_default().extend(request.resource_names_subscribe);
                        for name in request.resource_names_unsubscribe {
                            told.names.entry(kind).or_default().remove(&name);
                            told.sent.remove(&(kind, name));
                        }
                        Some(kind)
                    }
                    Ok(()) = world.changed() => None,
                    else => return,
                };
                let now = world.borrow().clone();
                for kind in ResourceType::ALL {
                    if let Some(response) = told.news(*kind, &now, asked == Some(*kind)) {
                        let _ = out.send(Ok(response));
                    }
                }
            }
        });
        Ok(Response::new(Box::pin(UnboundedReceiverStream::new(responses))))
    }
}
