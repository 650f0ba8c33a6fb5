//! Which sequences are stored, for audits.

use std::collections::BTreeMap;

use super::{Result, Store, read};
use crate::usage::Epoch;

/// What is stored of an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochKeys {
    /// The epoch.
    pub epoch: Epoch,
    /// Name of the proxy, by its newest batch.
    pub proxy: String,
    /// Sequences that are stored, from the least to the greatest that the span has: adjacent ones are one
    /// range, so that more than one range is a gap.
    pub ranges: Vec<Range>,
    /// End of the newest batch there, in milliseconds since 1970, by the proxy's clock.
    pub ended_ms: i64,
    /// Whether the epoch has ended, and the batch that says so is stored, in the span or after it.
    pub last: bool,
    /// Whether that batch says that the epoch's open window was lost.
    pub lost_open_window: bool,
}

/// Sequences from `first` to `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
}

/// Both tables that hold sequences, as one.
const ROWS: &str = "\
SELECT first_sequence, sequence, proxy, ended_ms FROM batches \
    WHERE epoch = $1 AND sequence >= $2 AND first_sequence <= $3 \
UNION ALL SELECT first_sequence, sequence, proxy, ended_ms FROM swept \
    WHERE epoch = $1 AND sequence >= $2 AND first_sequence <= $3 \
ORDER BY 1";

const ENDS: &str = "\
SELECT epoch, min(first_sequence), max(sequence) FROM batches WHERE booked_ms >= $1 AND booked_ms < $2 GROUP BY epoch";

const LAST: &str = "\
SELECT lost_open_window FROM \
    (SELECT is_last, lost_open_window FROM batches WHERE epoch = $1 ORDER BY sequence DESC LIMIT 1) AS newest \
    WHERE is_last \
UNION ALL SELECT lost_open_window FROM swept WHERE epoch = $1 AND is_last";

impl Store {
    /// What is stored of every epoch that has a batch booked from `since_ms` to before `until_ms`. What was swept
    /// since is counted as stored, but makes no epoch appear. Without a begin (`i64::MIN`), ranges begin with the
    /// first sequence that is known.
    ///
    /// # Errors
    /// The database is away or fails.
    pub async fn keys(&self, since_ms: i64, until_ms: i64) -> Result<Vec<EpochKeys>> {
        let ends: Vec<(Vec<u8>, i64, i64)> = read!(self, pool => {
            sqlx::query_as(ENDS).bind(since_ms).bind(until_ms).fetch_all(pool).await?
        });
        let epochs: BTreeMap<Epoch, (i64, i64)> = ends
            .into_iter()
            .filter_map(|(epoch, first, last)| Some((Epoch(epoch.try_into().ok()?), (first, last))))
            .collect();
        let mut keys = Vec::with_capacity(epochs.len());
        for (epoch, (first, last)) in epochs {
            let first = if since_ms == i64::MIN { 1 } else { first };
            keys.push(self.epoch_keys(epoch, first, last).await?);
        }
        Ok(keys)
    }

    async fn epoch_keys(&self, epoch: Epoch, first: i64, last: i64) -> Result<EpochKeys> {
        let rows: Vec<(i64, i64, String, i64)> = read!(self, pool => {
            sqlx::query_as(ROWS).bind(&epoch.0[..]).bind(first).bind(last).fetch_all(pool).await?
        });
        let end: Option<(bool,)> =
            read!(self, pool => sqlx::query_as(LAST).bind(&epoch.0[..]).fetch_optional(pool).await?);
        let mut keys = EpochKeys {
            epoch,
            proxy: String::new(),
            ranges: Vec::new(),
            ended_ms: i64::MIN,
            last: end.is_some(),
            lost_open_window: end.is_some_and(|(lost,)| lost),
        };
        for (first, last, proxy, ended_ms) in rows {
            keys.proxy = proxy;
            keys.ended_ms = keys.ended_ms.max(ended_ms);
            // Stored sequences are positive.
            let range = Range { first: first.unsigned_abs(), last: last.unsigned_abs() };
            match keys.ranges.last_mut() {
                Some(before) if before.last + 1 == range.first => before.last = range.last,
                _ => keys.ranges.push(range),
            }
        }
        Ok(keys)
    }
}
