//! Metering is exact: randomised exchanges, counted by the client byte by byte, are metered to the
//! byte; what is cut short is metered as the proxy's own socket calls moved it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::support::counting::answer::{Answer, FIELD, Manner};
use crate::support::counting::cut::{self, Cut};
use crate::support::counting::messages::Message;
use crate::support::counting::place::{GLOBEX, Place, SHOP};
use crate::support::counting::session::{self, Outcome};
use crate::support::counting::tally::Tally;
use crate::support::counting::wire::Wire;
use crate::support::counting::witness::{Moved, Witness};
use crate::support::counting::{number, seed};
use crate::support::plane::Plane;
use crate::support::site::{HTTP, weir};

/// Exchanges of a run.
const EXCHANGES: u64 = 10_000;
/// Exchanges that are cut.
const CUTS: u64 = 1_500;
/// Connections at one time.
const CLIENTS: u64 = 32;

#[test]
fn soak_completed_exchanges_are_metered_to_the_byte() {
    let mut place = Place::start(Plane::Weir);
    let (seed, began) = (seed(), Instant::now());
    let end = began + Duration::from_secs(number("WEIR_SOAK_SECONDS"));
    let counted = exchanges(&place, seed, |completed| completed < EXCHANGES || Instant::now() < end);
    eprintln!("{} exchanges in {:?}: {}", counted.completed, began.elapsed(), counted.tally);
    place.assert_metered(&counted.tally);
    // The same, by way of the proxy's log, the stream and the store.
    place.assert_usage(&counted.tally);
    place.system.assert_alive();
}

/// The last window is logged, sent and stored before the process ends.
#[test]
fn nothing_is_missing_after_a_clean_end() {
    let place = Place::start(Plane::Up);
    let counted = exchanges(&place, 0, |completed| completed < 500);
    place.await_no_connection();
    let state = place.site.path("state");
    let site = place.end();
    let output = weir().args(["usage", "--format", "csv", "--state-dir"]).arg(&state).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Tally::from_csv(&String::from_utf8_lossy(&output.stdout)).difference(&counted.tally).unwrap();
    drop(site);
}

/// A download and a tunnel that have not ended are in `weir usage` already, with what has moved so far.
#[test]
fn what_runs_long_is_reported_while_it_runs() {
    let place = Place::start(Plane::Up);
    let mut tunnel = Wire::connect(&place.target(true)).unwrap();
    let answer = Answer { manner: Manner::Tunnel, ..Answer::ok(700, 1) };
    let head = format!(
        "GET /x HTTP/1.1\r\nHost: {SHOP}\r\nConnection: upgrade\r\nUpgrade: counted\r\n{FIELD}: {}\r\n\r\n",
        answer.encode()
    );
    tunnel.send(head.as_bytes()).unwrap();
    let response = Message::response(&mut tunnel, "GET").unwrap();
    tunnel.take(700).unwrap();
    tunnel.send(&[b'x'; 500]).unwrap();

    let mut download = Wire::connect(&place.target(false)).unwrap();
    let answer = Answer { manner: Manner::Stalls(900), ..Answer::ok(5_000, 1) };
    let request = format!("GET /x HTTP/1.1\r\nHost: {GLOBEX}\r\n{FIELD}: {}\r\n\r\n", answer.encode());
    download.send(request.as_bytes()).unwrap();
    let sent_body = 900 - answer.response(true).len() as u64;
    let came = Message::head(&mut download).unwrap().bytes + sent_body;
    download.take(sent_body as usize).unwrap();

    let mut counted = Tally::default();
    for (tenant, metric, n) in [
        ("acme", "requests", 1),
        ("acme", "request_bytes", head.len() as u64),
        ("acme", "response_bytes", response.bytes),
        ("acme", "tunnel_request_bytes", 500),
        ("acme", "tunnel_response_bytes", 700),
        ("globex", "requests", 1),
        ("globex", "request_bytes", request.len() as u64),
        ("globex", "response_bytes", came),
    ] {
        counted.add(tenant, metric, n);
    }
    place.assert_usage(&counted);
}

/// What the proxy's reads on its clients' connections returned is in the request bytes of the tenant whose
/// exchange it was, or of nobody where it was none's; what its writes took is in the response bytes. Both
/// sums are equal to the byte, however the exchanges were cut.
#[test]
fn soak_what_is_cut_is_metered_as_the_socket_calls_moved_it() {
    let mut place = Place::start(Plane::Weir);
    let id = place.system.serving_id();
    let before = place.metered();
    let witness = Witness::attach(&place.site, id, HTTP);
    let target = place.target(false);
    let (seed, next, all) = (seed(), AtomicU64::new(0), Mutex::new(Cut::default()));
    let end = Instant::now() + Duration::from_secs(number("WEIR_SOAK_SECONDS"));
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= CUTS && Instant::now() >= end {
                        return;
                    }
                    let cut = cut::run(&target, seed + n).unwrap_or_else(|error| panic!("cut {}: {error}", seed + n));
                    all.lock().unwrap().add(&cut);
                }
            });
        }
    });
    place.await_no_connection();
    let moved = witness.map(Witness::finish);
    let metered = place.metered().since(&before);
    let cut = all.into_inner().unwrap();
    eprintln!("{moved:?}; {cut:?}; {metered}");

    let received = metered.sum("request_bytes") + metered.sum("tunnel_request_bytes");
    let sent = metered.sum("response_bytes") + metered.sum("tunnel_response_bytes");
    if let Some(moved) = moved {
        assert_eq!(Moved { read: received, written: sent }, moved, "metered, and what the calls moved");
    }
    assert!(cut.received <= sent && received <= cut.sent, "{cut:?} is not within {received} and {sent}");
    assert!(metered.get("-", "request_bytes") <= cut.nobodys, "exchanges of acme are billed to nobody: {metered}");
    let requests = metered.get("acme", "requests");
    assert!((cut.answered..=cut.begun).contains(&requests), "{requests} requests; {cut:?}");
    place.system.assert_alive();
}

/// Runs sessions, drawn from `seed`, as long as `goes` says of the number of exchanges so far.
fn exchanges(place: &Place, seed: u64, goes: impl Fn(u64) -> bool + Sync) -> Outcome {
    let (sessions, completed, all) = (AtomicU64::new(0), AtomicU64::new(0), Mutex::new(Outcome::default()));
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while goes(completed.load(Ordering::Relaxed)) {
                    let n = sessions.fetch_add(1, Ordering::Relaxed);
                    let target = place.target(n % 3 == 0);
                    let outcome = session::run(&target, seed + n).unwrap_or_else(|error| panic!("{error}"));
                    completed.fetch_add(outcome.completed, Ordering::Relaxed);
                    let mut all = all.lock().unwrap();
                    all.tally.merge(&outcome.tally);
                    all.completed += outcome.completed;
                }
            });
        }
    });
    all.into_inner().unwrap()
}
