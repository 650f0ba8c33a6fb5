//! A control plane that is not ours: delta ADS over whatever resources a test gives it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};

use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse, Resource,
};
use envoy_types::pb::google::protobuf::Any;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

use super::wait;

/// Types in the order in which they are sent.
const ORDER: [&str; 7] = [
    "envoy.config.cluster.v3.Cluster",
    "envoy.config.endpoint.v3.ClusterLoadAssignment",
    "envoy.extensions.transport_sockets.tls.v3.Secret",
    "envoy.config.core.v3.TypedExtensionConfig",
    "envoy.config.listener.v3.Listener",
    "envoy.config.route.v3.RouteConfiguration",
    "envoy.config.route.v3.VirtualHost",
];

/// A resource: its type's name without the URL's host, its name, its message's bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Given {
    /// `envoy.config.cluster.v3.Cluster`
    pub kind: String,
    /// Name.
    pub name: String,
    /// The message.
    pub value: Vec<u8>,
}

/// A response that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nack {
    /// Type.
    pub kind: String,
    /// What the client said.
    pub message: String,
}

/// A running server. It ends with its scope.
pub struct AdsServer {
    shared: Arc<Shared>,
    _runtime: tokio::runtime::Runtime,
}

struct Shared {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    resources: BTreeMap<(String, String), (Vec<u8>, u64)>,
    version: u64,
    /// Responses that nobody has answered yet.
    open: BTreeSet<String>,
    /// Version up to which the streams have looked.
    looked: u64,
    nacks: Vec<Nack>,
}

impl AdsServer {
    /// Serves these resources at `address`.
    pub fn start(address: SocketAddr, resources: Vec<Given>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let shared = Arc::new(Shared { state: Mutex::default(), changed: watch::Sender::new(0) });
        shared.put(resources, &[]);
        let service = AggregatedDiscoveryServiceServer::new(Service(shared.clone()));
        let listener = runtime.block_on(tokio::net::TcpListener::bind(address)).unwrap();
        runtime.spawn(
            tonic::transport::Server::builder()
                .add_service(service)
                .serve_with_incoming(TcpListenerStream::new(listener)),
        );
        Self { shared, _runtime: runtime }
    }

    /// Changes resources, waits until the client has answered every response, and returns what it
    /// refused.
    pub fn push(&self, upserts: Vec<Given>, removals: &[(&str, &str)]) -> Vec<Nack> {
        self.shared.lock().nacks.clear();
        self.shared.put(upserts, removals);
        self.settled()
    }

    /// Waits until everything sent was answered, and returns what was refused since the last push.
    pub fn settled(&self) -> Vec<Nack> {
        wait::until("the client to answer what it was sent", || {
            let state = self.shared.lock();
            (state.looked == state.version && state.open.is_empty()).then(|| state.nacks.clone())
        })
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn put(&self, upserts: Vec<Given>, removals: &[(&str, &str)]) {
        let mut state = self.lock();
        state.version += 1;
        let version = state.version;
        for given in upserts {
            state.resources.insert((given.kind, given.name), (given.value, version));
        }
        for (kind, name) in removals {
            state.resources.remove(&(kind.to_string(), name.to_string()));
        }
        drop(state);
        self.changed.send_replace(version);
    }
}

/// What a stream wants of one type, and what it was sent.
#[derive(Default)]
struct Subscription {
    wildcard: bool,
    names: BTreeSet<String>,
    sent: BTreeMap<String, u64>,
}

impl Subscription {
    fn wants(&self, name: &str) -> bool {
        self.wildcard || self.names.contains(name)
    }

    fn subscribe(&mut self, first: bool, request: &DeltaDiscoveryRequest) {
        let names = &request.resource_names_subscribe;
        if first && (names.is_empty() || !request.initial_resource_versions.is_empty()) {
            self.wildcard = names.is_empty();
        }
        for name in names {
            if name == "*" {
                self.wildcard = true;
            } else {
                self.names.insert(name.clone());
            }
            // A name that is asked for again is sent again.
            self.sent.remove(name);
        }
        for name in &request.resource_names_unsubscribe {
            if name == "*" {
                self.wildcard = false;
            }
            self.names.remove(name);
            self.sent.remove(name);
        }
    }

    fn due(&mut self, kind: &str, asked: &[String], state: &State) -> Option<DeltaDiscoveryResponse> {
        let mut response = DeltaDiscoveryResponse { type_url: url(kind), ..DeltaDiscoveryResponse::default() };
        let range = (kind.to_string(), String::new())..;
        let here = state.resources.range(range).take_while(|((k, _), _)| k == kind);
        let mut there = BTreeSet::new();
        for ((_, name), (value, version)) in here {
            if !self.wants(name) {
                continue;
            }
            there.insert(name.clone());
            if self.sent.insert(name.clone(), *version) != Some(*version) {
                response.resources.push(Resource {
                    name: name.clone(),
                    version: version.to_string(),
                    resource: Some(Any { type_url: url(kind), value: value.clone() }),
                    ..Resource::default()
                });
            }
        }
        let gone: Vec<String> = self.sent.keys().filter(|name| !there.contains(*name)).cloned().collect();
        for name in &gone {
            self.sent.remove(name);
        }
        response.removed_resources = gone;
        // A name that does not exist is answered too.
        response.removed_resources.extend(asked.iter().filter(|n| *n != "*" && !there.contains(*n)).cloned());
        (!response.resources.is_empty() || !response.removed_resources.is_empty()).then_some(response)
    }
}

fn url(kind: &str) -> String {
    format!("type.googleapis.com/{kind}")
}

struct Service(Arc<Shared>);

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl AggregatedDiscoveryService for Service {
    type StreamAggregatedResourcesStream = Answers<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Answers<DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        _: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        Err(Status::unimplemented("delta only"))
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        let (send, receive) = mpsc::channel(64);
        tokio::spawn(serve(self.0.clone(), request.into_inner(), send));
        Ok(Response::new(Box::pin(ReceiverStream::new(receive))))
    }
}

async fn serve(
    shared: Arc<Shared>,
    mut requests: Streaming<DeltaDiscoveryRequest>,
    send: mpsc::Sender<Result<DeltaDiscoveryResponse, Status>>,
) {
    let mut changed = shared.changed.subscribe();
    let mut types: BTreeMap<String, Subscription> = BTreeMap::new();
    let mut nonces = 0_u64;
    let stream = format!("{:p}", &raw const send);
    loop {
        let responses = tokio::select! {
            request = requests.next() => match request {
                Some(Ok(request)) => answer(&shared, &mut types, &request),
                _ => break,
            },
            _ = changed.changed() => changes(&shared, &mut types),
        };
        for mut response in responses {
            nonces += 1;
            response.nonce = format!("{stream}-{nonces}");
            shared.lock().open.insert(response.nonce.clone());
            if send.send(Ok(response)).await.is_err() {
                break;
            }
        }
        let mut state = shared.lock();
        state.looked = *changed.borrow();
    }
    shared.lock().open.retain(|nonce| !nonce.starts_with(&stream));
}

fn answer(
    shared: &Shared,
    types: &mut BTreeMap<String, Subscription>,
    request: &DeltaDiscoveryRequest,
) -> Vec<DeltaDiscoveryResponse> {
    let kind = request.type_url.rsplit('/').next().unwrap_or_default().to_string();
    let mut state = shared.lock();
    if let Some(error) = &request.error_detail {
        state.nacks.push(Nack { kind: kind.clone(), message: error.message.clone() });
    }
    if !request.response_nonce.is_empty() {
        state.open.remove(&request.response_nonce);
    }
    let first = !types.contains_key(&kind);
    let subscription = types.entry(kind.clone()).or_default();
    subscription.subscribe(first, request);
    subscription.due(&kind, &request.resource_names_subscribe, &state).into_iter().collect()
}

fn changes(shared: &Shared, types: &mut BTreeMap<String, Subscription>) -> Vec<DeltaDiscoveryResponse> {
    let state = shared.lock();
    let due = |kind: &&str| types.get_mut(*kind).and_then(|s| s.due(kind, &[], &state));
    ORDER.iter().filter_map(due).collect()
}
