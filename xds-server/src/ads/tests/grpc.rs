//! The services over a real connection: what a client of any language meets.

use std::sync::Arc;
use std::time::{Duration, Instant};

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::cluster::v3::cluster_discovery_service_client::ClusterDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use envoy_types::pb::envoy::service::route::v3::virtual_host_discovery_service_client::VirtualHostDiscoveryServiceClient;
use envoy_types::pb::envoy::service::secret::v3::secret_discovery_service_client::SecretDiscoveryServiceClient;
use envoy_types::pb::envoy::service::status::v3::client_status_discovery_service_client::ClientStatusDiscoveryServiceClient;
use envoy_types::pb::envoy::service::status::v3::{
    ClientStatusRequest, ClientStatusResponse, ConfigStatus, client_config::GenericXdsConfig,
};
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::envoy::r#type::matcher::v3::{NodeMatcher, StringMatcher};
use envoy_types::pb::google::rpc;
use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Server};
use tonic::{Code, Streaming};
use weir_config::bootstrap::{Load, Period};
use weir_config::model::{
    Cluster, Delta, EndpointSource, LoadAssignment, PrivateKey, ResourceType, Secret, TlsCertificate,
};

use crate::ads::{Admission, ClientStatuses, Discovery, Registry, Store};
use crate::auth::{Caller, Identity, Principal};
use crate::metrics::Metrics;
use crate::namespaces::Namespaces;
use crate::scope::Role;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

struct Rig {
    store: Arc<Store>,
    registry: Arc<Registry>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
    channel: Channel,
}

impl Rig {
    async fn start(load: Load) -> Self {
        Self::start_as(load, Role::Anyone).await
    }

    /// A server whose callers are all in this role.
    async fn start_as(load: Load, role: Role) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (store, registry) = (Arc::new(Store::new()), Arc::new(Registry::new()));
        let metrics = Arc::new(Metrics::new().unwrap());
        let stop = CancellationToken::new();
        let discovery = Discovery {
            store: Arc::clone(&store),
            registry: Arc::clone(&registry),
            namespaces: Arc::new(Namespaces::default()),
            metrics: Arc::clone(&metrics),
            admission: Arc::new(Admission::new(load, Instant::now())),
            ready: watch::channel(true).1,
            shutdown: stop.clone(),
        };
        let statuses = ClientStatuses::new(Arc::clone(&registry), stop.clone());
        let identity = Arc::new(Identity { principal: Principal::Anonymous, expires: None });
        let enter = move |mut request: tonic::Request<()>| {
            let caller =
                Caller { identity: Arc::clone(&identity), role: role.clone(), ended: CancellationToken::new() };
            request.extensions_mut().insert(caller);
            Ok(request)
        };
        let routes = discovery.routes().add_service(statuses.into_server());
        let server = Server::builder().layer(tonic::service::InterceptorLayer::new(enter)).add_routes(routes);
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        Self { store, registry, metrics, stop, channel }
    }

    async fn delta(&self, node: &str) -> Talk<DeltaDiscoveryRequest, DeltaDiscoveryResponse> {
        let (say, words) = mpsc::channel(16);
        // A stream is answered once it was asked something.
        let first = DeltaDiscoveryRequest { type_url: ResourceType::Cluster.url().into(), ..ask(node, &["*"]) };
        say.send(first).await.unwrap();
        let mut client = AggregatedDiscoveryServiceClient::new(self.channel.clone());
        let hear = client.delta_aggregated_resources(ReceiverStream::new(words)).await.unwrap().into_inner();
        Talk { say, hear }
    }

    async fn status(&self, request: ClientStatusRequest) -> ClientStatusResponse {
        let mut client = ClientStatusDiscoveryServiceClient::new(self.channel.clone());
        client.fetch_client_status(request).await.unwrap().into_inner()
    }

    /// What the one client has, once that satisfies `enough`.
    async fn configs(&self, enough: impl Fn(&[GenericXdsConfig]) -> bool) -> Vec<GenericXdsConfig> {
        let until = Instant::now() + PATIENCE;
        loop {
            let all = self.status(ClientStatusRequest::default()).await;
            let configs: Vec<_> = all.config.into_iter().flat_map(|config| config.generic_xds_configs).collect();
            if enough(&configs) {
                return configs;
            }
            assert!(Instant::now() < until, "{configs:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

struct Talk<Q, A> {
    say: mpsc::Sender<Q>,
    hear: Streaming<A>,
}

impl<Q, A> Talk<Q, A> {
    async fn next(&mut self) -> A {
        let next = tokio::time::timeout(PATIENCE, self.hear.message()).await.expect("nothing comes");
        next.unwrap().expect("the stream ended")
    }

    async fn end(&mut self) -> Result<(), tonic::Status> {
        loop {
            match tokio::time::timeout(PATIENCE, self.hear.message()).await.expect("it does not end")? {
                Some(_) => {}
                None => return Ok(()),
            }
        }
    }
}

fn ask(node: &str, names: &[&str]) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        node: Some(Node { id: node.into(), cluster: "edge".into(), ..Node::default() }),
        resource_names_subscribe: names.iter().map(ToString::to_string).collect(),
        ..DeltaDiscoveryRequest::default()
    }
}

fn cluster(name: &str) -> Cluster {
    Cluster::new(name, EndpointSource::Eds("e".into()))
}

fn secret() -> Secret {
    let certificate = TlsCertificate { chain: "CHAIN".into(), key: PrivateKey("hushhush".into()) };
    Secret { name: "shop/cert".into(), certificate }
}

fn publish(store: &Store) {
    let endpoints = LoadAssignment { name: "e".into(), localities: vec![] };
    let upserts = vec![cluster("a").into(), cluster("b").into(), endpoints.into(), secret().into()];
    store.publish(&Delta { upserts, removals: vec![] });
}

fn nack(response: &DeltaDiscoveryResponse, message: &str) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: response.type_url.clone(),
        response_nonce: response.nonce.clone(),
        error_detail: Some(rpc::Status { code: 3, message: message.into(), ..rpc::Status::default() }),
        ..DeltaDiscoveryRequest::default()
    }
}

#[tokio::test]
async fn state_of_the_world_on_all_types_and_on_one() {
    let rig = Rig::start(Load::default()).await;
    publish(&rig.store);
    let request = |url: &str, names: &[&str]| DiscoveryRequest {
        type_url: url.into(),
        resource_names: names.iter().map(ToString::to_string).collect(),
        ..DiscoveryRequest::default()
    };
    let talk = |first: DiscoveryRequest| async {
        let (say, words) = mpsc::channel(16);
        say.send(first).await.unwrap();
        (say, ReceiverStream::new(words))
    };
    let mut all = AggregatedDiscoveryServiceClient::new(rig.channel.clone());
    let (say, words) = talk(request(ResourceType::Cluster.url(), &[])).await;
    let hear = all.stream_aggregated_resources(words).await.unwrap().into_inner();
    let mut all: Talk<_, DiscoveryResponse> = Talk { say, hear };
    let clusters = all.next().await;
    assert_eq!((clusters.resources.len(), clusters.resources[0].type_url.as_str()), (2, ResourceType::Cluster.url()));
    all.say.send(request(ResourceType::Secret.url(), &["shop/cert"])).await.unwrap();
    assert_eq!(all.next().await.resources.len(), 1);

    // A type's own method need not be told its type, and takes no other.
    let mut one = ClusterDiscoveryServiceClient::new(rig.channel.clone());
    let (say, words) = talk(request("", &[])).await;
    let hear = one.stream_clusters(words).await.unwrap().into_inner();
    let mut one: Talk<_, DiscoveryResponse> = Talk { say, hear };
    assert_eq!(one.next().await.version_info, clusters.version_info, "equal sets have equal versions");
    one.say.send(request(ResourceType::Secret.url(), &["shop/cert"])).await.unwrap();
    let status = one.end().await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("envoy.config.cluster.v3.Cluster"), "{status}");
}

#[tokio::test]
async fn a_type_on_a_delta_stream_of_its_own() {
    let rig = Rig::start(Load::default()).await;
    publish(&rig.store);
    let (say, words) = mpsc::channel(16);
    say.send(ask("edge-1", &["shop/cert", "nobody/cert"])).await.unwrap();
    let mut client = SecretDiscoveryServiceClient::new(rig.channel.clone());
    let hear = client.delta_secrets(ReceiverStream::new(words)).await.unwrap().into_inner();
    let mut talk: Talk<_, DeltaDiscoveryResponse> = Talk { say, hear };
    let response = talk.next().await;
    assert_eq!((response.resources.len(), response.removed_resources), (1, vec!["nobody/cert".to_owned()]));
    assert_eq!(rig.registry.proxies()[0].protocol, "delta Secret");

    let (say, words) = mpsc::channel(16);
    say.send(ask("edge-1", &["rc/nobody.test"])).await.unwrap();
    let mut client = VirtualHostDiscoveryServiceClient::new(rig.channel.clone());
    let hear = client.delta_virtual_hosts(ReceiverStream::new(words)).await.unwrap().into_inner();
    let mut talk: Talk<_, DeltaDiscoveryResponse> = Talk { say, hear };
    let absent = &talk.next().await.resources[0];
    assert_eq!((absent.resource.is_none(), absent.aliases.as_slice()), (true, &["rc/nobody.test".to_owned()][..]));
}

#[tokio::test]
async fn polling_is_refused_with_what_to_use() {
    let rig = Rig::start(Load::default()).await;
    let mut client = ClusterDiscoveryServiceClient::new(rig.channel.clone());
    let status = client.fetch_clusters(DiscoveryRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert!(status.message().contains("DELTA_GRPC"), "{status}");
}

#[tokio::test]
async fn operators_see_what_a_proxy_has_and_what_it_refused_and_no_key() {
    let rig = Rig::start(Load::default()).await;
    publish(&rig.store);
    let mut talk = rig.delta("edge-1").await;
    let clusters = talk.next().await;
    talk.say.send(nack(&clusters, "cluster a: no such thing")).await.unwrap();
    let secrets =
        DeltaDiscoveryRequest { type_url: ResourceType::Secret.url().into(), ..ask("edge-1", &["shop/cert"]) };
    talk.say.send(secrets).await.unwrap();
    talk.next().await;
    let of = |configs: &[GenericXdsConfig], name: &str| configs.iter().find(|c| c.name == name).cloned().unwrap();
    let configs = rig.configs(|configs| configs.iter().any(|config| config.error_state.is_some())).await;
    let (a, b) = (of(&configs, "a"), of(&configs, "b"));
    assert_eq!((a.config_status, b.config_status), (ConfigStatus::Error as i32, ConfigStatus::Synced as i32));
    let error = a.error_state.unwrap();
    assert_eq!(error.details, "cluster a: no such thing");
    let version = |name: &str| clusters.resources.iter().find(|r| r.name == name).unwrap().version.clone();
    assert_eq!(
        (error.version_info, a.version_info, b.version_info.clone()),
        (version("a"), String::new(), version("b"))
    );
    assert!(a.xds_config.is_none() && b.xds_config.is_some());
    let configs = rig.configs(|configs| configs.iter().any(|config| config.name == "shop/cert")).await;
    let stale = of(&configs, "shop/cert");
    assert_eq!((stale.config_status, stale.xds_config), (ConfigStatus::Stale as i32, None));
    let all = rig.status(ClientStatusRequest::default()).await;
    assert!(!format!("{all:?}").contains("hushhush"), "a key is shown");

    let lean = rig.status(ClientStatusRequest { exclude_resource_contents: true, ..Default::default() }).await;
    assert!(lean.config[0].generic_xds_configs.iter().all(|config| config.xds_config.is_none()));
    assert_eq!(lean.config[0].node.as_ref().unwrap().id, "edge-1");
    let matcher = |id: &str| NodeMatcher {
        node_id: Some(StringMatcher { match_pattern: Some(MatchPattern::Exact(id.into())), ..Default::default() }),
        ..NodeMatcher::default()
    };
    let about = |id: &str| ClientStatusRequest { node_matchers: vec![matcher(id)], ..Default::default() };
    assert_eq!(
        (rig.status(about("edge-1")).await.config.len(), rig.status(about("edge-2")).await.config.len()),
        (1, 0)
    );
}

/// Ten thousand clusters with long names: too much for one message, and every one of them arrives in several.
#[tokio::test]
async fn a_large_answer_comes_in_parts() {
    let rig = Rig::start(Load::default()).await;
    let long = "x".repeat(300);
    let upserts = (0..10_000).map(|n| cluster(&format!("{n:05}-{long}")).into()).collect();
    rig.store.publish(&Delta { upserts, removals: vec![] });
    let _talk = rig.delta("edge-1").await;
    let mut client = ClientStatusDiscoveryServiceClient::new(rig.channel.clone());
    let status = client.fetch_client_status(ClientStatusRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("StreamClientStatus"), "{status}");

    let questions = tokio_stream::iter([ClientStatusRequest::default()]).chain(tokio_stream::pending());
    let mut answers = client.stream_client_status(questions).await.unwrap().into_inner();
    let mut names = std::collections::BTreeSet::new();
    let mut parts = 0;
    while names.len() < 10_000 {
        let part = tokio::time::timeout(PATIENCE, answers.message()).await.unwrap().unwrap().unwrap();
        parts += 1;
        for config in part.config.into_iter().flat_map(|config| config.generic_xds_configs) {
            assert!(names.insert(config.name), "a resource came twice");
        }
    }
    assert!(parts > 1);
}

#[tokio::test]
async fn each_role_has_its_services() {
    let operator = Rig::start_as(Load::default(), Role::Operator).await;
    let words = tokio_stream::iter([DeltaDiscoveryRequest::default()]);
    let mut client = AggregatedDiscoveryServiceClient::new(operator.channel.clone());
    assert_eq!(client.delta_aggregated_resources(words).await.unwrap_err().code(), Code::PermissionDenied);
    assert!(operator.status(ClientStatusRequest::default()).await.config.is_empty());

    let edge = Rig::start_as(Load::default(), Role::Edge("edge".into())).await;
    let mut client = ClientStatusDiscoveryServiceClient::new(edge.channel.clone());
    let status = client.fetch_client_status(ClientStatusRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_stream_above_a_bound_is_told_which_and_counted() {
    let rig = Rig::start(Load { streams: 1, ..Load::default() }).await;
    let first = rig.delta("edge-1").await;
    let mut client = AggregatedDiscoveryServiceClient::new(rig.channel.clone());
    let mut open = async || {
        let words = tokio_stream::iter([ask("edge-2", &["*"])]).chain(tokio_stream::pending());
        client.delta_aggregated_resources(words).await.map(|_| ())
    };
    let status = open().await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("load.streams"), "{status}");
    let refused = "weir_xds_streams_refused_total{bound=\"streams\"} 1";
    assert!(rig.metrics.render().contains(refused), "{}", rig.metrics.render());
    drop(first);
    let until = Instant::now() + PATIENCE;
    while open().await.is_err() {
        assert!(Instant::now() < until, "what has left makes no room");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_stream_ends_in_peace_when_it_is_old_and_its_client_is_sent_nothing_that_it_has() {
    let rig = Rig::start(Load { max_stream_age: Period(Duration::from_millis(500)), ..Load::default() }).await;
    publish(&rig.store);
    let mut talk = rig.delta("edge-1").await;
    let had = talk.next().await;
    talk.end().await.expect("no error");
    assert!(rig.metrics.render().contains("weir_xds_streams_aged_total 1"));

    let known = had.resources.iter().map(|resource| (resource.name.clone(), resource.version.clone())).collect();
    let (say, words) = mpsc::channel(16);
    let again = DeltaDiscoveryRequest {
        type_url: ResourceType::Cluster.url().into(),
        initial_resource_versions: known,
        ..ask("edge-1", &["*"])
    };
    say.send(again).await.unwrap();
    let mut client = AggregatedDiscoveryServiceClient::new(rig.channel.clone());
    let hear = client.delta_aggregated_resources(ReceiverStream::new(words)).await.unwrap().into_inner();
    let response = Talk { say, hear }.next().await;
    assert!(response.resources.is_empty() && response.removed_resources.is_empty(), "{response:?}");
}

#[tokio::test]
async fn a_server_that_ends_lets_its_streams_go_one_after_the_other() {
    let rig = Rig::start(Load::default()).await;
    let mut talks = Vec::new();
    for n in 0..20 {
        talks.push(rig.delta(&format!("edge-{n}")).await);
    }
    for talk in &mut talks {
        talk.next().await;
    }
    rig.stop.cancel();
    for talk in &mut talks {
        let status = talk.end().await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::Unavailable, "the server is shutting down"));
    }
}
