//! The service over a real connection, and a database that is away.

use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::accesslog::v3::StreamAccessLogsMessage;
use envoy_types::pb::envoy::service::accesslog::v3::access_log_service_client::AccessLogServiceClient;
use envoy_types::pb::envoy::service::accesslog::v3::stream_access_logs_message::{
    HttpAccessLogEntries, Identifier, LogEntries,
};
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::service::{Interceptor, InterceptorLayer};
use weir_config::bootstrap::ServerUsage;
use weir_config::usage::Metric;

use super::AccessLogs;
use super::tests::ended;
use crate::auth::{Caller, Identity, Principal};
use crate::metrics::Metrics;
use crate::scope::Role;
use crate::usage::Store;
use crate::usage::intake::{Intake, now_ms};
use crate::usage::metrics::Stats;
use crate::usage::reporters::{Ledger, Reporters};
use crate::usage::store::Query;

/// The statistic of a database that is away.
const FAILED: &str = "weir_usage_database_errors_total ";

struct Place {
    folder: tempfile::TempDir,
    store: Store,
    metrics: Arc<Metrics>,
    logs: AccessLogs,
    address: String,
    stop: CancellationToken,
}

impl Place {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&ServerUsage::default(), folder.path()).unwrap();
        let metrics = Arc::new(Metrics::new().unwrap());
        let (intake, applier) = Intake::new(store.clone(), Arc::clone(&metrics), Arc::new(Stats::new(10)));
        tokio::spawn(applier);
        let stop = CancellationToken::new();
        let ledger = Arc::new(Ledger::default());
        ledger.note([("edge", "acme")], now_ms());
        let ready = tokio::sync::watch::Sender::new(true).subscribe();
        let week = Duration::from_secs(7 * 86_400);
        let reporters = Reporters::new(ledger, store.clone(), Arc::default(), ready, week);
        let logs = AccessLogs::new(intake, reporters, Arc::clone(&metrics), stop.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let server = tonic::transport::Server::builder().layer(edge()).add_service(logs.clone().into_server());
        tokio::spawn(
            server.serve_with_incoming_shutdown(TcpListenerStream::new(listener), stop.clone().cancelled_owned()),
        );
        Self { folder, store, metrics, logs, address, stop }
    }

    /// Sends messages on a stream of their own; what the server says at its end.
    async fn send(&self, messages: Vec<StreamAccessLogsMessage>) -> Result<(), tonic::Status> {
        let mut client = AccessLogServiceClient::connect(self.address.clone()).await.unwrap();
        client.stream_access_logs(tokio_stream::iter(messages)).await.map(drop)
    }

    async fn stored(&self) -> u64 {
        let query = Query { since_ms: 0, until_ms: i64::MAX, tenant: Some("acme".into()), after: None, limit: 100 };
        let rows = self.store.hours(&query).await.unwrap();
        rows.iter().map(|row| row.units[Metric::Requests]).sum()
    }
}

/// What the gate does for a proxy of the class `edge`.
fn edge() -> InterceptorLayer<impl Interceptor + Clone> {
    let identity = Arc::new(Identity { principal: Principal::Anonymous, expires: None });
    let caller = Caller { identity, role: Role::Edge("edge".into()), ended: CancellationToken::new() };
    InterceptorLayer::new(move |mut request: tonic::Request<()>| {
        request.extensions_mut().insert(caller.clone());
        Ok(request)
    })
}

/// So many exchanges of acme; the first message of a stream says whose it is.
fn message(first: bool, exchanges: usize) -> StreamAccessLogsMessage {
    let node = Node { id: "envoy-1".into(), ..Node::default() };
    let identifier = Identifier { node: Some(node), log_name: "weir-usage".into() };
    let log_entry = vec![ended(200, 37, 127); exchanges];
    StreamAccessLogsMessage {
        identifier: first.then_some(identifier),
        log_entries: Some(LogEntries::HttpLogs(HttpAccessLogEntries { log_entry })),
    }
}

#[tokio::test]
async fn what_came_on_a_stream_is_stored_when_the_stream_ends() {
    let place = Place::start().await;
    place.send(vec![message(true, 3), message(false, 4)]).await.unwrap();
    assert_eq!(place.stored().await, 7);
}

#[tokio::test]
async fn what_is_of_a_tenant_that_the_edge_was_not_given_is_kept_aside_alone() {
    let place = Place::start().await;
    let mut sent = message(true, 3);
    let Some(LogEntries::HttpLogs(logs)) = &mut sent.log_entries else { panic!("another kind of entries") };
    for name in ["tenant", "host_tenant"] {
        let common = logs.log_entry[0].common_properties.as_mut().unwrap();
        common.custom_tags.insert(name.into(), "globex".into());
    }
    place.send(vec![sent]).await.unwrap();
    assert_eq!(place.stored().await, 2);
    let aside = place.store.aside(0, i64::MAX, 0, 10).await.unwrap();
    assert_eq!(aside.len(), 1);
    assert!(aside[0].detail.contains("globex"), "{}", aside[0].detail);
}

#[tokio::test]
async fn what_comes_while_the_database_is_away_waits_for_it() {
    let place = Place::start().await;
    let file = place.folder.path().join("usage.db");
    std::fs::create_dir(&file).unwrap();
    let back = async {
        while !place.metrics.render().lines().any(|line| line.starts_with(FAILED) && !line.ends_with(" 0")) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        std::fs::remove_dir(&file).unwrap();
    };
    let (sent, ()) = tokio::join!(place.send(vec![message(true, 5)]), back);
    sent.unwrap();
    assert_eq!(place.stored().await, 5);
}

#[tokio::test]
async fn a_server_that_ends_stores_what_it_has_and_hears_no_more() {
    let place = Place::start().await;
    let (messages, outbound) = tokio::sync::mpsc::channel(2);
    messages.send(message(true, 6)).await.unwrap();
    let mut client = AccessLogServiceClient::connect(place.address.clone()).await.unwrap();
    let end = async {
        while !place.metrics.render().contains("weir_access_log_entries_total 6") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        place.stop.cancel();
        place.logs.drained().await;
    };
    let stream = tokio_stream::wrappers::ReceiverStream::new(outbound);
    let (said, ()) = tokio::join!(client.stream_access_logs(stream), end);
    assert_eq!(said.unwrap_err().code(), tonic::Code::Unavailable);
    assert_eq!(place.stored().await, 6);
}

#[tokio::test]
async fn a_log_that_is_another_is_refused() {
    let place = Place::start().await;
    let mut other = message(true, 1);
    other.identifier.as_mut().unwrap().log_name = "theirs".into();
    for message in [other, message(false, 1)] {
        assert_eq!(place.send(vec![message]).await.unwrap_err().code(), tonic::Code::InvalidArgument);
    }
}
