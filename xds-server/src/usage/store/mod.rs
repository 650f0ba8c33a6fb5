//! The store of usage: SQLite beside the server, or PostgreSQL for several servers.
//!
//! What is acknowledged to a proxy is on this store's disk. Both databases hold the same tables
//! (`xds-server/migrations`) and are asked in the same words wherever they allow it.

mod apply;
mod aside;
mod batches;
mod connect;
mod exports;
mod given;
mod hours;
mod kept;
mod keys;
mod ledger;
mod location;
mod payload;
mod postgres;
mod refused;
mod sqlite;
mod sweep;
mod upsert;
mod work;

use std::path::Path;
use std::sync::Arc;

use tokio::sync::OnceCell;
use weir_config::bootstrap::{Retention, ServerUsage};

pub use apply::Incoming;
pub use aside::AsideRow;
pub use batches::Stored;
pub use exports::Export;
pub use hours::{Query, UsageRow};
pub use keys::{EpochKeys, Range};
pub use location::Location;
pub use refused::RefusedEvent;
pub use sweep::Swept;

use connect::Pools;

/// Usage, kept. A clone is the same store.
#[derive(Clone, Debug)]
pub struct Store {
    pools: Pools,
    /// Whether the tables are known to be there.
    prepared: Arc<OnceCell<()>>,
    retention: Retention,
}

/// Why the store did not do it. None of them says that anything is wrong with what it was given: another
/// try may succeed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database is away, full, or fails.
    #[error("the usage database: {0}")]
    Database(#[from] sqlx::Error),
    /// Its tables could not be made or brought up to date, or a newer Weir made them.
    #[error("tables of the usage database: {0}")]
    Tables(#[from] sqlx::migrate::MigrateError),
    /// It did not answer in time.
    #[error("the usage database did not answer within {} s", .0.as_secs())]
    Slow(std::time::Duration),
    /// A stored batch is not what was stored.
    #[error("the batch at position {0} of the usage database cannot be read: {1}")]
    Damaged(i64, String),
}

/// Result of a call to the store.
pub type Result<T> = std::result::Result<T, StoreError>;

/// `$body` on a pool for reading, whichever database it is.
macro_rules! read {
    ($store:expr, $pool:ident => $body:expr) => {{
        $store.prepare().await?;
        match &$store.pools {
            $crate::usage::store::connect::Pools::Sqlite { read: $pool, .. } => $body,
            $crate::usage::store::connect::Pools::Postgres($pool) => $body,
        }
    }};
}

/// `$body` in a transaction, whichever database it is.
macro_rules! write {
    ($store:expr, $tx:ident => $body:expr) => {{
        $store.prepare().await?;
        match &$store.pools {
            $crate::usage::store::connect::Pools::Sqlite { write, .. } => {
                let mut $tx = write.begin_with($crate::usage::store::sqlite::BEGIN).await?;
                let result = $body;
                $tx.commit().await?;
                result
            }
            $crate::usage::store::connect::Pools::Postgres(pool) => {
                let mut $tx = pool.begin_with($crate::usage::store::postgres::BEGIN).await?;
                let result = $body;
                $tx.commit().await?;
                result
            }
        }
    }};
}

use {read, write};

impl Store {
    /// The store that a server's settings name (`WEIR_DATABASE_URL` goes before them), `usage.db` in
    /// `state_dir` where they name none. Nothing is connected to yet: a database that is away is no error here.
    ///
    /// # Errors
    /// A URL that cannot be used, a file that cannot be read.
    pub fn open(usage: &ServerUsage, state_dir: &Path) -> anyhow::Result<Self> {
        Self::at(&Location::find(usage, state_dir)?, &usage.retention)
    }

    /// The same, for somebody who only reads, beside the server that writes: nothing is made or changed.
    ///
    /// # Errors
    /// As [`Store::open`], or where the SQLite file is not there.
    pub fn open_read_only(usage: &ServerUsage, state_dir: &Path) -> anyhow::Result<Self> {
        let location = Location::find(usage, state_dir)?;
        let pools = Pools::read_only(&location)?;
        Ok(Self { pools, prepared: Arc::new(OnceCell::new_with(Some(()))), retention: usage.retention.clone() })
    }

    /// The store at `location`.
    ///
    /// # Errors
    /// A URL that cannot be used.
    pub fn at(location: &Location, retention: &Retention) -> anyhow::Result<Self> {
        Ok(Self { pools: Pools::new(location)?, prepared: Arc::default(), retention: retention.clone() })
    }

    /// Connects and brings the tables up to date, once. Every call of the store does so first.
    ///
    /// # Errors
    /// The database is away, or its tables cannot be used.
    pub async fn prepare(&self) -> Result<()> {
        self.prepared.get_or_try_init(|| self.pools.migrate()).await.copied()
    }

    /// Which database it is, for people: without user and password.
    pub fn describe(&self) -> String {
        self.pools.describe()
    }

    /// Runs a statement, for tests that damage a database.
    ///
    /// # Errors
    /// The database is away or fails.
    #[cfg(any(test, feature = "testing"))]
    pub async fn execute(&self, statement: &'static str) -> Result<()> {
        write!(self, tx => {
            sqlx::query(statement).execute(&mut *tx).await?;
        });
        Ok(())
    }

    /// Closes its connections; whatever was acknowledged is stored already.
    pub async fn close(&self) {
        self.pools.close().await;
    }
}

#[cfg(test)]
pub(crate) mod tests;
