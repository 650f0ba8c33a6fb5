//! What the store promises, on both databases: each specification is a function of the database that it is
//! held against.

mod basics;
mod concurrent;
mod conflicts;
mod crash;
mod given;
mod property;
mod reading;
mod retention;

use std::sync::Arc;

use prost::Message;

use weir_config::bootstrap::{Retention, ServerUsage};
use weir_config::usage::{Units, v1};

use super::connect::Pools;
use super::{AsideRow, Export, Incoming, Location, Query, Store, UsageRow, ledger, postgres};
use crate::testing::postgres::Postgres;
use crate::usage::answer::answer;
use crate::usage::book::{Applied, Receipt};
use crate::usage::query::{Question, Row};
use crate::usage::span::{DAY_MS, HOUR_MS};
use crate::usage::{Batch, Epoch, Scope};

/// An empty database.
pub(crate) struct Database {
    location: Location,
    _folder: Option<tempfile::TempDir>,
    _server: Option<Arc<Postgres>>,
}

impl Database {
    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { location: Location::Sqlite(folder.path().join("state/usage.db")), _folder: Some(folder), _server: None }
    }

    pub(crate) fn postgres() -> Self {
        let server = Postgres::shared();
        let location = server.database().parse().unwrap();
        Self { location, _folder: None, _server: Some(server) }
    }

    /// A server's store of it: each one is another replica.
    pub(crate) fn store(&self) -> Store {
        Store::at(&self.location, &Retention::default()).unwrap()
    }
}

/// Tests of specifications: one for each on SQLite; on PostgreSQL one for all of them, since a server takes
/// its time to start. It says which one it is at.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::usage::store::tests::Database::sqlite()).await;
            })*
        }
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn postgres() {
            let _server = crate::testing::postgres::Postgres::shared();
            $(
                eprintln!(stringify!($name));
                $name(crate::usage::store::tests::Database::postgres()).await;
            )*
        }
    };
}
pub(crate) use on_both;

/// 2026-03-01T10:00:00Z.
const TEN: i64 = 1_772_359_200_000;
/// Some minutes later.
const NOW: i64 = TEN + 20 * 60_000;

/// Begin of that day.
const MIDNIGHT: i64 = TEN - 10 * HOUR_MS;

const NEW: Receipt = Receipt { applied: Applied::New, refused: 0, rebooked: false };
const DUPLICATE: Receipt = Receipt { applied: Applied::Duplicate, ..NEW };
const CONFLICT: Receipt = Receipt { applied: Applied::Conflict, ..NEW };

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

/// What was merged from several windows.
fn range(first: u64, last: u64) -> Batch {
    Batch { first_sequence: first, ..batch(1, last, &[("acme", 1)]) }
}

/// The batch that was kept aside.
fn message(aside: &AsideRow) -> Batch {
    Batch::try_from(&v1::UsageBatch::decode(aside.payload.as_slice()).unwrap()).unwrap()
}

fn everything() -> Query {
    Query { since_ms: i64::MIN, until_ms: i64::MAX, tenant: None, after: None, limit: 10_000 }
}

/// All rows of an answer.
async fn answered(store: &Store, question: Question) -> Vec<Row> {
    let mut pages = answer(store, question).await.unwrap().pages;
    let mut rows = Vec::new();
    while let Some(page) = pages.recv().await {
        rows.append(&mut page.unwrap());
    }
    rows
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
