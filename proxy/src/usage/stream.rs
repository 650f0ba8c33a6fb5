//! The stream to the server: moves messages, connects again. It decides nothing.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};
use weir_config::bootstrap::Endpoint;
use weir_config::usage::v1::UsageBatch;

use super::retry::{End, Retry, Say};
use super::state::{Batches, Flight, WINDOW};
use crate::connect::{self, backoff};
use crate::meter::{Key, Outbox};
use client::usage_service_client::UsageServiceClient;

/// The generated client.
mod client {
    #![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated")]
    tonic::include_proto!("weir.usage.v1");
}

/// The state, shared with those who look at it.
pub type Shared = Arc<Mutex<Flight>>;

/// The state itself. Its changes leave it whole at every point where they could end early.
pub fn lock(flight: &Shared) -> MutexGuard<'_, Flight> {
    flight.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Batches for Outbox {
    fn next(&self, after: Option<Key>) -> Option<Arc<UsageBatch>> {
        Outbox::next(self, after)
    }

    fn sending(&self, key: Key) -> bool {
        Outbox::sending(self, key)
    }

    fn acknowledged(&self, key: Key) {
        Outbox::acknowledged(self, key);
    }
}

/// Sends what is logged to a server.
#[derive(Clone, Debug)]
pub struct Reporter {
    /// The server.
    pub server: Endpoint,
    /// What is to be sent.
    pub outbox: Arc<Outbox>,
    /// What is on its way.
    pub flight: Shared,
}

impl Reporter {
    /// Keeps a stream to the server. Dropping the future at any point loses nothing but the stream.
    pub async fn run(&self) -> Infallible {
        let mut retry = Retry::default();
        loop {
            let mut opened = None;
            let ended = self.one_stream(Until::TheEnd, &mut opened).await;
            tokio::time::sleep(self.ended(&mut retry, ended, opened)).await;
        }
    }

    /// Sends what is left, on a stream of its own, within `limit`. What cannot be sent stays in the log.
    pub async fn flush(&self, limit: Duration) {
        if Outbox::next(&self.outbox, None).is_none() {
            return;
        }
        match tokio::time::timeout(limit, self.one_stream(Until::NothingIsLeft, &mut None)).await {
            Ok(Ok(())) => {}
            Ok(Err(status)) => {
                let (code, problem) = (status.code(), status.message());
                tracing::info!(?code, problem, "the last usage goes to the server at the next start");
            }
            Err(_) => {
                tracing::info!(?limit, "the server did not take the last usage in time; it gets it at the next start")
            }
        }
        lock(&self.flight).end();
    }

    /// Says what is to be said about a stream that ended, and for how long to wait.
    fn ended(&self, retry: &mut Retry, ended: Result<(), Status>, opened: Option<Instant>) -> Duration {
        let mut flight = lock(&self.flight);
        flight.end();
        let status = ended.err().unwrap_or_else(|| Status::unavailable("the server ended the stream"));
        let end = match status.code() {
            Code::Unimplemented => End::Foreign,
            code if backoff::at_once(code == Code::Unauthenticated, opened.map(|since| since.elapsed())) => {
                End::Expired
            }
            _ if flight.was_served() => End::Served,
            _ => End::Failed,
        };
        drop(flight);
        let (wait, say) = retry.ended(end, rand::random());
        let (server, code, problem) = (&self.server.address, status.code(), status.message());
        match say {
            Say::NoStream => {
                tracing::warn!(%server, ?code, problem, "usage cannot be reported now; it stays in the log")
            }
            Say::Foreign => tracing::warn!(%server, "this control plane takes no usage; it stays in the log"),
            Say::Nothing => tracing::debug!(%server, ?code, problem, "usage still cannot be reported"),
        }
        wait
    }

    /// Connects and serves one stream to its end. `opened`: since when the server takes it.
    async fn one_stream(&self, until: Until, opened: &mut Option<Instant>) -> Result<(), Status> {
        lock(&self.flight).begin();
        let mut client = UsageServiceClient::new(connect::channel(&self.server).await?);
        // As many as may be on their way, so there is always room.
        let (out, batches) = mpsc::channel(WINDOW);
        let mut acks = tokio::select! {
            opened = client.stream_usage(ReceiverStream::new(batches)) => opened?.into_inner(),
            given_up = self.send(&out) => return Err(given_up),
        };
        lock(&self.flight).opened();
        *opened = Some(Instant::now());
        tracing::info!(server = %self.server.address, "usage is reported");
        while until == Until::TheEnd || Outbox::next(&self.outbox, None).is_some() {
            let ack = tokio::select! {
                ack = acks.message() => ack?,
                given_up = self.send(&out) => return Err(given_up),
            };
            let Some(ack) = ack else { return Err(Status::unavailable("the server ended the stream")) };
            lock(&self.flight).receive(&ack, &*self.outbox, Instant::now());
        }
        Ok(())
    }

    /// Sends what there is and what comes, until the stream is to be given up.
    async fn send(&self, out: &mpsc::Sender<UsageBatch>) -> Status {
        let mut changed = self.outbox.changed();
        loop {
            changed.borrow_and_update();
            // A closed channel is a stream that ended: how it ended, its other half says.
            while !out.is_closed()
                && let Some(batch) = self.next()
            {
                let _ = out.try_send(UsageBatch::clone(&batch));
            }
            let deadline = lock(&self.flight).deadline();
            tokio::select! {
                change = changed.changed() => if change.is_err() { std::future::pending::<()>().await },
                () = at(deadline) => {
                    lock(&self.flight).give_up();
                    return Status::deadline_exceeded("the server acknowledges nothing");
                }
            }
        }
    }

    fn next(&self) -> Option<Arc<UsageBatch>> {
        lock(&self.flight).next(&*self.outbox, Instant::now())
    }
}

/// How long a stream is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    TheEnd,
    NothingIsLeft,
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
