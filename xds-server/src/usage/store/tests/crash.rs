//! PostgreSQL, and a server with SQLite, are killed while they work.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

/// Kills of PostgreSQL.
const ROUNDS: u64 = 3;
/// Proxies that send at the same time.
const PROXIES: u8 = 4;

/// What proxies do: a batch is sent until it is acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_stored_once_though_postgres_is_killed() {
    let server = Arc::new(Postgres::start());
    let location: Location = server.database().parse().unwrap();
    let stores = [(); 2].map(|()| Store::at(&location, &Retention::default()).unwrap());
    stores[0].prepare().await.unwrap();
    let acknowledged = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicU64::new(u64::MAX));
    let mut proxies = tokio::task::JoinSet::new();
    for epoch in 0..PROXIES {
        let store = stores[usize::from(epoch) % 2].clone();
        let (acknowledged, stop) = (Arc::clone(&acknowledged), Arc::clone(&stop));
        proxies.spawn(async move {
            let mut sequence = 0;
            while acknowledged.load(Ordering::SeqCst) < stop.load(Ordering::SeqCst) {
                sequence += 1;
                let batch = batch(epoch, sequence, &[("acme", 1), ("globex", 2)]);
                while store.apply(&batch, &Scope::Everything, NOW).await.is_err() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                acknowledged.fetch_add(1, Ordering::SeqCst);
            }
            sequence
        });
    }
    let mut random = StdRng::seed_from_u64(7);
    for _ in 0..ROUNDS {
        let more = acknowledged.load(Ordering::SeqCst) + random.random_range(5..60);
        while acknowledged.load(Ordering::SeqCst) < more {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let server = Arc::clone(&server);
        tokio::task::spawn_blocking(move || {
            server.kill();
            server.launch();
        })
        .await
        .unwrap();
    }
    stop.store(acknowledged.load(Ordering::SeqCst) + 20, Ordering::SeqCst);
    let sent: u64 = proxies.join_all().await.into_iter().sum();
    assert_eq!(sent, acknowledged.load(Ordering::SeqCst));

    let hours = stores[0].hours(&everything()).await.unwrap();
    assert_eq!(hours, rows(&[(TEN, "acme", sent), (TEN, "globex", 2 * sent)]));
    let stored = stores[1].batches(0, u32::MAX).await.unwrap();
    let positions: Vec<_> = stored.iter().map(|stored| stored.position).collect();
    assert_eq!(positions, (1..=sent as i64).collect::<Vec<_>>());
    for keys in stores[0].keys(i64::MIN, i64::MAX).await.unwrap() {
        assert_eq!(keys.ranges.len(), 1, "no sequence of epoch {} is missing", keys.epoch);
    }
}

/// Names the SQLite file to the process that is killed, and the first sequence to apply.
const CHILD: [&str; 2] = ["WEIR_TEST_USAGE_DB", "WEIR_TEST_USAGE_FROM"];
/// What it says of a batch, before its sequence.
const ACKNOWLEDGED: &str = "acknowledged ";

/// The process that is killed is this test again, told so by its environment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_stored_once_though_the_server_with_sqlite_is_killed() {
    let [path, from] = CHILD.map(|name| std::env::var(name).ok());
    if let (Some(path), Some(from)) = (path, from) {
        return apply_until_killed(&Location::Sqlite(path.into()), from.parse().unwrap()).await;
    }
    let database = Database::sqlite();
    let mut random = StdRng::seed_from_u64(7);
    let mut acknowledged = 0;
    for _ in 0..ROUNDS {
        // Some end while their last batch is applied: the next begins with that one, as a proxy does.
        acknowledged = kill_after(&database.location, acknowledged, random.random_range(1..40)).await;
    }
    let store = database.store();
    let receipt = store.apply(&batch(1, acknowledged + 1, &USAGE), &Scope::Everything, NOW).await.unwrap();
    assert!(receipt == NEW || receipt == DUPLICATE, "{receipt:?}");
    let sent = acknowledged + 1;
    let hours = store.hours(&everything()).await.unwrap();
    assert_eq!(hours, rows(&[(TEN, "acme", sent), (TEN, "globex", 2 * sent)]));
    let stored = store.batches(0, u32::MAX).await.unwrap();
    let sequences: Vec<_> = stored.iter().map(|stored| stored.batch.sequence).collect();
    assert_eq!(sequences, (1..=sent).collect::<Vec<_>>());
}

const USAGE: [(&str, u64); 2] = [("acme", 1), ("globex", 2)];

async fn apply_until_killed(location: &Location, from: u64) {
    let store = Store::at(location, &Retention::default()).unwrap();
    let mut out = std::io::stdout();
    for sequence in from.. {
        store.apply(&batch(1, sequence, &USAGE), &Scope::Everything, NOW).await.unwrap();
        // Nobody to hear it: the test has ended.
        if writeln!(out, "\n{ACKNOWLEDGED}{sequence}").and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}

/// Starts the process, kills it after so many batches were acknowledged: the last that was.
async fn kill_after(location: &Location, acknowledged: u64, more: usize) -> u64 {
    let Location::Sqlite(path) = location else { panic!("a SQLite store") };
    let mut command = Command::new(std::env::current_exe().unwrap());
    let name =
        "usage::store::tests::crash::what_was_acknowledged_is_stored_once_though_the_server_with_sqlite_is_killed";
    command.args(["--exact", "--nocapture", name]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.env(CHILD[0], path).env(CHILD[1], (acknowledged + 1).to_string());
    tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut heard = lines.filter_map(|line| line.strip_prefix(ACKNOWLEDGED)?.parse().ok());
        let last = heard.by_ref().take(more).last();
        child.kill().unwrap();
        child.wait().unwrap();
        // What it said before it died was acknowledged, too.
        heard.last().or(last).expect("something was acknowledged")
    })
    .await
    .unwrap()
}
