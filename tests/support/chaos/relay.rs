//! Stands between proxy and servers and speaks the usage service both ways: it sends batches in another
//! order, sends them again, to another server too, loses acknowledgements, and cuts streams.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use tokio::sync::{mpsc, watch};
use tokio_stream::Stream;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::codegen::{Body, Service, StdError, http};
use tonic::server::{NamedService, StreamingService};
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use weir_config::usage::v1::{UsageAck, UsageBatch};

/// How long batches are held back, so that there is something to reorder.
const HOLD: Duration = Duration::from_millis(450);
/// Batches of the past that may be sent again.
const MEMORY: usize = 64;
const PATH: &str = "/weir.usage.v1.UsageService/StreamUsage";

/// A running relay.
pub struct Relay {
    shared: Arc<Shared>,
    _runtime: tokio::runtime::Runtime,
}

struct Shared {
    /// Each stream goes to one of them.
    servers: Vec<SocketAddr>,
    rng: Mutex<StdRng>,
    past: Mutex<Vec<UsageBatch>>,
    cut: watch::Sender<u64>,
    passed: AtomicU64,
    again: AtomicU64,
    late: AtomicU64,
    lost: AtomicU64,
}

impl Relay {
    /// Relays from `address` to the servers.
    pub fn start(address: SocketAddr, servers: Vec<SocketAddr>, seed: u64) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let shared = Arc::new(Shared {
            servers,
            rng: Mutex::new(StdRng::seed_from_u64(seed)),
            past: Mutex::default(),
            cut: watch::Sender::new(0),
            passed: AtomicU64::default(),
            again: AtomicU64::default(),
            late: AtomicU64::default(),
            lost: AtomicU64::default(),
        });
        let listener = runtime.block_on(tokio::net::TcpListener::bind(address)).unwrap();
        let service = Relaying(shared.clone());
        runtime.spawn(
            tonic::transport::Server::builder()
                .add_service(service)
                .serve_with_incoming(TcpListenerStream::new(listener)),
        );
        Self { shared, _runtime: runtime }
    }

    /// Cuts every stream.
    pub fn cut(&self) {
        self.shared.cut.send_modify(|n| *n += 1);
    }

    /// What it has done so far.
    pub fn deeds(&self) -> String {
        let [passed, again, late, lost] =
            [&self.shared.passed, &self.shared.again, &self.shared.late, &self.shared.lost]
                .map(|count| count.load(Ordering::Relaxed));
        format!("{passed} batches passed on, {again} again, {late} after a later one, {lost} acknowledgements lost")
    }
}

impl Shared {
    fn chance(&self, p: f64) -> bool {
        self.rng.lock().unwrap().random_bool(p)
    }

    /// What is sent on: what was held, in another order, and something of the past.
    fn shuffled(&self, held: &mut Vec<UsageBatch>) -> Vec<UsageBatch> {
        let (mut rng, mut past) = (self.rng.lock().unwrap(), self.past.lock().unwrap());
        let mut batches = std::mem::take(held);
        self.passed.fetch_add(batches.len() as u64, Ordering::Relaxed);
        past.extend(batches.iter().cloned());
        let forget = past.len().saturating_sub(MEMORY);
        past.drain(..forget);
        while rng.random_bool(0.3) {
            let n = rng.random_range(0..past.len());
            batches.push(past[n].clone());
            self.again.fetch_add(1, Ordering::Relaxed);
        }
        batches.shuffle(&mut *rng);
        let late = batches.windows(2).filter(|two| two[0].epoch == two[1].epoch && two[0].sequence > two[1].sequence);
        self.late.fetch_add(late.count() as u64, Ordering::Relaxed);
        batches
    }
}

async fn relay(
    shared: Arc<Shared>,
    mut batches: Streaming<UsageBatch>,
    to_server: mpsc::Sender<UsageBatch>,
    mut acks: Streaming<UsageAck>,
    to_proxy: mpsc::Sender<Result<UsageAck, Status>>,
) -> Result<(), Status> {
    let mut cut = shared.cut.subscribe();
    let mut tick = tokio::time::interval(HOLD);
    let mut held = Vec::new();
    loop {
        tokio::select! {
            batch = batches.message() => match batch? {
                Some(batch) => held.push(batch),
                None => return Ok(()),
            },
            ack = acks.message() => match ack? {
                Some(_) if shared.chance(0.03) => {
                    shared.lost.fetch_add(1, Ordering::Relaxed);
                    return Err(Status::unavailable("the relay lost an acknowledgement"));
                }
                Some(ack) => to_proxy.send(Ok(ack)).await.map_err(|_| Status::cancelled("the proxy is gone"))?,
                None => return Err(Status::unavailable("the server ended the stream")),
            },
            _ = tick.tick(), if !held.is_empty() => {
                for batch in shared.shuffled(&mut held) {
                    to_server.send(batch).await.map_err(|_| Status::unavailable("the server is gone"))?;
                }
            }
            _ = cut.changed() => return Err(Status::unavailable("the relay cut the stream")),
        }
    }
}

/// The service that the proxy sees.
#[derive(Clone)]
struct Relaying(Arc<Shared>);

type Boxed<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

impl NamedService for Relaying {
    const NAME: &'static str = "weir.usage.v1.UsageService";
}

impl<B> Service<http::Request<B>> for Relaying
where
    B: Body + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Boxed<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let relaying = self.clone();
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(ProstCodec::<UsageAck, UsageBatch>::default());
            Ok(grpc.streaming(relaying, request).await)
        })
    }
}

impl StreamingService<UsageBatch> for Relaying {
    type Response = UsageAck;
    type ResponseStream = Pin<Box<dyn Stream<Item = Result<UsageAck, Status>> + Send>>;
    type Future = Boxed<Response<Self::ResponseStream>, Status>;

    fn call(&mut self, request: Request<Streaming<UsageBatch>>) -> Self::Future {
        let shared = self.0.clone();
        Box::pin(async move {
            let server =
                *shared.servers.choose(&mut *shared.rng.lock().unwrap()).ok_or_else(|| internal("no server"))?;
            let channel = Channel::builder(format!("http://{server}").parse().map_err(internal)?);
            let channel = channel.connect().await.map_err(|_| Status::unavailable("the server is away"))?;
            let (to_server, sent) = mpsc::channel(16);
            let mut grpc = tonic::client::Grpc::new(channel);
            grpc.ready().await.map_err(internal)?;
            let codec = ProstCodec::<UsageBatch, UsageAck>::default();
            let path = http::uri::PathAndQuery::from_static(PATH);
            let acks = grpc.streaming(Request::new(ReceiverStream::new(sent)), path, codec).await?.into_inner();
            let (to_proxy, answers) = mpsc::channel(16);
            tokio::spawn(async move {
                if let Err(status) = relay(shared, request.into_inner(), to_server, acks, to_proxy.clone()).await {
                    let _ = to_proxy.send(Err(status)).await;
                }
            });
            let answers: Self::ResponseStream = Box::pin(ReceiverStream::new(answers));
            Ok(Response::new(answers))
        })
    }
}

fn internal(error: impl std::fmt::Display) -> Status {
    Status::internal(error.to_string())
}
