//! A server of `weir.usage.v1.UsageService` that does what a test says.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::{TcpListenerStream, UnboundedReceiverStream};
use tonic::transport::server::Connected;
use tonic::{Request, Response, Status, Streaming};
use weir_config::bootstrap::Address;
use weir_config::usage::v1::{UsageAck, UsageBatch};

use super::super::state::Flight;
use super::super::stream::{Reporter, lock};
use super::{ack, batch};
use crate::meter::{Key, Outbox};

mod generated {
    #![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated")]
    include!(concat!(env!("OUT_DIR"), "/server/weir.usage.v1.rs"));
}
pub(super) use generated::usage_service_server::{UsageService, UsageServiceServer};

pub(super) type Acks = mpsc::UnboundedSender<Result<UsageAck, Status>>;
type Script = Arc<dyn Fn(Call) -> Pin<Box<dyn Future<Output = Result<(), Status>> + Send>> + Send + Sync>;

/// One stream, as the server has it.
pub(super) struct Call {
    /// How many were before it.
    pub(super) number: usize,
    pub(super) batches: Streaming<UsageBatch>,
    pub(super) acks: Acks,
    pub(super) seen: Seen,
}

impl Call {
    /// The next batch; it is noted. None: the stream has ended.
    pub(super) async fn next(&mut self) -> Option<Key> {
        let key = Key::of(&self.batches.message().await.ok()??).unwrap();
        self.seen.lock().unwrap().push(key);
        Some(key)
    }

    pub(super) fn acknowledge(&self, key: Key) {
        let _ = self.acks.send(Ok(ack(key)));
    }

    /// Acknowledges all that comes.
    pub(super) async fn serve(mut self) -> Result<(), Status> {
        while let Some(key) = self.next().await {
            self.acknowledge(key);
        }
        Ok(())
    }
}

/// Everything that was received, in order, all streams together.
pub(super) type Seen = Arc<Mutex<Vec<Key>>>;

pub(super) struct Fake {
    script: Script,
    streams: Arc<AtomicUsize>,
    seen: Seen,
}

#[tonic::async_trait]
impl UsageService for Fake {
    type StreamUsageStream = UnboundedReceiverStream<Result<UsageAck, Status>>;

    async fn stream_usage(
        &self,
        request: Request<Streaming<UsageBatch>>,
    ) -> Result<Response<Self::StreamUsageStream>, Status> {
        let (acks, out) = mpsc::unbounded_channel();
        let number = self.streams.fetch_add(1, Relaxed);
        let call = Call { number, batches: request.into_inner(), acks: acks.clone(), seen: Arc::clone(&self.seen) };
        let script = (self.script)(call);
        tokio::spawn(async move {
            if let Err(status) = script.await {
                let _ = acks.send(Err(status));
            }
        });
        Ok(Response::new(UnboundedReceiverStream::new(out)))
    }
}

/// A server that runs; it dies, with its connections, when this is dropped.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) seen: Seen,
    _task: Task,
}

struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Server {
    /// On a free port, by a script.
    pub(super) async fn start<F>(script: impl Fn(Call) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), Status>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { address, ..Self::start_on(TcpListenerStream::new(listener), script) }
    }

    /// On what a listener takes.
    pub(super) fn start_on<F, S, C>(incoming: S, script: impl Fn(Call) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), Status>> + Send + 'static,
        S: tokio_stream::Stream<Item = std::io::Result<C>> + Send + 'static,
        C: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
    {
        let seen = Seen::default();
        let fake = Fake {
            script: Arc::new(move |call| Box::pin(script(call))),
            streams: Arc::default(),
            seen: Arc::clone(&seen),
        };
        let server = tonic::transport::Server::builder().add_service(UsageServiceServer::new(fake));
        let task = tokio::spawn(async move {
            let _ = server.serve_with_incoming(incoming).await;
        });
        Self { address: ([127, 0, 0, 1], 1).into(), seen, _task: Task(task) }
    }

    /// Sequences that were received so far.
    pub(super) fn sequences(&self) -> Vec<u64> {
        self.seen.lock().unwrap().iter().map(|key| key.sequence).collect()
    }
}

/// A proxy's side: a log of so many batches, and what reports it.
pub(super) fn reporter(address: SocketAddr, batches: u64) -> Reporter {
    let outbox = Outbox::default();
    (1..=batches).for_each(|sequence| outbox.push(batch(1, sequence)));
    Reporter {
        server: weir_config::bootstrap::Endpoint::new(Address::Tcp(address)),
        outbox: Arc::new(outbox),
        flight: Arc::new(Mutex::new(Flight::default())),
    }
}

/// Reports until nothing is left, or for ever.
pub(super) async fn until_nothing_is_left(reporter: &Reporter) {
    let mut changed = reporter.outbox.changed();
    let empty = async {
        while reporter.outbox.next(None).is_some() {
            changed.changed().await.unwrap();
        }
    };
    tokio::select! {
        never = reporter.run() => match never {},
        () = empty => {}
    }
    assert_eq!(lock(&reporter.flight).overview().under_way, 0);
}
