//! A sequence is booked once, whatever is sent.

use super::*;

super::on_both!(
    the_same_key_with_something_else_is_a_conflict,
    ranges_that_overlap_are_a_conflict,
    sequences_may_come_in_any_order,
    a_group_is_applied_as_one_after_the_other,
    what_can_never_be_applied_is_kept_once,
);

async fn the_same_key_with_something_else_is_a_conflict(database: Database) {
    let store = database.store();
    let first = batch(1, 1, &[("acme", 5)]);
    store.apply(&first, &Scope::Everything, NOW).await.unwrap();
    let others = [
        batch(1, 1, &[("acme", 6)]),
        batch(1, 1, &[("globex", 5)]),
        Batch { started_ms: TEN + 1, ..first.clone() },
        Batch { last: true, ..first.clone() },
    ];
    for other in &others {
        // Again, since the acknowledgement may have been lost.
        for _ in 0..2 {
            assert_eq!(store.apply(other, &Scope::Everything, NOW).await.unwrap(), CONFLICT);
        }
    }
    assert_eq!(store.hours(&everything()).await.unwrap(), rows(&[(TEN, "acme", 5)]));
    let aside = store.aside(i64::MIN, i64::MAX, 0, 10).await.unwrap();
    assert_eq!(aside.iter().map(message).collect::<Vec<_>>(), others);
    assert!(aside.iter().all(|aside| aside.reason == "conflict"), "{aside:?}");
    assert_eq!(store.apply(&first, &Scope::Everything, NOW).await.unwrap(), DUPLICATE);
    let of_another_epoch = batch(2, 1, &[("acme", 6)]);
    assert_eq!(store.apply(&of_another_epoch, &Scope::Everything, NOW).await.unwrap(), NEW);
}

async fn ranges_that_overlap_are_a_conflict(database: Database) {
    let store = database.store();
    for (first, last) in [(3, 5), (8, 8)] {
        assert_eq!(store.apply(&range(first, last), &Scope::Everything, NOW).await.unwrap(), NEW);
    }
    for (first, last) in [(1, 3), (5, 5), (4, 4), (5, 6), (2, 6), (1, 10), (7, 9), (8, 9)] {
        let receipt = store.apply(&range(first, last), &Scope::Everything, NOW).await.unwrap();
        assert_eq!(receipt, CONFLICT, "{first}..{last}");
    }
    for (first, last) in [(1, 2), (6, 7), (9, i64::MAX as u64)] {
        let receipt = store.apply(&range(first, last), &Scope::Everything, NOW).await.unwrap();
        assert_eq!(receipt, NEW, "{first}..{last}");
    }
    for (first, last) in [(1, 2), (3, 5), (6, 7), (8, 8), (9, i64::MAX as u64)] {
        let receipt = store.apply(&range(first, last), &Scope::Everything, NOW).await.unwrap();
        assert_eq!(receipt, DUPLICATE, "{first}..{last}");
    }
    assert_eq!(store.hours(&everything()).await.unwrap(), rows(&[(TEN, "acme", 5)]));
}

async fn sequences_may_come_in_any_order(database: Database) {
    let store = database.store();
    for sequence in [9, 2, 7, 1, 5] {
        let batch = batch(1, sequence, &[("acme", 1)]);
        assert_eq!(store.apply(&batch, &Scope::Everything, NOW).await.unwrap(), NEW);
        assert_eq!(store.apply(&batch, &Scope::Everything, NOW).await.unwrap(), DUPLICATE);
    }
    assert_eq!(store.hours(&everything()).await.unwrap(), rows(&[(TEN, "acme", 5)]));
    let keys = store.keys(TEN, TEN + 1).await.unwrap();
    let ranges: Vec<_> = keys[0].ranges.iter().map(|range| (range.first, range.last)).collect();
    assert_eq!(ranges, [(1, 2), (5, 5), (7, 7), (9, 9)]);
}

async fn a_group_is_applied_as_one_after_the_other(database: Database) {
    let store = database.store();
    store.apply(&batch(1, 1, &[("acme", 1)]), &Scope::Everything, NOW).await.unwrap();
    let narrow = Scope::Tenants(["acme".to_owned()].into());
    let group = [
        (batch(1, 1, &[("acme", 1)]), DUPLICATE),
        (batch(1, 2, &[("acme", 1), ("globex", 1)]), Receipt { refused: 1, ..NEW }),
        (batch(2, 1, &[("acme", 1)]), NEW),
        (batch(1, 2, &[("acme", 1), ("globex", 1)]), DUPLICATE),
        (batch(1, 2, &[("acme", 2)]), CONFLICT),
        (range(2, 4), CONFLICT),
        (range(3, 4), NEW),
        (batch(1, 4, &[("acme", 1)]), CONFLICT),
        (batch(1, 5, &[]), NEW),
    ];
    let incoming: Vec<_> = group.iter().map(|(batch, _)| Incoming { batch, scope: &narrow }).collect();
    let receipts = store.apply_all(&incoming, NOW).await.unwrap();
    assert_eq!(receipts, group.iter().map(|(_, receipt)| *receipt).collect::<Vec<_>>());
    assert_eq!(store.hours(&everything()).await.unwrap(), rows(&[(TEN, "acme", 4)]));
    let positions: Vec<_> = store.batches(0, 10).await.unwrap().into_iter().map(|stored| stored.position).collect();
    assert_eq!(positions, [1, 2, 3, 4, 5]);
    assert_eq!(store.newest().await.unwrap(), 5);
    assert_eq!(store.apply_all(&[], NOW).await.unwrap(), []);
}

async fn what_can_never_be_applied_is_kept_once(database: Database) {
    let store = database.store();
    for _ in 0..2 {
        store.keep_aside(vec![1, 2, 3], "epoch: 4 bytes\0, not 16", NOW).await.unwrap();
    }
    let aside = store.aside(i64::MIN, i64::MAX, 0, 10).await.unwrap();
    assert_eq!(aside.len(), 1);
    let AsideRow { received_ms, reason, detail, payload, .. } = &aside[0];
    assert_eq!((*received_ms, reason.as_str(), payload.as_slice()), (NOW, "malformed", &[1, 2, 3][..]));
    assert_eq!(detail, "epoch: 4 bytes, not 16");
}

/// A database that was made with an encoding in which not every name can be written.
#[tokio::test]
async fn a_text_that_the_database_never_takes_holds_up_nothing() {
    let server = Postgres::shared();
    let location = server.database_in("LATIN1").parse().unwrap();
    let store = Store::at(&location, &Retention::default()).unwrap();
    let group = [batch(1, 1, &[("acme", 1)]), batch(1, 2, &[("漢字", 1)]), batch(1, 3, &[("zürich", 1)])];
    let incoming: Vec<_> = group.iter().map(|batch| Incoming { batch, scope: &Scope::Everything }).collect();
    let malformed = Receipt { applied: Applied::Malformed, ..NEW };
    assert_eq!(store.apply_all(&incoming, NOW).await.unwrap(), [NEW, malformed, NEW]);
    assert_eq!(store.hours(&everything()).await.unwrap(), rows(&[(TEN, "acme", 1), (TEN, "zürich", 1)]));
    assert_eq!(message(&store.aside(i64::MIN, i64::MAX, 0, 10).await.unwrap()[0]), group[1]);
}
