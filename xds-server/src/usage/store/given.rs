//! Which tenants senders of usage were given, for other servers and for later.

use super::{Result, Store, read, write};

/// Rows of one transaction.
const ROWS: usize = 500;

impl Store {
    /// Notes that each holder was given its tenant at `now_ms`.
    ///
    /// # Errors
    /// The database is away or fails; some may be noted.
    pub async fn note_given<P: AsRef<str>>(&self, pairs: &[(P, P)], now_ms: i64) -> Result<()> {
        const NOTE: &str = "INSERT INTO given (holder, tenant, given_ms) VALUES ($1, $2, $3) \
             ON CONFLICT (holder, tenant) DO UPDATE SET given_ms = excluded.given_ms \
             WHERE given.given_ms < excluded.given_ms";
        for some in pairs.chunks(ROWS) {
            write!(self, tx => {
                for (holder, tenant) in some {
                    let query = sqlx::query(NOTE).bind(holder.as_ref()).bind(tenant.as_ref()).bind(now_ms);
                    query.execute(&mut *tx).await?;
                }
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
