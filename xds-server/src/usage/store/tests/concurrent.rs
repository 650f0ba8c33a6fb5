//! Several servers, one database.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::super::StoreError;
use super::*;

super::on_both!(servers_that_write_the_same_rows_lose_nothing, a_reader_of_positions_skips_none);

const TENANTS: usize = 40;
const BATCHES: u64 = 12;

/// Batches of one epoch, whose tenants are those of all others, in whatever order a map gives them.
fn epoch(epoch: u8) -> impl Iterator<Item = Batch> {
    let names: Vec<_> = (0..TENANTS).map(|n| format!("tenant-{n}")).collect();
    (1..=BATCHES).map(move |sequence| {
        let usage: Vec<_> = names.iter().map(|name| (name.as_str(), 1)).collect();
        batch(epoch, sequence, &usage)
    })
}

/// As a sender does: what a database that is busy does not take now comes again.
async fn taken(store: &Store, batch: &Batch) -> Receipt {
    loop {
        match store.apply(batch, &Scope::Everything, NOW).await {
            Err(StoreError::Database(sqlx::Error::PoolTimedOut)) => {}
            other => return other.unwrap(),
        }
    }
}

/// Two servers take everything of eight proxies, each proxy's from both: one stream was cut and begun anew.
async fn apply_all_twice(database: &Database) -> usize {
    let stores = [database.store(), database.store()];
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..8 {
        for store in stores.clone() {
            tasks.spawn(async move {
                let mut new = 0;
                for batch in epoch(number) {
                    let receipt = taken(&store, &batch).await;
                    new += usize::from(receipt == NEW);
                    assert!(receipt == NEW || receipt == DUPLICATE, "{receipt:?}");
                }
                new
            });
        }
    }
    tasks.join_all().await.into_iter().sum()
}

async fn servers_that_write_the_same_rows_lose_nothing(database: Database) {
    let batches = 8 * BATCHES;
    assert_eq!(apply_all_twice(&database).await, batches as usize, "each batch is new once");
    let hours = database.store().hours(&everything()).await.unwrap();
    assert_eq!(hours.len(), TENANTS);
    for row in hours {
        assert_eq!(row.units, Units([batches; 8]), "{}", row.tenant);
    }
    assert_eq!(database.store().batches(0, 1000).await.unwrap().len(), batches as usize);
}

async fn a_reader_of_positions_skips_none(database: Database) {
    let reader = database.store();
    reader.prepare().await.unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let reading = tokio::spawn({
        let over = Arc::clone(&over);
        async move {
            let mut cursor = 0;
            loop {
                let was_over = over.load(Ordering::SeqCst);
                let page = reader.batches(cursor, 7).await.unwrap();
                for stored in &page {
                    assert_eq!(stored.position, cursor + 1, "a smaller one was not there yet");
                    cursor = stored.position;
                }
                if was_over && page.is_empty() {
                    return cursor;
                }
            }
        }
    });
    apply_all_twice(&database).await;
    over.store(true, Ordering::SeqCst);
    assert_eq!(reading.await.unwrap(), 8 * BATCHES as i64);
}

/// The order of commits, looked at closely: a number that is taken holds up those above it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_is_seen_only_after_those_below_it() {
    let database = Database::postgres();
    let store = database.store();
    store.apply(&batch(1, 1, &[]), &Scope::Everything, NOW).await.unwrap();
    let Pools::Postgres(pool) = &store.pools else { panic!("a PostgreSQL store") };

    for commits in [true, false] {
        let before = store.newest().await.unwrap();
        let mut slow = pool.begin_with(postgres::BEGIN).await.unwrap();
        let (taken,): (i64,) = sqlx::query_as(ledger::TAKE).bind(1i64).fetch_one(&mut *slow).await.unwrap();
        assert_eq!(taken, before + 1);
        let next = tokio::spawn({
            let (store, sequence) = (store.clone(), 2 + u64::from(commits));
            async move { store.apply(&batch(1, sequence, &[]), &Scope::Everything, NOW).await.unwrap() }
        });
        // It waits for the ledger, which PostgreSQL tells.
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
             AND wait_event_type = 'Lock' AND query LIKE 'UPDATE ledger%'";
        while sqlx::query_as::<_, (i64,)>(waiting).fetch_one(pool).await.unwrap().0 == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(store.batches(before, 10).await.unwrap(), [], "nothing above the number that is being taken");
        if commits {
            slow.commit().await.unwrap()
        } else {
            slow.rollback().await.unwrap()
        }
        assert_eq!(next.await.unwrap(), NEW);
        let positions: Vec<_> = store.batches(before, 10).await.unwrap().iter().map(|s| s.position).collect();
        assert_eq!(positions, [if commits { taken + 1 } else { taken }]);
    }
}
