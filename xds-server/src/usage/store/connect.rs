//! Connections, and tables made by migrations.

use std::borrow::Cow;
use std::fmt;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{PgPool, SqlSafeStr, SqlitePool};

use super::{Location, StoreError};

/// How long a connection is waited for.
const ACQUIRE: Duration = Duration::from_secs(5);
/// How long SQLite waits for another process that writes.
const BUSY: Duration = Duration::from_secs(5);
/// How often tables are tried to be made, where two processes do so.
const MIGRATION_TRIES: u32 = 5;
/// Connections to PostgreSQL, and those that read SQLite.
const CONNECTIONS: u32 = 8;

/// A server whose transactions return before they are on disk would acknowledge what a crash undoes.
const DURABLE: &str =
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";

/// Connections to the database.
#[derive(Clone)]
pub(super) enum Pools {
    /// One that writes, since SQLite takes one writer; and some that read beside it.
    Sqlite { location: Location, write: SqlitePool, read: SqlitePool },
    /// A pool for both.
    Postgres(PgPool),
}

impl Pools {
    pub(super) fn new(location: &Location) -> anyhow::Result<Self> {
        match location {
            Location::Sqlite(path) => {
                let options = sqlite(path).create_if_missing(true);
                let write = SqlitePoolOptions::new().max_connections(1).acquire_timeout(ACQUIRE);
                Ok(Self::Sqlite {
                    location: location.clone(),
                    write: write.connect_lazy_with(options.clone()),
                    read: sqlite_readers().connect_lazy_with(options),
                })
            }
            Location::Postgres(options) => Ok(Self::Postgres(postgres(options))),
        }
    }

    pub(super) fn read_only(location: &Location) -> anyhow::Result<Self> {
        match location {
            Location::Sqlite(path) => {
                std::fs::metadata(path).with_context(|| format!("no usage is stored at {}", path.display()))?;
                let pool = sqlite_readers().connect_lazy_with(sqlite(path).pragma("query_only", "on"));
                Ok(Self::Sqlite { location: location.clone(), write: pool.clone(), read: pool })
            }
            Location::Postgres(options) => {
                let options = options.as_ref().clone().options([("default_transaction_read_only", "on")]);
                Ok(Self::Postgres(postgres(&options)))
            }
        }
    }

    /// Makes the tables or brings them up to date.
    pub(super) async fn migrate(&self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite { location, write, .. } => {
                if let Location::Sqlite(path) = location {
                    private_file(path).map_err(sqlx::Error::Io)?;
                }
                let migrations = migrations(
                    include_str!("../../../migrations/sqlite/0001_usage.sql"),
                    include_str!("../../../migrations/sqlite/0002_out.sql"),
                    include_str!("../../../migrations/sqlite/0003_given.sql"),
                );
                // SQLite has no lock for this: where another process makes the same tables now, one of the two is
                // late, and finds on another try that nothing is left to do.
                let mut tries = 1;
                while let Err(error) = migrations.run(write).await {
                    if tries == MIGRATION_TRIES {
                        return Err(error.into());
                    }
                    tries += 1;
                }
            }
            Self::Postgres(pool) => {
                migrations(
                    include_str!("../../../migrations/postgres/0001_usage.sql"),
                    include_str!("../../../migrations/postgres/0002_out.sql"),
                    include_str!("../../../migrations/postgres/0003_given.sql"),
                )
                .run(pool)
                .await?;
            }
        }
        Ok(())
    }

    pub(super) fn describe(&self) -> String {
        match self {
            Self::Sqlite { location, .. } => location.to_string(),
            Self::Postgres(pool) => Location::Postgres(Box::new(pool.connect_options().as_ref().clone())).to_string(),
        }
    }

    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite { write, read, .. } => {
                read.close().await;
                write.close().await;
            }
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

impl fmt::Debug for Pools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}

/// One file a version; none is ever changed after it was released.
fn migrations(usage: &'static str, out: &'static str, given: &'static str) -> Migrator {
    let one = |version, name, text: &'static str| {
        Migration::new(version, Cow::Borrowed(name), MigrationType::Simple, text.into_sql_str(), false)
    };
    Migrator::with_migrations(vec![one(1, "usage", usage), one(2, "out", out), one(3, "given", given)])
}

fn sqlite(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY)
}

fn sqlite_readers() -> SqlitePoolOptions {
    SqlitePoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(ACQUIRE)
}

fn postgres(options: &PgConnectOptions) -> PgPool {
    PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(ACQUIRE)
        .after_connect(|connection, _| {
            Box::pin(async move { sqlx::query(DURABLE).execute(connection).await.map(|_| ()) })
        })
        .connect_lazy_with(options.clone().application_name("weir"))
}

/// Makes the file, and its folder, for this user alone. SQLite gives the files beside it the same mode.
fn private_file(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(path).map(|_| ())
}
