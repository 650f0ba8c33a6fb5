//! What an exchange allocates, through an engine on loopback.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use stats_alloc::Region;
use tokio::sync::watch;
use weir_config::model::{Endpoint, HealthStatus, LoadAssignment, LocalityEndpoints, Resource};
use weir_proxy::live::Live;
use weir_proxy::log::AccessLog;
use weir_proxy::meter::Meter;
use weir_proxy::serve::{Engine, Options};

use crate::http2::Client;
use crate::{ALLOCATOR, apply, edge, tenant};

/// Exchanges that are counted.
const COUNTED: usize = 1000;
/// What all of them together may allocate: a buffer of the log that grows, a sweep of the pool.
const MOST: usize = 20;

/// What a stream of HTTP/2 may allocate: its task, its exchange, heads in both forms, frames.
const MOST_OF_A_STREAM: f64 = 26.0;

const REQUEST: &[u8] =
    b"GET /shop/cart?p=2 HTTP/1.1\r\nhost: www.tenant-00000.example\r\nuser-agent: test\r\naccept: */*\r\n\r\n";
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\r\nhello";

/// Exchanges on one kept connection: routing, limit, counters, log.
pub(crate) fn exchanges_allocate_nothing() {
    let backend = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = backend.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in backend.incoming().flatten() {
            std::thread::spawn(move || answer(stream));
        }
    });
    let meter = Arc::new(Meter::new(1));
    let mut live = Live::new(meter.clone()).unwrap();
    apply(&mut live, resources(endpoint));
    let log = Arc::new(AccessLog::to(1, Box::new(std::io::sink())).unwrap());
    let engine = Engine::new(live.listeners(), meter, Some(log), Options::default()).unwrap();
    let statuses = engine.statuses();
    let (shutdown, stop) = watch::channel(false);
    let (_drain, draining) = watch::channel(false);
    let running = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(engine.run(stop, draining));
    });
    let start = Instant::now();
    let address = loop {
        if let Some(address) = statuses.borrow().get("l").and_then(|status| status.bound) {
            break address;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "no listener");
        std::thread::yield_now();
    };
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // Buffers take their size at first.
    (0..COUNTED).for_each(|_| exchange(&mut client));
    let region = Region::new(ALLOCATOR);
    (0..COUNTED).for_each(|_| exchange(&mut client));
    let change = region.change();
    println!("{COUNTED} exchanges: {change:?}");
    assert!(change.allocations + change.reallocations <= MOST, "{change:?}");
    drop(client);
    streams_allocate_little(address);
    shutdown.send_replace(true);
    running.join().unwrap();
}

/// The same over HTTP/2, a stream each on one kept connection: frames, HPACK and tasks are the crates', and allocate.
fn streams_allocate_little(address: SocketAddr) {
    let mut client = Client::connect(address, "www.tenant-00000.example");
    for _ in 0..COUNTED {
        client.exchange();
    }
    let region = Region::new(ALLOCATOR);
    let frames: usize = (0..COUNTED).map(|_| client.exchange()).sum();
    let change = region.change();
    println!("{COUNTED} streams, {frames} frames: {change:?}");
    assert_eq!(frames, 2 * COUNTED, "a head, and the body in a frame that ends the stream");
    let each = (change.allocations + change.reallocations) as f64 / COUNTED as f64;
    assert!(each <= MOST_OF_A_STREAM, "{each} a stream: {change:?}");
}

fn resources(endpoint: SocketAddr) -> Vec<Resource> {
    let mut resources = edge();
    resources.extend(tenant(0));
    for resource in &mut resources {
        match resource {
            Resource::Listener(listener) => Arc::make_mut(listener).address = ([127, 0, 0, 1], 0).into(),
            Resource::LoadAssignment(assignment) => *assignment = Arc::new(at(&assignment.name, endpoint)),
            _ => {}
        }
    }
    resources
}

fn at(name: &str, address: SocketAddr) -> LoadAssignment {
    let endpoint = Endpoint { address, health: HealthStatus::Unknown, weight: 1 };
    let locality = LocalityEndpoints { endpoints: vec![endpoint], ..Default::default() };
    LoadAssignment { name: name.into(), localities: vec![locality] }
}

fn exchange(client: &mut TcpStream) {
    client.write_all(REQUEST).unwrap();
    let (mut bytes, mut length) = ([0; 4096], 0);
    while !bytes[..length].ends_with(b"\r\n\r\nhello") {
        let read = client.read(&mut bytes[length..]).unwrap();
        assert!(read > 0, "the connection ended");
        length += read;
    }
    assert!(bytes.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&bytes[..length]));
}

/// A backend's connection: requests have no body, so a blank line ends each.
fn answer(mut stream: TcpStream) {
    let (mut bytes, mut length) = ([0; 4096], 0);
    loop {
        match stream.read(&mut bytes[length..]) {
            Ok(read @ 1..) => length += read,
            _ => return,
        }
        if bytes[..length].ends_with(b"\r\n\r\n") {
            length = 0;
            if stream.write_all(RESPONSE).is_err() {
                return;
            }
        }
    }
}
