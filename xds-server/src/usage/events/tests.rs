//! The exporter beside a receiver that has mishaps, on both databases: what the receiver has, each event once, is
//! what is stored.

use std::collections::BTreeMap;
use std::time::Duration;

use weir_config::bootstrap::Period;
use weir_config::usage::Units;

use super::answer::Waits;
use super::exporter::Exporter;
use tokio_util::sync::CancellationToken;

use super::EXPORTER;
use crate::testing::receiver::{Manners, Receiver};
use crate::usage::metrics::ExportMetrics;
use crate::usage::store::tests::{Database, on_both};
use crate::usage::store::{Export, Store};
use crate::usage::{Batch, Epoch, Scope};

const TEN: i64 = 1_772_359_200_000;

on_both!(
    whatever_the_receiver_does_it_has_what_is_stored,
    events_that_are_refused_are_kept_aside_and_hold_up_nothing,
    a_receiver_that_refuses_everything_or_the_token_loses_nothing,
    one_server_exports_at_a_time_and_another_takes_over,
    of_servers_that_ask_at_the_same_time_one_gets_the_lease_and_one_the_range,
    a_server_that_gives_up_the_lease_is_followed_by_another,
    a_restored_database_sends_the_last_range_with_the_same_ids,
);

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
        assert!(tries < 8000, "{:?}", store.export(EXPORTER).await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn whatever_the_receiver_does_it_has_what_is_stored(database: Database) {
    let store = database.store();
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

async fn events_that_are_refused_are_kept_aside_and_hold_up_nothing(database: Database) {
    let store = database.store();
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

async fn a_receiver_that_refuses_everything_or_the_token_loses_nothing(database: Database) {
    let store = database.store();
    let receiver = Receiver::start(Manners { refuses_all: true, ..Manners::default() });
    let sums = fill(&store, 1, 20).await;
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "old\n").unwrap();
    let mut exporter = exporter(&store, &receiver, "one");
    exporter.settings.token_file = Some(token.clone());
    let stop = CancellationToken::new();
    let task = tokio::spawn(exporter.run(stop.clone()));
    let more_requests = async |n: usize| {
        let before = receiver.requests();
        let end = std::time::Instant::now() + Duration::from_secs(100);
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

async fn one_server_exports_at_a_time_and_another_takes_over(database: Database) {
    let (one, two) = (database.store(), database.store());
    let now = TEN;
    assert!(one.lease(EXPORTER, "one", now, now + 1000).await.unwrap());
    assert!(!two.lease(EXPORTER, "two", now + 999, now + 2000).await.unwrap());
    assert!(one.lease(EXPORTER, "one", now + 999, now + 2000).await.unwrap(), "it keeps what it has");
    assert!(two.lease(EXPORTER, "two", now + 2000, now + 3000).await.unwrap(), "its time is over");
    assert!(!one.lease(EXPORTER, "one", now + 2001, now + 3000).await.unwrap());
    one.give_up_lease(EXPORTER, "one").await.unwrap();
    assert!(!one.lease(EXPORTER, "one", now + 2001, now + 3000).await.unwrap(), "it was not its own");
    two.give_up_lease(EXPORTER, "two").await.unwrap();
    assert!(one.lease(EXPORTER, "one", now + 2001, now + 3000).await.unwrap());
}

async fn of_servers_that_ask_at_the_same_time_one_gets_the_lease_and_one_the_range(database: Database) {
    let servers = [database.store(), database.store()];
    for server in &servers {
        server.prepare().await.unwrap();
    }
    for round in 1..=10 {
        let now = TEN + round * 1000;
        let leases = futures::future::join_all((0..6).map(|n| {
            let (server, holder) = (servers[n % 2].clone(), format!("server-{n}"));
            async move { server.lease(EXPORTER, &holder, now, now + 1000).await.unwrap() }
        }));
        assert_eq!(leases.await.into_iter().filter(|taken| *taken).count(), 1, "leases, round {round}");
        let ranges = futures::future::join_all((0..6).map(|n| {
            let server = servers[n % 2].clone();
            async move { server.set_pending(EXPORTER, round - 1, round).await.unwrap() }
        }));
        assert_eq!(ranges.await.into_iter().filter(|noted| *noted).count(), 1, "ranges, round {round}");
        assert!(servers[0].set_done(EXPORTER, round).await.unwrap());
        assert!(!servers[1].set_done(EXPORTER, round).await.unwrap(), "done twice, round {round}");
    }
}

async fn a_server_that_gives_up_the_lease_is_followed_by_another(database: Database) {
    let receiver = Receiver::start(Manners::default());
    let (one, two) = (database.store(), database.store());
    let mut sums = fill(&one, 1, 5).await;
    let (stop_one, stop_two) = (CancellationToken::new(), CancellationToken::new());
    let first = tokio::spawn(exporter(&one, &receiver, "one").run(stop_one.clone()));
    all_done(&one).await;
    let idle = exporter(&two, &receiver, "two");
    let waits = std::sync::Arc::clone(&idle.metrics);
    let second = tokio::spawn(idle.run(stop_two.clone()));
    for (tenant, units) in fill(&two, 2, 5).await {
        sums.entry(tenant).or_default().add(&units);
    }
    all_done(&two).await;
    stop_two.cancel();
    second.await.unwrap();
    assert_eq!(waits.render(TEN), "", "the second exported though the first has the lease");
    stop_one.cancel();
    first.await.unwrap();

    for (tenant, units) in fill(&two, 3, 5).await {
        sums.entry(tenant).or_default().add(&units);
    }
    let stop = CancellationToken::new();
    let follows = tokio::spawn(exporter(&two, &receiver, "two").run(stop.clone()));
    all_done(&two).await;
    stop.cancel();
    follows.await.unwrap();
    assert_eq!((receiver.sums(), receiver.duplicates()), (sums, 0));
}

/// What docs/usage.md, "Restoring a backup", says: the newest range that the billing system has is set again.
async fn a_restored_database_sends_the_last_range_with_the_same_ids(database: Database) {
    let store = database.store();
    let receiver = Receiver::start(Manners::default());
    let export_all = async || {
        let stop = CancellationToken::new();
        let task = tokio::spawn(exporter(&store, &receiver, "one").run(stop.clone()));
        all_done(&store).await;
        stop.cancel();
        task.await.unwrap();
    };
    let mut sums = fill(&store, 1, 6).await;
    export_all().await;
    // The backup is older than the export of 1 to 6, and more comes in.
    for (tenant, units) in fill(&store, 2, 3).await {
        sums.entry(tenant).or_default().add(&units);
    }
    store.execute("UPDATE exports SET done_position = 0, pending_position = 6 WHERE name = 'events'").await.unwrap();
    assert_eq!(store.export(EXPORTER).await.unwrap(), Export { done: 0, pending: Some(6) });
    export_all().await;
    assert_eq!(receiver.problems(), Vec::<String>::new());
    assert_eq!(receiver.sums(), sums, "nobody pays twice");
    assert!(receiver.duplicates() > 0, "the range was not sent again");
}
