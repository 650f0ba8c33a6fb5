//! The client over a bad network, and against servers that die.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::fake::{Server, reporter, until_nothing_is_left};

/// A TCP proxy that cuts each connection after some number of bytes, either way, until it is told to let pass.
async fn cutting(to: std::net::SocketAddr, seed: u64, cuts: usize) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut rng = StdRng::seed_from_u64(seed);
    tokio::spawn(async move {
        for n in 0.. {
            let (client, _) = listener.accept().await.unwrap();
            let server = TcpStream::connect(to).await.unwrap();
            let bytes = if n < cuts { rng.random_range(0..12_000) } else { usize::MAX };
            tokio::spawn(pass(client, server, bytes));
        }
    });
    address
}

/// Moves at most so many bytes, both ways together, then drops both ends.
async fn pass(mut client: TcpStream, mut server: TcpStream, mut left: usize) {
    let (mut a, mut b) = ([0; 1024], [0; 1024]);
    while left > 0 {
        let moved = tokio::select! {
            n = client.read(&mut a) => {
                let n = n.unwrap_or(0).min(left);
                if server.write_all(&a[..n]).await.is_err() { 0 } else { n }
            }
            n = server.read(&mut b) => {
                let n = n.unwrap_or(0).min(left);
                if client.write_all(&b[..n]).await.is_err() { 0 } else { n }
            }
        };
        if moved == 0 {
            return;
        }
        left -= moved;
    }
}

#[tokio::test]
async fn a_stream_that_is_cut_at_any_byte_loses_nothing() {
    for seed in 0..3 {
        let server = Server::start(|call| call.serve()).await;
        let reporter = reporter(cutting(server.address, seed, 12).await, 1500);
        until_nothing_is_left(&reporter).await;
        let all: BTreeSet<u64> = server.sequences().into_iter().collect();
        assert_eq!(all, (1..=1500).collect(), "seed {seed}");
    }
}

#[tokio::test]
async fn a_server_that_is_killed_in_the_middle_gets_the_rest_when_it_is_back() {
    let relay = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let reporter = reporter(relay.local_addr().unwrap(), 300);
    let full = Arc::new(AtomicBool::new(false));
    let mark = Arc::clone(&full);
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    // It takes 100 batches, acknowledges half of them, and is killed.
    let first = Server::start(move |mut call| {
        let (told, mark) = (told.clone(), Arc::clone(&mark));
        async move {
            while let Some(key) = call.next().await {
                if key.sequence <= 50 {
                    call.acknowledge(key);
                }
                if key.sequence == 60 {
                    mark.store(true, Relaxed);
                    let _ = told.send(());
                }
            }
            Ok(())
        }
    });
    let first = first.await;
    let second = Server::start(|call| call.serve()).await;
    let (before, after) = (first.address, second.address);
    // One address for both: who connects while the first one lives reaches it.
    let to = Arc::new(std::sync::Mutex::new(before));
    let where_to = Arc::clone(&to);
    let passing = tokio::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        loop {
            tokio::select! {
                accepted = relay.accept() => {
                    let address = *where_to.lock().unwrap();
                    let server = TcpStream::connect(address).await.unwrap();
                    connections.spawn(pass(accepted.unwrap().0, server, usize::MAX));
                }
                Some(()) = heard.recv() => {
                    connections.abort_all();
                    *where_to.lock().unwrap() = after;
                }
            }
        }
    });
    until_nothing_is_left(&reporter).await;
    passing.abort();
    assert!(full.load(Relaxed));
    let taken: BTreeSet<u64> = first.sequences().into_iter().filter(|n| *n <= 50).collect();
    let rest: BTreeSet<u64> = second.sequences().into_iter().collect();
    assert!(rest.is_superset(&(51..=300).collect()), "what was not acknowledged is sent to the next: {rest:?}");
    assert_eq!(&taken | &rest, (1..=300).collect());
    assert!(second.sequences().is_sorted(), "in order, from the oldest");
}
