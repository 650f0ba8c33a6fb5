//! Batches as they came.

use super::{Result, Store, payload, read};
use crate::usage::Batch;

/// A stored batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its number. Numbers become visible in their order: whoever has read up to one misses none below it.
    pub position: i64,
    /// When it came, by the server's clock.
    pub received_ms: i64,
    /// Time to whose hour and day it is booked: its start, or when it came where that could not be believed.
    pub booked_ms: i64,
    /// The batch, without rows that were refused.
    pub batch: Batch,
}

type Columns = (i64, i64, i64, Vec<u8>);

impl Store {
    /// Batches in order of their positions, after `position`: at most `limit`.
    ///
    /// # Errors
    /// The database is away or fails, or holds what it was not given.
    pub async fn batches(&self, position: i64, limit: u32) -> Result<Vec<Stored>> {
        const SELECT: &str = "SELECT position, received_ms, booked_ms, payload FROM batches \
             WHERE position > $1 ORDER BY position LIMIT $2";
        let rows = read!(self, pool => {
            sqlx::query_as(SELECT).bind(position).bind(i64::from(limit)).fetch_all(pool).await?
        });
        rows.into_iter().map(stored).collect()
    }

    /// Batches that are booked from `since_ms` to before `until_ms`, in order of (booked, position), after
    /// the one that has `after` there: at most `limit`. Their sum over an hour is what [`Store::hours`] has of it.
    ///
    /// # Errors
    /// As [`Store::batches`].
    pub async fn batches_between(
        &self,
        since_ms: i64,
        until_ms: i64,
        after: Option<(i64, i64)>,
        limit: u32,
    ) -> Result<Vec<Stored>> {
        const SELECT: &str = "SELECT position, received_ms, booked_ms, payload FROM batches \
             WHERE booked_ms >= $1 AND booked_ms < $2 AND (booked_ms, position) > ($3, $4) \
             ORDER BY booked_ms, position LIMIT $5";
        let (booked, position) = after.unwrap_or((i64::MIN, 0));
        let rows = read!(self, pool => {
            let page = sqlx::query_as(SELECT).bind(since_ms).bind(until_ms).bind(booked).bind(position);
            page.bind(i64::from(limit)).fetch_all(pool).await?
        });
        rows.into_iter().map(stored).collect()
    }

    /// Position of the newest batch; 0 where there is none.
    ///
    /// # Errors
    /// The database is away or fails.
    pub async fn newest(&self) -> Result<i64> {
        let (position,): (i64,) =
            read!(self, pool => sqlx::query_as("SELECT position FROM ledger").fetch_one(pool).await?);
        Ok(position)
    }
}

fn stored((position, received_ms, booked_ms, packed): Columns) -> Result<Stored> {
    Ok(Stored { position, received_ms, booked_ms, batch: payload::unpack(position, &packed)? })
}
