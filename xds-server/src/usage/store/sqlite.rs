//! Applying batches in SQLite.

use std::sync::LazyLock;

use sqlx::{SqliteConnection, SqlitePool};

use super::aside::keep;
use super::ledger;
use super::upsert::{self, DAYS, HOURS};
use super::work::Work;
use crate::usage::book::{Aside, Plan, Sums, Taken};

/// The writer's lock at once: a transaction that reads first and writes then could not wait for another's.
pub(super) const BEGIN: &str = "BEGIN IMMEDIATE";

/// Rows of one statement; a sum of these makes any number, and as many statements stay prepared.
const CHUNKS: [usize; 5] = [256, 64, 16, 4, 1];

/// Stored ranges that may have sequences in common with a batch.
const TAKEN: &str = "\
SELECT * FROM (SELECT first_sequence, sequence, digest FROM batches \
    WHERE epoch = $1 AND sequence >= $2 ORDER BY sequence LIMIT 1) \
UNION ALL SELECT * FROM (SELECT first_sequence, sequence, NULL FROM swept \
    WHERE epoch = $1 AND sequence >= $2 ORDER BY sequence LIMIT 1)";

const INSERT: &str = "\
INSERT INTO batches (epoch, sequence, first_sequence, position, proxy, started_ms, ended_ms, booked_ms, received_ms, \
    is_last, lost_open_window, digest, payload) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";

static ADD_HOURS: LazyLock<[String; CHUNKS.len()]> = LazyLock::new(|| CHUNKS.map(|rows| add_statement(HOURS, rows)));
static ADD_DAYS: LazyLock<[String; CHUNKS.len()]> = LazyLock::new(|| CHUNKS.map(|rows| add_statement(DAYS, rows)));

fn add_statement(table: &str, rows: usize) -> String {
    let row = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    upsert::statement(table, &format!("VALUES {}", vec![row; rows].join(", ")))
}

/// One transaction.
pub(super) async fn apply<'w>(pool: &SqlitePool, work: &'w Work<'_>) -> sqlx::Result<Plan<'w>> {
    let mut tx = pool.begin_with(BEGIN).await?;
    let mut taken = Vec::with_capacity(work.entries.len());
    for entry in &work.entries {
        let rows: Vec<(i64, i64, Option<Vec<u8>>)> =
            sqlx::query_as(TAKEN).bind(&entry.batch.epoch.0[..]).bind(entry.first).fetch_all(&mut *tx).await?;
        let range = |(first, last, digest): (i64, i64, Option<Vec<u8>>)| Taken {
            first,
            last,
            digest: digest.and_then(|digest| digest.try_into().ok()),
        };
        taken.push(rows.into_iter().map(range).collect());
    }
    let plan = Plan::new(&work.entries, &taken);
    if plan.writes() {
        add(&mut tx, &*ADD_HOURS, &plan.hours).await?;
        add(&mut tx, &*ADD_DAYS, &plan.days).await?;
        let mut position = ledger::take!(tx, plan.new.len());
        for &n in &plan.new {
            position += 1;
            insert(&mut tx, work, n, position).await?;
        }
        keep!(tx, &plan.aside, work.now_ms);
    }
    tx.commit().await?;
    Ok(plan)
}

/// Keeps things aside, in a transaction of their own.
pub(super) async fn aside(pool: &SqlitePool, aside: &[Aside], now_ms: i64) -> sqlx::Result<()> {
    let mut tx = pool.begin_with(BEGIN).await?;
    keep!(tx, aside, now_ms);
    tx.commit().await
}

async fn add(tx: &mut SqliteConnection, statements: &'static [String], sums: &Sums<'_>) -> sqlx::Result<()> {
    let rows: Vec<_> = sums.iter().collect();
    let mut rest = rows.as_slice();
    for (size, statement) in CHUNKS.into_iter().zip(statements) {
        while rest.len() >= size {
            let (chunk, after) = rest.split_at(size);
            rest = after;
            let mut query = sqlx::query(statement.as_str());
            for ((start_ms, tenant), units) in chunk {
                query = query.bind(*start_ms).bind(*tenant);
                for amount in upsert::amounts(units) {
                    query = query.bind(amount);
                }
            }
            query.execute(&mut *tx).await?;
        }
    }
    Ok(())
}

async fn insert(tx: &mut SqliteConnection, work: &Work<'_>, n: usize, position: i64) -> sqlx::Result<()> {
    let entry = &work.entries[n];
    sqlx::query(INSERT)
        .bind(&entry.batch.epoch.0[..])
        .bind(entry.last)
        .bind(entry.first)
        .bind(position)
        .bind(&entry.message.proxy)
        .bind(entry.batch.started_ms)
        .bind(entry.batch.ended_ms)
        .bind(entry.booked_ms)
        .bind(work.now_ms)
        .bind(entry.batch.last)
        .bind(entry.batch.lost_open_window)
        .bind(&entry.digest[..])
        .bind(&work.payloads[n])
        .execute(tx)
        .await?;
    Ok(())
}
