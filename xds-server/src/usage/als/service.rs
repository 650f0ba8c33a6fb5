//! The access log service: moves entries from the wire into windows, and windows into the store.

use std::future::pending;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use envoy_types::pb::envoy::service::accesslog::v3::access_log_service_server::{
    AccessLogService, AccessLogServiceServer,
};
use envoy_types::pb::envoy::service::accesslog::v3::stream_access_logs_message::{Identifier, LogEntries};
use envoy_types::pb::envoy::service::accesslog::v3::{StreamAccessLogsMessage, StreamAccessLogsResponse};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};
use weir_config::usage::Metric;
use weir_config::xds::USAGE_LOG;

use super::running::Running;
use super::{entry, windows::Windows};
use crate::metrics::Metrics;
use crate::scope::Role;
use crate::usage::intake::{Intake, Unavailable, now_ms};
use crate::usage::reporters::Reporters;
use crate::usage::service::reporter;
use crate::usage::{Batch, Epoch};

/// Length of a window; windows end at its multiples.
const WINDOW: Duration = Duration::from_secs(10);
/// Streams at a time: one a worker thread of each Envoy.
const MAX_STREAMS: u32 = 10_000;
/// Bytes that are kept of a node's name.
const MAX_NODE: usize = 256;
/// How long the last windows may take when the server ends.
const GRACE: Duration = Duration::from_secs(5);
/// What a client hears when the server ends.
const ENDING: &str = "the server is shutting down";
/// Pauses between tries while the database is away: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// The service.
#[derive(Clone, Debug)]
pub struct AccessLogs {
    intake: Intake,
    reporters: Arc<Reporters>,
    metrics: Arc<Metrics>,
    running: Arc<Mutex<Running>>,
    streams: Arc<Semaphore>,
    shutdown: CancellationToken,
}

impl AccessLogs {
    /// A service that hands batches to `intake`, as far as `reporters` let callers report them, and ends its streams
    /// on `shutdown`.
    pub fn new(intake: Intake, reporters: Arc<Reporters>, metrics: Arc<Metrics>, shutdown: CancellationToken) -> Self {
        let running = Arc::new(Mutex::new(Running::new(Instant::now())));
        Self { intake, reporters, metrics, running, streams: Arc::new(Semaphore::new(MAX_STREAMS as usize)), shutdown }
    }

    /// As a tonic service.
    pub fn into_server(self) -> AccessLogServiceServer<Self> {
        AccessLogServiceServer::new(self)
    }

    /// Waits until what came on streams that have ended is in the store, or was given up.
    pub async fn drained(&self) {
        // It is never closed.
        let _ = self.streams.acquire_many(MAX_STREAMS).await;
    }
}

#[tonic::async_trait]
impl AccessLogService for AccessLogs {
    async fn stream_access_logs(
        &self,
        request: tonic::Request<Streaming<StreamAccessLogsMessage>>,
    ) -> Result<tonic::Response<StreamAccessLogsResponse>, Status> {
        let role = reporter(&request)?;
        let Ok(permit) = Arc::clone(&self.streams).try_acquire_owned() else {
            return Err(Status::resource_exhausted("too many streams of access logs"));
        };
        let mut inbound = request.into_inner();
        let first = tokio::select! {
            first = inbound.message() => first?,
            () = self.shutdown.cancelled() => return Err(Status::unavailable(ENDING)),
        };
        let first = first.ok_or_else(|| Status::invalid_argument("the stream is empty"))?;
        let proxy = identify(first.identifier.as_ref())?;
        let stream = Stream::new(self.clone(), role, proxy, permit);
        // A connection that breaks takes the call with it, and not what came over it.
        tokio::spawn(stream.serve(first, inbound))
            .await
            .map_err(|_| Status::internal("the stream failed"))?
            .map(|()| tonic::Response::new(StreamAccessLogsResponse {}))
    }
}

/// What the node calls itself, cut: it is kept, and is whatever the client sends.
fn identify(identifier: Option<&Identifier>) -> Result<String, Status> {
    let identifier =
        identifier.ok_or_else(|| Status::invalid_argument("identifier: the first message must have one"))?;
    if identifier.log_name != USAGE_LOG {
        return Err(Status::invalid_argument(format!("identifier.log_name: only {USAGE_LOG:?} is taken")));
    }
    let id = identifier.node.as_ref().map_or("", |node| node.id.as_str());
    Ok(id[..id.floor_char_boundary(MAX_NODE)].chars().filter(|c| !c.is_control()).collect())
}

type Applying = Pin<Box<dyn Future<Output = Result<(), Unavailable>> + Send>>;

/// One stream of entries.
struct Stream {
    service: AccessLogs,
    role: Role,
    proxy: Arc<str>,
    windows: Windows,
    /// What the store is doing.
    applying: Option<Applying>,
    /// Pause before the next try; none while the database answers.
    pause: Option<Duration>,
    _permit: OwnedSemaphorePermit,
}

impl Stream {
    fn new(service: AccessLogs, role: Role, proxy: String, permit: OwnedSemaphorePermit) -> Self {
        let windows = Windows::new(Epoch(rand::random()), proxy.clone(), now_ms());
        tracing::info!(node = proxy, "an Envoy reports its usage");
        service.metrics.access_log_opened();
        Self { service, role, proxy: proxy.into(), windows, applying: None, pause: None, _permit: permit }
    }

    async fn serve(
        mut self,
        first: StreamAccessLogsMessage,
        mut inbound: Streaming<StreamAccessLogsMessage>,
    ) -> Result<(), Status> {
        self.take(first);
        let shutdown = self.service.shutdown.clone();
        let mut boundary = next_boundary();
        let end = loop {
            tokio::select! {
                message = inbound.message() => match message {
                    Ok(Some(message)) => self.take(message),
                    Ok(None) => break Ok(()),
                    Err(status) => break Err(status),
                },
                () = tokio::time::sleep_until(boundary) => {
                    self.windows.close(now_ms());
                    boundary = next_boundary();
                }
                result = done(&mut self.applying) => self.applied(result),
                () = shutdown.cancelled() => break Err(Status::unavailable(ENDING)),
            }
            self.apply();
        };
        self.finish().await;
        end
    }

    fn take(&mut self, message: StreamAccessLogsMessage) {
        let Some(LogEntries::HttpLogs(logs)) = message.log_entries else { return };
        self.service.metrics.access_log_entries(logs.log_entry.len());
        let now = Instant::now();
        let mut running = self.service.running.lock().unwrap_or_else(PoisonError::into_inner);
        for exchange in logs.log_entry.iter().filter_map(entry::read) {
            let units = running.take(&self.proxy, &exchange, now);
            self.windows.add(exchange.tenant, &units);
        }
        drop(running);
        let overflow = self.windows.take_overflow();
        if overflow > 0 {
            self.service.metrics.access_log_overflow(overflow);
            tracing::error!(
                node = &*self.proxy,
                entries = overflow,
                "usage is charged to no tenant: an Envoy names too many"
            );
        }
    }

    /// Begins to apply what waits, unless the store is busy with this stream.
    fn apply(&mut self) {
        if self.applying.is_none()
            && let Some(batches) = self.windows.to_apply()
        {
            let pause = self.pause.unwrap_or_default();
            self.applying = Some(Box::pin(apply(self.service.clone(), self.role.clone(), batches, pause)));
        }
    }

    fn applied(&mut self, result: Result<(), Unavailable>) {
        self.applying = None;
        match result {
            Ok(()) => {
                self.windows.applied();
                if self.pause.take().is_some() {
                    tracing::info!(node = &*self.proxy, "the usage database is back");
                }
            }
            Err(Unavailable) => {
                if self.pause.is_none() {
                    tracing::warn!(node = &*self.proxy, "usage that an Envoy reported waits in memory");
                }
                self.pause = Some(self.pause.map_or(PAUSES.0, |pause| (pause * 2).min(PAUSES.1)));
            }
        }
    }

    /// Applies what is left: for as long as the database is away, unless the server ends.
    async fn finish(mut self) {
        self.windows.end(now_ms());
        let shutdown = self.service.shutdown.clone();
        tokio::select! {
            () = self.apply_all() => return,
            () = shutdown.cancelled() => {}
        }
        // At once, whatever the pause was: what the store may have already it knows by its key.
        (self.applying, self.pause) = (None, None);
        if tokio::time::timeout(GRACE, self.apply_all()).await.is_err() {
            let lost = self.windows.unapplied();
            let [requests, received, sent] =
                [Metric::Requests, Metric::RequestBytes, Metric::ResponseBytes].map(|metric| lost[metric]);
            tracing::error!(
                node = &*self.proxy,
                requests,
                received,
                sent,
                "usage that an Envoy reported is lost: the server ends and the database is away"
            );
        }
    }

    async fn apply_all(&mut self) {
        loop {
            self.apply();
            if self.applying.is_none() {
                return;
            }
            let result = done(&mut self.applying).await;
            self.applied(result);
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.service.metrics.access_log_closed();
    }
}

async fn apply(service: AccessLogs, role: Role, batches: Arc<[Batch]>, pause: Duration) -> Result<(), Unavailable> {
    tokio::time::sleep(pause).await;
    for batch in batches.iter() {
        let tenants = batch.usage.keys().map(String::as_str);
        let scope = service.reporters.scope(&role, tenants, now_ms()).await.map_err(|_| Unavailable)?;
        // One that is stored already, because another of its window was not, is a duplicate and adds nothing.
        service.intake.apply(batch.clone(), scope).await?;
    }
    Ok(())
}

/// What the store says; never, while it does nothing.
async fn done(applying: &mut Option<Applying>) -> Result<(), Unavailable> {
    match applying {
        Some(applying) => applying.await,
        None => pending().await,
    }
}

fn next_boundary() -> tokio::time::Instant {
    let window = WINDOW.as_millis() as i64;
    let rest = window.saturating_sub(now_ms().rem_euclid(window)).unsigned_abs();
    tokio::time::Instant::now() + Duration::from_millis(rest)
}
