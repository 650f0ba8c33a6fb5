//! Applying batches: decided in one transaction, which is repeated where the database asks for it.

use std::time::Duration;

use super::connect::Pools;
use super::work::Work;
use super::{Result, Store, StoreError, payload, postgres, sqlite};
use crate::usage::book::{Applied, Aside, Entry, Plan, Reason, Receipt};
use crate::usage::{Batch, Scope};

/// How often a transaction is tried that the database gives up for another's sake.
const TRIES: u32 = 8;
/// How long applying may take: a database that hangs shall not hold streams for ever.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A batch, and whose rows its sender may report.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// The batch.
    pub batch: &'a Batch,
    /// Its sender's tenants.
    pub scope: &'a Scope,
}

impl Store {
    /// Stores a batch that came at `now_ms`, or finds that it was stored before. When this returns, the
    /// result is on the database's disk.
    ///
    /// # Errors
    /// The database is away or fails: nothing is known of the batch, and it is to be applied again.
    pub async fn apply(&self, batch: &Batch, scope: &Scope, now_ms: i64) -> Result<Receipt> {
        let receipts = self.apply_all(&[Incoming { batch, scope }], now_ms).await?;
        receipts.into_iter().next().ok_or_else(|| StoreError::Database(sqlx::Error::RowNotFound))
    }

    /// Stores several batches in one transaction: as [`Store::apply`] does one after the other. Answers
    /// are in their order.
    ///
    /// # Errors
    /// As [`Store::apply`]; then none is known to be stored.
    pub async fn apply_all(&self, batches: &[Incoming<'_>], now_ms: i64) -> Result<Vec<Receipt>> {
        match self.attempt(batches, now_ms).await {
            // One text that this database never takes shall not hold up what is beside or behind it.
            Err(error) if unacceptable(&error).is_some() => {}
            result => return result,
        }
        let mut receipts = Vec::with_capacity(batches.len());
        for incoming in batches {
            receipts.push(match self.attempt(std::slice::from_ref(incoming), now_ms).await {
                Ok(applied) => applied[0],
                Err(error) => {
                    let Some(detail) = unacceptable(&error) else { return Err(error) };
                    let message = weir_config::usage::v1::UsageBatch::from(incoming.batch);
                    self.keep_aside(prost::Message::encode_to_vec(&message), &detail, now_ms).await?;
                    Receipt { applied: Applied::Malformed, refused: 0, rebooked: false }
                }
            });
        }
        Ok(receipts)
    }

    /// Keeps the bytes of a message aside that can never be applied.
    ///
    /// # Errors
    /// The database is away or fails.
    pub async fn keep_aside(&self, payload: Vec<u8>, detail: &str, now_ms: i64) -> Result<()> {
        let detail = detail.chars().filter(|c| !c.is_control()).take(500).collect();
        let aside = [Aside { reason: Reason::Malformed, detail, payload }];
        self.prepare().await?;
        let kept = async {
            match &self.pools {
                Pools::Sqlite { write, .. } => sqlite::aside(write, &aside, now_ms).await,
                Pools::Postgres(pool) => postgres::aside(pool, &aside, now_ms).await,
            }
        };
        tokio::time::timeout(TIMEOUT, kept).await.map_err(|_| StoreError::Slow(TIMEOUT))??;
        Ok(())
    }

    async fn attempt(&self, batches: &[Incoming<'_>], now_ms: i64) -> Result<Vec<Receipt>> {
        let retention = self.retention.batches.0;
        let entries: Vec<_> =
            batches.iter().map(|incoming| Entry::new(incoming.batch, incoming.scope, now_ms, retention)).collect();
        let payloads = entries.iter().map(|entry| payload::pack(&entry.message)).collect::<Result<_>>()?;
        let work = Work { entries, payloads, now_ms };
        let run = async {
            self.prepare().await?;
            let mut tries = 1;
            loop {
                let result = match &self.pools {
                    Pools::Sqlite { write, .. } => sqlite::apply(write, &work).await,
                    Pools::Postgres(pool) => postgres::apply(pool, &work).await,
                };
                match result {
                    Err(error) if tries < TRIES && repeatable(&error) => tries += 1,
                    result => return Ok(result?),
                }
            }
        };
        let plan: Plan<'_> = tokio::time::timeout(TIMEOUT, run).await.unwrap_or(Err(StoreError::Slow(TIMEOUT)))?;
        Ok(plan.receipts)
    }
}

/// Whether the database gave the transaction up in favour of another: a deadlock, a conflict, a key that the
/// other one has just inserted, or SQLite's writer being another process.
fn repeatable(error: &sqlx::Error) -> bool {
    let Some(error) = error.as_database_error() else { return false };
    error.is_unique_violation() || matches!(error.code().as_deref(), Some("40001" | "40P01" | "5" | "261" | "517"))
}

/// What the database says of values that it can never hold (class 22 of SQLSTATE, a text that its encoding lacks).
fn unacceptable(error: &StoreError) -> Option<String> {
    let StoreError::Database(sqlx::Error::Database(error)) = error else { return None };
    error.code().is_some_and(|code| code.len() == 5 && code.starts_with("22")).then(|| error.message().to_owned())
}
