//! Requests that are sent again.

use std::net::TcpListener;
use std::time::Duration;

use weir_config::model::{Forward, Retry, RetryOn, Route, RouteAction, Split};
use weir_proxy::meter::Metric;

use crate::support::{Backend, Proxy, Setup, eventually, field, get, ok, route, status, whichever};

const SHORT: Duration = Duration::from_millis(100);

fn retry() -> Retry {
    let on = RetryOn { gateway_error: true, ..RetryOn::default() };
    Retry { on, back_off: Some((Duration::from_millis(1), None)), ..Retry::default() }
}

fn retried(retry: Retry, timeout: Option<Duration>) -> Route {
    let forward = Forward { retry: Some(Box::new(retry)), timeout, ..Forward::to(Split::One("c".into())) };
    Route { action: RouteAction::Forward(forward), ..route("/", "c") }
}

fn proxy(retry: Retry, backends: &[&Backend]) -> Proxy {
    let addresses: Vec<_> = backends.iter().map(|backend| backend.address).collect();
    Proxy::with(Setup { routes: vec![retried(retry, None)], ..Setup::default() }, &addresses)
}

const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nbusy";
const POST: &str = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello";

#[test]
fn a_503_is_tried_again_at_another_endpoint_and_charged_once() {
    let (one, two) = (Backend::new(), Backend::new());
    let proxy = proxy(retry(), &[&one, &two]);
    let mut client = proxy.connect();
    client.send(POST);
    let (first, mut upstream) = whichever(&[&one, &two]);
    let head = upstream.head();
    assert_eq!(upstream.exactly(5), b"hello");
    upstream.send(BUSY);
    let (second, mut upstream) = whichever(&[&one, &two]);
    assert_ne!(first, second);
    assert_eq!(upstream.head(), head, "the very same request");
    assert_eq!(upstream.exactly(5), b"hello");
    upstream.send(ok("well"));
    let answer = client.head();
    assert_eq!((status(&answer), field(&answer, "connection").len()), (200, 0), "the client's connection goes on");
    assert_eq!(client.exactly(4), b"well");
    assert_eq!(proxy.stats.totals().retries, 1);
    assert_eq!(proxy.logged()["response_code"], 200);
    assert_eq!(proxy.total(Metric::Requests), 1);
    assert_eq!(proxy.total(Metric::RequestBytes), POST.len() as u64, "a retry is the platform's cost");
}

#[test]
fn the_last_answer_is_passed_on() {
    let backend = Backend::new();
    let proxy = proxy(Retry { attempts: Some(2), ..retry() }, &[&backend]);
    let mut client = proxy.connect();
    client.send(get("/"));
    for _ in 0..3 {
        let mut upstream = backend.accept();
        upstream.head();
        upstream.send(BUSY);
    }
    assert_eq!(status(&client.head()), 503);
    assert_eq!(client.exactly(4), b"busy");
    assert_eq!(proxy.stats.totals().retries, 2);
    client.send(get("/"));
    backend.accept().head();
}

#[test]
fn what_is_not_asked_for_is_not_tried_again() {
    let backend = Backend::new();
    let on = RetryOn { connect_failure: true, ..RetryOn::default() };
    let proxy = proxy(Retry { on, statuses: vec![500], ..retry() }, &[&backend]);
    let mut client = proxy.connect();
    client.send(get("/"));
    let mut upstream = backend.accept();
    upstream.head();
    upstream.send(BUSY);
    assert_eq!(status(&client.head()), 503);
    client.exactly(4);
    client.send(POST);
    upstream.head();
    drop(upstream);
    assert_eq!(status(&client.head()), 502);
    assert_eq!(proxy.stats.totals().retries, 0);
}

#[test]
fn a_connect_that_fails_is_tried_again() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let on = RetryOn { connect_failure: true, ..RetryOn::default() };
    let retry = Retry { on, attempts: Some(2), ..retry() };
    let proxy = Proxy::with(Setup { routes: vec![retried(retry, None)], ..Setup::default() }, &[gone]);
    let mut client = proxy.connect();
    client.send(POST);
    assert_eq!(status(&client.head()), 503);
    assert_eq!(proxy.stats.totals().retries, 2);
    assert_eq!(proxy.logged()["response_flags"], "UF");
}

#[test]
fn an_endpoint_that_closes_without_an_answer_is_left_for_another() {
    let (one, two) = (Backend::new(), Backend::new());
    let on = RetryOn { reset: true, ..RetryOn::default() };
    let proxy = proxy(Retry { on, ..retry() }, &[&one, &two]);
    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n");
    let (first, mut upstream) = whichever(&[&one, &two]);
    upstream.until(b"3\r\nabc\r\n");
    drop(upstream);
    // The rest comes while the second try is under way.
    let (second, mut upstream) = whichever(&[&one, &two]);
    assert_ne!(first, second);
    upstream.until(b"3\r\nabc\r\n");
    client.send("2\r\nde\r\n0\r\nx-sum: 1\r\n\r\n");
    upstream.until(b"2\r\nde\r\n0\r\nx-sum: 1\r\n\r\n");
    upstream.send(ok(""));
    assert_eq!(status(&client.head()), 200);
}

/// An idle connection that ends just when it is used again is replaced without asking the route. Where the route
/// retries such ends it is one of its tries, so that a request arrives no more often than the route says.
#[test]
fn an_idle_connection_that_ends_counts_as_a_try() {
    let backend = Backend::new();
    let proxy = proxy(Retry { attempts: Some(1), ..retry() }, &[&backend]);
    let mut client = proxy.connect();
    client.send(get("/"));
    let mut upstream = backend.accept();
    upstream.head();
    upstream.send(ok("well"));
    client.head();
    client.exactly(4);
    client.send(get("/"));
    upstream.head();
    drop(upstream);
    let mut upstream = backend.accept();
    upstream.head();
    drop(upstream);
    assert_eq!(status(&client.head()), 502);
    assert_eq!(proxy.stats.totals().retries, 1);
}

#[test]
fn what_is_too_large_to_keep_is_sent_once() {
    let backend = Backend::new();
    let proxy = proxy(retry(), &[&backend]);
    let mut client = proxy.connect();
    let body = vec![b'x'; 64 * 1024 + 1];
    client.send(format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", body.len()));
    client.send(&body);
    let mut upstream = backend.accept();
    upstream.head();
    assert_eq!(upstream.exactly(body.len()), body);
    upstream.send(BUSY);
    assert_eq!(status(&client.head()), 503);
    assert_eq!(proxy.stats.totals().retries, 0);
}

#[test]
fn once_a_byte_went_down_nothing_is_tried_again() {
    let backend = Backend::new();
    let on = RetryOn { server_error: true, ..RetryOn::default() };
    let proxy = proxy(Retry { on, ..retry() }, &[&backend]);
    for (beginning, interim) in
        [("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel", false), ("HTTP/1.1 103 Early Hints\r\n\r\n", true)]
    {
        let mut client = proxy.connect();
        client.send(get("/"));
        let mut upstream = backend.accept();
        upstream.head();
        upstream.send(beginning);
        client.head();
        drop(upstream);
        if interim {
            assert_eq!(status(&client.head()), 502);
        } else {
            assert_eq!(client.rest().0, b"hel");
        }
    }
    assert_eq!(proxy.stats.totals().retries, 0);
}

#[test]
fn a_try_that_takes_too_long_gives_way_to_another() {
    let (one, two) = (Backend::new(), Backend::new());
    let proxy = proxy(Retry { per_try_timeout: Some(SHORT), ..retry() }, &[&one, &two]);
    let mut client = proxy.connect();
    client.send(POST);
    let (first, mut slow) = whichever(&[&one, &two]);
    slow.head();
    let (second, mut upstream) = whichever(&[&one, &two]);
    assert_ne!(first, second);
    upstream.head();
    upstream.exactly(5);
    upstream.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n");
    assert_eq!(status(&client.head()), 200);
    assert_eq!(slow.exactly(5), b"hello");
    assert!(slow.rest().0.is_empty(), "it was given up");
    // The limit is one for the answer to begin: this one has.
    std::thread::sleep(2 * SHORT);
    upstream.send("well");
    assert_eq!(client.exactly(4), b"well");
}

/// As at Envoy: the limit is the endpoint's, and counts from when it has the whole request.
#[test]
fn a_client_that_is_slow_to_send_does_not_use_up_a_trys_time() {
    let limit = Duration::from_secs(1);
    let backend = Backend::new();
    let proxy = proxy(Retry { per_try_timeout: Some(limit), attempts: Some(0), ..retry() }, &[&backend]);
    let mut client = proxy.connect();
    client.send(POST.trim_end_matches("hello"));
    let mut upstream = backend.accept();
    upstream.head();
    std::thread::sleep(limit + SHORT);
    client.send("hello");
    assert_eq!(upstream.exactly(5), b"hello");
    upstream.send(ok("well"));
    assert_eq!(status(&client.head()), 200);
    // From then on it counts.
    client.exactly(4);
    client.send(POST);
    upstream.head();
    assert_eq!(status(&client.head()), 504);
}

#[test]
fn a_try_that_takes_too_long_and_has_no_other_is_a_504() {
    let backend = Backend::new();
    let retry = Retry { attempts: Some(0), per_try_timeout: Some(SHORT), ..retry() };
    let proxy = proxy(retry, &[&backend]);
    let mut client = proxy.connect();
    client.send(get("/"));
    assert_eq!(status(&client.head()), 504);
    let line = proxy.logged();
    assert_eq!((&line["response_flags"], &line["response_code_details"]), (&"UT".into(), &"per_try_timeout".into()));
}

#[test]
fn the_routes_time_is_for_all_tries_together() {
    let backend = Backend::new();
    let retry = Retry { attempts: Some(100_000), per_try_timeout: Some(SHORT), ..retry() };
    let routes = vec![retried(retry, Some(4 * SHORT))];
    let proxy = Proxy::with(Setup { routes, ..Setup::default() }, &[backend.address]);
    let mut client = proxy.connect();
    client.send(get("/"));
    assert_eq!(status(&client.head()), 504);
    let line = proxy.logged();
    assert_eq!((&line["response_flags"], &line["response_code_details"]), (&"UT".into(), &"route_timeout".into()));
    assert!(proxy.stats.totals().retries > 0);
}

#[test]
fn a_client_that_leaves_ends_its_retries() {
    let backend = Backend::new();
    let retry = Retry { attempts: Some(100_000), back_off: Some((Duration::from_secs(3600), None)), ..retry() };
    let proxy = proxy(retry, &[&backend]);
    let mut client = proxy.connect();
    client.send(get("/"));
    let mut upstream = backend.accept();
    upstream.head();
    upstream.send(BUSY);
    eventually("retry", || (proxy.stats.totals().retries == 1).then_some(()));
    drop(client);
    assert_eq!(proxy.logged()["response_flags"], "DC");
}

#[test]
fn retries_cannot_multiply_load() {
    let backend = Backend::new();
    let proxy = proxy(retry(), &[&backend]);
    let answered = || {
        let mut client = proxy.connect();
        client.send(get("/"));
        let mut upstream = backend.accept();
        upstream.head();
        upstream.send(BUSY);
        client
    };
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let client = answered();
        let mut retried = backend.accept();
        retried.head();
        waiting.push((client, retried));
    }
    let mut fourth = answered();
    assert_eq!(status(&fourth.head()), 503, "three retries are under way, and few requests");
    let totals = proxy.stats.totals();
    assert_eq!((totals.retries, totals.retries_refused), (3, 1));
    let (client, retried) = waiting.last_mut().unwrap();
    retried.send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    client.head();
    let _fifth = answered();
    backend.accept().head();
}
