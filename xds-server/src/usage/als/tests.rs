//! Entries as Envoy 1.40 sends them, and what becomes of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use envoy_types::pb::envoy::data::accesslog::v3::{
    AccessLogCommon, AccessLogType, HttpAccessLogEntry, HttpRequestProperties, HttpResponseProperties, ResponseFlags,
};
use envoy_types::pb::google::protobuf::{Duration as ProtoDuration, Timestamp, UInt32Value};
use weir_config::usage::{MAX_BATCH_ENTRIES, Metric, Units};

use super::entry::{self, Exchange, Stream};
use super::running::{MAX_RUNNING, Running};
use super::windows::Windows;
use crate::usage::{Batch, Epoch};

/// When the exchange of these tests began, in seconds since 1970.
const BEGAN: i64 = 1_700_000_000;

/// An exchange that ended after 12.6 ms.
pub(super) fn ended(code: u32, received: u64, sent: u64) -> HttpAccessLogEntry {
    HttpAccessLogEntry {
        common_properties: Some(AccessLogCommon {
            start_time: Some(Timestamp { seconds: BEGAN, nanos: 5 }),
            duration: Some(ProtoDuration { seconds: 0, nanos: 12_600_000 }),
            downstream_wire_bytes_received: received,
            downstream_wire_bytes_sent: sent,
            access_log_type: AccessLogType::DownstreamEnd as i32,
            custom_tags: tags(&[("tenant", "acme"), ("host_tenant", "acme"), ("connection", "7")]),
            ..Default::default()
        }),
        request: Some(HttpRequestProperties { request_method: 1, path: "/".into(), ..Default::default() }),
        response: Some(HttpResponseProperties {
            response_code: Some(UInt32Value { value: code }),
            response_code_details: "via_upstream".into(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn tags(tags: &[(&str, &str)]) -> std::collections::HashMap<String, String> {
    tags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Of a message and its tenant.
fn with_tags(list: &[(&str, &str)]) -> HttpAccessLogEntry {
    let mut entry = ended(404, 10, 20);
    entry.common_properties.as_mut().unwrap().custom_tags = tags(list);
    entry
}

fn units(list: &[(Metric, u64)]) -> Units {
    let mut units = Units::ZERO;
    list.iter().for_each(|(metric, amount)| units[*metric] = *amount);
    units
}

#[test]
fn an_exchange_that_ended_is_a_request_with_its_bytes_and_its_time() {
    let entry = ended(200, 37, 127);
    let exchange = entry::read(&entry).unwrap();
    assert_eq!((exchange.tenant, exchange.running), ("acme", false));
    assert_eq!(exchange.stream, Stream { connection: 7, started_ns: i128::from(BEGAN) * 1_000_000_000 + 5 });
    let expected =
        [(Metric::Requests, 1), (Metric::RequestBytes, 37), (Metric::ResponseBytes, 127), (Metric::ExecutionMs, 13)];
    assert_eq!(exchange.total, units(&expected));
}

#[test]
fn the_route_says_whose_it_was_then_the_host_and_else_it_is_nobodys() {
    let tenant = |list: &[(&str, &str)]| entry::read(&with_tags(list)).unwrap().tenant.to_owned();
    assert_eq!(tenant(&[("tenant", "acme"), ("host_tenant", "globex")]), "acme");
    assert_eq!(tenant(&[("host_tenant", "globex")]), "globex");
    assert_eq!(tenant(&[("tenant", ""), ("host_tenant", "globex")]), "globex");
    assert_eq!(tenant(&[]), "-");
    assert_eq!(tenant(&[("tenant", &"x".repeat(254))]), "-");
    assert_eq!(tenant(&[("tenant", "a\nb")]), "-");
}

#[test]
fn only_what_the_proxy_refused_is_limited_or_denied() {
    let read = |code: u32, details: &str, flags: ResponseFlags| {
        let mut entry = ended(code, 1, 1);
        entry.response.as_mut().unwrap().response_code_details = details.into();
        entry.common_properties.as_mut().unwrap().response_flags = Some(flags);
        let total = entry::read(&entry).unwrap().total;
        (total[Metric::LimitedRequests], total[Metric::DeniedRequests])
    };
    let limited = ResponseFlags { rate_limited: true, ..Default::default() };
    assert_eq!(read(429, "local_rate_limited", limited), (1, 0));
    assert_eq!(read(429, "via_upstream", ResponseFlags::default()), (0, 0));
    assert_eq!(read(403, "rbac_access_denied_matched_policy[none]", ResponseFlags::default()), (0, 1));
    assert_eq!(read(401, "jwt_authn_access_denied{Jwt_is_missing}", ResponseFlags::default()), (0, 1));
    assert_eq!(read(403, "via_upstream", ResponseFlags::default()), (0, 0));
}

#[test]
fn a_tunnels_bytes_are_apart_from_the_head_that_opened_it() {
    let mut entry = ended(101, 81 + 50, 114 + 40);
    entry.request.as_mut().unwrap().request_body_bytes = 50;
    entry.response.as_mut().unwrap().response_body_bytes = 40;
    let total = entry::read(&entry).unwrap().total;
    assert_eq!((total[Metric::RequestBytes], total[Metric::TunnelRequestBytes]), (81, 50));
    assert_eq!((total[Metric::ResponseBytes], total[Metric::TunnelResponseBytes]), (114, 40));
}

#[test]
fn a_head_that_cannot_be_parsed_is_bytes_and_no_request() {
    let mut entry = with_tags(&[]);
    entry.request = Some(HttpRequestProperties::default());
    let exchange = entry::read(&entry).unwrap();
    assert_eq!(
        (exchange.tenant, exchange.total),
        ("-", units(&[(Metric::RequestBytes, 10), (Metric::ResponseBytes, 20)]))
    );
}

#[test]
fn entries_of_other_moments_say_nothing() {
    for kind in [AccessLogType::DownstreamStart, AccessLogType::UpstreamEnd, AccessLogType::TcpConnectionEnd] {
        let mut entry = ended(200, 1, 1);
        entry.common_properties.as_mut().unwrap().access_log_type = kind as i32;
        assert_eq!(entry::read(&entry), None);
    }
    assert_eq!(entry::read(&HttpAccessLogEntry::default()), None);
}

#[test]
fn a_running_exchange_is_as_old_as_envoys_own_clock_says() {
    let mut entry = ended(200, 1, 1);
    let common = entry.common_properties.as_mut().unwrap();
    common.access_log_type = AccessLogType::DownstreamPeriodic as i32;
    common.duration = None;
    common.custom_tags.insert("made_us".into(), format!("{}500000", BEGAN + 30));
    let exchange = entry::read(&entry).unwrap();
    assert!(exchange.running);
    assert_eq!(exchange.age.as_millis(), 30_499, "30.5 s less 5 ns");
    assert_eq!(exchange.total[Metric::ExecutionMs], 0);
}

/// A download that has sent `sent` bytes after `seconds`.
fn download(running: bool, seconds: u64, sent: u64) -> Exchange<'static> {
    let mut total = units(&[(Metric::Requests, 1), (Metric::ResponseBytes, sent)]);
    if !running {
        total[Metric::ExecutionMs] = seconds * 1000;
    }
    let stream = Stream { connection: 1, started_ns: 0 };
    Exchange { tenant: "acme", stream, running, age: Duration::from_secs(seconds), total }
}

fn bytes(sent: u64) -> Units {
    units(&[(Metric::ResponseBytes, sent)])
}

fn at(begin: Instant, seconds: u64) -> Instant {
    begin + Duration::from_secs(seconds)
}

#[test]
fn a_long_exchange_is_counted_as_it_goes_and_once() {
    let begin = Instant::now();
    let (mut running, proxy) = (Running::new(begin), Arc::from("edge"));
    let mut take = |exchange, seconds| running.take(&proxy, &exchange, at(begin, seconds));
    let first = units(&[(Metric::Requests, 1), (Metric::ResponseBytes, 100)]);
    assert_eq!(take(download(true, 10, 100), 110), first);
    assert_eq!(take(download(true, 20, 250), 120), bytes(150));
    // The report after 30 s was lost, and is made good.
    assert_eq!(take(download(true, 40, 600), 140), bytes(350));
    let mut rest = bytes(10);
    rest[Metric::ExecutionMs] = 45_000;
    assert_eq!(take(download(false, 45, 610), 145), rest);
    assert!(running.is_empty());
}

#[test]
fn two_exchanges_and_two_proxies_are_kept_apart() {
    let begin = Instant::now();
    let mut running = Running::new(begin);
    let (a, b): (Arc<str>, Arc<str>) = (Arc::from("a"), Arc::from("b"));
    let one = download(true, 10, 5);
    let other = Exchange { stream: Stream { connection: 2, started_ns: 0 }, ..one };
    for (proxy, exchange) in [(&a, &one), (&b, &one), (&a, &other)] {
        assert_eq!(running.take(proxy, exchange, at(begin, 20)), one.total);
    }
    assert_eq!(running.len(), 3);
}

/// The server before this one took what was reported to it, nobody knows how much: it is not taken again.
#[test]
fn after_a_restart_nothing_is_counted_that_may_have_been_counted_before() {
    let begin = Instant::now();
    let (mut running, proxy) = (Running::new(begin), Arc::from("edge"));
    assert_eq!(running.take(&proxy, &download(true, 60, 1000), at(begin, 3)), Units::ZERO);
    assert_eq!(running.take(&proxy, &download(true, 70, 1500), at(begin, 13)), bytes(500));

    let mut fresh = Running::new(begin);
    let ended = fresh.take(&proxy, &download(false, 60, 1000), at(begin, 3));
    assert_eq!(ended, units(&[(Metric::ExecutionMs, 60_000)]));
    // What cannot have been reported before is counted whole.
    for exchange in [download(true, 10, 7), download(false, 9, 7), download(false, 30, 7)] {
        let mut fresh = Running::new(begin);
        let now = if exchange.age.as_secs() == 30 { 31 } else { 3 };
        assert_eq!(fresh.take(&proxy, &exchange, at(begin, now)), exchange.total);
    }
}

#[test]
fn what_is_remembered_is_bounded_and_goes_with_its_envoy() {
    let begin = Instant::now();
    let (mut running, proxy) = (Running::new(begin), Arc::from("edge"));
    let exchange = |connection, running, seconds| Exchange {
        stream: Stream { connection, started_ns: 0 },
        ..download(running, seconds, 9)
    };
    for connection in 0..MAX_RUNNING as u64 {
        running.take(&proxy, &exchange(connection, true, 10), at(begin, 15));
    }
    let late = MAX_RUNNING as u64;
    assert_eq!(running.take(&proxy, &exchange(late, true, 10), at(begin, 15)), Units::ZERO);
    assert_eq!(running.take(&proxy, &exchange(late, false, 14), at(begin, 19)), exchange(late, false, 14).total);
    running.take(&proxy, &exchange(late, true, 10), at(begin, 200));
    assert_eq!(running.len(), 1);
    // One that was forgotten, and is heard of all the same, was counted before.
    assert_eq!(running.take(&proxy, &exchange(3, true, 60), at(begin, 201))[Metric::Requests], 0);
}

const HOUR: i64 = 3_600_000;

fn windows() -> Windows {
    Windows::new(Epoch([9; 16]), "edge".into(), 5_000)
}

fn given(windows: &mut Windows) -> Vec<Batch> {
    let batches = windows.to_apply().map(|batches| batches.to_vec()).unwrap_or_default();
    windows.applied();
    batches
}

#[test]
fn a_window_becomes_a_batch_and_is_given_until_it_is_applied() {
    let mut windows = windows();
    windows.add("acme", &bytes(5));
    windows.add("globex", &bytes(1));
    windows.add("acme", &bytes(2));
    assert_eq!(windows.to_apply(), None, "it is open");
    windows.close(10_000);
    windows.close(20_000);
    let first = windows.to_apply().unwrap();
    assert_eq!(first.len(), 1);
    let batch = &first[0];
    assert_eq!((batch.first_sequence, batch.sequence, batch.started_ms, batch.ended_ms), (1, 1, 5_000, 10_000));
    assert_eq!((batch.usage["acme"], batch.usage["globex"], batch.last), (bytes(7), bytes(1), false));
    windows.add("acme", &bytes(4));
    windows.close(30_000);
    assert_eq!(windows.to_apply().unwrap(), first, "the store has not applied it");
    windows.applied();
    let second = given(&mut windows);
    assert_eq!((second[0].sequence, second[0].started_ms, second[0].usage["acme"]), (2, 20_000, bytes(4)));
    assert_eq!(windows.to_apply(), None);
}

#[test]
fn windows_that_wait_are_merged_by_the_hour_and_nothing_is_lost() {
    let mut windows = windows();
    for n in 0..3000 {
        windows.add("acme", &bytes(1));
        windows.close(5_000 + n * 10_000);
    }
    assert_eq!(windows.unapplied(), bytes(3000));
    let mut batches = Vec::new();
    while windows.to_apply().is_some() {
        batches.extend(given(&mut windows));
    }
    assert_eq!(batches.len(), 9, "30,000 s are eight hours and a bit");
    assert_eq!(batches.iter().map(|b| b.usage["acme"][Metric::ResponseBytes]).sum::<u64>(), 3000);
    assert!(batches.iter().all(|b| b.started_ms / HOUR == (b.ended_ms - 10_000).max(b.started_ms) / HOUR));
    assert!(batches.iter().map(|b| b.sequence).eq(1..=9));
}

#[test]
fn a_database_that_is_away_for_months_costs_days_of_memory() {
    let mut windows = windows();
    for hour in 0..2000 {
        windows.add("acme", &bytes(1));
        windows.close(hour * HOUR);
    }
    let mut sum = 0;
    let mut batches = 0;
    while windows.to_apply().is_some() {
        sum += given(&mut windows).iter().map(|b| b.usage["acme"][Metric::ResponseBytes]).sum::<u64>();
        batches += 1;
    }
    assert_eq!((sum, batches), (2000, 48));
}

#[test]
fn a_large_window_is_several_batches_and_the_last_one_ends_the_epoch() {
    let mut windows = windows();
    for n in 0..=MAX_BATCH_ENTRIES {
        windows.add(&format!("t{n}"), &bytes(1));
    }
    windows.end(12_000);
    let batches = given(&mut windows);
    assert_eq!(batches.iter().map(|b| b.usage.len()).collect::<Vec<_>>(), [MAX_BATCH_ENTRIES, 1]);
    assert_eq!(batches.iter().map(|b| (b.sequence, b.last)).collect::<Vec<_>>(), [(1, false), (2, true)]);
    assert_eq!(windows.to_apply(), None);
}

#[test]
fn an_epoch_that_ends_quietly_says_so_if_it_said_anything() {
    let mut silent = windows();
    silent.end(9_000);
    assert_eq!(silent.to_apply(), None);

    let mut windows = windows();
    windows.add("acme", &bytes(1));
    windows.close(10_000);
    given(&mut windows);
    windows.end(11_000);
    let batches = given(&mut windows);
    assert_eq!((batches.len(), batches[0].sequence, batches[0].last), (1, 2, true));
    assert!(batches[0].usage.is_empty());
    assert_eq!(windows.to_apply(), None);
}

#[test]
fn a_clock_that_steps_back_makes_no_window_that_ends_before_it_begins() {
    let mut windows = windows();
    windows.add("acme", &bytes(1));
    windows.close(1_000);
    assert_eq!(given(&mut windows)[0].ended_ms, 5_000);
}
