//! What senders were given, kept for other servers and for later.

use super::*;

super::on_both!(
    what_one_server_notes_another_reads,
    what_is_given_again_counts_from_then,
    what_was_not_given_for_long_is_forgotten,
);

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(holder, tenant)| ((*holder).to_owned(), (*tenant).to_owned())).collect()
}

async fn tenants(store: &Store, holder: &str, since_ms: i64) -> Vec<(String, i64)> {
    let mut rows = store.given(holder, since_ms).await.unwrap();
    rows.sort();
    rows
}

async fn what_one_server_notes_another_reads(database: Database) {
    let all: Vec<_> = (0..1201).map(|n| ("edge".to_owned(), format!("tenant-{n:04}"))).collect();
    database.store().note_given(&all, NOW).await.unwrap();
    database.store().note_given(&pairs(&[("edge2", "acme"), ("sidecar/shop", "acme")]), NOW).await.unwrap();
    let other = database.store();
    assert_eq!(tenants(&other, "edge", NOW).await.len(), 1201);
    assert_eq!(tenants(&other, "edge2", NOW).await, [("acme".to_owned(), NOW)]);
    assert_eq!(tenants(&other, "sidecar/shop", NOW).await, [("acme".to_owned(), NOW)]);
    assert_eq!(tenants(&other, "sidecar", 0).await, []);
}

async fn what_is_given_again_counts_from_then(database: Database) {
    let store = database.store();
    let acme = pairs(&[("edge", "acme")]);
    for (at, expected) in [(NOW, NOW), (NOW + 5, NOW + 5), (NOW - 5, NOW + 5)] {
        store.note_given(&acme, at).await.unwrap();
        assert_eq!(tenants(&store, "edge", 0).await, [("acme".to_owned(), expected)], "noted at {at}");
    }
    assert_eq!(tenants(&store, "edge", NOW + 6).await, []);
}

async fn what_was_not_given_for_long_is_forgotten(database: Database) {
    let store = database.store();
    store.note_given(&pairs(&[("edge", "old")]), NOW).await.unwrap();
    store.note_given(&pairs(&[("edge", "acme")]), NOW + HOUR_MS).await.unwrap();
    // Batches are kept for a week, and what is stored of something that is still given may be a day old.
    let sweep = |at| store.sweep(at, &store.retention, None);
    let end = NOW + 8 * DAY_MS;
    sweep(end).await.unwrap();
    assert_eq!(tenants(&store, "edge", 0).await.len(), 2);
    sweep(end + 1).await.unwrap();
    assert_eq!(tenants(&store, "edge", 0).await, [("acme".to_owned(), NOW + HOUR_MS)]);
}
