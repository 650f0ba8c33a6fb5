//! A batch is booked once, to where it belongs.

use super::*;

super::on_both!(
    a_batch_is_in_its_hour_and_its_day_once,
    sums_stop_at_the_largest_number_of_a_column,
    a_name_is_text_and_nothing_else,
    rows_outside_the_scope_are_refused_alone,
    a_start_that_cannot_be_believed_is_booked_to_now,
    a_batch_without_usage_is_stored,
);

async fn a_batch_is_in_its_hour_and_its_day_once(database: Database) {
    let store = database.store();
    let half = TEN + HOUR_MS / 2;
    let first = batch(1, 1, &[("acme", 5), ("globex", 7)]);
    let second = Batch { started_ms: half, ended_ms: half + 10_000, ..batch(1, 2, &[("acme", 1)]) };
    let mut earlier = Batch { started_ms: TEN - 1, ..batch(1, 3, &[("acme", 10), ("-", 3)]) };
    earlier.last = true;
    for batch in [&first, &second, &earlier] {
        assert_eq!(store.apply(batch, &Scope::Everything, TEN + HOUR_MS).await.unwrap(), NEW);
    }
    // The same, though the proxy has another name by now.
    for batch in [&Batch { proxy: "another".into(), ..earlier.clone() }, &first] {
        assert_eq!(store.apply(batch, &Scope::Everything, NOW).await.unwrap(), DUPLICATE);
    }
    let hours = rows(&[(TEN - HOUR_MS, "-", 3), (TEN - HOUR_MS, "acme", 10), (TEN, "acme", 6), (TEN, "globex", 7)]);
    assert_eq!(store.hours(&everything()).await.unwrap(), hours);
    let days = rows(&[(MIDNIGHT, "-", 3), (MIDNIGHT, "acme", 16), (MIDNIGHT, "globex", 7)]);
    assert_eq!(store.days(&everything()).await.unwrap(), days);

    let stored = store.batches(0, 10).await.unwrap();
    assert_eq!(stored.iter().map(|stored| stored.position).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(stored.into_iter().map(|stored| stored.batch).collect::<Vec<_>>(), [first, second, earlier]);
}

async fn sums_stop_at_the_largest_number_of_a_column(database: Database) {
    let store = database.store();
    let most = i64::MAX as u64;
    let huge = batch(1, 1, &[("acme", u64::MAX), ("globex", most - 1), ("initech", most)]);
    store.apply(&huge, &Scope::Everything, NOW).await.unwrap();
    for sequence in 2..4 {
        let more = batch(1, sequence, &[("acme", 1), ("globex", 1), ("initech", u64::MAX)]);
        store.apply(&more, &Scope::Everything, NOW).await.unwrap();
    }
    let expected = rows(&[(TEN, "acme", most), (TEN, "globex", most), (TEN, "initech", most)]);
    assert_eq!(store.hours(&everything()).await.unwrap(), expected);
    // The batch itself keeps what was sent.
    assert_eq!(store.batches(0, 1).await.unwrap()[0].batch, huge);
}

async fn a_name_is_text_and_nothing_else(database: Database) {
    let store = database.store();
    let long = "x".repeat(253);
    let names = ["'; DROP TABLE usage_hours; --", "\"quoted\"", "a\\b%_", "ü漢字🦀", "$1", "A", "a", &long];
    let usage: Vec<_> = names.iter().map(|name| (*name, 1)).collect();
    for sequence in 1..=2 {
        let batch = batch(1, sequence, &usage);
        assert_eq!(store.apply(&batch, &Scope::Everything, NOW).await.unwrap(), NEW);
        assert_eq!(store.batches(0, 10).await.unwrap()[sequence as usize - 1].batch, batch);
    }
    for name in names {
        let of_one = Query { tenant: Some(name.into()), ..everything() };
        assert_eq!(store.hours(&of_one).await.unwrap(), rows(&[(TEN, name, 2)]));
    }
    // Names are in the order of their bytes, whatever language the database speaks.
    let mut sorted = names;
    sorted.sort_unstable();
    let tenants: Vec<_> = store.hours(&everything()).await.unwrap().into_iter().map(|row| row.tenant).collect();
    assert_eq!(tenants, sorted);
}

async fn rows_outside_the_scope_are_refused_alone(database: Database) {
    let store = database.store();
    let scope = Scope::Tenants(["acme".to_owned()].into());
    let mixed = batch(1, 1, &[("-", 1), ("acme", 2), ("globex", 3), ("initech", 4)]);
    for expected in [Receipt { refused: 2, ..NEW }, DUPLICATE] {
        assert_eq!(store.apply(&mixed, &scope, NOW).await.unwrap(), expected);
    }
    assert_eq!(store.hours(&everything()).await.unwrap(), rows(&[(TEN, "-", 1), (TEN, "acme", 2)]));
    assert_eq!(store.batches(0, 1).await.unwrap()[0].batch, batch(1, 1, &[("-", 1), ("acme", 2)]));

    let aside = store.aside(NOW, NOW + 1, 0, 10).await.unwrap();
    assert_eq!(aside.len(), 1, "{aside:?}");
    assert_eq!(aside[0].reason, "refused");
    assert!(aside[0].detail.contains("2 rows") && aside[0].detail.contains("globex"), "{}", aside[0].detail);
    assert_eq!(message(&aside[0]), batch(1, 1, &[("globex", 3), ("initech", 4)]));
    assert_eq!(store.aside_count().await.unwrap(), 1);
}

async fn a_start_that_cannot_be_believed_is_booked_to_now(database: Database) {
    let store = database.store();
    let week = 7 * DAY_MS;
    let at = |sequence, started_ms| Batch { started_ms, ended_ms: started_ms, ..batch(1, sequence, &[("acme", 1)]) };
    let believed = [NOW - week, NOW + 5 * 60_000];
    let not_believed = [NOW - week - 1, NOW + 5 * 60_000 + 1, i64::MIN, i64::MAX];
    let mut sequence = 0;
    for (started_ms, rebooked) in believed.map(|ms| (ms, false)).into_iter().chain(not_believed.map(|ms| (ms, true))) {
        sequence += 1;
        let receipt = store.apply(&at(sequence, started_ms), &Scope::Everything, NOW).await.unwrap();
        assert_eq!(receipt, Receipt { rebooked, ..NEW }, "{started_ms}");
    }
    let expected = rows(&[(TEN - week, "acme", 1), (TEN, "acme", 5)]);
    assert_eq!(store.hours(&everything()).await.unwrap(), expected);
    let between = store.batches_between(TEN, TEN + HOUR_MS, None, 10).await.unwrap();
    assert_eq!(between.len(), 5, "what is booked to an hour is what the hour's batches say");
}

async fn a_batch_without_usage_is_stored(database: Database) {
    let store = database.store();
    let end = Batch { last: true, lost_open_window: true, ..batch(1, 1, &[]) };
    assert_eq!(store.apply(&end, &Scope::Everything, NOW).await.unwrap(), NEW);
    assert_eq!(store.apply(&end, &Scope::Everything, NOW).await.unwrap(), DUPLICATE);
    assert_eq!(store.batches(0, 1).await.unwrap()[0].batch, end);
    assert_eq!(store.hours(&everything()).await.unwrap(), []);
}
