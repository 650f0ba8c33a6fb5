//! Events that a receiver refused, and which server exports.

use super::{Result, Store, read, write};

/// Events that are kept at most, of one exporter.
const MAX_EVENTS: i64 = 10_000;

/// An event that a receiver refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedEvent {
    /// Its id.
    pub id: String,
    /// Its tenant.
    pub tenant: String,
    /// When, by the server's clock.
    pub refused_ms: i64,
    /// What the receiver said.
    pub answer: String,
    /// The event itself, JSON.
    pub event: String,
}

impl Store {
    /// Whether this server (`holder`) may export as `name`, and no other may, until `until_ms`. It may take
    /// over when the other's time is over. Two servers whose clocks differ may both export for a while: that
    /// sends events twice, with the same ids.
    ///
    /// # Errors
    /// The database is away or fails.
    pub async fn lease(&self, name: &str, holder: &str, now_ms: i64, until_ms: i64) -> Result<bool> {
        const TAKE: &str = "INSERT INTO leases (name, holder, until_ms) VALUES ($1, $2, $4) \
             ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until_ms = excluded.until_ms \
             WHERE leases.holder = $2 OR leases.until_ms <= $3";
        Ok(write!(self, tx => {
            let lease = sqlx::query(TAKE).bind(name).bind(holder).bind(now_ms).bind(until_ms);
            lease.execute(&mut *tx).await?.rows_affected() == 1
        }))
    }

    /// Gives the lease back, so that another need not wait for its end.
    ///
    /// # Errors
    /// The database is away or fails.
    pub async fn give_up_lease(&self, name: &str, holder: &str) -> Result<()> {
        const DROP: &str = "DELETE FROM leases WHERE name = $1 AND holder = $2";
        write!(self, tx => {
            sqlx::query(DROP).bind(name).bind(holder).execute(&mut *tx).await?;
        });
        Ok(())
    }

    /// Keeps an event that the receiver refused. Beyond the bound the oldest stay: false.
    ///
    /// # Errors
    /// The database is away or fails.
    pub async fn keep_refused(&self, name: &str, event: &RefusedEvent) -> Result<bool> {
        const KEEP: &str = "INSERT INTO refused_events (exporter, id, tenant, refused_ms, answer, event) \
             SELECT $1, $2, $3, $4, $5, $6 WHERE (SELECT count(*) FROM refused_events WHERE exporter = $1) < $7 \
             ON CONFLICT (exporter, id) DO NOTHING";
        const THERE: &str = "SELECT count(*) FROM refused_events WHERE exporter = $1 AND id = $2";
        Ok(write!(self, tx => {
            let keep = sqlx::query(KEEP).bind(name).bind(&event.id).bind(&event.tenant).bind(event.refused_ms);
            keep.bind(&event.answer).bind(&event.event).bind(MAX_EVENTS).execute(&mut *tx).await?;
            let (count,): (i64,) = sqlx::query_as(THERE).bind(name).bind(&event.id).fetch_one(&mut *tx).await?;
            count == 1
        }))
    }

    /// Events that were refused, oldest first: at most `limit`.
    ///
    /// # Errors
    /// The database is away or fails.
    pub async fn refused_events(&self, name: &str, limit: u32) -> Result<Vec<RefusedEvent>> {
        const SELECT: &str = "SELECT id, tenant, refused_ms, answer, event FROM refused_events WHERE exporter = $1 \
             ORDER BY refused_ms, id LIMIT $2";
        let rows: Vec<(String, String, i64, String, String)> =
            read!(self, pool => sqlx::query_as(SELECT).bind(name).bind(i64::from(limit)).fetch_all(pool).await?);
        let event = |(id, tenant, refused_ms, answer, event)| RefusedEvent { id, tenant, refused_ms, answer, event };
        Ok(rows.into_iter().map(event).collect())
    }

    /// Whether anything was ever exported as `name`, or is being exported.
    ///
    /// # Errors
    /// The database is away or fails.
    pub async fn exports(&self, name: &str) -> Result<bool> {
        const SELECT: &str = "SELECT count(*) FROM exports WHERE name = $1";
        let (count,): (i64,) = read!(self, pool => sqlx::query_as(SELECT).bind(name).fetch_one(pool).await?);
        Ok(count > 0)
    }
}
