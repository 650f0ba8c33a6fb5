//! Batches of all streams, applied by one task: those that wait together go into one transaction, so that
//! many small batches cost one flush of the disk, and streams do not wait for each other's rows.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, oneshot};
use weir_config::usage::MAX_BATCH_ENTRIES;

use super::batch::Batch;
use super::book::{Applied, Receipt};
use super::metrics::Stats;
use super::scope::Scope;
use super::store::{Incoming, Result, Store, StoreError};
use crate::metrics::Metrics;

/// Batches of one transaction.
const GROUP: usize = 64;
/// Rows of one transaction, but for the last batch's.
const GROUP_ROWS: usize = 4 * MAX_BATCH_ENTRIES;
/// How often a database that stays away is spoken of in the log.
const REMIND: Duration = Duration::from_secs(60);

/// Where streams hand batches in. A clone is the same place.
#[derive(Clone, Debug)]
pub struct Intake {
    jobs: mpsc::Sender<Job>,
}

/// The store cannot be had; the log says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unavailable;

#[derive(Debug)]
struct Job {
    what: What,
    done: oneshot::Sender<Receipt>,
}

#[derive(Debug)]
enum What {
    Batch(Box<Batch>, Scope),
    Malformed { message: Vec<u8>, detail: String },
}

impl Intake {
    /// A place, and the task that empties it, which ends with the last clone.
    pub fn new(store: Store, metrics: Arc<Metrics>, stats: Arc<Stats>) -> (Self, impl Future<Output = ()> + Send) {
        let (jobs, waiting) = mpsc::channel(GROUP);
        let applier = Applier { store, metrics, stats, trouble: Trouble::default() };
        (Self { jobs }, applier.run(waiting))
    }

    /// Applies a batch; when this returns, the result is on the database's disk.
    ///
    /// # Errors
    /// The store cannot be had: nothing is known of the batch.
    pub async fn apply(&self, batch: Batch, scope: Scope) -> std::result::Result<Receipt, Unavailable> {
        self.submit(What::Batch(Box::new(batch), scope)).await
    }

    /// Keeps a message aside that can never be applied.
    ///
    /// # Errors
    /// The store cannot be had.
    pub async fn keep_aside(&self, message: Vec<u8>, detail: String) -> std::result::Result<Receipt, Unavailable> {
        self.submit(What::Malformed { message, detail }).await
    }

    async fn submit(&self, what: What) -> std::result::Result<Receipt, Unavailable> {
        let (done, result) = oneshot::channel();
        self.jobs.send(Job { what, done }).await.map_err(|_| Unavailable)?;
        result.await.map_err(|_| Unavailable)
    }
}

struct Applier {
    store: Store,
    metrics: Arc<Metrics>,
    stats: Arc<Stats>,
    trouble: Trouble,
}

impl Applier {
    async fn run(mut self, mut waiting: mpsc::Receiver<Job>) {
        let mut group = Vec::new();
        while waiting.recv_many(&mut group, GROUP).await > 0 {
            while !group.is_empty() {
                let rest = group.split_off(fit(&group));
                let jobs = std::mem::replace(&mut group, rest);
                let begun = Instant::now();
                let result = self.take(jobs).await;
                self.metrics.usage.apply_took(begun.elapsed());
                if let Err(error) = &result {
                    self.metrics.usage.database_failed();
                    // Whoever waits now would wait as long again for the same answer: dropped, they hear it at once.
                    group.clear();
                    while waiting.try_recv().is_ok() {}
                    self.trouble.note(error);
                } else {
                    self.trouble.over();
                }
            }
        }
    }

    fn note(&self, batch: &Batch, scope: &Scope, receipt: &Receipt, now_ms: i64) {
        let metrics = &self.metrics.usage;
        match receipt.applied {
            Applied::New => {
                metrics.booked(batch.usage.len() - receipt.refused, now_ms);
                let booked = batch.usage.iter().filter(|(tenant, _)| scope.holds(tenant));
                self.stats.tally.add(booked.map(|(tenant, units)| (tenant.as_str(), units)));
            }
            Applied::Duplicate => metrics.duplicate(),
            Applied::Conflict => metrics.conflict(),
            Applied::Malformed => metrics.malformed(),
        }
        metrics.refused(receipt.refused);
        if receipt.rebooked {
            metrics.rebooked();
            let (proxy, started_ms) = (&batch.proxy, batch.started_ms);
            tracing::warn!(proxy, started_ms, "a batch's time cannot be believed; it is booked to now");
        }
    }

    /// Applies jobs and answers them; unanswered ones hear that the store cannot be had.
    async fn take(&self, jobs: Vec<Job>) -> Result<()> {
        let now_ms = now_ms();
        let incoming: Vec<_> = jobs.iter().filter_map(|job| job.what.incoming()).collect();
        let receipts = if incoming.is_empty() { Vec::new() } else { self.store.apply_all(&incoming, now_ms).await? };
        let mut receipts = receipts.into_iter();
        let mut aside = false;
        for Job { what, done } in jobs {
            let receipt = match what {
                What::Batch(batch, scope) => {
                    let Some(receipt) = receipts.next() else { continue };
                    self.note(&batch, &scope, &receipt, now_ms);
                    receipt
                }
                What::Malformed { message, detail } => {
                    self.store.keep_aside(message, &detail, now_ms).await?;
                    self.metrics.usage.malformed();
                    Receipt { applied: Applied::Malformed, refused: 0, rebooked: false }
                }
            };
            aside |= receipt.refused > 0 || matches!(receipt.applied, Applied::Conflict | Applied::Malformed);
            // A stream that has gone will send it again, and hear that it is a duplicate.
            let _ = done.send(receipt);
        }
        if aside && let Ok(count) = self.store.aside_count().await {
            self.metrics.usage.set_aside(count);
        }
        Ok(())
    }
}

impl What {
    fn incoming(&self) -> Option<Incoming<'_>> {
        match self {
            Self::Batch(batch, scope) => Some(Incoming { batch, scope }),
            Self::Malformed { .. } => None,
        }
    }
}

/// How many of the jobs one transaction takes.
fn fit(jobs: &[Job]) -> usize {
    let mut rows = 0;
    let full = jobs.iter().position(|job| {
        let full = rows >= GROUP_ROWS;
        rows += job.what.incoming().map_or(0, |incoming| incoming.batch.usage.len());
        full
    });
    full.unwrap_or(jobs.len())
}

/// Says in the log that the database is away, and when it is back, without repeating itself.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    spoken: Option<Instant>,
}

impl Trouble {
    pub(crate) fn note(&mut self, error: &StoreError) {
        if self.spoken.is_none_or(|spoken| spoken.elapsed() >= REMIND) {
            tracing::error!(%error, "usage cannot be stored; proxies keep it and send it again");
            self.spoken = Some(Instant::now());
        }
    }

    pub(crate) fn over(&mut self) {
        if self.spoken.take().is_some() {
            tracing::info!("usage is stored again");
        }
    }
}

/// Milliseconds since 1970, by this machine's clock.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use weir_config::bootstrap::Retention;
    use weir_config::usage::Units;

    use super::*;
    use crate::usage::Epoch;
    use crate::usage::store::Location;

    fn batch(sequence: u64, rows: usize) -> Batch {
        let usage: BTreeMap<_, _> = (0..rows).map(|n| (format!("tenant-{n}"), Units([1; 8]))).collect();
        let (epoch, proxy, started_ms, ended_ms) = (Epoch([1; 16]), "edge-0".to_owned(), 0, 10_000);
        let first_sequence = sequence;
        Batch {
            epoch,
            first_sequence,
            sequence,
            proxy,
            started_ms,
            ended_ms,
            last: false,
            lost_open_window: false,
            usage,
        }
    }

    fn job(rows: usize) -> Job {
        let (done, _) = oneshot::channel();
        Job { what: What::Batch(Box::new(batch(1, rows)), Scope::Everything), done }
    }

    #[test]
    fn a_transaction_has_a_bounded_number_of_rows_and_at_least_one_batch() {
        let jobs = |rows: &[usize]| rows.iter().map(|rows| job(*rows)).collect::<Vec<_>>();
        assert_eq!(fit(&jobs(&[1, 1, 0, 1])), 4);
        assert_eq!(fit(&jobs(&[4096; 10])), 4);
        assert_eq!(fit(&jobs(&[100_000, 1])), 1);
        assert_eq!(fit(&jobs(&[])), 0);
    }

    #[tokio::test]
    async fn what_waits_together_is_one_transaction_and_fails_together() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("usage.db");
        // Something is in the way of the database.
        std::fs::create_dir(&place).unwrap();
        let store = Store::at(&Location::Sqlite(place.clone()), &Retention::default()).unwrap();
        let (intake, applier) = Intake::new(store.clone(), Arc::new(Metrics::new().unwrap()), Arc::new(Stats::new(1)));
        let all = || futures::future::join_all((1..=9).map(|n| intake.apply(batch(n, 1), Scope::Everything)));
        let waiting = all();
        let task = tokio::spawn(applier);
        assert_eq!(waiting.await, vec![Err(Unavailable); 9]);

        std::fs::remove_dir(&place).unwrap();
        assert!(all().await.iter().all(|receipt| receipt.unwrap().applied == Applied::New));
        assert_eq!(store.newest().await.unwrap(), 9);
        drop(intake);
        task.await.unwrap();
    }
}
