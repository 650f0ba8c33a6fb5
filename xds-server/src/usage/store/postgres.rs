//! Applying batches in PostgreSQL.
//!
//! A transaction takes its locks in an order that is the same for every server: epochs by their lock's
//! number, hours by begin and tenant, days likewise, the ledger last. So none waits in a circle.

use std::sync::LazyLock;

use sqlx::{PgConnection, PgPool};
use weir_config::usage::Metric;

use super::aside::keep;
use super::ledger;
use super::upsert::{self, DAYS, HOURS};
use super::work::Work;
use crate::usage::book::{Aside, Entry, Plan, Sums, Taken};

/// Each statement sees what was committed before it, whatever the database's default: what is stored of an
/// epoch is read after its lock was waited for.
pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// One epoch is written by one transaction at a time, so that no two insert sequences that overlap. The lock's
/// number is a part of the epoch, which is random; two that share it wait for each other, no more.
const LOCK: &str = "SELECT count(pg_advisory_xact_lock(number)) FROM unnest($1::bigint[]) AS number";

/// Stored ranges that may have sequences in common with each batch.
const TAKEN: &str = "\
SELECT wanted.n, stored.first_sequence, stored.sequence, stored.digest \
FROM unnest($1::bytea[], $2::bigint[]) WITH ORDINALITY AS wanted(epoch, first, n) \
CROSS JOIN LATERAL ( \
    (SELECT first_sequence, sequence, digest FROM batches \
        WHERE epoch = wanted.epoch AND sequence >= wanted.first ORDER BY sequence LIMIT 1) \
    UNION ALL (SELECT first_sequence, sequence, NULL FROM swept \
        WHERE epoch = wanted.epoch AND sequence >= wanted.first ORDER BY sequence LIMIT 1) \
) AS stored";

const INSERT: &str = "\
INSERT INTO batches (epoch, sequence, first_sequence, position, proxy, started_ms, ended_ms, booked_ms, is_last, \
    lost_open_window, digest, payload, received_ms) \
SELECT *, $13 FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::bigint[], \
    $7::bigint[], $8::bigint[], $9::boolean[], $10::boolean[], $11::bytea[], $12::bytea[])";

static ADD_HOURS: LazyLock<String> = LazyLock::new(|| add_statement(HOURS));
static ADD_DAYS: LazyLock<String> = LazyLock::new(|| add_statement(DAYS));

fn add_statement(table: &str) -> String {
    let amounts: String = (0..Metric::ALL.len()).map(|n| format!(", ${}::bigint[]", n + 3)).collect();
    upsert::statement(table, &format!("SELECT * FROM unnest($1::bigint[], $2::text[]{amounts})"))
}

/// One transaction.
pub(super) async fn apply<'w>(pool: &PgPool, work: &'w Work<'_>) -> sqlx::Result<Plan<'w>> {
    let mut tx = pool.begin_with(BEGIN).await?;
    let mut locks: Vec<i64> = work.entries.iter().map(lock).collect();
    locks.sort_unstable();
    locks.dedup();
    sqlx::query(LOCK).bind(&locks).execute(&mut *tx).await?;
    let taken = taken(&mut tx, &work.entries).await?;
    let plan = Plan::new(&work.entries, &taken);
    if plan.writes() {
        add(&mut tx, ADD_HOURS.as_str(), &plan.hours).await?;
        add(&mut tx, ADD_DAYS.as_str(), &plan.days).await?;
        let position = ledger::take!(tx, plan.new.len());
        insert(&mut tx, work, &plan.new, position).await?;
        keep!(tx, &plan.aside, work.now_ms);
    }
    tx.commit().await?;
    Ok(plan)
}

/// Keeps things aside, in a transaction of their own.
pub(super) async fn aside(pool: &PgPool, aside: &[Aside], now_ms: i64) -> sqlx::Result<()> {
    let mut tx = pool.begin_with(BEGIN).await?;
    keep!(tx, aside, now_ms);
    tx.commit().await
}

fn lock(entry: &Entry<'_>) -> i64 {
    let [a, b, c, d, e, f, g, h, ..] = entry.batch.epoch.0;
    i64::from_be_bytes([a, b, c, d, e, f, g, h])
}

async fn taken(tx: &mut PgConnection, entries: &[Entry<'_>]) -> sqlx::Result<Vec<Vec<Taken>>> {
    let epochs: Vec<&[u8]> = entries.iter().map(|entry| &entry.batch.epoch.0[..]).collect();
    let firsts: Vec<i64> = entries.iter().map(|entry| entry.first).collect();
    let rows: Vec<(i64, i64, i64, Option<Vec<u8>>)> =
        sqlx::query_as(TAKEN).bind(epochs).bind(firsts).fetch_all(tx).await?;
    let mut taken = vec![Vec::new(); entries.len()];
    for (n, first, last, digest) in rows {
        let digest = digest.and_then(|digest| digest.try_into().ok());
        // Numbered from 1.
        if let Some(of_one) = usize::try_from(n - 1).ok().and_then(|n| taken.get_mut(n)) {
            of_one.push(Taken { first, last, digest });
        }
    }
    Ok(taken)
}

async fn add(tx: &mut PgConnection, statement: &'static str, sums: &Sums<'_>) -> sqlx::Result<()> {
    if sums.is_empty() {
        return Ok(());
    }
    let (starts, tenants): (Vec<i64>, Vec<&str>) = sums.keys().copied().unzip();
    let mut columns: [Vec<i64>; Metric::ALL.len()] = std::array::from_fn(|_| Vec::with_capacity(sums.len()));
    for units in sums.values() {
        for (column, amount) in columns.iter_mut().zip(upsert::amounts(units)) {
            column.push(amount);
        }
    }
    let query = sqlx::query(statement).bind(starts).bind(tenants);
    columns.into_iter().fold(query, |query, column| query.bind(column)).execute(tx).await?;
    Ok(())
}

async fn insert(tx: &mut PgConnection, work: &Work<'_>, new: &[usize], position: i64) -> sqlx::Result<()> {
    if new.is_empty() {
        return Ok(());
    }
    let entries: Vec<&Entry<'_>> = new.iter().map(|&n| &work.entries[n]).collect();
    fn column<'e, 'b, T>(entries: &[&'e Entry<'b>], value: impl Fn(&'e Entry<'b>) -> T) -> Vec<T> {
        entries.iter().copied().map(value).collect()
    }
    let positions: Vec<i64> = (position + 1..).take(new.len()).collect();
    let payloads: Vec<&[u8]> = new.iter().map(|&n| work.payloads[n].as_slice()).collect();
    sqlx::query(INSERT)
        .bind(column(&entries, |entry| &entry.batch.epoch.0[..]))
        .bind(column(&entries, |entry| entry.last))
        .bind(column(&entries, |entry| entry.first))
        .bind(positions)
        .bind(column(&entries, |entry| entry.message.proxy.as_str()))
        .bind(column(&entries, |entry| entry.batch.started_ms))
        .bind(column(&entries, |entry| entry.batch.ended_ms))
        .bind(column(&entries, |entry| entry.booked_ms))
        .bind(column(&entries, |entry| entry.batch.last))
        .bind(column(&entries, |entry| entry.batch.lost_open_window))
        .bind(column(&entries, |entry| &entry.digest[..]))
        .bind(payloads)
        .bind(work.now_ms)
        .execute(tx)
        .await?;
    Ok(())
}
