//! What is forgotten, and what is not.

use weir_config::bootstrap::Period;

use super::*;
use crate::usage::query::{By, Kept};
use crate::usage::span::Span;
use crate::usage::store::aside::{COUNT, MAX_BYTES, MAX_ROWS};

super::on_both!(
    what_was_kept_for_its_time_is_forgotten,
    a_batch_that_comes_again_after_it_was_forgotten_adds_nothing,
    what_was_not_exported_stays,
    what_is_kept_aside_is_bounded,
    what_was_forgotten_is_known_to_whoever_asks,
);

/// An hour for batches, two for hours, two days for days.
fn retention() -> Retention {
    let hours = |n: u64| Period::seconds(n * 3600);
    Retention { batches: hours(1), hours: hours(2), days: hours(48) }
}

/// A batch of `sequence`, that begins and comes so many hours after ten.
async fn apply_at(store: &Store, sequence: u64, hours: i64) {
    let started_ms = TEN + hours * HOUR_MS;
    let batch = Batch { started_ms, ended_ms: started_ms + 10_000, ..batch(1, sequence, &[("acme", 1)]) };
    assert_eq!(store.apply(&batch, &Scope::Everything, started_ms).await.unwrap(), NEW);
}

async fn what_was_kept_for_its_time_is_forgotten(database: Database) {
    let store = database.store();
    for (sequence, hours) in [(1, 0), (2, 1), (3, 2), (4, 3), (5, 30), (6, 60)] {
        apply_at(&store, sequence, hours).await;
    }
    let at = |hours| TEN + hours * HOUR_MS + 1;
    let swept = store.sweep(at(3), &retention(), None).await.unwrap();
    assert_eq!((swept.batches, swept.hours, swept.days), (2 + 1, 2, 0), "{swept:?}");
    let starts: Vec<_> = store.hours(&everything()).await.unwrap().iter().map(|row| row.start_ms).collect();
    assert_eq!(starts, [2, 3, 30, 60].map(|hours| TEN + hours * HOUR_MS));
    assert_eq!(store.batches(0, 10).await.unwrap().len(), 3);

    let swept = store.sweep(at(60), &retention(), None).await.unwrap();
    assert_eq!((swept.batches, swept.days), (2, 1), "{swept:?}");
    let days = store.days(&everything()).await.unwrap();
    assert_eq!(days, rows(&[(MIDNIGHT + DAY_MS, "acme", 1), (MIDNIGHT + 2 * DAY_MS, "acme", 1)]));
    assert_eq!(store.sweep(at(60), &retention(), None).await.unwrap(), Default::default());
}

async fn a_batch_that_comes_again_after_it_was_forgotten_adds_nothing(database: Database) {
    let store = database.store();
    let all = [range(1, 3), batch(1, 4, &[("acme", 1)]), batch(1, 6, &[("acme", 1)]), batch(2, 1, &[("acme", 1)])];
    // Forgotten in two goes: what lies side by side becomes one range all the same.
    for (n, batch) in all.iter().enumerate() {
        store.apply(batch, &Scope::Everything, TEN + n as i64).await.unwrap();
    }
    for before in [TEN + 1, TEN + 4] {
        store.sweep(before + HOUR_MS, &retention(), None).await.unwrap();
    }
    assert_eq!(store.batches(0, 10).await.unwrap(), []);
    let hours = store.hours(&everything()).await.unwrap();
    for batch in &all {
        assert_eq!(store.apply(batch, &Scope::Everything, NOW).await.unwrap(), DUPLICATE, "{batch:?}");
    }
    assert_eq!(store.apply(&range(2, 4), &Scope::Everything, NOW).await.unwrap(), DUPLICATE);
    assert_eq!(store.apply(&range(4, 5), &Scope::Everything, NOW).await.unwrap(), CONFLICT);
    assert_eq!(store.hours(&everything()).await.unwrap(), hours);
    assert_eq!(store.apply(&batch(1, 5, &[("acme", 1)]), &Scope::Everything, NOW).await.unwrap(), NEW);

    store.apply(&batch(1, 9, &[]), &Scope::Everything, NOW).await.unwrap();
    for (since_ms, first) in [(0, 5), (i64::MIN, 1)] {
        let keys = store.keys(since_ms, i64::MAX).await.unwrap();
        assert_eq!(keys.len(), 1, "the one with a batch that is there");
        let ranges: Vec<_> = keys[0].ranges.iter().map(|range| (range.first, range.last)).collect();
        assert_eq!(ranges, [(first, 6), (9, 9)], "what was forgotten is no gap");
    }
}

async fn what_was_not_exported_stays(database: Database) {
    let store = database.store();
    for sequence in 1..=3 {
        apply_at(&store, sequence, 0).await;
    }
    let later = TEN + 5 * HOUR_MS;
    assert_eq!(store.sweep(later, &retention(), Some("events")).await.unwrap().batches, 0);
    assert!(store.set_pending("events", 0, 2).await.unwrap());
    assert_eq!(store.sweep(later, &retention(), Some("events")).await.unwrap().batches, 0);
    assert!(store.set_done("events", 2).await.unwrap());
    assert_eq!(store.sweep(later, &retention(), Some("events")).await.unwrap().batches, 2);
    assert_eq!(store.sweep(later, &retention(), None).await.unwrap().batches, 1);
}

async fn what_is_kept_aside_is_bounded(database: Database) {
    let store = database.store();
    store.prepare().await.unwrap();
    fill(&store, 0, MAX_BYTES - 10).await;
    store.keep_aside(vec![0; 11], "large", NOW).await.unwrap();
    assert_eq!(store.aside_count().await.unwrap(), 0);
    store.keep_aside(vec![0; 9], "small", NOW).await.unwrap();
    assert_eq!(store.aside_count().await.unwrap(), 1);
    store.keep_aside(vec![0; 2], "small", NOW).await.unwrap();
    assert_eq!(store.aside_count().await.unwrap(), 1);

    fill(&store, MAX_ROWS - 2, -(MAX_BYTES - 10)).await;
    for n in [1, 2] {
        store.keep_aside(vec![n], "one more", NOW).await.unwrap();
        assert_eq!(store.aside_count().await.unwrap(), MAX_ROWS);
    }
    let swept = store.sweep(NOW + 2 * HOUR_MS, &retention(), None).await.unwrap();
    assert_eq!(swept.aside, 2);
    store.keep_aside(vec![2], "there is room again", NOW).await.unwrap();
    assert_eq!(store.aside_count().await.unwrap(), MAX_ROWS - 1);
}

/// As if so many more things were kept aside, and so many bytes.
async fn fill(store: &Store, rows: i64, bytes: i64) {
    match &store.pools {
        Pools::Sqlite { write, .. } => {
            sqlx::query(COUNT).bind(rows).bind(bytes).execute(write).await.unwrap();
        }
        Pools::Postgres(pool) => {
            sqlx::query(COUNT).bind(rows).bind(bytes).execute(pool).await.unwrap();
        }
    }
}

async fn what_was_forgotten_is_known_to_whoever_asks(database: Database) {
    let store = database.store();
    for (sequence, hours) in [(1, 0), (2, 1), (3, 2)] {
        apply_at(&store, sequence, hours).await;
    }
    let nothing = Kept { batches_from_ms: i64::MIN, hours_from_ms: i64::MIN, days_from_ms: i64::MIN };
    assert_eq!(store.kept().await.unwrap(), nothing);
    store.sweep(TEN + 2 * HOUR_MS + 1, &retention(), None).await.unwrap();
    let kept = store.kept().await.unwrap();
    assert!(kept.batches_from_ms > TEN + HOUR_MS && kept.batches_from_ms < TEN + 2 * HOUR_MS, "{kept:?}");
    assert!(kept.hours_from_ms > TEN && kept.hours_from_ms <= TEN + HOUR_MS, "{kept:?}");
    // A begin within an hour whose windows are gone: the whole hour is answered.
    let span = Span { since_ms: TEN + HOUR_MS + 60_000, until_ms: i64::MAX };
    let rows = answered(&store, Question { span, tenant: None, by: By::Total }).await;
    assert_eq!(rows.iter().map(|row| row.units).collect::<Vec<_>>(), [Units([2; 8])]);
}
