//! PostgreSQL is killed while it works.

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
