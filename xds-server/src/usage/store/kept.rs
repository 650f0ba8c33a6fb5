//! From which time on everything is still there.

use super::{Result, Store, read};
use crate::usage::book::AHEAD_MS;
use crate::usage::query::Kept;
use crate::usage::span::{Unit, floor};

/// Notes, in a transaction that forgets, that what is older may be gone from now on.
pub(super) const FORGET: &str = "\
INSERT INTO forgotten (what, before_ms) VALUES ($1, $2) \
ON CONFLICT (what) DO UPDATE SET before_ms = excluded.before_ms WHERE forgotten.before_ms < excluded.before_ms";

/// Batches, by when they came.
pub(super) const BATCHES: &str = "batches";

impl Store {
    /// From which points in time on everything that was ever stored is still there.
    ///
    /// # Errors
    /// The database is away or fails.
    pub async fn kept(&self) -> Result<Kept> {
        let rows: Vec<(String, i64)> =
            read!(self, pool => sqlx::query_as("SELECT what, before_ms FROM forgotten").fetch_all(pool).await?);
        let before = |what: &str| rows.iter().find(|(name, _)| name == what).map_or(i64::MIN, |(_, ms)| *ms);
        Ok(Kept {
            // A batch came at most so much before the time that it is booked to.
            batches_from_ms: match before(BATCHES) {
                i64::MIN => i64::MIN,
                ms => ms.saturating_add(AHEAD_MS),
            },
            hours_from_ms: before(super::upsert::HOURS),
            days_from_ms: before(super::upsert::DAYS),
        })
    }

    /// The first hour or day from `since_ms` to before `until_ms` of which there is a sum, or something to sum.
    ///
    /// # Errors
    /// The database is away or fails.
    pub async fn next_start(&self, unit: Unit, since_ms: i64, until_ms: i64) -> Result<Option<i64>> {
        const HOURS: &str = "SELECT min(start_ms) FROM usage_hours WHERE start_ms >= $1 AND start_ms < $2";
        const DAYS: &str = "SELECT min(start_ms) FROM usage_days WHERE start_ms >= $1 AND start_ms < $2";
        const BOOKED: &str = "SELECT min(booked_ms) FROM batches WHERE booked_ms >= $1 AND booked_ms < $2";
        let (sum, part) = match unit {
            Unit::Hour => (HOURS, BOOKED),
            Unit::Day => (DAYS, HOURS),
        };
        let mut first: Option<i64> = None;
        for statement in [sum, part] {
            let (found,): (Option<i64>,) = read!(self, pool => {
                sqlx::query_as(statement).bind(since_ms).bind(until_ms).fetch_one(pool).await?
            });
            first = [first, found.map(|ms| floor(ms, unit.ms()))].into_iter().flatten().min();
        }
        Ok(first)
    }
}
