//! Usage, sent to a server as proxies send it.

use tonic::Code;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use weir_config::bootstrap::{Period, ServerUsage};
use weir_config::usage::{Units, v1};

use super::*;
use crate::testing::postgres::Postgres;
use crate::usage::intake::now_ms;
use crate::usage::store::Query;

type Acks = tonic::Streaming<v1::UsageAck>;

impl Running {
    /// A stream, on which what is sent through the channel goes out.
    async fn usage(&self) -> (mpsc::Sender<v1::UsageBatch>, Acks) {
        let channel = tonic::transport::Endpoint::try_from(format!("http://{}", self.addresses.xds)).unwrap();
        let mut client = Grpc::new(channel.connect().await.unwrap());
        client.ready().await.unwrap();
        let (batches, outbound) = mpsc::channel(64);
        let path = PathAndQuery::from_static("/weir.usage.v1.UsageService/StreamUsage");
        let codec = tonic_prost::ProstCodec::<v1::UsageBatch, v1::UsageAck>::default();
        let request = tonic::Request::new(ReceiverStream::new(outbound));
        (batches, client.streaming(request, path, codec).await.unwrap().into_inner())
    }
}

fn batch(epoch: u8, sequence: u64, tenants: usize) -> v1::UsageBatch {
    let started_ms = now_ms();
    let units = Units([1; 8]);
    let entry = |n| v1::TenantUsage { tenant: format!("tenant-{n:04}"), units: Some((&units).into()) };
    v1::UsageBatch {
        epoch: vec![epoch; 16],
        sequence,
        first_sequence: sequence,
        proxy: "edge-0".into(),
        started_ms,
        ended_ms: started_ms + 10_000,
        usage: (0..tenants).map(entry).collect(),
        ..v1::UsageBatch::default()
    }
}

fn ack(batch: &v1::UsageBatch) -> v1::UsageAck {
    v1::UsageAck { epoch: batch.epoch.clone(), sequence: batch.sequence }
}

/// Sums of all hours, by tenant.
async fn requests(folder: &Path) -> Vec<(String, u64)> {
    let store = Store::open_read_only(&ServerUsage::default(), folder).unwrap();
    let all = Query { since_ms: i64::MIN, until_ms: i64::MAX, tenant: None, after: None, limit: 10_000 };
    let mut sums = std::collections::BTreeMap::new();
    for row in store.days(&all).await.unwrap() {
        *sums.entry(row.tenant).or_insert(0) += row.units.0[0];
    }
    sums.into_iter().collect()
}

#[tokio::test]
async fn what_is_acknowledged_is_stored_and_in_the_order_in_which_it_came() {
    let server = start().await;
    let (batches, mut acks) = server.usage().await;
    let mut malformed = batch(1, 3, 1);
    malformed.epoch.truncate(4);
    let first = batch(1, 1, 2);
    let again = first.clone();
    let sent = [first, batch(1, 2, 1), malformed, batch(1, 2, 2), batch(2, 1, 4096), again, batch(1, 4, 0)];
    for batch in &sent {
        batches.send(batch.clone()).await.unwrap();
    }
    for batch in &sent {
        assert_eq!(acks.message().await.unwrap().unwrap(), ack(batch));
    }
    let stored = requests(server.folder.path()).await;
    assert_eq!(stored.len(), 4096);
    assert_eq!(stored[..3], [("tenant-0000".into(), 3), ("tenant-0001".into(), 2), ("tenant-0002".into(), 1)]);

    let metrics = server.page("/stats/prometheus").await;
    for expected in [
        "weir_usage_streams 1",
        "weir_usage_batches_total{result=\"new\"} 4",
        "weir_usage_batches_total{result=\"duplicate\"} 1",
        "weir_usage_batches_total{result=\"conflict\"} 1",
        "weir_usage_batches_total{result=\"malformed\"} 1",
        "weir_usage_rows_total 4099",
        "weir_usage_aside 2",
        "weir_usage_apply_seconds_count",
    ] {
        assert!(metrics.contains(expected), "{expected} is not in {metrics}");
    }
    // A proxy that has no more to send may close its half.
    drop(batches);
    assert!(acks.message().await.unwrap().is_none());

    let (_batches, mut acks) = server.usage().await;
    server.finish().await;
    assert_eq!(acks.message().await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn what_comes_again_on_another_stream_is_acknowledged_and_adds_nothing() {
    let server = start().await;
    let sent: Vec<_> = (1..=40).map(|sequence| batch(1, sequence, 3)).collect();
    for _ in 0..2 {
        let streams = [server.usage().await, server.usage().await];
        let (first, second) = sent.split_at(25);
        for (batches, part) in [(&streams[0].0, first), (&streams[1].0, second)] {
            for batch in part {
                batches.send(batch.clone()).await.unwrap();
            }
        }
        for ((_, mut acks), part) in streams.into_iter().zip([first, second]) {
            for batch in part {
                assert_eq!(acks.message().await.unwrap().unwrap(), ack(batch));
            }
        }
    }
    let stored = requests(server.folder.path()).await;
    assert_eq!(stored.iter().map(|(_, requests)| *requests).collect::<Vec<_>>(), [40; 3]);
    let metrics = server.page("/stats/prometheus").await;
    assert!(metrics.contains("weir_usage_batches_total{result=\"duplicate\"} 40"), "{metrics}");
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_away_holds_up_usage_alone() {
    let postgres = Postgres::start();
    let url = postgres.database();
    postgres.stop();
    let folder = tempfile::tempdir().unwrap();
    let mut bootstrap = local(folder.path());
    bootstrap.usage.database = Some(url);
    bootstrap.usage.retention.batches = Period::seconds(3600);
    let server = start_with(bootstrap, folder).await;

    server.batches.send(super::batch()).await.unwrap();
    let (_requests, mut responses) = server.stream().await;
    assert!(responses.message().await.unwrap().is_some(), "configuration is served");
    assert!(server.page("/ready").await.starts_with("HTTP/1.1 200"));

    let first = batch(1, 1, 3);
    let (batches, mut acks) = server.usage().await;
    batches.send(first.clone()).await.unwrap();
    let status = acks.message().await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "usage cannot be stored now"));
    // The caller may hear of it before it is counted; a test that hangs is ended.
    while server.page("/stats/prometheus").await.contains("weir_usage_database_errors_total 0") {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }

    postgres.launch();
    let (batches, mut acks) = server.usage().await;
    batches.send(first.clone()).await.unwrap();
    assert_eq!(acks.message().await.unwrap().unwrap(), ack(&first));

    // And away again, in the middle of it: the same stream ends, the next one goes on.
    postgres.kill();
    let second = batch(1, 2, 3);
    batches.send(second.clone()).await.unwrap();
    assert_eq!(acks.message().await.unwrap_err().code(), Code::Unavailable);
    postgres.launch();
    let (batches, mut acks) = server.usage().await;
    for batch in [&first, &second] {
        batches.send(batch.clone()).await.unwrap();
        assert_eq!(acks.message().await.unwrap().unwrap(), ack(batch));
    }
    let sums = postgres.sql("test0", "SELECT tenant, sum(requests) FROM usage_days GROUP BY 1 ORDER BY 1");
    assert_eq!(sums, "tenant-0000|2\ntenant-0001|2\ntenant-0002|2");
    server.finish().await;
}
