//! Virtual hosts on demand, as Envoy's `on_demand` filter asks for them.

use std::time::Instant;

use weir_config::model::ResourceType::{self, Cluster, RouteConfiguration, VirtualHost};

use crate::ads::subscription::{Item, Mode, Request, Response, Subscriptions};
use crate::ads::{Encoded, Form, Hosts, Store, View};
use crate::scope::Scope;

struct Stream {
    store: Store,
    state: Subscriptions,
    seen: u64,
    now: Instant,
}

const FORM: Form = Form { hosts: Hosts::OnDemand, ..Form::STORED };

impl Stream {
    /// A stream that has the routes `rc` and no host yet.
    fn on(hosts: &[&str]) -> Self {
        let mut all: Vec<_> = hosts.iter().map(|name| host(name, b"1")).collect();
        all.push(Encoded::fake(RouteConfiguration, "rc", b"", &[]));
        let (store, now) = (Store::new(), Instant::now());
        store.publish_encoded(all, &[]);
        let seen = store.read().sequence();
        let mut stream = Self { store, state: Subscriptions::new(Mode::DELTA, now), seen, now };
        stream.ask(Request::new(Cluster));
        stream.expect(Cluster, &[], &[]);
        stream.ask(Request { subscribe: vec!["rc".into()], ..Request::new(RouteConfiguration) });
        stream.expect(RouteConfiguration, &["rc"], &[]);
        // So Envoy 1.40 begins: it names no host, and its listener waits for word of any.
        stream.ask(Request::new(VirtualHost));
        stream.expect(VirtualHost, &["!rc/none.invalid"], &[]);
        stream
    }

    fn publish(&mut self, upserts: Vec<Encoded>, removals: &[(ResourceType, &str)]) {
        self.store.publish_encoded(upserts, removals);
        let resources = self.store.read();
        let view = View::new(&resources, FORM, &Scope::Everything);
        for changes in view.changes_since(self.seen).unwrap() {
            self.state.changed(&changes, &view, self.now);
        }
        self.seen = view.sequence();
    }

    fn ask(&mut self, request: Request) {
        let resources = self.store.read();
        self.state.request(&request, &View::new(&resources, FORM, &Scope::Everything), self.now).unwrap();
    }

    fn demand(&mut self, name: &str) {
        self.ask(Request { subscribe: vec![name.into()], ..Request::new(VirtualHost) });
    }

    fn next(&mut self) -> Option<Response> {
        let resources = self.store.read();
        self.state.poll(&View::new(&resources, FORM, &Scope::Everything), self.now)
    }

    /// The next response holds these, each with its aliases after `=`; `!` before a name that does not exist.
    fn expect(&mut self, kind: ResourceType, items: &[&str], removed: &[&str]) {
        let response = self.next().unwrap_or_else(|| panic!("nothing is sent, not {items:?} {removed:?}"));
        let shown: Vec<String> = response.items.iter().map(|item| show(item, &response)).collect();
        assert_eq!((response.kind, shown), (kind, items.iter().map(ToString::to_string).collect()));
        assert_eq!(response.removed.iter().map(|name| &**name).collect::<Vec<_>>(), removed);
        self.ask(Request { nonce: response.nonce, ..Request::new(kind) });
    }

    fn expect_nothing(&mut self) {
        let response = self.next();
        assert!(response.is_none(), "{response:?}");
    }
}

fn show(item: &Item, response: &Response) -> String {
    match item {
        Item::Absent(name) => format!("!{name}"),
        Item::Present(resource) => match response.aliases.get(&resource.name) {
            Some(aliases) => format!("{}={}", resource.name, aliases.join(",")),
            None => resource.name.to_string(),
        },
    }
}

fn host(name: &str, body: &[u8]) -> Encoded {
    Encoded::fake(VirtualHost, name, body, &[])
}

#[test]
fn only_what_was_asked_for_comes_and_only_that_is_kept_up_to_date() {
    let mut stream = Stream::on(&["rc/a.test", "rc/b.test"]);
    stream.demand("rc/a.test");
    stream.expect(VirtualHost, &["rc/a.test=rc/a.test"], &[]);
    stream.expect_nothing();
    stream.publish(vec![host("rc/a.test", b"2"), host("rc/b.test", b"2"), host("rc/c.test", b"1")], &[]);
    stream.expect(VirtualHost, &["rc/a.test"], &[]);
    stream.expect_nothing();
    stream.publish(vec![], &[(VirtualHost, "rc/a.test"), (VirtualHost, "rc/b.test")]);
    stream.expect(VirtualHost, &[], &["rc/a.test"]);
    stream.expect_nothing();
}

/// Envoy asks for a name once.
#[test]
fn what_is_not_there_is_said_and_sent_once_it_is() {
    let mut stream = Stream::on(&[]);
    stream.demand("rc/Nobody.test:8080");
    stream.expect(VirtualHost, &["!rc/Nobody.test:8080"], &[]);
    stream.expect_nothing();
    stream.publish(vec![host("rc/nobody.test", b"1"), host("rc/other.test", b"1")], &[]);
    stream.expect(VirtualHost, &["rc/nobody.test=rc/Nobody.test:8080"], &[]);
    stream.publish(vec![], &[(VirtualHost, "rc/nobody.test")]);
    stream.expect(VirtualHost, &[], &["rc/nobody.test"]);
    stream.publish(vec![host("rc/*.test", b"1")], &[]);
    stream.expect(VirtualHost, &["rc/*.test=rc/Nobody.test:8080", "rc/other.test"], &[]);
    stream.expect_nothing();
}

#[test]
fn a_name_whose_host_goes_is_served_by_the_next_wider_one() {
    let mut stream = Stream::on(&["rc/a.test", "rc/*.test"]);
    stream.demand("rc/a.test");
    stream.expect(VirtualHost, &["rc/a.test=rc/a.test"], &[]);
    stream.publish(vec![], &[(VirtualHost, "rc/a.test")]);
    stream.expect(VirtualHost, &["rc/*.test=rc/a.test"], &[]);
    stream.expect(VirtualHost, &[], &["rc/a.test"]);
    stream.expect_nothing();
}

#[test]
fn routes_that_come_again_get_the_hosts_that_were_asked_for() {
    let mut stream = Stream::on(&["rc/a.test"]);
    stream.demand("rc/a.test");
    stream.expect(VirtualHost, &["rc/a.test=rc/a.test"], &[]);
    stream.ask(Request { unsubscribe: vec!["rc".into()], ..Request::new(RouteConfiguration) });
    stream.publish(vec![host("rc/a.test", b"2")], &[]);
    stream.expect_nothing();
    stream.ask(Request { subscribe: vec!["rc".into()], ..Request::new(RouteConfiguration) });
    stream.expect(RouteConfiguration, &["rc"], &[]);
    stream.expect(VirtualHost, &["rc/a.test=rc/a.test", "!rc/none.invalid"], &[]);
    stream.expect_nothing();
}

/// Envoy asks only where it has nothing: with a wildcard it would take a narrower host's requests.
#[test]
fn with_a_wildcard_come_all_narrower_hosts_those_of_later_too() {
    let mut stream = Stream::on(&["rc/*.test", "rc/own.test", "rc/*.deep.test", "rc/other.org"]);
    stream.demand("rc/ANY.test:80");
    stream.expect(VirtualHost, &["rc/*.deep.test", "rc/*.test=rc/ANY.test:80", "rc/own.test"], &[]);
    stream.publish(vec![host("rc/late.test", b"1"), host("rc/late.org", b"1")], &[]);
    stream.expect(VirtualHost, &["rc/late.test"], &[]);
    stream.publish(vec![], &[(VirtualHost, "rc/late.test")]);
    stream.expect(VirtualHost, &[], &["rc/late.test"]);
    stream.expect_nothing();
}

#[test]
fn a_host_that_went_while_the_client_was_away_is_taken_from_it() {
    let mut stream = Stream::on(&["rc/a.test"]);
    stream.state = Subscriptions::new(Mode::DELTA, stream.now);
    let version = host("rc/a.test", b"1").version.to_string();
    stream.ask(Request::new(Cluster));
    stream.expect(Cluster, &[], &[]);
    stream.ask(Request {
        subscribe: ["rc", "rc/a.test", "rc/gone.test"].map(String::from).to_vec(),
        initial: vec![("rc/a.test".into(), version.clone()), ("rc/gone.test".into(), version)],
        ..Request::new(VirtualHost)
    });
    let mut removed = Vec::new();
    while let Some(response) = stream.next() {
        assert!(response.items.is_empty(), "{response:?}");
        removed.extend(response.removed.iter().map(ToString::to_string));
        stream.ask(Request { nonce: response.nonce, ..Request::new(VirtualHost) });
    }
    assert_eq!(removed, ["rc/gone.test"]);
}
