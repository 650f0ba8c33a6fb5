//! A server that reads a cluster: a real API server, and faults between the two.

use serde_json::json;

use crate::support::apiserver::{ApiServer, Cluster, Fault};
use crate::support::site::Site;
use crate::support::wait;

/// What the other tests rest on: the API server stores, outlives a kill, and the relay does what it is told.
#[test]
fn the_api_server_of_the_tests_does_as_it_is_told() {
    let site = Site::new();
    let mut api = ApiServer::start(&site);
    let plan = "apiVersion: weir.dev/v1alpha1\nkind: Plan\nmetadata: {name: pro}\nspec: {weight: 3}\n";
    api.cluster().apply(plan);
    api.kill();
    api.start_again();
    let path = "/apis/weir.dev/v1alpha1/plans/pro";
    assert_eq!(api.cluster().get(path).unwrap()["spec"]["weight"], 3);

    let relayed = Cluster::open(api.kubeconfig());
    let answer = |code: u16| {
        let rule = api.relay.fault(Fault::Answer(code), |call| call.is("get", "plans"));
        let told = relayed.send("GET", path, None).unwrap_err();
        assert_eq!(rule.hits(), 1);
        told
    };
    assert_eq!(answer(403), "403 injected Forbidden");
    assert_eq!(answer(410), "410 injected Expired");
    for fault in [Fault::Cut, Fault::CutAfter(20)] {
        let _cut = api.relay.fault(fault, |_| true);
        assert!(relayed.get(path).is_none(), "{fault:?}");
    }
    let _gone = api.relay.fault(Fault::WatchError(410), |call| call.verb == "watch");
    let event = relayed.get("/apis/weir.dev/v1alpha1/plans?watch=true&resourceVersion=1").unwrap();
    assert_eq!((&event["type"], &event["object"]["code"]), (&json!("ERROR"), &json!(410)));
    std::thread::scope(|scope| {
        let held = api.relay.fault(Fault::Hold, |_| true);
        let asked = scope.spawn(|| relayed.get(path));
        wait::until("the request to be held", || (held.hits() == 1).then_some(()));
        assert!(!asked.is_finished());
        drop(held);
        assert!(asked.join().unwrap().is_some());
    });
    assert_eq!(api.relay.count(|call| call.verb == "watch"), 1);
    api.cluster().delete(plan);
    assert!(relayed.get(path).is_none());
    let seen: Vec<String> = api.relay.seen().iter().map(ToString::to_string).collect();
    assert_eq!(seen, ["get plans.weir.dev", "watch plans.weir.dev"]);
}
