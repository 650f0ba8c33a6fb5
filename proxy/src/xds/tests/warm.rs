use std::time::{Duration, Instant};

use ResourceType as T;

use super::super::warm::{BOUND, Warm};
use super::*;

/// A client and what its resources become.
struct Rig {
    client: Client,
    warm: Warm,
    now: Instant,
}

impl Rig {
    fn new() -> Self {
        let mut client = new_client();
        client.open();
        Self { client, warm: Warm::default(), now: Instant::now() }
    }

    fn receive(&mut self, kind: ResourceType, resources: &[&Resource], removed: &[&str]) -> (Vec<String>, Vec<String>) {
        let step = self.client.receive(response(kind, resources, removed));
        names(&self.warm.receive(self.client.received(), &step.change, self.now))
    }

    fn wait(&mut self, time: Duration) -> (Vec<String>, Vec<String>) {
        self.now += time;
        names(&self.warm.expire(self.client.received(), self.now))
    }

    /// Listener `l` with routes `r` to cluster `c`, all live.
    fn serving() -> Self {
        let mut rig = Self::new();
        rig.receive(T::Cluster, &[&cluster("c")], &[]);
        rig.receive(T::LoadAssignment, &[&endpoints("c", 1)], &[]);
        rig.receive(T::Listener, &[&listener("l", "r", &[])], &[]);
        rig.receive(T::RouteConfiguration, &[&routes("r", true)], &[]);
        rig.receive(T::VirtualHost, &[&host("r", "a.test", "c")], &[]);
        assert!(rig.warm.active().listeners.contains_key("l"));
        rig
    }
}

fn nothing() -> (Vec<String>, Vec<String>) {
    (vec![], vec![])
}

fn up(names: &[&str]) -> (Vec<String>, Vec<String>) {
    (names.iter().map(ToString::to_string).collect(), vec![])
}

#[test]
fn a_listener_waits_for_routes_hosts_secrets_and_their_clusters() {
    let mut rig = Rig::new();
    assert_eq!(rig.receive(T::Cluster, &[&cluster("c")], &[]), nothing());
    assert_eq!(rig.receive(T::Listener, &[&listener("l", "r", &["s"])], &[]), nothing());
    assert_eq!(rig.receive(T::RouteConfiguration, &[&routes("r", true)], &[]), nothing());
    assert_eq!(rig.receive(T::VirtualHost, &[&host("r", "a.test", "c")], &[]), nothing());
    assert_eq!(rig.receive(T::LoadAssignment, &[&endpoints("c", 1)], &[]), up(&["eds/c", "c", "r/a.test", "r"]));
    let certificate = TlsCertificate { chain: "chain".into(), key: PrivateKey("key".into()) };
    let secret = Secret { name: "s".into(), certificate }.into();
    assert_eq!(rig.receive(T::Secret, &[&secret], &[]), up(&["s", "l"]));
}

#[test]
fn the_wait_is_bounded_and_a_newer_version_does_not_prolong_it() {
    let mut rig = Rig::new();
    rig.receive(T::Listener, &[&listener("l", "r", &[])], &[]);
    assert_eq!(rig.wait(BOUND / 2), nothing());
    rig.receive(T::Listener, &[&listener("l", "r2", &[])], &[]);
    assert_eq!(rig.warm.deadline(), Some(rig.now + BOUND / 2));
    assert_eq!(rig.wait(BOUND / 2), up(&["l"]));
    assert_eq!(rig.warm.deadline(), None);
}

#[test]
fn a_name_that_the_server_does_not_have_is_not_waited_for() {
    let mut rig = Rig::new();
    rig.receive(T::Listener, &[&listener("l", "r", &[])], &[]);
    assert_eq!(rig.receive(T::RouteConfiguration, &[], &["r"]), up(&["l"]));
}

#[test]
fn a_host_keeps_its_cluster_until_the_new_one_has_endpoints() {
    let mut rig = Rig::serving();
    assert_eq!(rig.receive(T::VirtualHost, &[&host("r", "a.test", "d")], &[]), nothing());
    assert_eq!(rig.receive(T::Cluster, &[&cluster("d")], &["c"]), nothing(), "c still serves");
    assert!(rig.warm.active().clusters.contains_key("c"));
    let (mut went_live, gone) = rig.receive(T::LoadAssignment, &[&endpoints("d", 2)], &[]);
    went_live.sort();
    assert_eq!(went_live, ["d", "eds/d", "r/a.test"]);
    assert_eq!(gone, ["c", "eds/c"]);
    assert_eq!(rig.warm.active(), rig.client.world());
}

#[test]
fn a_cut_in_authority_is_not_delayed() {
    let mut rig = Rig::serving();
    rig.receive(T::VirtualHost, &[&host("r", "a.test", "missing")], &[]);
    assert_eq!(rig.receive(T::VirtualHost, &[], &["r/a.test"]).1, ["r/a.test"]);
    assert_eq!(rig.wait(BOUND), nothing(), "the version that waited is gone too");
    assert_eq!(rig.receive(T::Listener, &[], &["l"]).1, ["l", "r"]);
}

#[test]
fn a_cluster_that_is_gone_for_good_goes_although_a_route_names_it() {
    let mut rig = Rig::serving();
    assert_eq!(rig.receive(T::Cluster, &[], &["c"]).1, ["c", "eds/c"]);
}

#[test]
fn changed_endpoints_are_live_at_once() {
    let mut rig = Rig::serving();
    assert_eq!(rig.receive(T::LoadAssignment, &[&endpoints("c", 9)], &[]), up(&["eds/c"]));
}

#[test]
fn routes_that_one_listener_leaves_and_another_takes_serve_throughout() {
    let mut rig = Rig::serving();
    assert_eq!(rig.receive(T::Listener, &[&listener("l", "r2", &[])], &[]), nothing());
    assert!(rig.warm.active().routes.contains_key("r"), "the old listener still needs them");
    let (live, mut gone) = rig.receive(T::RouteConfiguration, &[&routes("r2", false)], &[]);
    gone.sort();
    assert_eq!((live, gone), (vec!["r2".into(), "l".into()], vec!["r".into(), "r/a.test".into()]));
}
