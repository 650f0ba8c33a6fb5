//! The stream to the server: moves messages, connects again. It decides nothing.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Code;
use weir_config::bootstrap::Endpoint;

use super::pipeline::Pipeline;
use crate::connect::{self, backoff};

/// Largest message that is taken, in bytes.
const MAX_MESSAGE: usize = 64 << 20;

/// The pipeline, shared with those who look at it.
pub type Shared = Arc<Mutex<Pipeline>>;

/// The pipeline itself. Its changes leave it whole at every point where they could end early.
pub fn lock(pipeline: &Shared) -> MutexGuard<'_, Pipeline> {
    pipeline.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps a stream to the server at `server` until `shutdown` turns true. Dropping the future at
/// any point loses nothing but the stream.
pub async fn run(server: Endpoint, pipeline: Shared, mut shutdown: watch::Receiver<bool>) {
    tokio::select! {
        () = streams(&server, &pipeline) => {}
        _ = shutdown.wait_for(|stop| *stop) => {}
    }
    lock(&pipeline).finish(Instant::now());
}

/// One stream after another.
async fn streams(server: &Endpoint, pipeline: &Shared) {
    let mut failures = 0;
    loop {
        let mut seen = Seen::default();
        let ended = one_stream(server, pipeline, &mut seen).await;
        lock(pipeline).close();
        let unauthenticated = ended.as_ref().is_err_and(|status| status.code() == Code::Unauthenticated);
        if backoff::at_once(unauthenticated, seen.answered.map(|since| since.elapsed())) {
            tracing::info!(server = %server.address, "what this proxy proved itself by has ended; it proves itself anew");
            continue;
        }
        if let Err(error) = ended {
            let problem = error.message();
            tracing::warn!(server = %server.address, code = ?error.code(), problem, "no stream to the control server");
        }
        failures = if seen.answered.is_some() { 1 } else { failures + 1 };
        let again = tokio::time::Instant::now() + backoff::delay(failures, rand::random());
        tokio::select! {
            never = timers(pipeline) => match never {},
            () = tokio::time::sleep_until(again) => {}
        }
    }
}

/// What one stream has seen.
#[derive(Default)]
struct Seen {
    /// When the first response came.
    answered: Option<Instant>,
}

/// Does what is due, for ever.
async fn timers(pipeline: &Shared) -> Infallible {
    loop {
        due(pipeline).await;
        lock(pipeline).tick(Instant::now(), SystemTime::now());
    }
}

/// Waits until something is due.
async fn due(pipeline: &Shared) {
    let deadline = lock(pipeline).deadline();
    match deadline {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Connects and serves one stream to its end.
async fn one_stream(server: &Endpoint, pipeline: &Shared, seen: &mut Seen) -> Result<(), tonic::Status> {
    let (out, requests) = mpsc::unbounded_channel::<DeltaDiscoveryRequest>();
    let opening = async {
        let channel = connect::channel(server).await?;
        let mut client = AggregatedDiscoveryServiceClient::new(channel).max_decoding_message_size(MAX_MESSAGE);
        for request in lock(pipeline).open() {
            let _ = out.send(request);
        }
        client.delta_aggregated_resources(UnboundedReceiverStream::new(requests)).await
    };
    let mut responses = tokio::select! {
        opened = opening => opened?.into_inner(),
        never = timers(pipeline) => match never {},
    };
    lock(pipeline).opened(Instant::now(), SystemTime::now());
    tracing::info!(server = %server.address, "stream to the control server is open");
    let wants = lock(pipeline).wants();
    loop {
        let message = tokio::select! {
            message = responses.message() => message?,
            () = wants.rung() => {
                for request in lock(pipeline).demand(Instant::now()) {
                    let _ = out.send(request);
                }
                continue;
            }
            () = due(pipeline) => {
                lock(pipeline).tick(Instant::now(), SystemTime::now());
                continue;
            }
        };
        let Some(response) = message else { return Ok(()) };
        seen.answered.get_or_insert_with(Instant::now);
        // One reply or few follow each response, so the channel holds no more than was asked for.
        for reply in lock(pipeline).receive(response, Instant::now(), SystemTime::now()) {
            let _ = out.send(reply);
        }
    }
}
