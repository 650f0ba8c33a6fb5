//! The gRPC services: they move messages between the wire, a stream's [`Live`] state and the [`Store`].

mod aggregated;
mod client;
mod connection;
mod node;
mod separate;
mod variant;

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::Stream;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};
use weir_config::model::ResourceType;

use super::admission::{Admission, Refusal};
use super::registry::Registry;
use super::store::Store;
use super::subscription::Mode;
use crate::metrics::Metrics;
use crate::namespaces::Namespaces;
use client::{Client, no_discovery};
use connection::{Connection, Shared};
use variant::Messages;

/// Bytes of a request: names and versions of all that a large proxy brings along when it reconnects.
const MAX_REQUEST: usize = 64 << 20;
/// Responses that wait for the connection: one of each type may be under way.
const QUEUE: usize = ResourceType::ALL.len() + 1;
/// How long a client that does not read may take to hear why its stream ends.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Streams of resources: all types on one, or one type on each; delta or state of the world.
#[derive(Clone, Debug)]
pub struct Discovery {
    /// Resources.
    pub store: Arc<Store>,
    /// Where open streams are entered.
    pub registry: Arc<Registry>,
    /// Whose namespaces are.
    pub namespaces: Arc<Namespaces>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Which streams are let in, and how long they live.
    pub admission: Arc<Admission>,
    /// Nothing is answered before the first objects are in: a proxy would drop what it has.
    pub ready: watch::Receiver<bool>,
    /// Ends the streams, spread over a few seconds.
    pub shutdown: CancellationToken,
}

type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Discovery {
    /// Opens a stream; `only` is its type where it has one alone.
    fn stream<V: Messages>(
        &self,
        request: tonic::Request<Streaming<V::Request>>,
        only: Option<ResourceType>,
    ) -> Result<tonic::Response<Responses<V::Response>>, Status> {
        let client = Client::of(&request)?;
        let ticket = self.admission.enter(&client.principal, Instant::now()).map_err(|refusal| {
            self.metrics.stream_refused(refusal.bound());
            refused(refusal)
        })?;
        let (outbound, responses) = mpsc::channel(QUEUE);
        let service = self.clone();
        let inbound = request.into_inner();
        tokio::spawn(async move {
            let _ticket = ticket;
            let ended = client.ended.clone();
            let end = tokio::select! {
                end = service.clone().serve::<V>(client, only, inbound, &outbound) => end,
                end = service.end() => end,
                () = ended.cancelled() => Err(Status::unauthenticated("the identity is no longer proven")),
            };
            if let Err(status) = end {
                // A client that is gone does not hear it.
                let _ = tokio::time::timeout(LAST_WORD, outbound.send(Err(status))).await;
            }
        });
        Ok(tonic::Response::new(Box::pin(ReceiverStream::new(responses))))
    }

    /// Waits until a stream must end, because of its age or with the server.
    async fn end(&self) -> Result<(), Status> {
        let aged = async {
            match self.admission.age(rand::random()) {
                Some(age) => tokio::time::sleep(age).await,
                None => std::future::pending().await,
            }
        };
        let shut = async {
            self.shutdown.cancelled().await;
            tokio::time::sleep(self.admission.farewell(rand::random())).await;
        };
        tokio::select! {
            () = aged => {
                self.metrics.stream_aged();
                Ok(())
            }
            () = shut => Err(shutting_down()),
        }
    }

    /// What a stream shares with all others.
    fn shared(&self) -> Shared<'_> {
        Shared { store: &self.store, registry: &self.registry, metrics: &self.metrics }
    }

    async fn serve<V: Messages>(
        mut self,
        client: Client,
        only: Option<ResourceType>,
        mut inbound: Streaming<V::Request>,
        outbound: &mpsc::Sender<Result<V::Response, Status>>,
    ) -> Result<(), Status> {
        let Some(first) = inbound.message().await? else { return Ok(()) };
        // The sender lives as long as the server; without it there is nothing to serve.
        if self.ready.wait_for(|ready| *ready).await.is_err() {
            return Err(shutting_down());
        }
        // What a namespace's move makes of a sidecar's scope is for its next stream to say.
        let mut moves = self.namespaces.watch();
        let Some(scope) = self.namespaces.scope(&client.role) else { return Err(no_discovery()) };
        let mode = Mode { variant: V::VARIANT, alone: only.is_some() };
        let mut connection = Connection::open(self.shared(), scope.clone(), &client, V::node(&first), mode, only);
        connection.hear::<V>(first)?;
        let mut newest = self.store.watch();
        loop {
            while let Some(response) = connection.next() {
                if outbound.send(Ok(V::message(response))).await.is_err() {
                    return Ok(());
                }
            }
            let deadline = connection.deadline();
            tokio::select! {
                message = inbound.message() => match message? {
                    Some(request) => connection.hear::<V>(request)?,
                    None => return Ok(()),
                },
                _ = newest.changed() => {}
                _ = moves.changed() => {
                    if self.namespaces.scope(&client.role).as_ref() != Some(&scope) {
                        return Err(Status::unavailable("the namespace has another tenant now: connect again"));
                    }
                }
                () = sleep_until(deadline) => {}
            }
        }
    }
}

/// A refusal as a client hears it. What it can wait for is UNAVAILABLE.
fn refused(refusal: Refusal) -> Status {
    match refusal {
        Refusal::Streams(_) | Refusal::Identity(_) => Status::resource_exhausted(refusal.to_string()),
        Refusal::Rate(_) => Status::unavailable(refusal.to_string()),
    }
}

fn shutting_down() -> Status {
    Status::unavailable("the server is shutting down")
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
