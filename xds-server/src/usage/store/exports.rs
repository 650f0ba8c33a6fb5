//! How far exporters are.

use super::{Result, Store, read, write};

/// How far an exporter is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Export {
    /// Position up to which all was taken by the receiver; 0 at first.
    pub done: i64,
    /// Position up to which it is being sent: the range is the same after a restart, and with it the ids of
    /// what it holds.
    pub pending: Option<i64>,
}

impl Store {
    /// How far the exporter `name` is.
    ///
    /// # Errors
    /// The database is away or fails.
    pub async fn export(&self, name: &str) -> Result<Export> {
        const SELECT: &str = "SELECT done_position, pending_position FROM exports WHERE name = $1";
        let row: Option<(i64, Option<i64>)> =
            read!(self, pool => sqlx::query_as(SELECT).bind(name).fetch_optional(pool).await?);
        Ok(row.map(|(done, pending)| Export { done, pending }).unwrap_or_default())
    }

    /// Notes that the range from after `done` up to `pending` will be sent. False where somebody else has
    /// noted a range, or is further: ask [`Store::export`] again.
    ///
    /// # Errors
    /// The database is away or fails.
    pub async fn set_pending(&self, name: &str, done: i64, pending: i64) -> Result<bool> {
        const BEGIN: &str = "INSERT INTO exports (name, done_position) VALUES ($1, 0) ON CONFLICT (name) DO NOTHING";
        const UPDATE: &str = "UPDATE exports SET pending_position = $3 \
             WHERE name = $1 AND done_position = $2 AND pending_position IS NULL";
        Ok(write!(self, tx => {
            sqlx::query(BEGIN).bind(name).execute(&mut *tx).await?;
            let done = sqlx::query(UPDATE).bind(name).bind(done).bind(pending).execute(&mut *tx).await?;
            done.rows_affected() == 1
        }))
    }

    /// Notes that the receiver has taken all up to `position`, which was pending. False where it was not.
    ///
    /// # Errors
    /// The database is away or fails.
    pub async fn set_done(&self, name: &str, position: i64) -> Result<bool> {
        const UPDATE: &str = "UPDATE exports SET done_position = $2, pending_position = NULL \
             WHERE name = $1 AND pending_position = $2";
        Ok(write!(self, tx => {
            sqlx::query(UPDATE).bind(name).bind(position).execute(&mut *tx).await?.rows_affected() == 1
        }))
    }
}
