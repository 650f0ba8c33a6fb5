//! Forgetting what was kept for its time, in small transactions.

use std::time::Duration;

use weir_config::bootstrap::Retention;

use super::kept::{self, FORGET};
use super::upsert::{DAYS, HOURS};
use super::{Result, Store, write};
use crate::usage::given::SLACK_MS;

/// Rows that one transaction forgets.
const ROWS: i64 = 500;

/// How much was forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Batches; their sequences stay known.
    pub batches: u64,
    /// Rows of hours.
    pub hours: u64,
    /// Rows of days.
    pub days: u64,
    /// Things kept aside.
    pub aside: u64,
}

/// Sequences that need no batch of their own any more.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Run {
    epoch: Vec<u8>,
    first: i64,
    last: i64,
    proxy: String,
    ended_ms: i64,
    is_last: bool,
    lost_open_window: bool,
}

type Columns = (Vec<u8>, i64, i64, String, i64, bool, bool);

const OLD: &str = "\
DELETE FROM batches WHERE position IN \
    (SELECT position FROM batches WHERE received_ms < $1 AND position <= $2 ORDER BY position LIMIT $3) \
RETURNING epoch, first_sequence, sequence, proxy, ended_ms, is_last, lost_open_window";
/// Runs beside one.
const BESIDE: &str = "\
DELETE FROM swept WHERE epoch = $1 AND (sequence = $2 OR first_sequence = $3) \
RETURNING epoch, first_sequence, sequence, proxy, ended_ms, is_last, lost_open_window";
const NOTE: &str = "\
INSERT INTO swept (epoch, first_sequence, sequence, proxy, ended_ms, is_last, lost_open_window, swept_ms) \
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
const OLD_RUNS: &str = "DELETE FROM swept WHERE swept_ms < $1";
const OLD_ASIDE: &str = "\
DELETE FROM aside WHERE id IN (SELECT id FROM aside WHERE received_ms < $1 ORDER BY id LIMIT $2) RETURNING payload";
const LESS_ASIDE: &str = "UPDATE ledger SET aside_rows = aside_rows - $1, aside_bytes = aside_bytes - $2";

impl Store {
    /// Forgets what is older at `now_ms` than `retention` says: batches and what was kept aside, hours, days. A
    /// batch that `exporter` has not sent yet stays. Sequences of forgotten batches stay known as long as
    /// days do, so that one that comes again then adds nothing.
    ///
    /// # Errors
    /// The database is away or fails; what was forgotten until then stays so.
    pub async fn sweep(&self, now_ms: i64, retention: &Retention, exporter: Option<&str>) -> Result<Swept> {
        let before = |period: Duration| now_ms.saturating_sub(i64::try_from(period.as_millis()).unwrap_or(i64::MAX));
        let batches = before(retention.batches.0);
        let exported = match exporter {
            Some(name) => self.export(name).await?.done,
            None => i64::MAX,
        };
        self.forget_given(batches.saturating_sub(SLACK_MS)).await?;
        Ok(Swept {
            batches: self.sweep_batches(batches, exported, now_ms).await?,
            hours: self.sweep_sums(HOURS, before(retention.hours.0)).await?,
            days: self.sweep_sums(DAYS, before(retention.days.0)).await?,
            aside: self.sweep_aside(batches, before(retention.days.0)).await?,
        })
    }

    async fn sweep_batches(&self, before_ms: i64, exported: i64, now_ms: i64) -> Result<u64> {
        let mut swept = 0;
        loop {
            let count = write!(self, tx => {
                let old: Vec<Columns> =
                    sqlx::query_as(OLD).bind(before_ms).bind(exported).bind(ROWS).fetch_all(&mut *tx).await?;
                let count = old.len() as u64;
                if count > 0 {
                    sqlx::query(FORGET).bind(kept::BATCHES).bind(before_ms).execute(&mut *tx).await?;
                }
                for run in join(old.into_iter().map(Run::from).collect()) {
                    let query = sqlx::query_as(BESIDE).bind(run.epoch.clone());
                    let query = query.bind(run.first - 1).bind(run.last.saturating_add(1));
                    let beside: Vec<Columns> = query.fetch_all(&mut *tx).await?;
                    let mut all: Vec<_> = beside.into_iter().map(Run::from).collect();
                    all.push(run);
                    for run in join(all) {
                        let query = sqlx::query(NOTE).bind(run.epoch).bind(run.first).bind(run.last).bind(run.proxy);
                        let query = query.bind(run.ended_ms).bind(run.is_last).bind(run.lost_open_window);
                        query.bind(now_ms).execute(&mut *tx).await?;
                    }
                }
                count
            });
            swept += count;
            if count == 0 {
                return Ok(swept);
            }
        }
    }

    async fn sweep_sums(&self, table: &str, before_ms: i64) -> Result<u64> {
        let delete = format!(
            "DELETE FROM {table} WHERE (start_ms, tenant) IN \
             (SELECT start_ms, tenant FROM {table} WHERE start_ms < $1 ORDER BY start_ms, tenant LIMIT $2)"
        );
        let mut swept = 0;
        loop {
            let count = write!(self, tx => {
                // Only one of two names from above was put into it.
                let query = sqlx::query(sqlx::AssertSqlSafe(delete.as_str())).bind(before_ms).bind(ROWS);
                let count = query.execute(&mut *tx).await?.rows_affected();
                if count > 0 {
                    sqlx::query(FORGET).bind(table).bind(before_ms).execute(&mut *tx).await?;
                }
                count
            });
            swept += count;
            if count == 0 {
                return Ok(swept);
            }
        }
    }

    async fn sweep_aside(&self, before_ms: i64, runs_before_ms: i64) -> Result<u64> {
        let mut swept = 0;
        loop {
            let count = write!(self, tx => {
                sqlx::query(OLD_RUNS).bind(runs_before_ms).execute(&mut *tx).await?;
                let old: Vec<(Vec<u8>,)> =
                    sqlx::query_as(OLD_ASIDE).bind(before_ms).bind(ROWS).fetch_all(&mut *tx).await?;
                let bytes: usize = old.iter().map(|(payload,)| payload.len()).sum();
                let (rows, bytes) = (old.len() as i64, bytes as i64);
                if rows > 0 {
                    sqlx::query(LESS_ASIDE).bind(rows).bind(bytes).execute(&mut *tx).await?;
                }
                old.len() as u64
            });
            swept += count;
            if count == 0 {
                return Ok(swept);
            }
        }
    }
}

impl From<Columns> for Run {
    fn from((epoch, first, last, proxy, ended_ms, is_last, lost_open_window): Columns) -> Self {
        Self { epoch, first, last, proxy, ended_ms, is_last, lost_open_window }
    }
}

/// Makes one run of those that follow each other.
fn join(mut runs: Vec<Run>) -> Vec<Run> {
    runs.sort_by(|a, b| (&a.epoch, a.first).cmp(&(&b.epoch, b.first)));
    let mut joined: Vec<Run> = Vec::new();
    for run in runs {
        match joined.last_mut() {
            Some(before) if before.epoch == run.epoch && before.last + 1 == run.first => {
                before.last = run.last;
                before.proxy = run.proxy;
                before.ended_ms = before.ended_ms.max(run.ended_ms);
                before.is_last |= run.is_last;
                before.lost_open_window |= run.lost_open_window;
            }
            _ => joined.push(run),
        }
    }
    joined
}
