//! Client status discovery (`envoy.service.status.v3`): what each connected proxy has, for operators.
//!
//! Configuration of many tenants is large: an answer is cut into messages that any gRPC client takes, and a
//! unary call, which has one message only, leaves out what does not fit and says how to get it.

use std::pin::Pin;
use std::sync::Arc;

use envoy_types::pb::envoy::admin::v3::{ClientResourceStatus, UpdateFailureState};
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::status::v3::client_config::GenericXdsConfig;
use envoy_types::pb::envoy::service::status::v3::client_status_discovery_service_server::{
    ClientStatusDiscoveryService, ClientStatusDiscoveryServiceServer,
};
use envoy_types::pb::envoy::service::status::v3::{
    ClientConfig, ClientStatusRequest, ClientStatusResponse, ConfigStatus,
};
use envoy_types::pb::google::protobuf::Any;
use futures::Stream;
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use weir_config::model::ResourceType;

use super::matching::Matchers;
use super::registry::{Proxy, Registry};
use super::subscription::{ResourceStatus, Sync};
use crate::auth::Caller;
use crate::scope::Role;

/// Bytes of a message, roughly: gRPC clients take 4 MiB by default.
const MAX_MESSAGE: usize = 2 << 20;
/// Resources that are looked at in one go, while the stream of their proxy waits.
const STEP: usize = 5000;
/// Messages that wait for the connection.
const QUEUE: usize = 2;

/// The service.
#[derive(Clone, Debug)]
pub struct ClientStatuses {
    registry: Arc<Registry>,
    shutdown: CancellationToken,
}

type Responses = Pin<Box<dyn Stream<Item = Result<ClientStatusResponse, Status>> + Send>>;

impl ClientStatuses {
    /// A service that tells of what `registry` knows, and ends its streams on `shutdown`.
    pub fn new(registry: Arc<Registry>, shutdown: CancellationToken) -> Self {
        Self { registry, shutdown }
    }

    /// As a tonic service.
    pub fn into_server(self) -> ClientStatusDiscoveryServiceServer<Self> {
        ClientStatusDiscoveryServiceServer::new(self)
    }

    /// The proxies that a request asks for, oldest stream first.
    fn proxies(&self, request: &ClientStatusRequest) -> Result<Vec<Arc<Proxy>>, Status> {
        let matchers = Matchers::new(&request.node_matchers).map_err(Status::invalid_argument)?;
        let all = self.registry.open();
        Ok(all.into_iter().filter(|proxy| matchers.accept(&proxy.about().node)).collect())
    }

    async fn answer(
        &self,
        request: &ClientStatusRequest,
        out: &mpsc::Sender<Result<ClientStatusResponse, Status>>,
    ) -> Result<(), Status> {
        let mut sent = false;
        for proxy in self.proxies(request)? {
            for part in Parts::of(&proxy, !request.exclude_resource_contents) {
                sent = true;
                if out.send(Ok(ClientStatusResponse { config: vec![part] })).await.is_err() {
                    return Ok(());
                }
            }
        }
        // That there is none is an answer too.
        if !sent {
            let _ = out.send(Ok(ClientStatusResponse::default())).await;
        }
        Ok(())
    }
}

#[tonic::async_trait]
impl ClientStatusDiscoveryService for ClientStatuses {
    type StreamClientStatusStream = Responses;

    async fn stream_client_status(
        &self,
        request: Request<Streaming<ClientStatusRequest>>,
    ) -> Result<Response<Responses>, Status> {
        allow(&request)?;
        let ended = request.extensions().get::<Caller>().map(|caller| caller.ended.clone()).unwrap_or_default();
        let (out, responses) = mpsc::channel(QUEUE);
        let service = self.clone();
        let mut inbound = request.into_inner();
        tokio::spawn(async move {
            let serve = async {
                while let Some(request) = inbound.message().await? {
                    service.answer(&request, &out).await?;
                }
                Ok(())
            };
            let end = tokio::select! {
                end = serve => end,
                () = service.shutdown.cancelled() => Err(Status::unavailable("the server is shutting down")),
                () = ended.cancelled() => Err(Status::unauthenticated("the identity is no longer proven")),
            };
            if let Err(status) = end {
                // A client that is gone does not hear it.
                let _ = out.send(Err(status)).await;
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(responses))))
    }

    async fn fetch_client_status(
        &self,
        request: Request<ClientStatusRequest>,
    ) -> Result<Response<ClientStatusResponse>, Status> {
        allow(&request)?;
        let request = request.into_inner();
        let mut config = Vec::new();
        let mut size = 0;
        for proxy in self.proxies(&request)? {
            for part in Parts::of(&proxy, !request.exclude_resource_contents) {
                size += part.encoded_len();
                if size > MAX_MESSAGE + (MAX_MESSAGE / 2) {
                    return Err(Status::resource_exhausted(
                        "the answer is too large for one message: use StreamClientStatus, name a proxy in \
                         node_matchers, or set exclude_resource_contents",
                    ));
                }
                config.push(part);
            }
        }
        Ok(Response::new(ClientStatusResponse { config }))
    }
}

/// Whether the caller may look at what others have.
fn allow<T>(request: &Request<T>) -> Result<(), Status> {
    match request.extensions().get::<Caller>().map(|caller| &caller.role) {
        None | Some(Role::Anyone | Role::Operator) => Ok(()),
        Some(Role::Edge(_) | Role::Sidecar(_)) => {
            Err(Status::permission_denied("a proxy may not see what others have: this is for operators"))
        }
    }
}

/// What a proxy has, in parts of at most [`MAX_MESSAGE`] bytes, each with its node.
struct Parts<'a> {
    proxy: &'a Proxy,
    contents: bool,
    after: Option<(ResourceType, Arc<str>)>,
    waiting: Vec<GenericXdsConfig>,
    begun: bool,
}

impl<'a> Parts<'a> {
    fn of(proxy: &'a Proxy, contents: bool) -> Self {
        Self { proxy, contents, after: None, waiting: Vec::new(), begun: false }
    }
}

impl Iterator for Parts<'_> {
    type Item = ClientConfig;

    fn next(&mut self) -> Option<ClientConfig> {
        let mut configs: Vec<GenericXdsConfig> = Vec::new();
        let mut size = 0;
        loop {
            if self.waiting.is_empty() {
                let after = self.after.as_ref().map(|(kind, name)| (*kind, &**name));
                let next = self.proxy.live().statuses(&[], after, STEP);
                let Some(last) = next.last() else { break };
                self.after = Some((last.kind, Arc::clone(&last.name)));
                self.waiting = next.iter().rev().map(|status| config(status, self.contents)).collect();
            }
            let Some(next) = self.waiting.last() else { break };
            size += next.encoded_len();
            if size > MAX_MESSAGE && !configs.is_empty() {
                break;
            }
            configs.extend(self.waiting.pop());
        }
        // A proxy that has nothing is there all the same.
        let first = !std::mem::replace(&mut self.begun, true);
        (first || !configs.is_empty()).then(|| ClientConfig {
            node: Some(node(self.proxy)),
            generic_xds_configs: configs,
            // One node may have several streams.
            client_scope: format!("{}#{}", self.proxy.about().protocol, self.proxy.id()),
            ..ClientConfig::default()
        })
    }
}

fn node(proxy: &Proxy) -> Node {
    let about = proxy.about();
    Node {
        id: about.node.clone(),
        cluster: about.cluster.clone(),
        user_agent_name: about.agent.clone(),
        ..Node::default()
    }
}

fn config(status: &ResourceStatus, contents: bool) -> GenericXdsConfig {
    let url = status.kind.url().to_owned();
    // What the server does not keep, a version before the newest, has no body here; a Secret never has.
    let body = status
        .newest
        .as_ref()
        .filter(|(version, _)| contents && status.kind != ResourceType::Secret && status.version == Some(*version));
    let refused = status.refused.as_ref();
    let client = match (refused, status.version, &status.newest) {
        (Some(_), _, _) => ClientResourceStatus::Nacked,
        (None, Some(_), _) => ClientResourceStatus::Acked,
        (None, None, None) => ClientResourceStatus::DoesNotExist,
        (None, None, Some(_)) => ClientResourceStatus::Requested,
    };
    GenericXdsConfig {
        name: status.name.to_string(),
        version_info: status.version.map(|version| version.to_string()).unwrap_or_default(),
        xds_config: body.map(|(_, body)| Any { type_url: url.clone(), value: body.to_vec() }),
        config_status: sync(status.sync) as i32,
        client_status: client as i32,
        error_state: refused.map(|refusal| UpdateFailureState {
            details: refusal.text.to_string(),
            version_info: refusal.version.to_string(),
            ..UpdateFailureState::default()
        }),
        type_url: url,
        ..GenericXdsConfig::default()
    }
}

fn sync(sync: Sync) -> ConfigStatus {
    match sync {
        Sync::Synced => ConfigStatus::Synced,
        Sync::NotSent => ConfigStatus::NotSent,
        Sync::Stale => ConfigStatus::Stale,
        Sync::Error => ConfigStatus::Error,
    }
}
