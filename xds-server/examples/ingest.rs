//! How much usage a server takes in: batches and rows a second, on SQLite and on PostgreSQL, and the bytes
//! that they take on disk.
//!
//! `cargo run --release -p weir-xds-server --features testing --example ingest`
//!
//! Batches go the way of the server's, from decoded message to acknowledgement, but for the wire. Each stream has at
//! most 16 without an acknowledgement, and all streams report the same tenants: that is how proxies of one
//! edge behave, and the worst case for locks. After the first batch every row is an update of the hour's and day's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures::StreamExt;
use futures::stream::FuturesOrdered;
use weir_config::bootstrap::Retention;
use weir_config::usage::{Units, v1};
use weir_xds_server::metrics::Metrics;
use weir_xds_server::testing::postgres::Postgres;
use weir_xds_server::usage::intake::{Intake, Unavailable, now_ms};
use weir_xds_server::usage::metrics::Stats;
use weir_xds_server::usage::store::Location;
use weir_xds_server::usage::{Batch, Epoch, Scope, Store};

/// Tenants of a batch.
const TENANTS: [usize; 4] = [10, 100, 1000, 4096];
/// Proxies that send at the same time.
const STREAMS: [u8; 2] = [1, 8];
/// Batches without an acknowledgement, of one stream.
const WINDOW: usize = 16;
/// Rows of them, but for the last batch's: the server reads no further ahead.
const WINDOW_ROWS: usize = 8192;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let seconds: u64 = match std::env::args().nth(1) {
        Some(seconds) => seconds.parse().context("the first argument is the seconds of each measurement")?,
        None => 3,
    };
    let length = Duration::from_secs(seconds);
    println!(
        "{:<12}{:>9}{:>9}{:>12}{:>12}{:>14}",
        "database", "streams", "tenants", "batches/s", "rows/s", "bytes a batch"
    );
    let server = Postgres::start();
    for streams in STREAMS {
        for tenants in TENANTS {
            let folder = tempfile::tempdir()?;
            let place = folder.path().join("usage.db");
            let batches = measure(&Location::Sqlite(place.clone()), streams, tenants, length).await?;
            let bytes = std::fs::metadata(&place)?.len();
            print("SQLite", streams, tenants, batches, length, bytes);
        }
    }
    for streams in STREAMS {
        for tenants in TENANTS {
            let url = server.database();
            let batches = measure(&url.parse()?, streams, tenants, length).await?;
            let name = url.split(['/', '?']).nth(3).unwrap_or_default();
            let size = |table: &str| server.sql(name, &format!("SELECT pg_total_relation_size('{table}')"));
            print("PostgreSQL", streams, tenants, batches, length, size("batches").parse()?);
            if streams == 1 && tenants == 4096 {
                println!(
                    "  usage_hours: {} bytes for {tenants} rows after {batches} updates each",
                    size("usage_hours")
                );
            }
        }
    }
    Ok(())
}

fn print(database: &str, streams: u8, tenants: usize, batches: u64, length: Duration, bytes: u64) {
    let rate = batches as f64 / length.as_secs_f64();
    let rows = rate * tenants as f64;
    println!("{database:<12}{streams:>9}{tenants:>9}{rate:>12.0}{rows:>12.0}{:>14}", bytes / batches.max(1));
}

/// Batches that were acknowledged within `length`.
async fn measure(location: &Location, streams: u8, tenants: usize, length: Duration) -> anyhow::Result<u64> {
    let store = Store::at(location, &Retention::default())?;
    store.prepare().await?;
    let (intake, applier) = Intake::new(store.clone(), Arc::new(Metrics::new()?), Arc::new(Stats::new(100)));
    let applier = tokio::spawn(applier);
    let end = Instant::now() + length;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..streams {
        tasks.spawn(stream(intake.clone(), number, tenants, end));
    }
    drop(intake);
    let mut batches = 0;
    while let Some(done) = tasks.join_next().await {
        batches += done?.map_err(|Unavailable| anyhow::anyhow!("the store could not be had"))?;
    }
    applier.await?;
    store.close().await;
    Ok(batches)
}

async fn stream(intake: Intake, number: u8, tenants: usize, end: Instant) -> Result<u64, Unavailable> {
    let batch = batch(number, tenants);
    let ahead = WINDOW.min(WINDOW_ROWS.div_ceil(tenants));
    let mut waiting = FuturesOrdered::new();
    let (mut sequence, mut acknowledged) = (0, 0);
    while Instant::now() < end {
        while waiting.len() < ahead {
            sequence += 1;
            waiting.push_back(intake.apply(numbered(&batch, sequence), Scope::Everything));
        }
        if let Some(receipt) = waiting.next().await {
            receipt?;
            acknowledged += 1;
        }
    }
    Ok(acknowledged)
}

/// A batch as it comes out of a message.
fn numbered(message: &v1::UsageBatch, sequence: u64) -> Batch {
    let message = v1::UsageBatch { sequence, first_sequence: sequence, ..message.clone() };
    #[expect(clippy::expect_used, reason = "made below, with nothing that a check refuses")]
    Batch::try_from(&message).expect("a batch that is right")
}

fn batch(number: u8, tenants: usize) -> v1::UsageBatch {
    let started_ms = now_ms();
    // Amounts as of a tenant with some requests a second.
    let amounts =
        |n: usize| Units([40, 32_000, 640_000, 900, 1, 2, 0, 0].map(|amount| amount + n as u64 * amount / 100));
    let usage: BTreeMap<_, _> = (0..tenants).map(|n| (format!("tenant-{n:06}"), amounts(n))).collect();
    let batch = Batch {
        epoch: Epoch(rand::random()),
        first_sequence: 1,
        sequence: 1,
        proxy: format!("edge-{number}"),
        started_ms,
        ended_ms: started_ms + 10_000,
        last: false,
        lost_open_window: false,
        usage,
    };
    v1::UsageBatch::from(&batch)
}
