//! What the store promises, on both databases: each specification is a function of the database that it is
//! held against.

mod basics;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use weir_config::bootstrap::Retention;
use weir_config::usage::Units;

use super::{Location, Query, Store, UsageRow};
use crate::testing::postgres::Postgres;
use crate::usage::{Batch, Epoch, Scope};

/// An empty database.
struct Database {
    location: Location,
    folder: tempfile::TempDir,
    server: Option<Arc<Postgres>>,
}

impl Database {
    fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { location: Location::Sqlite(folder.path().join("state/usage.db")), folder, server: None }
    }

    fn postgres() -> Self {
        let server = Postgres::shared();
        let location = server.database().parse().unwrap();
        Self { location, folder: tempfile::tempdir().unwrap(), server: Some(server) }
    }

    /// A server's store of it: each one is another replica.
    fn store(&self) -> Store {
        Store::at(&self.location, &Retention::default()).unwrap()
    }
}

/// Makes a test for each database of each specification.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::usage::store::tests::Database::sqlite()).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::usage::store::tests::Database::postgres()).await;
            })*
        }
    };
}
use on_both;

/// 2026-03-01T10:00:00Z.
const TEN: i64 = 1_772_359_200_000;
/// Some minutes later.
const NOW: i64 = TEN + 20 * 60_000;

/// A window of ten seconds that began at ten.
fn batch(epoch: u8, sequence: u64, usage: &[(&str, u64)]) -> Batch {
    Batch {
        epoch: Epoch([epoch; 16]),
        first_sequence: sequence,
        sequence,
        proxy: format!("edge-{epoch}"),
        started_ms: TEN,
        ended_ms: TEN + 10_000,
        last: false,
        lost_open_window: false,
        usage: usage.iter().map(|(tenant, amount)| ((*tenant).to_owned(), Units([*amount; 8]))).collect(),
    }
}

fn everything() -> Query {
    Query { since_ms: i64::MIN, until_ms: i64::MAX, tenant: None, after: None, limit: 10_000 }
}

/// Rows with the same amount in every column.
fn rows(rows: &[(i64, &str, u64)]) -> Vec<UsageRow> {
    rows.iter()
        .map(|(start_ms, tenant, amount)| UsageRow {
            start_ms: *start_ms,
            tenant: (*tenant).to_owned(),
            units: Units([*amount; 8]),
        })
        .collect()
}
