//! The task that exports: a range of batches at a time, the same range again until it was taken.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use weir_config::bootstrap::Events;

use super::EXPORTER;
use super::answer::{Answer, Waits};
use super::make::{Booked, Event, Identity, events};
use super::send::Receiver;
use super::split::{RefusesAll, Split};
use crate::usage::metrics::ExportMetrics;
use crate::usage::store::{RefusedEvent, Store, StoreError, Stored};

/// Batches of one range, and rows that it has at most if it has more than one batch.
const BATCHES: u32 = 256;
const ROWS: usize = 50_000;
/// How long a server that exports may be silent before another takes over.
const LEASE: Duration = Duration::from_secs(90);
/// A wait is slept through in parts, so that the lease is kept.
const NAP: Duration = Duration::from_secs(30);

/// Exports usage of one store to one receiver.
#[derive(Debug)]
pub struct Exporter {
    /// What is exported.
    pub store: Store,
    /// To whom, and how.
    pub settings: Events,
    /// What is told of it.
    pub metrics: Arc<ExportMetrics>,
    /// Who this server is among those that share the store.
    pub holder: String,
    /// How long to wait after failures.
    pub waits: Waits,
}

/// Why a range was not finished. All are tried again.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    Receiver(String),
    #[error("the receiver refuses every event, which is hardly the events' fault: {0}")]
    RefusesAll(String),
    #[error("another server exports now")]
    Replaced,
    #[error("the server ends")]
    Stopped,
}

/// Whether there is more to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Round {
    More,
    Nothing,
}

impl Exporter {
    /// Exports until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut failures = 0u32;
        while !stop.is_cancelled() {
            let pause = match self.round(&stop).await {
                Ok(Round::More) => Duration::ZERO,
                Ok(Round::Nothing) => self.settings.interval.0,
                Err(Trouble::Stopped) => break,
                Err(Trouble::Replaced) => NAP,
                Err(error) => {
                    failures = failures.saturating_add(1);
                    self.metrics.failed();
                    tracing::warn!(%error, "usage cannot be exported now; it is kept, and tried again");
                    tokio::select! { () = tokio::time::sleep(self.waits.after(failures, None, rand::random())) => {} () = stop.cancelled() => {} }
                    continue;
                }
            };
            failures = 0;
            tokio::select! { () = tokio::time::sleep(pause) => {} () = stop.cancelled() => {} }
        }
        // Where the database is away, the lease ends by itself.
        let _ = self.store.give_up_lease(EXPORTER, &self.holder).await;
    }

    /// Sends one range, if there is anything to send.
    async fn round(&self, stop: &CancellationToken) -> Result<Round, Trouble> {
        self.keep_lease().await?;
        let export = self.store.export(EXPORTER).await?;
        self.tell(export.done).await?;
        let to = match export.pending {
            Some(to) => to,
            None => {
                let Some(to) = self.choose(export.done).await? else { return Ok(Round::Nothing) };
                // Noted before anything is sent: after a kill, the same range has the same events.
                if !self.store.set_pending(EXPORTER, export.done, to).await? {
                    return Err(Trouble::Replaced);
                }
                to
            }
        };
        let batches = self.range(export.done, to).await?;
        let booked: Vec<_> =
            batches.iter().map(|stored| Booked { booked_ms: stored.booked_ms, batch: &stored.batch }).collect();
        let identity = Identity { source: self.settings.source.clone(), kind: self.settings.kind.clone() };
        let events: Arc<[Event]> = events(&identity, export.done + 1, to, &booked).into();
        drop(booked);
        self.send(&events, stop).await?;
        self.store.set_done(EXPORTER, to).await?;
        self.tell(to).await?;
        Ok(Round::More)
    }

    /// The end of the next range; none: all was exported.
    async fn choose(&self, done: i64) -> Result<Option<i64>, StoreError> {
        let mut rows = 0;
        let mut to = None;
        for stored in self.store.batches(done, BATCHES).await? {
            rows += stored.batch.usage.len();
            if to.is_some() && rows > ROWS {
                break;
            }
            to = Some(stored.position);
        }
        Ok(to)
    }

    async fn range(&self, done: i64, to: i64) -> Result<Vec<Stored>, StoreError> {
        let mut batches = self.store.batches(done, BATCHES).await?;
        batches.retain(|stored| stored.position <= to);
        Ok(batches)
    }

    /// Sends events until each was taken or refused for itself.
    async fn send(&self, events: &Arc<[Event]>, stop: &CancellationToken) -> Result<(), Trouble> {
        let mut receiver = self.receiver().await?;
        let size = self.settings.batch_size as usize;
        let mut split = Split::new(events.len(), size);
        let mut failures = 0u32;
        let mut reason = String::new();
        let mut refused = Vec::new();
        while let Some(range) = split.next() {
            self.keep_lease().await?;
            let (sender, sent, part) = (receiver.clone(), Arc::clone(events), range.clone());
            let (answer, text) = tokio::select! {
                answer = apart(move || sender.send(&sent[part], now_ms())) => {
                    answer.map_err(|error| Trouble::Receiver(format!("{error:#}")))?
                }
                () = stop.cancelled() => return Err(Trouble::Stopped),
            };
            match answer {
                Answer::Taken => {
                    split.taken();
                    self.metrics.taken(range.len());
                    failures = 0;
                }
                Answer::Refused => {
                    let one = split.refused().map_err(|RefusesAll| Trouble::RefusesAll(text.clone()))?;
                    refused.extend(one.map(|index| (index, text)));
                }
                Answer::Again(asked) => {
                    failures = failures.saturating_add(1);
                    self.metrics.failed();
                    let wait = self.waits.after(failures, asked, rand::random());
                    if reason != text {
                        tracing::warn!(
                            problem = text,
                            ?wait,
                            "the receiver of usage did not take events; they are sent again"
                        );
                        reason = text;
                    }
                    self.sleep(wait, stop).await?;
                    // Somebody may have mended the certificates that are trusted.
                    receiver = self.receiver().await?;
                }
            }
        }
        let tenants: BTreeSet<_> = refused.iter().map(|(index, _)| &events[*index].subject).collect();
        // Where several tenants were refused and nothing was taken, the receiver is what is wrong.
        if refused.len() == events.len() && tenants.len() > 1 {
            return Err(Trouble::RefusesAll(refused.swap_remove(0).1));
        }
        for (index, text) in refused {
            self.keep_aside(&events[index], &text).await?;
        }
        Ok(())
    }

    async fn receiver(&self) -> Result<Receiver, Trouble> {
        let settings = self.settings.clone();
        let made = apart(move || Receiver::new(&settings.url, settings.token_file)).await;
        made.and_then(|made| made).map_err(|error| Trouble::Receiver(format!("{error:#}")))
    }

    async fn keep_aside(&self, event: &Event, text: &str) -> Result<(), StoreError> {
        let refused = RefusedEvent {
            id: event.id.clone(),
            tenant: event.subject.clone(),
            refused_ms: now_ms(),
            answer: text.to_owned(),
            event: serde_json::to_string(event).unwrap_or_default(),
        };
        let kept = self.store.keep_refused(EXPORTER, &refused).await?;
        self.metrics.refused();
        let RefusedEvent { id, tenant, answer, event, .. } = refused;
        tracing::error!(id, tenant, answer, kept, event, "the billing system refused usage");
        Ok(())
    }

    async fn keep_lease(&self) -> Result<(), Trouble> {
        let now = now_ms();
        let until = now.saturating_add(i64::try_from(LEASE.as_millis()).unwrap_or(i64::MAX));
        if self.store.lease(EXPORTER, &self.holder, now, until).await? { Ok(()) } else { Err(Trouble::Replaced) }
    }

    async fn sleep(&self, wait: Duration, stop: &CancellationToken) -> Result<(), Trouble> {
        let mut left = wait;
        while !left.is_zero() {
            let nap = left.min(NAP);
            tokio::select! {
                () = tokio::time::sleep(nap) => {}
                () = stop.cancelled() => return Err(Trouble::Stopped),
            }
            left -= nap;
            self.keep_lease().await?;
        }
        Ok(())
    }

    /// Tells how far it is.
    async fn tell(&self, done: i64) -> Result<(), StoreError> {
        let oldest = self.store.batches(done, 1).await?.first().map(|stored| stored.received_ms);
        self.metrics.progress(done, self.store.newest().await?, oldest);
        Ok(())
    }
}

/// Runs what blocks on a thread of its own. Unlike the runtime's threads for that, the end of the process
/// does not wait for it.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> anyhow::Result<T> {
    let (done, result) = oneshot::channel();
    // Nobody to hear it is no error.
    std::thread::Builder::new().name("usage-events".into()).spawn(move || drop(done.send(work())))?;
    result.await.context("the sending thread broke off")
}

/// Milliseconds since 1970.
fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
