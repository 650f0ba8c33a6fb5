//! The one row that orders batches.
//!
//! In PostgreSQL its lock is held from here to the commit, so positions become visible in their order: a
//! transaction that has taken `p + 1` waited for the one with `p` to commit or to give `p` back. A
//! snapshot that sees a position sees all smaller ones, and a reader of `position > cursor` skips none. It
//! is therefore taken last, when all else is written. In SQLite there is one writer anyway.

/// Takes so many positions.
pub(super) const TAKE: &str = "UPDATE ledger SET position = position + $1 RETURNING position";

/// Takes `$count` positions; the one before the first of them.
macro_rules! take {
    ($tx:ident, $count:expr) => {{
        let count = i64::try_from($count).unwrap_or(i64::MAX);
        let (newest,): (i64,) =
            sqlx::query_as($crate::usage::store::ledger::TAKE).bind(count).fetch_one(&mut *$tx).await?;
        newest - count
    }};
}

pub(super) use take;
