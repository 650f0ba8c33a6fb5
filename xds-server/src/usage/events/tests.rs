//! The exporter beside a receiver that has mishaps: what the receiver has, each event once, is what is stored.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use weir_config::bootstrap::{Period, Retention};
use weir_config::usage::Units;

use super::answer::Waits;
use super::exporter::Exporter;
use tokio_util::sync::CancellationToken;

use super::EXPORTER;
use crate::testing::receiver::{Manners, Receiver};
use crate::usage::metrics::ExportMetrics;
use crate::usage::store::{Location, Store};
use crate::usage::{Batch, Epoch, Scope};

const TEN: i64 = 1_772_359_200_000;

fn store(folder: &Path) -> Store {
    Store::at(&Location::Sqlite(folder.join("usage.db")), &Retention::default()).unwrap()
}

/// Windows of three tenants and of none, over several hours.
async fn fill(store: &Store, epoch: u8, batches: u64) -> BTreeMap<String, Units> {
    let mut sums: BTreeMap<String, Units> = BTreeMap::new();
    for sequence in 1..=batches {
        let started_ms = TEN + sequence as i64 * 600_000;
        let usage: BTreeMap<String, Units> = [("acme", 1), ("globex", 10), ("rogue", 100), ("-", 1000)]
            .map(|(tenant, n)| (tenant.to_owned(), Units([n * sequence; 8])))
            .into();
        for (tenant, units) in usage.iter().filter(|(tenant, _)| *tenant != "-") {
            sums.entry(tenant.clone()).or_default().add(units);
        }
        let batch = Batch {
            epoch: Epoch([epoch; 16]),
            first_sequence: sequence,
            sequence,
            proxy: "edge-0".into(),
            started_ms,
            ended_ms: started_ms + 10_000,
            last: false,
            lost_open_window: false,
            usage,
        };
        store.apply(&batch, &Scope::Everything, started_ms + 10_000).await.unwrap();
    }
    sums
}

fn exporter(store: &Store, receiver: &Receiver, holder: &str) -> Exporter {
    let text = format!("{{\"url\": \"{}\", \"batchSize\": 3}}", receiver.url());
    let mut settings: weir_config::bootstrap::Events = serde_json::from_str(&text).unwrap();
    settings.interval = Period(Duration::from_millis(5));
    Exporter {
        store: store.clone(),
        settings,
        metrics: std::sync::Arc::new(ExportMetrics::default()),
        holder: holder.into(),
        waits: Waits { first: Duration::from_millis(1), longest: Duration::from_millis(5) },
    }
}

/// Waits until the exporter has done all that is stored.
async fn all_done(store: &Store) {
    let mut tries = 0;
    while store.export(EXPORTER).await.unwrap().done != store.newest().await.unwrap() {
        tries += 1;
        assert!(tries < 4000, "{:?}", store.export(EXPORTER).await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_receiver_does_it_has_what_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let receiver = Receiver::start(Manners { well_one_in: 3, ..Manners::default() });
    let mut sums = fill(&store, 1, 20).await;
    // It is stopped at any point and begun again: ten times here.
    for round in 2..12u8 {
        let stop = CancellationToken::new();
        let task = tokio::spawn(exporter(&store, &receiver, "one").run(stop.clone()));
        for (tenant, units) in fill(&store, round, 5).await {
            sums.entry(tenant).or_default().add(&units);
        }
        task.abort();
        let _ = task.await;
    }
    let stop = CancellationToken::new();
    let task = tokio::spawn(exporter(&store, &receiver, "one").run(stop.clone()));
    all_done(&store).await;
    stop.cancel();
    task.await.unwrap();
    assert_eq!(receiver.problems(), Vec::<String>::new());
    assert_eq!(receiver.sums(), sums);
    assert!(receiver.duplicates() > 0, "no event came twice: the mishaps did not happen");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_are_refused_are_kept_aside_and_hold_up_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let receiver = Receiver::start(Manners { refuses: Some("rogue".into()), ..Manners::default() });
    let mut sums = fill(&store, 1, 10).await;
    let stop = CancellationToken::new();
    let task = tokio::spawn(exporter(&store, &receiver, "one").run(stop.clone()));
    all_done(&store).await;
    stop.cancel();
    task.await.unwrap();
    let rogue = sums.remove("rogue").unwrap();
    assert_eq!(receiver.sums(), sums);
    let refused = store.refused_events(EXPORTER, 100).await.unwrap();
    let mut kept = Units::ZERO;
    for event in &refused {
        assert_eq!((event.tenant.as_str(), event.answer.as_str()), ("rogue", "400 Bad Request"));
        let event: serde_json::Value = serde_json::from_str(&event.event).unwrap();
        kept.add(&Units(weir_config::usage::Metric::ALL.map(|m| event["data"][m.name()].as_u64().unwrap())));
    }
    assert_eq!(kept, rogue);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_refuses_everything_or_the_token_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let receiver = Receiver::start(Manners { refuses_all: true, ..Manners::default() });
    let sums = fill(&store, 1, 20).await;
    let token = folder.path().join("token");
    std::fs::write(&token, "old\n").unwrap();
    let mut exporter = exporter(&store, &receiver, "one");
    exporter.settings.token_file = Some(token.clone());
    let stop = CancellationToken::new();
    let task = tokio::spawn(exporter.run(stop.clone()));
    let more_requests = async |n: usize| {
        let before = receiver.requests();
        let end = std::time::Instant::now() + Duration::from_secs(40);
        while receiver.requests() < before + n {
            assert!(std::time::Instant::now() < end, "it has given up");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    more_requests(100).await;
    receiver.behave(Manners { token: Some("new".into()), ..Manners::default() });
    more_requests(10).await;
    assert_eq!(receiver.sums(), BTreeMap::new());
    std::fs::write(&token, "new\n").unwrap();
    all_done(&store).await;
    stop.cancel();
    task.await.unwrap();
    assert_eq!(receiver.sums(), sums);
    assert_eq!(store.refused_events(EXPORTER, 100).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_server_exports_at_a_time_and_another_takes_over() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let now = TEN;
    assert!(store.lease(EXPORTER, "one", now, now + 1000).await.unwrap());
    assert!(!store.lease(EXPORTER, "two", now + 999, now + 2000).await.unwrap());
    assert!(store.lease(EXPORTER, "one", now + 999, now + 2000).await.unwrap(), "it keeps what it has");
    assert!(store.lease(EXPORTER, "two", now + 2000, now + 3000).await.unwrap(), "its time is over");
    assert!(!store.lease(EXPORTER, "one", now + 2001, now + 3000).await.unwrap());
    store.give_up_lease(EXPORTER, "one").await.unwrap();
    assert!(!store.lease(EXPORTER, "one", now + 2001, now + 3000).await.unwrap(), "it was not its own");
    store.give_up_lease(EXPORTER, "two").await.unwrap();
    assert!(store.lease(EXPORTER, "one", now + 2001, now + 3000).await.unwrap());
}
