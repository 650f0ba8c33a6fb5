//! What is read, a page at a time; and by whom.

use super::*;
use crate::usage::audit::collect;
use crate::usage::page::new_rows;
use crate::usage::query::{By, Question, Row};
use crate::usage::span::Span;

super::on_both!(
    pages_hold_every_row_once,
    an_exporter_finds_its_place_again,
    ends_of_epochs_are_known,
    every_grouping_is_answered_and_the_audit_sums_it,
);

async fn pages_hold_every_row_once(database: Database) {
    let store = database.store();
    let names = ["-", "acme", "globex", "initech"];
    let usage: Vec<_> = names.iter().map(|name| (*name, 1)).collect();
    for hour in 0..30 {
        let started_ms = TEN - hour * HOUR_MS;
        let batch = Batch { started_ms, ended_ms: started_ms + 1, ..batch(1, hour as u64 + 1, &usage) };
        store.apply(&batch, &Scope::Everything, NOW).await.unwrap();
    }
    for tenant in [None, Some("globex".to_owned())] {
        let whole = Query { tenant, since_ms: TEN - 20 * HOUR_MS - 1, until_ms: TEN, ..everything() };
        let all = store.hours(&whole).await.unwrap();
        assert_eq!(all.len(), 20 * if whole.tenant.is_some() { 1 } else { 4 });
        let mut paged = Vec::new();
        let mut page = Query { limit: 7, ..whole.clone() };
        loop {
            let rows = store.hours(&page).await.unwrap();
            let Some(last) = rows.last() else { break };
            page.after = Some(last.key());
            paged.extend(rows);
        }
        assert_eq!(paged, all);
        assert!(all.is_sorted_by_key(UsageRow::key));
        assert!(all.iter().all(|row| (whole.since_ms..whole.until_ms).contains(&row.start_ms)));
        assert_eq!(store.days(&everything()).await.unwrap().len(), 2 * 4);
    }
    let nobody = Query { tenant: Some("nobody".into()), ..everything() };
    assert_eq!(store.hours(&nobody).await.unwrap(), []);

    let mut between = Vec::new();
    while let page = store.batches_between(TEN - 9 * HOUR_MS, TEN, between.last().copied(), 4).await.unwrap()
        && !page.is_empty()
    {
        between.extend(page.iter().map(|stored| (stored.booked_ms, stored.position)));
    }
    let expected: Vec<_> = (1..=9).rev().map(|hour| (TEN - hour * HOUR_MS, hour + 1)).collect();
    assert_eq!(between, expected);
}

async fn an_exporter_finds_its_place_again(database: Database) {
    let (store, other) = (database.store(), database.store());
    let at = |done, pending| Export { done, pending };
    assert_eq!(store.export("events").await.unwrap(), at(0, None));
    assert!(store.set_pending("events", 0, 5).await.unwrap());
    // Another server, and this one after a restart, find the range that may have been sent.
    assert_eq!(other.export("events").await.unwrap(), at(0, Some(5)));
    assert!(!other.set_pending("events", 0, 9).await.unwrap());
    assert!(!other.set_done("events", 9).await.unwrap());
    assert!(store.set_done("events", 5).await.unwrap());
    assert!(!other.set_done("events", 5).await.unwrap());
    assert!(!other.set_pending("events", 0, 9).await.unwrap(), "it is further than the other server knew");
    assert!(other.set_pending("events", 5, 9).await.unwrap());
    assert_eq!(store.export("events").await.unwrap(), at(5, Some(9)));
    assert_eq!(store.export("another").await.unwrap(), at(0, None));
}

async fn ends_of_epochs_are_known(database: Database) {
    let store = database.store();
    let ended = Batch { last: true, lost_open_window: true, ended_ms: TEN + 30_000, ..batch(1, 2, &[]) };
    let mut later = batch(3, 1, &[]);
    later.started_ms += HOUR_MS;
    for batch in [&batch(1, 1, &[]), &ended, &batch(2, 1, &[]), &later] {
        store.apply(batch, &Scope::Everything, TEN + HOUR_MS).await.unwrap();
    }
    let keys = store.keys(TEN, TEN + HOUR_MS).await.unwrap();
    let told: Vec<_> = keys.iter().map(|keys| (keys.proxy.as_str(), keys.last, keys.lost_open_window)).collect();
    assert_eq!(told, [("edge-1", true, true), ("edge-2", false, false)]);
    assert_eq!(keys[0].ended_ms, TEN + 30_000);
}

/// `weir usage` beside a server: it sees what is stored, and changes nothing.
#[tokio::test]
async fn a_reader_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let settings = ServerUsage::default();
    let error = Store::open_read_only(&settings, folder.path()).unwrap_err().to_string();
    assert!(error.contains("no usage is stored") && error.contains("usage.db"), "{error}");
    assert!(!folder.path().join("usage.db").exists());

    let store = Store::open(&settings, folder.path()).unwrap();
    store.apply(&batch(1, 1, &[("acme", 1)]), &Scope::Everything, NOW).await.unwrap();
    let reader = Store::open_read_only(&settings, folder.path()).unwrap();
    assert_eq!(reader.hours(&everything()).await.unwrap(), rows(&[(TEN, "acme", 1)]));
    reader.apply(&batch(1, 2, &[]), &Scope::Everything, NOW).await.unwrap_err();
    store.apply(&batch(1, 2, &[("acme", 1)]), &Scope::Everything, NOW).await.unwrap();
    assert_eq!(reader.hours(&everything()).await.unwrap(), rows(&[(TEN, "acme", 2)]));
}

/// Usage is money and tells of customers: only the server's user reads it.
#[tokio::test]
async fn the_file_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&ServerUsage::default(), &folder.path().join("state")).unwrap();
    store.apply(&batch(1, 1, &[]), &Scope::Everything, NOW).await.unwrap();
    for file in std::fs::read_dir(folder.path().join("state")).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.path());
    }
}

async fn every_grouping_is_answered_and_the_audit_sums_it(database: Database) {
    let store = database.store();
    let minutes = |n: i64| TEN + n * 60_000;
    for sequence in 1..=8u64 {
        let started_ms = minutes(20 * sequence as i64);
        let usage = [("-", 100), ("acme", sequence), ("globex", 10)];
        let batch = Batch { started_ms, ended_ms: started_ms + 10_000, ..batch(1, sequence, &usage) };
        assert_eq!(store.apply(&batch, &Scope::Everything, started_ms + 10_000).await.unwrap(), NEW);
    }
    let all = Span { since_ms: i64::MIN, until_ms: i64::MAX };
    for (by, groups) in [(By::Total, 1), (By::Hour, 3), (By::Day, 1), (By::Window, 8)] {
        let rows = answered(&store, Question { span: all, tenant: None, by }).await;
        assert_eq!(rows.len(), groups * 3, "{by:?}");
        for (tenant, amount) in [("-", 800), ("acme", 36), ("globex", 80)] {
            assert_eq!(sum(&rows, tenant), Units([amount; 8]), "{by:?}");
        }
    }
    // Cut within an hour.
    let span = Span { until_ms: minutes(90), ..all };
    let rows = answered(&store, Question { span, tenant: Some("acme".into()), by: By::Hour }).await;
    assert_eq!((rows.len(), sum(&rows, "acme")), (2, Units([1 + 2 + 3 + 4; 8])));
    let (position, rows) = new_rows(&store, 6, Some("acme")).await.unwrap();
    assert_eq!((position, sum(&rows, "acme")), (8, Units([7 + 8; 8])));

    let report = collect::report(&store, all, minutes(161)).await.unwrap();
    assert_eq!((report.findings, report.hours_checked, report.days_checked), (Vec::new(), 3, 1));
    store.execute("UPDATE usage_hours SET requests = requests - 1 WHERE tenant = 'acme'").await.unwrap();
    let report = collect::report(&store, all, minutes(161)).await.unwrap();
    assert_eq!(report.gaps(), 4, "three hours and their day: {:?}", report.findings);
}

fn sum(rows: &[Row], tenant: &str) -> Units {
    let mut sum = Units::ZERO;
    rows.iter().filter(|row| row.tenant == tenant).for_each(|row| sum.add(&row.units));
    sum
}
