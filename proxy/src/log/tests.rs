use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::json::TEXT_BYTES;
use super::{AccessLog, Entry};

fn entry() -> Entry<'static> {
    Entry {
        start: UNIX_EPOCH + Duration::from_millis(1_795_547_700_123),
        duration: Duration::from_micros(12_900),
        method: "GET",
        authority: Some("shop.acme.com"),
        path: "/a?b=c",
        protocol: "HTTP/1.1",
        response_code: 200,
        response_flags: "",
        response_code_details: Some("route_timeout"),
        bytes_received: 78,
        bytes_sent: u64::MAX,
        upstream_host: Some(SocketAddr::from(([127, 0, 0, 1], 8080))),
        upstream_cluster: Some("acme/shop/web/80"),
        route_name: None,
        tenant: "acme",
        request_id: None,
        downstream_remote_address: Some("[::1]:5555".parse().unwrap()),
        requested_server_name: None,
        user_agent: Some("curl/8"),
    }
}

fn line(entry: &Entry<'_>) -> Value {
    let mut out = Vec::new();
    entry.format(&mut out);
    assert_eq!(out.iter().filter(|b| **b == b'\n').count(), 1, "one line");
    serde_json::from_slice(&out).unwrap()
}

#[test]
fn a_line_says_what_happened() {
    assert_eq!(
        line(&entry()),
        json!({
            "start_time": "2026-11-24T19:15:00.123Z", "method": "GET", "authority": "shop.acme.com", "path": "/a?b=c",
            "protocol": "HTTP/1.1", "response_code": 200, "response_flags": "-",
            "response_code_details": "route_timeout", "bytes_received": 78,
            "bytes_sent": u64::MAX, "duration": 12, "tenant": "acme", "route_name": null,
            "upstream_cluster": "acme/shop/web/80", "upstream_host": "127.0.0.1:8080",
            "downstream_remote_address": "[::1]:5555", "requested_server_name": null, "request_id": null,
            "user_agent": "curl/8",
        })
    );
}

#[test]
fn long_texts_are_cut_between_characters() {
    let path = format!("/{}", "ö".repeat(TEXT_BYTES));
    let cut = line(&Entry { path: &path, ..entry() })["path"].as_str().unwrap().to_owned();
    assert_eq!(cut.len(), TEXT_BYTES - 1);
    assert!(path.starts_with(&cut));
}

proptest! {
    #[test]
    fn any_text_comes_back(path in any::<String>(), agent in prop::option::of("[\\x00-\\x7f]{0,40}")) {
        let value = line(&Entry { path: &path, user_agent: agent.as_deref(), ..entry() });
        prop_assert_eq!(value["path"].as_str(), Some(path.as_str()));
        prop_assert_eq!(value["user_agent"].as_str(), agent.as_deref());
    }

    #[test]
    fn times_are_those_of_the_calendar(ms in 0u64..253_402_300_800_000) {
        let value = line(&Entry { start: UNIX_EPOCH + Duration::from_millis(ms), ..entry() });
        let expected = jiff::Timestamp::from_millisecond(ms as i64).unwrap();
        let text = value["start_time"].as_str().unwrap();
        prop_assert_eq!(text.parse::<jiff::Timestamp>().unwrap(), expected);
        prop_assert_eq!(text.len(), 24);
    }
}

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn lines(bytes: &[u8]) -> Vec<Value> {
    bytes.split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(|l| serde_json::from_slice(l).unwrap()).collect()
}

#[test]
fn every_line_of_every_worker_reaches_the_sink() {
    let kept = Kept::default();
    let log = AccessLog::to(3, Box::new(kept.clone())).unwrap();
    std::thread::scope(|scope| {
        for worker in 0..3 {
            let log = &log;
            scope.spawn(move || (0..500).for_each(|_| log.write(worker, &entry())));
        }
    });
    assert!(log.flush(Duration::from_secs(20)));
    assert_eq!(lines(&kept.0.lock().unwrap()).len(), 1500);
    assert_eq!(log.dropped(), 0);
}

#[test]
fn a_line_comes_without_a_flush_and_the_last_ones_at_the_end() {
    let (sender, receiver) = channel();
    let log = AccessLog::to(1, Box::new(Sent(sender))).unwrap();
    log.write(0, &entry());
    assert_eq!(lines(&receiver.recv_timeout(Duration::from_secs(20)).unwrap()).len(), 1);
    log.write(0, &Entry { path: "/last", ..entry() });
    drop(log);
    assert_eq!(lines(&receiver.recv_timeout(Duration::from_secs(20)).unwrap())[0]["path"], "/last");
}

struct Sent(Sender<Vec<u8>>);

impl Write for Sent {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes.to_vec()).map_err(io::Error::other)?;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A sink that takes nothing until it is told to.
struct Stalled {
    go: Receiver<()>,
    kept: Kept,
}

impl Write for Stalled {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.go.recv();
        self.kept.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_stalled_sink_costs_lines_and_not_workers() {
    let (sender, go) = channel();
    let kept = Kept::default();
    let log = AccessLog::to(1, Box::new(Stalled { go, kept: kept.clone() })).unwrap();
    let path = "/".repeat(TEXT_BYTES);
    for _ in 0..2000 {
        log.write(0, &Entry { path: &path, ..entry() });
    }
    assert!(!log.flush(Duration::from_millis(1)));
    let dropped = log.dropped();
    assert!(dropped > 0, "two megabytes and more do not fit");
    drop(sender);
    assert!(log.flush(Duration::from_secs(20)));
    assert_eq!(lines(&kept.0.lock().unwrap()).len() as u64 + dropped, 2000);
}
