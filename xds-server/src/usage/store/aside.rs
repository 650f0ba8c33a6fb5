//! What was acknowledged and not booked: kept for an operator, within bounds.

use super::{Result, Store, read};

/// Things that are kept aside at most.
pub(super) const MAX_ROWS: i64 = 10_000;
/// Bytes of them.
pub(super) const MAX_BYTES: i64 = 64 << 20;

/// Something kept aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AsideRow {
    /// Its number.
    pub id: i64,
    /// When it came, by the server's clock.
    pub received_ms: i64,
    /// Why: `refused`, `conflict` or `malformed`.
    pub reason: String,
    /// What is wrong, for people.
    pub detail: String,
    /// The message (`weir.usage.v1.UsageBatch`) as it came; of a refusal, with the refused rows only.
    pub payload: Vec<u8>,
}

/// What there is room for, read under the ledger's lock.
pub(super) const ROOM: &str = "UPDATE ledger SET aside_rows = aside_rows RETURNING aside_rows, aside_bytes";
/// Keeps one.
pub(super) const KEEP: &str = "INSERT INTO aside (digest, received_ms, reason, detail, payload) \
     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (digest) DO NOTHING";
/// Counts what was kept.
pub(super) const COUNT: &str = "UPDATE ledger SET aside_rows = aside_rows + $1, aside_bytes = aside_bytes + $2";

/// Keeps `$aside` in the transaction. Beyond the bounds the oldest stay, and the rest is only logged: what
/// was kept first shows best how the trouble began.
macro_rules! keep {
    ($tx:ident, $aside:expr, $now_ms:expr) => {{
        use $crate::usage::store::aside::{COUNT, KEEP, MAX_BYTES, MAX_ROWS, ROOM};
        let aside: &[$crate::usage::book::Aside] = $aside;
        if !aside.is_empty() {
            let (rows, bytes): (i64, i64) = sqlx::query_as(ROOM).fetch_one(&mut *$tx).await?;
            let (mut more_rows, mut more_bytes) = (0i64, 0i64);
            for thing in aside {
                let size = i64::try_from(thing.payload.len()).unwrap_or(i64::MAX);
                let fits = rows + more_rows < MAX_ROWS && size <= MAX_BYTES - bytes - more_bytes;
                tracing::error!(
                    reason = thing.reason.name(),
                    detail = thing.detail,
                    kept = fits,
                    "usage was not booked"
                );
                if fits {
                    let query = sqlx::query(KEEP).bind(thing.digest().to_vec()).bind($now_ms).bind(thing.reason.name());
                    let done = query.bind(&thing.detail).bind(&thing.payload).execute(&mut *$tx).await?;
                    if done.rows_affected() > 0 {
                        more_rows += 1;
                        more_bytes += size;
                    }
                }
            }
            sqlx::query(COUNT).bind(more_rows).bind(more_bytes).execute(&mut *$tx).await?;
        }
    }};
}

pub(super) use keep;

impl Store {
    /// What was kept aside from `since_ms` to before `until_ms` and has a number above `after`: at most `limit`.
    ///
    /// # Errors
    /// The database is away or fails.
    pub async fn aside(&self, since_ms: i64, until_ms: i64, after: i64, limit: u32) -> Result<Vec<AsideRow>> {
        const SELECT: &str = "SELECT id, received_ms, reason, detail, payload FROM aside \
             WHERE received_ms >= $1 AND received_ms < $2 AND id > $3 ORDER BY id LIMIT $4";
        let rows: Vec<(i64, i64, String, String, Vec<u8>)> = read!(self, pool => {
            let query = sqlx::query_as(SELECT).bind(since_ms).bind(until_ms).bind(after).bind(i64::from(limit));
            query.fetch_all(pool).await?
        });
        let row = |(id, received_ms, reason, detail, payload)| AsideRow { id, received_ms, reason, detail, payload };
        Ok(rows.into_iter().map(row).collect())
    }

    /// Number of things that are kept aside.
    ///
    /// # Errors
    /// The database is away or fails.
    pub async fn aside_count(&self) -> Result<i64> {
        let (rows,): (i64,) =
            read!(self, pool => sqlx::query_as("SELECT aside_rows FROM ledger").fetch_one(pool).await?);
        Ok(rows)
    }
}
