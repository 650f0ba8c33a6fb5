//! The client against a server of the real protocol that behaves well, slowly, badly, or not at all.

use std::sync::Arc;
use std::time::Duration;

use tonic::Status;

use super::super::state::{Flight, WINDOW};
use super::super::stream::lock;
use super::fake::{Server, reporter, until_nothing_is_left};
use super::{batch, key};

#[tokio::test]
async fn ten_thousand_batches_arrive_in_order_each_once() {
    let server = Server::start(|call| call.serve()).await;
    let reporter = reporter(server.address, 10_000);
    until_nothing_is_left(&reporter).await;
    assert_eq!(server.sequences(), (1..=10_000).collect::<Vec<_>>());
    let counts = lock(&reporter.flight).overview().counts;
    assert_eq!((counts.streams, counts.sent, counts.acknowledged, counts.strange_acks), (1, 10_000, 10_000, 0));
}

#[tokio::test]
async fn what_is_logged_while_the_stream_is_idle_is_sent_at_once() {
    let server = Server::start(|call| call.serve()).await;
    let reporter = reporter(server.address, 1);
    until_nothing_is_left(&reporter).await;
    let mut changed = reporter.outbox.changed();
    let later = async {
        for sequence in 2..=5 {
            reporter.outbox.push(batch(1, sequence));
            while reporter.outbox.next(None).is_some() {
                changed.changed().await.unwrap();
            }
        }
    };
    tokio::select! { never = reporter.run() => match never {}, () = later => {} }
    assert_eq!(server.sequences(), [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn a_slow_server_has_a_window_of_batches_and_no_more() {
    let server = Server::start(|mut call| async move {
        let mut waiting = std::collections::VecDeque::new();
        while let Some(key) = call.next().await {
            waiting.push_back(key);
            if waiting.len() == WINDOW || key.sequence > 90 {
                call.acknowledge(waiting.pop_front().unwrap());
            }
            // The last ones have nobody behind them.
            if key.sequence == 100 {
                waiting.drain(..).for_each(|key| call.acknowledge(key));
            }
        }
        Ok(())
    });
    let server = server.await;
    let reporter = reporter(server.address, 100);
    let flight = Arc::clone(&reporter.flight);
    let mut changed = reporter.outbox.changed();
    let watch = async {
        loop {
            changed.changed().await.unwrap();
            assert!(lock(&flight).overview().under_way <= WINDOW);
        }
    };
    tokio::select! { () = until_nothing_is_left(&reporter) => {}, () = watch => {} }
    assert_eq!(server.sequences(), (1..=100).collect::<Vec<_>>());
}

#[tokio::test]
async fn acknowledgements_may_come_twice_and_in_any_order() {
    let server = Server::start(|mut call| async move {
        let mut group = Vec::new();
        while let Some(key) = call.next().await {
            group.push(key);
            if group.len() == 10 {
                for key in group.drain(..).rev() {
                    call.acknowledge(key);
                    call.acknowledge(key);
                }
            }
        }
        Ok(())
    });
    let server = server.await;
    let reporter = reporter(server.address, 200);
    until_nothing_is_left(&reporter).await;
    assert_eq!(server.sequences(), (1..=200).collect::<Vec<_>>());
    let counts = lock(&reporter.flight).overview().counts;
    assert_eq!(counts.acknowledged, 200);
    assert!(counts.strange_acks >= 199, "each came twice; the very last one need not have been read");
}

#[tokio::test]
async fn a_batch_whose_acknowledgement_was_lost_is_sent_again_on_the_next_stream() {
    let server = Server::start(|mut call| async move {
        let mut taken = 0;
        while let Some(key) = call.next().await {
            // The first stream loses every second acknowledgement, and ends when nothing moves any more.
            if call.number > 0 || key.sequence % 2 == 1 {
                call.acknowledge(key);
            }
            taken += 1;
            if call.number == 0 && taken == 20 {
                return Err(Status::unavailable("going away"));
            }
        }
        Ok(())
    });
    let server = server.await;
    let reporter = reporter(server.address, 20);
    until_nothing_is_left(&reporter).await;
    let sequences = server.sequences();
    assert_eq!(sequences[..20], (1..=20).collect::<Vec<_>>());
    for even in (2..=20).step_by(2) {
        assert!(sequences[20..].contains(&even), "{even} was sent again: {sequences:?}");
    }
    assert!(sequences[20..].is_sorted());
}

#[tokio::test]
async fn a_server_that_cannot_store_now_is_tried_until_it_can() {
    let server = Server::start(|call| async move {
        if call.number < 4 { Err(Status::unavailable("the database is down")) } else { call.serve().await }
    });
    let server = server.await;
    let reporter = reporter(server.address, 30);
    until_nothing_is_left(&reporter).await;
    assert_eq!(server.sequences(), (1..=30).collect::<Vec<_>>());
    assert_eq!(lock(&reporter.flight).overview().counts.streams, 5);
}

#[tokio::test]
async fn a_foreign_control_plane_costs_nothing_but_one_offer() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // A gRPC server that has never heard of the service.
    let foreign = tonic::transport::Server::builder().add_routes(tonic::service::Routes::default());
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let task = tokio::spawn(foreign.serve_with_incoming(incoming));
    let mut reporter = reporter(address, 50);
    reporter.flush(Duration::from_secs(60)).await;
    task.abort();
    let overview = lock(&reporter.flight).overview();
    assert_eq!((overview.connected, overview.counts.streams, overview.counts.acknowledged), (false, 0, 0));
    assert!(overview.counts.sent <= 1, "{overview:?}");
    assert_eq!(reporter.outbox.state().unacknowledged, 50);

    let server = Server::start(|call| call.serve()).await;
    reporter.server.address = weir_config::bootstrap::Address::Tcp(server.address).into();
    reporter.flush(Duration::from_secs(60)).await;
    assert_eq!(server.sequences(), (1..=50).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_server_that_sends_its_headers_only_with_its_first_acknowledgement_is_served() {
    use super::fake::{UsageService, UsageServiceServer};
    use tonic::{Request, Response, Streaming};
    use weir_config::usage::v1::{UsageAck, UsageBatch};

    /// Its answer begins when the first batch is there.
    struct Late;

    #[tonic::async_trait]
    impl UsageService for Late {
        type StreamUsageStream = tokio_stream::wrappers::UnboundedReceiverStream<Result<UsageAck, Status>>;

        async fn stream_usage(
            &self,
            request: Request<Streaming<UsageBatch>>,
        ) -> Result<Response<Self::StreamUsageStream>, Status> {
            let mut batches = request.into_inner();
            let first = batches.message().await?;
            let (acks, out) = tokio::sync::mpsc::unbounded_channel();
            tokio::spawn(async move {
                let mut next = first;
                while let Some(batch) = next {
                    let _ = acks.send(Ok(UsageAck { epoch: batch.epoch, sequence: batch.sequence }));
                    next = batches.message().await.ok().flatten();
                }
            });
            Ok(Response::new(out.into()))
        }
    }

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let reporter = reporter(listener.local_addr().unwrap(), 40);
    let server = tonic::transport::Server::builder().add_service(UsageServiceServer::new(Late));
    let task = tokio::spawn(server.serve_with_incoming(tokio_stream::wrappers::TcpListenerStream::new(listener)));
    until_nothing_is_left(&reporter).await;
    task.abort();
    assert_eq!(lock(&reporter.flight).overview().counts.sent, 40);
}

#[tokio::test]
async fn at_the_end_what_is_left_is_sent_and_nobody_waits_for_a_server_that_hangs() {
    let server = Server::start(|call| call.serve()).await;
    let fine = reporter(server.address, 40);
    fine.flush(Duration::from_secs(60)).await;
    assert_eq!(fine.outbox.state().unacknowledged, 0);
    assert!(!lock(&fine.flight).overview().connected);

    let hanging = Server::start(|mut call| async move {
        while call.next().await.is_some() {}
        Ok(())
    });
    let hanging = hanging.await;
    let stuck = reporter(hanging.address, 3);
    stuck.flush(Duration::from_millis(300)).await;
    assert_eq!(stuck.outbox.state().unacknowledged, 3);

    let nobody = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let alone = reporter(nobody, 3);
    alone.flush(Duration::from_secs(600)).await;
    assert_eq!(alone.outbox.state().unacknowledged, 3, "a refused connection is answer enough");
}

#[tokio::test]
async fn a_unix_socket_is_as_good() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("xds.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let server = Server::start_on(tokio_stream::wrappers::UnixListenerStream::new(listener), |call| call.serve());
    let mut reporter = reporter(([127, 0, 0, 1], 1).into(), 20);
    reporter.server.address = weir_config::bootstrap::Address::Unix(path).into();
    until_nothing_is_left(&reporter).await;
    assert_eq!(server.sequences(), (1..=20).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_merged_or_went_meanwhile_is_not_sent() {
    let reporter = reporter(([127, 0, 0, 1], 1).into(), 3);
    reporter.outbox.acknowledged(key(1, 2));
    let mut flight = Flight::default();
    flight.begin();
    flight.opened();
    let now = std::time::Instant::now();
    let sent: Vec<_> = std::iter::from_fn(|| flight.next(&*reporter.outbox, now)).map(|batch| batch.sequence).collect();
    assert_eq!(sent, [1, 3]);
}
