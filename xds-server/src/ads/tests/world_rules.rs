//! The rules of state of the world, one at a time.

use std::sync::Arc;
use std::time::Instant;

use weir_config::model::ResourceType::{self, Cluster, Listener, LoadAssignment, RouteConfiguration, Secret};

use super::client::item_name;
use crate::ads::subscription::{Answer, HOLD, Mode, Response, Subscriptions, Variant, WorldRequest};
use crate::ads::{Encoded, Form, Interest, Store};
use crate::scope::Scope;

struct Stream {
    store: Arc<Store>,
    interest: Interest,
    state: Subscriptions,
    now: Instant,
    seen: u64,
}

impl Stream {
    fn on(resources: Vec<Encoded>) -> Self {
        let (now, store) = (Instant::now(), Arc::new(Store::new()));
        let interest = store.enter(Form::default(), Scope::Everything);
        store.publish_encoded(resources, &[]);
        let seen = store.read().sequence();
        let state = Subscriptions::new(Mode { variant: Variant::World, alone: false }, now);
        Self { store, interest, state, now, seen }
    }

    fn publish(&mut self, upserts: Vec<Encoded>, removals: &[(ResourceType, &str)]) {
        self.store.publish_encoded(upserts, removals);
        let resources = self.store.read();
        let view = self.interest.view(&resources);
        for changes in view.changes_since(self.seen).unwrap() {
            self.state.changed(&changes, &view, self.now);
        }
        self.seen = view.sequence();
    }

    fn say(&mut self, request: &WorldRequest) -> Answer {
        let resources = self.store.read();
        self.state.request_world(request, &self.interest.view(&resources), self.now).unwrap()
    }

    fn name(&mut self, kind: ResourceType, names: &[&str]) {
        let names = names.iter().map(ToString::to_string).collect();
        assert_eq!(self.say(&WorldRequest { names, ..WorldRequest::new(kind) }), Answer::None);
    }

    fn next(&mut self) -> Option<Response> {
        let resources = self.store.read();
        self.state.poll(&self.interest.view(&resources), self.now)
    }

    /// The next response must hold exactly these; it is accepted, with these names.
    fn expect(&mut self, kind: ResourceType, items: &[&str], names: &[&str]) -> Response {
        let response = self.next().unwrap_or_else(|| panic!("nothing is sent, not {items:?}"));
        assert_eq!((response.kind, held(&response).as_slice()), (kind, items));
        assert!(response.removed.is_empty());
        assert_eq!(self.say(&answer(&response, names)), Answer::Accepted);
        response
    }

    fn expect_nothing(&mut self) {
        let response = self.next();
        assert!(response.is_none(), "{response:?}");
    }
}

fn held(response: &Response) -> Vec<&str> {
    response.items.iter().map(item_name).collect()
}

fn answer(response: &Response, names: &[&str]) -> WorldRequest {
    WorldRequest {
        version: response.version.unwrap().to_string(),
        nonce: response.nonce.clone(),
        names: names.iter().map(ToString::to_string).collect(),
        ..WorldRequest::new(response.kind)
    }
}

fn refusal(response: &Response, names: &[&str], text: &str) -> WorldRequest {
    WorldRequest { version: "before".into(), error: Some(text.into()), ..answer(response, names) }
}

fn cluster(name: &str, body: &[u8]) -> Encoded {
    Encoded::fake(Cluster, name, body, &[(LoadAssignment, "e")])
}

fn routes(name: &str, body: &[u8], clusters: &[&str]) -> Encoded {
    let references: Vec<_> = clusters.iter().map(|name| (Cluster, *name)).collect();
    Encoded::fake(RouteConfiguration, name, body, &references)
}

fn plain(kind: ResourceType, name: &str, body: &[u8]) -> Encoded {
    Encoded::fake(kind, name, body, &[])
}

#[test]
fn clusters_and_listeners_are_whole_each_time_and_the_others_only_what_is_new() {
    let endpoints = |body: &[u8]| plain(LoadAssignment, "e", body);
    let mut stream = Stream::on(vec![cluster("a", b"1"), cluster("b", b"1"), endpoints(b"1"), plain(Secret, "s", b"")]);
    stream.name(Cluster, &[]);
    let first = stream.expect(Cluster, &["a", "b"], &[]);
    stream.name(LoadAssignment, &["e", "f"]);
    stream.name(Secret, &["s", "t"]);
    stream.expect(LoadAssignment, &["e"], &["e", "f"]);
    stream.expect(Secret, &["s"], &["s", "t"]);
    stream.expect_nothing();

    stream.publish(vec![cluster("b", b"2"), plain(LoadAssignment, "f", b"")], &[]);
    let second = stream.expect(Cluster, &["a", "b"], &[]);
    assert_ne!(first.version, second.version);
    stream.expect(LoadAssignment, &["e", "f"], &["e", "f"]);
    stream.expect_nothing();
}

#[test]
fn nothing_named_means_all_until_something_is_named() {
    let mut stream = Stream::on(vec![cluster("a", b""), cluster("b", b""), plain(Listener, "l", b"")]);
    stream.name(Cluster, &[]);
    stream.expect(Cluster, &["a", "b"], &[]);
    stream.name(Cluster, &["a"]);
    stream.publish(vec![cluster("b", b"2")], &[]);
    stream.expect(Cluster, &["a"], &["a"]);
    stream.name(Cluster, &["a", "*"]);
    stream.expect(Cluster, &["a", "b"], &["a", "*"]);
    stream.name(Cluster, &[]);
    stream.publish(vec![cluster("a", b"3"), cluster("c", b"")], &[]);
    stream.expect_nothing();
    stream.name(Secret, &[]);
    stream.expect_nothing();
}

#[test]
fn an_empty_set_is_an_answer() {
    let mut stream = Stream::on(vec![]);
    stream.name(Cluster, &[]);
    stream.expect(Cluster, &[], &[]);
    stream.name(Listener, &["l"]);
    stream.expect(Listener, &[], &["l"]);
    stream.expect_nothing();
}

#[test]
fn what_is_gone_stays_in_the_set_until_what_refers_to_it_is_gone() {
    let endpoints = plain(LoadAssignment, "e", b"");
    let mut stream = Stream::on(vec![cluster("old", b""), endpoints, routes("rc", b"1", &["old"])]);
    stream.name(Cluster, &[]);
    stream.name(Listener, &[]);
    stream.name(LoadAssignment, &["e"]);
    stream.name(RouteConfiguration, &["rc"]);
    stream.expect(Cluster, &["old"], &[]);
    stream.expect(LoadAssignment, &["e"], &["e"]);
    stream.expect(Listener, &[], &[]);
    stream.expect(RouteConfiguration, &["rc"], &["rc"]);

    stream.publish(vec![cluster("new", b""), routes("rc", b"2", &["new"])], &[(Cluster, "old")]);
    stream.expect(Cluster, &["new", "old"], &[]);
    stream.expect(LoadAssignment, &["e"], &["e"]);
    stream.expect(RouteConfiguration, &["rc"], &["rc"]);
    stream.expect(Cluster, &["new"], &[]);
    stream.expect_nothing();
}

#[test]
fn a_refused_version_does_not_come_again_with_its_neighbours() {
    let mut stream = Stream::on(vec![cluster("a", b"1"), cluster("b", b"1")]);
    stream.name(Cluster, &[]);
    stream.expect(Cluster, &["a", "b"], &[]);
    stream.publish(vec![cluster("a", b"bad"), cluster("fresh", b"bad")], &[]);
    let response = stream.next().unwrap();
    assert_eq!(held(&response), ["a", "b", "fresh"]);
    assert_eq!(stream.say(&refusal(&response, &[], "a: no; fresh: no")), Answer::Refused);
    stream.expect_nothing();

    stream.publish(vec![cluster("b", b"2")], &[]);
    let response = stream.expect(Cluster, &["a", "b"], &[]);
    assert_eq!(response.items.iter().map(item_body).collect::<Vec<_>>(), ["1", "2"]);
    let rejections = &stream.state.report()[0].rejections;
    assert_eq!(rejections.iter().map(|rejection| &*rejection.name).collect::<Vec<_>>(), ["a", "fresh"]);
    stream.publish(vec![cluster("a", b"3")], &[]);
    stream.expect(Cluster, &["a", "b"], &[]);
}

fn item_body(item: &crate::ads::subscription::Item) -> String {
    let crate::ads::subscription::Item::Present(resource) = item else { panic!("it is absent") };
    String::from_utf8(resource.body.to_vec()).unwrap()
}

#[test]
fn another_version_without_a_reason_is_a_refusal_and_a_stale_nonce_is_none() {
    let mut stream = Stream::on(vec![cluster("a", b"1")]);
    stream.name(Cluster, &[]);
    let response = stream.next().unwrap();
    assert_eq!(stream.say(&WorldRequest { nonce: "0".into(), ..answer(&response, &[]) }), Answer::None);
    stream.expect_nothing();
    let silent = WorldRequest { version: "before".into(), ..answer(&response, &[]) };
    assert_eq!(stream.say(&silent), Answer::Refused);
    assert!(stream.state.report()[0].rejections[0].message.contains("does not say why"));
}

#[test]
fn what_a_stale_request_names_counts() {
    let mut stream = Stream::on(vec![plain(Secret, "s", b""), plain(Secret, "t", b"")]);
    stream.name(Secret, &["s"]);
    let response = stream.next().unwrap();
    stream.say(&WorldRequest { names: vec!["s".into(), "t".into()], ..WorldRequest::new(Secret) });
    stream.expect_nothing();
    assert_eq!(stream.say(&answer(&response, &["s", "t"])), Answer::Accepted);
    stream.expect(Secret, &["t"], &["s", "t"]);
}

#[test]
fn a_name_that_was_left_and_is_asked_for_again_is_sent_again() {
    let mut stream = Stream::on(vec![plain(Secret, "s", b"")]);
    stream.name(Secret, &["s"]);
    stream.expect(Secret, &["s"], &["s"]);
    stream.name(Secret, &["s"]);
    stream.expect_nothing();
    stream.name(Secret, &[]);
    stream.name(Secret, &["s"]);
    stream.expect(Secret, &["s"], &["s"]);
}

/// A client that comes back has listeners of which this stream knows nothing: a first set without one that
/// only waits for its cluster would close its port.
#[test]
fn the_first_set_waits_until_it_is_whole_but_not_for_ever() {
    let listener = Encoded::fake(Listener, "l", b"", &[(Cluster, "c")]);
    let mut stream = Stream::on(vec![listener, plain(Listener, "m", b""), cluster("c", b"")]);
    stream.name(Cluster, &[]);
    stream.name(Listener, &[]);
    stream.expect(Cluster, &["c"], &[]);
    stream.expect_nothing();
    stream.now += HOLD;
    stream.expect(Listener, &["l", "m"], &[]);
}
