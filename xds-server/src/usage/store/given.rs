//! Which tenants senders of usage were given, for other servers and for later.

use super::{Result, Store, read, write};

/// Rows of one transaction and statement; a statement may have 32,766 values.
const ROWS: usize = 500;

impl Store {
    /// Notes that each holder was given its tenant at `now_ms`. No pair may stand in it twice.
    ///
    /// # Errors
    /// The database is away or fails; some may be noted.
    pub async fn note_given<P: AsRef<str>>(&self, pairs: &[(P, P)], now_ms: i64) -> Result<()> {
        for some in pairs.chunks(ROWS) {
            write!(self, tx => {
                // One statement: a server that begins notes every tenant of the fleet.
                let mut note = sqlx::QueryBuilder::new("INSERT INTO given (holder, tenant, given_ms) ");
                note.push_values(some, |mut row, (holder, tenant)| {
                    row.push_bind(holder.as_ref()).push_bind(tenant.as_ref()).push_bind(now_ms);
                });
                note.push(
                    " ON CONFLICT (holder, tenant) DO UPDATE SET given_ms = excluded.given_ms \
                     WHERE given.given_ms < excluded.given_ms",
                );
                note.build().persistent(false).execute(&mut *tx).await?;
            });
        }
        Ok(())
    }

    /// Tenants that a holder was given at `since_ms` or later, each with when it was last.
    ///
    /// # Errors
    /// The database is away or fails.
    pub async fn given(&self, holder: &str, since_ms: i64) -> Result<Vec<(String, i64)>> {
        const SELECT: &str = "SELECT tenant, given_ms FROM given WHERE holder = $1 AND given_ms >= $2";
        Ok(read!(self, pool => sqlx::query_as(SELECT).bind(holder).bind(since_ms).fetch_all(pool).await?))
    }

    /// Forgets what was given before `before_ms` and not since.
    ///
    /// # Errors
    /// The database is away or fails.
    pub async fn forget_given(&self, before_ms: i64) -> Result<()> {
        write!(self, tx => {
            sqlx::query("DELETE FROM given WHERE given_ms < $1").bind(before_ms).execute(&mut *tx).await?;
        });
        Ok(())
    }
}
