//! The gRPC service that takes batches in: from the wire to the [`Intake`], and back as acknowledgements.

use std::pin::Pin;
use std::sync::Arc;

use futures::stream::FuturesOrdered;
use futures::{Stream, StreamExt};
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};
use weir_config::usage::{MAX_BATCH_ENTRIES, v1};

use super::batch::Batch;
use super::intake::{Intake, Unavailable, now_ms};
use super::reporters::Reporters;
use crate::auth::Caller;
use crate::metrics::Metrics;
use crate::scope::Role;

mod generated {
    #![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated; the .proto file documents it")]
    tonic::include_proto!("weir.usage.v1");
}

use generated::usage_service_server::{UsageService, UsageServiceServer};

/// Bytes of a message: a batch with the longest names and largest numbers has less than half of it.
const MAX_MESSAGE: usize = 4 << 20;
/// Batches of one stream that are being applied; a proxy sends no more without an acknowledgement.
const AHEAD: usize = 16;
/// Rows of them, but for the last batch's: what a stream may take of memory.
const AHEAD_ROWS: usize = 2 * MAX_BATCH_ENTRIES;

/// The service.
#[derive(Clone, Debug)]
pub struct Usage {
    intake: Intake,
    reporters: Arc<Reporters>,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
}

type Acks = Pin<Box<dyn Stream<Item = Result<v1::UsageAck, Status>> + Send>>;

impl Usage {
    /// A service that applies by `intake` what `reporters` let callers report, and ends its streams on `shutdown`.
    pub fn new(intake: Intake, reporters: Arc<Reporters>, metrics: Arc<Metrics>, shutdown: CancellationToken) -> Self {
        Self { intake, reporters, metrics, shutdown }
    }

    /// As a tonic service.
    pub fn into_server(self) -> UsageServiceServer<Self> {
        UsageServiceServer::new(self).max_decoding_message_size(MAX_MESSAGE)
    }
}

/// What a caller is that reports usage.
pub(super) fn reporter<T>(request: &tonic::Request<T>) -> Result<Role, Status> {
    match &Caller::of(request)?.role {
        Role::Operator => Err(Status::permission_denied("an operator serves nothing, and so has no usage to report")),
        role => Ok(role.clone()),
    }
}

#[tonic::async_trait]
impl UsageService for Usage {
    type StreamUsageStream = Acks;

    async fn stream_usage(
        &self,
        request: tonic::Request<Streaming<v1::UsageBatch>>,
    ) -> Result<tonic::Response<Acks>, Status> {
        let role = reporter(&request)?;
        let (outbound, acks) = mpsc::channel(AHEAD);
        let service = self.clone();
        let inbound = request.into_inner();
        tokio::spawn(async move {
            let metrics = Arc::clone(&service.metrics);
            metrics.usage.stream_opened();
            let end = tokio::select! {
                end = service.serve(role, inbound, &outbound) => end,
                () = service.shutdown.cancelled() => Err(Status::unavailable("the server is shutting down")),
            };
            if let Err(status) = end {
                // A client that is gone does not hear it.
                let _ = outbound.send(Err(status)).await;
            }
            metrics.usage.stream_closed();
        });
        Ok(tonic::Response::new(Box::pin(ReceiverStream::new(acks))))
    }
}

impl Usage {
    async fn serve(
        &self,
        role: Role,
        mut inbound: Streaming<v1::UsageBatch>,
        outbound: &mpsc::Sender<Result<v1::UsageAck, Status>>,
    ) -> Result<(), Status> {
        let mut applying = FuturesOrdered::new();
        let (mut rows, mut open) = (0, true);
        while open || !applying.is_empty() {
            tokio::select! {
                message = inbound.message(), if open && applying.len() < AHEAD && rows < AHEAD_ROWS => {
                    match message? {
                        Some(message) => {
                            rows += message.usage.len();
                            applying.push_back(self.take(message, &role));
                        }
                        None => open = false,
                    }
                }
                Some(taken) = applying.next() => {
                    let (ack, size) = taken.map_err(|Unavailable| Status::unavailable("usage cannot be stored now"))?;
                    rows -= size;
                    if outbound.send(Ok(ack)).await.is_err() {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// The acknowledgement of a batch once it is stored, and the rows that it had.
    async fn take(&self, message: v1::UsageBatch, role: &Role) -> Result<(v1::UsageAck, usize), Unavailable> {
        let rows = message.usage.len();
        let ack = v1::UsageAck { epoch: message.epoch.clone(), sequence: message.sequence };
        match Batch::try_from(&message) {
            Ok(batch) => {
                let tenants = batch.usage.keys().map(String::as_str);
                let scope = self.reporters.scope(role, tenants, now_ms()).await.map_err(|_| Unavailable)?;
                self.intake.apply(batch, scope).await?
            }
            Err(error) => self.intake.keep_aside(message.encode_to_vec(), error.to_string()).await?,
        };
        Ok((ack, rows))
    }
}
