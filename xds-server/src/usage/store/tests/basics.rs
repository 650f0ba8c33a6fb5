//! A batch is booked once.

use super::*;
use crate::usage::book::{Applied, DAY_MS, HOUR_MS, Receipt};

const NEW: Receipt = Receipt { applied: Applied::New, refused: 0, rebooked: false };

super::on_both!(a_batch_is_in_its_hour_and_its_day_once);

/// Begin of the day that holds [`TEN`].
const MIDNIGHT: i64 = TEN - 10 * HOUR_MS;

async fn a_batch_is_in_its_hour_and_its_day_once(database: Database) {
    let store = database.store();
    let first = batch(1, 1, &[("acme", 5), ("globex", 7)]);
    let half = TEN + HOUR_MS / 2;
    let second = Batch { started_ms: half, ended_ms: half + 10_000, ..batch(1, 2, &[("acme", 1)]) };
    let mut later = Batch { started_ms: TEN - 1, ..batch(1, 3, &[("acme", 10), ("-", 3)]) };
    later.proxy = "renamed".into();
    for batch in [&first, &second, &later] {
        assert_eq!(store.apply(batch, &Scope::Everything, TEN + HOUR_MS).await.unwrap(), NEW);
    }
    for batch in [&Batch { proxy: "another".into(), ..later.clone() }, &first] {
        let again = store.apply(batch, &Scope::Everything, NOW).await.unwrap();
        assert_eq!(again, Receipt { applied: Applied::Duplicate, ..NEW });
    }
    let hours = rows(&[(TEN - HOUR_MS, "-", 3), (TEN - HOUR_MS, "acme", 10), (TEN, "acme", 6), (TEN, "globex", 7)]);
    assert_eq!(store.hours(&everything()).await.unwrap(), hours);
    let days = rows(&[(MIDNIGHT, "-", 3), (MIDNIGHT, "acme", 16), (MIDNIGHT, "globex", 7)]);
    assert_eq!(store.days(&everything()).await.unwrap(), days);
    assert_eq!(MIDNIGHT % DAY_MS, 0);

    let of_acme = Query { tenant: Some("acme".into()), ..everything() };
    assert_eq!(store.hours(&of_acme).await.unwrap(), rows(&[(TEN - HOUR_MS, "acme", 10), (TEN, "acme", 6)]));
    let stored = store.batches(1, 10).await.unwrap();
    assert_eq!(stored.iter().map(|stored| stored.position).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(stored[0].batch, second);
    assert_eq!(stored[1].batch, later);
}
