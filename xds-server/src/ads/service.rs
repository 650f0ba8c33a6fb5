//! The gRPC service: moves messages between the wire, a [`Subscriptions`] and the [`Store`].

use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use envoy_types::pb::envoy::config::core::v3::{BuildVersion, ControlPlane, Node, node::UserAgentVersionType};
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse, Resource,
};
use envoy_types::pb::google::protobuf::Any;
use futures::Stream;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};
use weir_config::model::ResourceType;
use weir_config::xds::{FEATURE_USAGE_ALS, FEATURE_VHDS};

use super::form::Form;
use super::registry::{Entry, ProxyReport, Registry};
use super::store::{Interest, Store};
use super::subscription::{Answer, Item, Request, Response, Subscriptions};
use crate::auth::Caller;
use crate::metrics::Metrics;
use crate::namespaces::Namespaces;
use crate::scope::{Role, Scope};

/// Bytes of a request: names and versions of all that a large proxy brings along when it reconnects.
const MAX_REQUEST: usize = 64 << 20;
/// Bytes that are kept of each text by which a node describes itself.
const MAX_NODE_TEXT: usize = 256;
/// Bytes of an unknown type's URL that are kept.
const MAX_URL: usize = 256;
/// Responses that wait for the connection: one of each type may be under way.
const QUEUE: usize = ResourceType::ALL.len() + 1;

/// The service.
#[derive(Clone, Debug)]
pub struct DeltaService {
    store: Arc<Store>,
    registry: Arc<Registry>,
    namespaces: Arc<Namespaces>,
    metrics: Arc<Metrics>,
    /// Nothing is answered before the first objects are in: a proxy would drop what it has.
    ready: watch::Receiver<bool>,
    shutdown: CancellationToken,
}

type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl DeltaService {
    /// A service of `store`, which answers once `ready` says true and ends its streams on `shutdown`.
    pub fn new(
        store: Arc<Store>,
        registry: Arc<Registry>,
        namespaces: Arc<Namespaces>,
        metrics: Arc<Metrics>,
        ready: watch::Receiver<bool>,
        shutdown: CancellationToken,
    ) -> Self {
        Self { store, registry, namespaces, metrics, ready, shutdown }
    }

    /// As a tonic service.
    pub fn into_server(self) -> AggregatedDiscoveryServiceServer<Self> {
        AggregatedDiscoveryServiceServer::new(self).max_decoding_message_size(MAX_REQUEST)
    }
}

#[tonic::async_trait]
impl AggregatedDiscoveryService for DeltaService {
    type StreamAggregatedResourcesStream = Responses<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Responses<DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        _: tonic::Request<Streaming<DiscoveryRequest>>,
    ) -> Result<tonic::Response<Self::StreamAggregatedResourcesStream>, Status> {
        Err(Status::unimplemented(
            "this server speaks delta xDS only: set `ads_config.api_type: DELTA_GRPC` in the bootstrap",
        ))
    }

    async fn delta_aggregated_resources(
        &self,
        request: tonic::Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<tonic::Response<Self::DeltaAggregatedResourcesStream>, Status> {
        let peer = request.remote_addr().map(|address| address.to_string()).unwrap_or_default();
        let role = role_of(&request)?;
        let (outbound, responses) = mpsc::channel(QUEUE);
        let service = self.clone();
        let inbound = request.into_inner();
        tokio::spawn(async move {
            let shutdown = service.shutdown.clone();
            let end = tokio::select! {
                end = service.serve(role, peer, inbound, &outbound) => end,
                () = shutdown.cancelled() => Err(Status::unavailable("the server is shutting down")),
            };
            if let Err(status) = end {
                // A client that is gone does not hear it.
                let _ = outbound.send(Err(status)).await;
            }
        });
        Ok(tonic::Response::new(Box::pin(ReceiverStream::new(responses))))
    }
}

impl DeltaService {
    async fn serve(
        mut self,
        role: Role,
        peer: String,
        mut inbound: Streaming<DeltaDiscoveryRequest>,
        outbound: &mpsc::Sender<Result<DeltaDiscoveryResponse, Status>>,
    ) -> Result<(), Status> {
        let Some(first) = inbound.message().await? else { return Ok(()) };
        // The sender lives as long as the server; without it there is nothing to serve.
        if self.ready.wait_for(|ready| *ready).await.is_err() {
            return Err(Status::unavailable("the server is shutting down"));
        }
        // What a namespace's move makes of a sidecar's scope is for its next stream to say.
        let mut moves = self.namespaces.watch();
        let Some(scope) = self.namespaces.scope(&role) else { return Err(no_discovery()) };
        let mut connection = Connection::open(&self, scope.clone(), peer, first.node.as_ref());
        connection.hear(first)?;
        let mut newest = self.store.watch();
        loop {
            while let Some(response) = connection.next() {
                if outbound.send(Ok(response)).await.is_err() {
                    return Ok(());
                }
            }
            let deadline = connection.subscriptions.deadline(Instant::now());
            tokio::select! {
                message = inbound.message() => match message? {
                    Some(request) => connection.hear(request)?,
                    None => return Ok(()),
                },
                _ = newest.changed() => {}
                _ = moves.changed() => {
                    if self.namespaces.scope(&role).as_ref() != Some(&scope) {
                        return Err(Status::unavailable("the namespace has another tenant now: connect again"));
                    }
                }
                () = sleep_until(deadline) => {}
            }
        }
    }
}

/// What the caller is: whoever comes where nobody is asked is trusted.
fn role_of<T>(request: &tonic::Request<T>) -> Result<Role, Status> {
    match request.extensions().get::<Caller>().map(|caller| &caller.role) {
        Some(Role::Operator) => Err(no_discovery()),
        Some(role) => Ok(role.clone()),
        None => Ok(Role::Anyone),
    }
}

fn no_discovery() -> Status {
    Status::permission_denied(
        "an operator may see what proxies have (client status discovery), and gets nothing itself",
    )
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

/// One stream's state and its place in what is shared.
struct Connection {
    store: Arc<Store>,
    metrics: Arc<Metrics>,
    subscriptions: Subscriptions,
    /// Newest change that the subscriptions heard of.
    seen: u64,
    entry: Entry,
    node: String,
    unknown: Vec<String>,
    interest: Interest,
}

impl Connection {
    fn open(service: &DeltaService, scope: Scope, peer: String, node: Option<&Node>) -> Self {
        let node = node.map(bounded).unwrap_or_default();
        let form = Form::of(&node.client_features);
        let vhds = form == Form::Vhds;
        let interest = service.store.enter(form, scope);
        let seen = service.store.read().sequence();
        tracing::info!(node = node.id, peer, vhds, "a proxy connected");
        let report = ProxyReport {
            node: node.id.clone(),
            cluster: node.cluster.clone(),
            agent: agent(&node),
            peer,
            since: jiff::Timestamp::now().to_string(),
            vhds,
            types: Vec::new(),
        };
        service.metrics.stream_opened();
        Self {
            store: Arc::clone(&service.store),
            metrics: Arc::clone(&service.metrics),
            subscriptions: Subscriptions::new(Instant::now()),
            seen,
            entry: service.registry.enter(report),
            node: node.id,
            unknown: Vec::new(),
            interest,
        }
    }

    /// Takes a request in.
    fn hear(&mut self, request: DeltaDiscoveryRequest) -> Result<(), Status> {
        let Some(kind) = ResourceType::from_url(&request.type_url) else {
            self.note_unknown(request.type_url);
            return Ok(());
        };
        let request = Request {
            kind,
            subscribe: request.resource_names_subscribe,
            unsubscribe: request.resource_names_unsubscribe,
            initial: request.initial_resource_versions.into_iter().collect(),
            nonce: request.response_nonce,
            error: request.error_detail.map(|status| status.message),
        };
        let answer = {
            let resources = self.store.read();
            self.subscriptions.request(&request, &self.interest.view(&resources), Instant::now())
        };
        match answer.map_err(|excess| Status::resource_exhausted(excess.to_string()))? {
            Answer::Refused => {
                self.metrics.refused(kind);
                let message = request.error.as_deref().unwrap_or_default();
                tracing::warn!(node = self.node, r#type = kind.message(), message, "a proxy refused resources");
            }
            Answer::Accepted | Answer::None => {}
        }
        self.entry.update(self.subscriptions.report());
        Ok(())
    }

    /// A type that this server does not have: it is never answered, and said once.
    fn note_unknown(&mut self, mut url: String) {
        url.truncate(url.floor_char_boundary(MAX_URL));
        url.shrink_to_fit();
        if self.unknown.len() < 16 && !self.unknown.contains(&url) {
            tracing::debug!(node = self.node, url, "a proxy asks for a type of which there is nothing");
            self.unknown.push(url);
        }
    }

    /// Catches up with the store and says what to send next.
    fn next(&mut self) -> Option<DeltaDiscoveryResponse> {
        let now = Instant::now();
        let response = {
            let resources = self.store.read();
            let view = self.interest.view(&resources);
            match view.changes_since(self.seen) {
                Some(changes) => changes.iter().for_each(|changes| self.subscriptions.changed(changes, &view, now)),
                None => self.subscriptions.compare(&view, now),
            }
            self.seen = view.sequence();
            self.subscriptions.poll(&view, now)?
        };
        self.metrics.sent(response.kind, response.items.len() + response.removed.len());
        self.entry.update(self.subscriptions.report());
        Some(message(response))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.metrics.stream_closed();
        tracing::info!(node = self.node, "a proxy left");
    }
}

fn message(response: Response) -> DeltaDiscoveryResponse {
    let url = response.kind.url();
    let resources = response.items.into_iter().map(|item| match item {
        Item::Present(resource) => Resource {
            name: resource.name.to_string(),
            version: resource.version.to_string(),
            resource: Some(Any { type_url: url.to_owned(), value: resource.body.to_vec() }),
            ..Resource::default()
        },
        // Envoy finds the request that waits for it by the alias.
        Item::Absent(name) => {
            Resource { name: name.to_string(), aliases: vec![name.to_string()], ..Resource::default() }
        }
    });
    DeltaDiscoveryResponse {
        system_version_info: response.sequence.to_string(),
        resources: resources.collect(),
        type_url: url.to_owned(),
        removed_resources: response.removed.iter().map(ToString::to_string).collect(),
        nonce: response.nonce,
        control_plane: Some(ControlPlane { identifier: concat!("weir ", env!("CARGO_PKG_VERSION")).to_owned() }),
        ..DeltaDiscoveryResponse::default()
    }
}

/// What of a node is read, with its texts cut: they are kept and logged, and are whatever the client sends.
fn bounded(node: &Node) -> Node {
    let cut = |text: &str| text[..text.floor_char_boundary(MAX_NODE_TEXT)].to_owned();
    Node {
        id: cut(&node.id),
        cluster: cut(&node.cluster),
        user_agent_name: cut(&node.user_agent_name),
        user_agent_version_type: node.user_agent_version_type.as_ref().map(|version| match version {
            UserAgentVersionType::UserAgentVersion(text) => UserAgentVersionType::UserAgentVersion(cut(text)),
            UserAgentVersionType::UserAgentBuildVersion(build) => {
                let version = build.version;
                UserAgentVersionType::UserAgentBuildVersion(BuildVersion { version, ..BuildVersion::default() })
            }
        }),
        client_features: [FEATURE_VHDS, FEATURE_USAGE_ALS]
            .into_iter()
            .filter(|known| node.client_features.iter().any(|feature| feature == known))
            .map(str::to_owned)
            .collect(),
        ..Node::default()
    }
}

fn agent(node: &Node) -> String {
    let version = match &node.user_agent_version_type {
        Some(UserAgentVersionType::UserAgentVersion(text)) => text.clone(),
        Some(UserAgentVersionType::UserAgentBuildVersion(build)) => build
            .version
            .as_ref()
            .map(|v| format!("{}.{}.{}", v.major_number, v.minor_number, v.patch))
            .unwrap_or_default(),
        None => String::new(),
    };
    format!("{} {version}", node.user_agent_name).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_says_of_itself_is_cut() {
        let long = "é".repeat(1 << 20);
        let version = Some(UserAgentVersionType::UserAgentVersion(long.clone()));
        let node = Node {
            id: format!("x{long}"),
            cluster: long.clone(),
            user_agent_name: long.clone(),
            user_agent_version_type: version,
            client_features: [&*long, FEATURE_USAGE_ALS, FEATURE_VHDS, FEATURE_VHDS].map(String::from).into(),
            ..Node::default()
        };
        let kept = bounded(&node);
        assert_eq!((kept.id.len(), kept.cluster.len()), (MAX_NODE_TEXT - 1, MAX_NODE_TEXT));
        assert!(agent(&kept).len() <= 2 * MAX_NODE_TEXT + 1);
        assert_eq!(kept.client_features, [FEATURE_VHDS, FEATURE_USAGE_ALS]);
    }
}
