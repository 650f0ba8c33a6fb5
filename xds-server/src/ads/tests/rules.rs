//! The rules of a stream, one at a time.

use std::time::{Duration, Instant};

use weir_config::model::ResourceType::{self, Cluster, Listener, LoadAssignment, RouteConfiguration, VirtualHost};

use crate::ads::subscription::{Answer, HOLD, Item, MAX_NAME, MAX_RESPONSE, Mode, Request, Response, Subscriptions};
use crate::ads::{Encoded, Form, Resources, Store, Version, View};
use crate::scope::Scope;

struct Stream {
    store: Store,
    state: Subscriptions,
    now: Instant,
    seen: u64,
}

impl Stream {
    /// A VHDS stream on a store with these resources.
    fn on(resources: Vec<Encoded>) -> Self {
        let now = Instant::now();
        let store = Store::new();
        store.publish_encoded(resources, &[]);
        let seen = store.read().sequence();
        Self { store, state: Subscriptions::new(Mode::DELTA, now), now, seen }
    }

    fn publish(&mut self, upserts: Vec<Encoded>, removals: &[(ResourceType, &str)]) {
        self.store.publish_encoded(upserts, removals);
        let resources = self.store.read();
        for changes in resources.since(self.seen).unwrap() {
            self.state.changed(&changes, &view(&resources), self.now);
        }
        self.seen = resources.sequence();
    }

    fn ask(&mut self, request: &Request) -> Answer {
        self.state.request(request, &view(&self.store.read()), self.now).unwrap()
    }

    fn subscribe(&mut self, kind: ResourceType, names: &[&str]) {
        self.ask(&Request { subscribe: owned(names), ..Request::new(kind) });
    }

    fn next(&mut self) -> Option<Response> {
        self.state.poll(&view(&self.store.read()), self.now)
    }

    fn accept(&mut self, response: &Response) {
        let answer = self.ask(&Request { nonce: response.nonce.clone(), ..Request::new(response.kind) });
        assert_eq!(answer, Answer::Accepted);
    }

    fn refuse(&mut self, response: &Response, text: &str) {
        let error = Some(text.to_owned());
        let answer = self.ask(&Request { nonce: response.nonce.clone(), error, ..Request::new(response.kind) });
        assert_eq!(answer, Answer::Refused);
    }

    /// The next response must hold exactly these; it is accepted.
    fn expect(&mut self, kind: ResourceType, items: &[&str], removed: &[&str]) {
        let response = self.next().unwrap_or_else(|| panic!("nothing is sent, not {items:?} {removed:?}"));
        assert_eq!((response.kind, names(&response).as_slice()), (kind, items));
        assert_eq!(response.removed.iter().map(|name| &**name).collect::<Vec<_>>(), removed);
        self.accept(&response);
    }

    fn expect_nothing(&mut self) {
        let response = self.next();
        assert!(response.is_none(), "{response:?}");
    }
}

/// All, each virtual host a resource of its own.
fn view(resources: &Resources) -> View<'_> {
    View::new(resources, Form::STORED, &Scope::Everything)
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn names(response: &Response) -> Vec<&str> {
    response
        .items
        .iter()
        .map(|item| match item {
            Item::Present(resource) => &*resource.name,
            Item::Absent(name) => &**name,
        })
        .collect()
}

fn cluster(name: &str, body: &[u8]) -> Encoded {
    Encoded::fake(Cluster, name, body, &[(LoadAssignment, "e")])
}

fn endpoints() -> Encoded {
    Encoded::fake(LoadAssignment, "e", b"", &[])
}

fn host(name: &str, body: &[u8], clusters: &[&str]) -> Encoded {
    let references: Vec<_> = clusters.iter().map(|name| (Cluster, *name)).collect();
    Encoded::fake(VirtualHost, name, body, &references)
}

fn routes(name: &str) -> Encoded {
    Encoded::fake(RouteConfiguration, name, b"", &[])
}

#[test]
fn without_names_the_first_request_for_clusters_asks_for_all_and_is_answered_even_with_none() {
    let mut stream = Stream::on(vec![cluster("a", b"")]);
    stream.subscribe(Cluster, &[]);
    stream.expect(Cluster, &["a"], &[]);
    stream.subscribe(Listener, &[]);
    stream.expect(Listener, &[], &[]);
    stream.subscribe(LoadAssignment, &[]);
    stream.expect_nothing();
}

#[test]
fn star_asked_for_and_left_at_once_asks_for_nothing() {
    let mut stream = Stream::on(vec![cluster("a", b"")]);
    let star = owned(&["*"]);
    stream.ask(&Request { subscribe: star.clone(), unsubscribe: star, ..Request::new(Cluster) });
    stream.publish(vec![cluster("b", b"")], &[]);
    assert!(stream.next().is_none_or(|response| response.items.is_empty()));
}

#[test]
fn a_name_left_while_all_are_asked_for_is_sent_again() {
    let mut stream = Stream::on(vec![cluster("a", b""), cluster("b", b"")]);
    stream.subscribe(Cluster, &["*", "a"]);
    stream.expect(Cluster, &["a", "b"], &[]);
    stream.ask(&Request { unsubscribe: owned(&["a"]), ..Request::new(Cluster) });
    stream.expect(Cluster, &["a"], &[]);
}

#[test]
fn a_missing_name_is_answered_as_removed_and_sent_once_it_is_there() {
    let mut stream = Stream::on(vec![]);
    stream.subscribe(LoadAssignment, &["e"]);
    stream.expect(LoadAssignment, &[], &["e"]);
    stream.publish(vec![endpoints()], &[]);
    stream.expect(LoadAssignment, &["e"], &[]);
}

#[test]
fn a_routes_name_asks_for_all_its_hosts_and_an_unknown_host_is_an_empty_resource() {
    let mut stream = Stream::on(vec![routes("rc"), routes("rc/x"), host("rc/a", b"", &[]), host("rc/x/b", b"", &[])]);
    stream.subscribe(RouteConfiguration, &["rc"]);
    stream.expect(RouteConfiguration, &["rc"], &[]);
    stream.subscribe(VirtualHost, &["rc"]);
    stream.state.request(&Request::new(Cluster), &view(&stream.store.read()), stream.now).unwrap();
    stream.expect(Cluster, &[], &[]);
    stream.expect(VirtualHost, &["rc/a"], &[]);
    stream.publish(vec![host("rc/c", b"", &[])], &[(VirtualHost, "rc/a")]);
    stream.expect(VirtualHost, &["rc/c"], &[]);
    stream.expect(VirtualHost, &[], &["rc/a"]);
    stream.subscribe(VirtualHost, &["other/nobody"]);
    let response = stream.next().unwrap();
    assert!(matches!(&response.items[..], [Item::Absent(name)] if &**name == "other/nobody"));
}

#[test]
fn a_stale_nonce_is_no_answer_but_what_it_asks_for_counts() {
    let mut stream = Stream::on(vec![cluster("a", b""), cluster("b", b"")]);
    stream.subscribe(Cluster, &["a"]);
    let first = stream.next().unwrap();
    let stale = Request { nonce: "0".into(), subscribe: owned(&["b"]), ..Request::new(Cluster) };
    assert_eq!(stream.ask(&stale), Answer::None);
    stream.expect_nothing();
    stream.accept(&first);
    stream.expect(Cluster, &["b"], &[]);
}

#[test]
fn what_was_refused_waits_for_another_version_and_its_neighbours_count_as_accepted() {
    let mut stream = Stream::on(vec![cluster("good", b"1"), cluster("poor", b"1")]);
    stream.subscribe(Cluster, &["*"]);
    let response = stream.next().unwrap();
    stream.refuse(&response, "Error adding/updating cluster(s) poor: no");
    stream.expect_nothing();
    let report = stream.state.report();
    assert_eq!(report[0].rejections.len(), 1);
    assert_eq!((&*report[0].rejections[0].name, report[0].acknowledged), ("poor", 0));
    stream.publish(vec![cluster("good", b"1"), cluster("poor", b"1")], &[]);
    stream.expect_nothing();
    stream.publish(vec![cluster("poor", b"2")], &[]);
    stream.expect(Cluster, &["poor"], &[]);
    assert!(stream.state.report()[0].rejections.is_empty());
}

#[test]
fn a_route_waits_for_its_cluster_and_endpoints_but_not_for_ever() {
    let mut stream = Stream::on(vec![routes("rc"), cluster("c", b""), endpoints(), host("rc/a", b"", &["c"])]);
    stream.subscribe(VirtualHost, &["rc"]);
    stream.expect_nothing();
    stream.subscribe(Cluster, &["*"]);
    stream.expect(Cluster, &["c"], &[]);
    stream.expect_nothing();
    assert_eq!(stream.state.deadline(stream.now), Some(stream.now + HOLD));
    stream.now += HOLD - Duration::from_millis(1);
    stream.expect_nothing();
    stream.now += Duration::from_millis(1);
    stream.expect(VirtualHost, &["rc/a"], &[]);
}

#[test]
fn endpoints_follow_a_cluster_that_is_sent_again() {
    let mut stream = Stream::on(vec![cluster("c", b"1"), endpoints()]);
    stream.subscribe(Cluster, &["*"]);
    stream.subscribe(LoadAssignment, &["e"]);
    stream.expect(Cluster, &["c"], &[]);
    stream.expect(LoadAssignment, &["e"], &[]);
    stream.publish(vec![cluster("c", b"2")], &[]);
    stream.expect(Cluster, &["c"], &[]);
    stream.expect(LoadAssignment, &["e"], &[]);
    stream.expect_nothing();
}

#[test]
fn a_cluster_goes_after_the_routes_that_used_it_and_stays_while_a_refused_version_keeps_them() {
    let mut stream = Stream::on(vec![routes("rc"), cluster("c", b""), endpoints(), host("rc/a", b"1", &["c"])]);
    stream.subscribe(Cluster, &["*"]);
    stream.subscribe(Listener, &["*"]);
    stream.subscribe(LoadAssignment, &["e"]);
    stream.subscribe(RouteConfiguration, &["rc"]);
    stream.subscribe(VirtualHost, &["rc"]);
    while let Some(response) = stream.next() {
        stream.accept(&response);
    }
    stream.publish(vec![host("rc/a", b"2", &[])], &[(Cluster, "c")]);
    let response = stream.next().unwrap();
    assert_eq!(response.kind, VirtualHost);
    stream.expect_nothing();
    stream.refuse(&response, "rc/a: no");
    stream.now += HOLD * 2;
    stream.expect_nothing();
    stream.publish(vec![host("rc/a", b"3", &[])], &[]);
    stream.expect(VirtualHost, &["rc/a"], &[]);
    stream.expect(Cluster, &[], &["c"]);
}

#[test]
fn a_client_that_comes_back_hears_only_what_is_different() {
    let (same, old) = (cluster("same", b""), cluster("changed", b"1"));
    let mut stream = Stream::on(vec![same.clone(), cluster("changed", b"2")]);
    let initial = [("same", same.version), ("changed", old.version), ("gone", Version::of(b"x"))];
    let initial = initial.map(|(name, version)| (name.to_owned(), version.to_string())).to_vec();
    stream.ask(&Request { initial, ..Request::new(Cluster) });
    stream.expect(Cluster, &["changed"], &[]);
    stream.now += HOLD;
    stream.expect(Cluster, &[], &["gone"]);
    stream.expect_nothing();
}

#[test]
fn a_large_answer_is_split_and_later_types_wait_for_its_end() {
    let body = vec![b'x'; MAX_RESPONSE / 2];
    let mut stream = Stream::on(vec![cluster("a", &body), cluster("b", &body), cluster("c", b""), endpoints()]);
    stream.subscribe(Cluster, &["*"]);
    stream.subscribe(LoadAssignment, &["e"]);
    let first = stream.next().unwrap();
    assert_eq!(names(&first), ["a"]);
    stream.expect_nothing();
    stream.accept(&first);
    stream.expect(Cluster, &["b", "c"], &[]);
    stream.expect(LoadAssignment, &["e"], &[]);
}

#[test]
fn a_name_that_is_too_long_ends_the_stream() {
    let mut stream = Stream::on(vec![]);
    let request = Request { subscribe: vec!["x".repeat(MAX_NAME + 1)], ..Request::new(Cluster) };
    assert!(stream.state.request(&request, &view(&stream.store.read()), stream.now).is_err());
}

#[test]
fn versions_are_read_back() {
    let version = Version::of(b"abc");
    assert_eq!(version.to_string(), "ba7816bf8f01cfea414140de5dae2223");
    assert_eq!(Version::parse(&version.to_string()), Some(version));
    assert_eq!(Version::parse("1"), None);
}
