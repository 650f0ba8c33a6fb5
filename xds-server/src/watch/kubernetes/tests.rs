//! What reports of watches become: the first batch, findings, and which Secrets are read.

use serde_json::json;
use weir_config::bootstrap::Kubernetes;
use weir_config::kinds::{Kind, ObjectKey};

use super::gather::{Gather, Report};
use super::target::{Target, targets};
use super::wire::{Item, page};
use crate::apiserver::Failure;
use crate::seen::digest_of;
use crate::watch::{Batch, Event, SecretsRead};

/// All watches of a server with these settings.
struct Watches {
    targets: Vec<Target>,
    gather: Gather,
}

impl Watches {
    fn new(settings: &Kubernetes) -> Self {
        let targets = targets(settings);
        Self { gather: Gather::new(targets.clone()), targets }
    }

    /// A report of the watch of `kind`, of this namespace where it watches one.
    fn report(&mut self, kind: Kind, namespace: Option<&str>, report: Report) {
        let found = |target: &Target| target.kind == kind && target.namespace.as_deref() == namespace;
        self.gather.take(self.targets.iter().position(found).unwrap(), report);
    }

    /// Every watch but those of these kinds lists nothing.
    fn nothing_but(&mut self, kinds: &[Kind]) {
        for (index, target) in self.targets.iter().enumerate() {
            if !kinds.contains(&target.kind) {
                self.gather.take(index, Report::Listed(Vec::new(), "1".into()));
            }
        }
    }

    fn batch(&mut self) -> Batch {
        self.gather.batch().unwrap()
    }
}

fn plan(name: &str, weight: u32, version: u32) -> Item {
    let item = json!({"metadata": {"name": name, "resourceVersion": version.to_string()}, "spec": {"weight": weight}});
    items(Kind::Plan, &[item]).remove(0)
}

fn items(kind: Kind, objects: &[serde_json::Value]) -> Vec<Item> {
    page(kind, json!({"metadata": {}, "items": objects}).to_string().as_bytes()).unwrap().items
}

fn answered(code: u16) -> Failure {
    Failure::answered(&kube::core::Status::failure("no", "").with_code(code))
}

fn told(batch: &Batch) -> Vec<String> {
    batch.findings.iter().map(ToString::to_string).collect()
}

#[test]
fn the_first_batch_is_everything() {
    let mut watches = Watches::new(&Kubernetes::default());
    watches.nothing_but(&[Kind::Plan, Kind::HTTPRoute]);
    watches.report(Kind::Plan, None, Report::Listed(vec![plan("pro", 1, 5)], "9".into()));
    watches.report(Kind::Plan, None, Report::Changed(plan("free", 1, 10)));
    assert!(watches.batch().waiting, "HTTPRoutes are not known yet");
    assert!(watches.gather.batch().is_none());
    watches.report(Kind::HTTPRoute, None, Report::Failing(answered(500)));
    let waiting = watches.batch();
    assert!(waiting.waiting && waiting.events.is_empty());
    let why =
        "httproutes cannot be read: the API server failed (no) (the server is not ready until everything was read)";
    assert_eq!(told(&waiting), [why]);
    watches.report(Kind::HTTPRoute, None, Report::Listed(Vec::new(), "9".into()));
    let first = watches.batch();
    assert!(!first.waiting);
    assert_eq!((first.events.len(), first.findings.len()), (2, 0));
}

#[test]
fn a_kind_that_the_cluster_does_not_have_holds_nothing_up() {
    let mut watches = Watches::new(&Kubernetes::default());
    watches.nothing_but(&[Kind::HTTPRoute]);
    watches.report(Kind::HTTPRoute, None, Report::Missing);
    let first = watches.batch();
    assert!(!first.waiting);
    assert!(told(&first)[0].contains("no kind HTTPRoute"), "{:?}", told(&first));
    assert!(told(&first)[0].contains("install the CRDs of the Gateway API"), "{:?}", told(&first));
    watches.report(Kind::HTTPRoute, None, Report::Listed(Vec::new(), "9".into()));
    assert_eq!(told(&watches.batch()), [""; 0]);
}

#[test]
fn secrets_that_may_not_be_read_are_told_and_hold_nothing_up() {
    let namespaces = Some(vec!["a".to_owned(), "b".to_owned()]);
    let mut watches = Watches::new(&Kubernetes { secret_namespaces: namespaces, ..Kubernetes::default() });
    watches.nothing_but(&[Kind::Secret]);
    watches.report(Kind::Secret, Some("a"), Report::Listed(Vec::new(), "9".into()));
    watches.report(Kind::Secret, Some("b"), Report::Failing(answered(500)));
    assert!(watches.batch().waiting, "that is no word on what is permitted");
    watches.report(Kind::Secret, Some("b"), Report::Failing(answered(403)));
    let first = watches.batch();
    assert_eq!(first.events, [Event::SecretsRead(SecretsRead::Only(["a".to_owned()].into()))]);
    assert!(told(&first)[0].starts_with("secrets of namespace b cannot be read"), "{:?}", told(&first));
    watches.report(Kind::Secret, Some("b"), Report::Listed(Vec::new(), "10".into()));
    let both = ["a".to_owned(), "b".to_owned()].into();
    let second = watches.batch();
    assert_eq!((second.events, second.findings.len()), (vec![Event::SecretsRead(SecretsRead::Only(both))], 0));
}

#[test]
fn any_other_kind_that_may_not_be_read_keeps_the_server_from_being_ready() {
    let mut watches = Watches::new(&Kubernetes::default());
    watches.nothing_but(&[Kind::Service]);
    watches.report(Kind::Service, None, Report::Failing(answered(403)));
    let batch = watches.batch();
    assert!(batch.waiting);
    assert!(told(&batch)[0].contains("services cannot be read: the API server forbids it"), "{:?}", told(&batch));
}

#[test]
fn what_concerns_the_api_server_is_said_once_and_is_over_when_it_answers() {
    let mut watches = Watches::new(&Kubernetes::default());
    watches.nothing_but(&[]);
    assert!(!watches.batch().waiting);
    let away = || Report::Failing(Failure::unreachable(&std::io::Error::other("refused")));
    watches.report(Kind::Service, None, away());
    watches.report(Kind::HTTPRoute, None, away());
    let told = told(&watches.batch());
    assert_eq!(told, ["the API server cannot be reached: refused (what was read before is served on)"]);
    watches.report(Kind::Service, None, Report::Working);
    assert!(watches.gather.batch().is_none(), "HTTPRoutes still wait");
    watches.report(Kind::HTTPRoute, None, Report::Working);
    assert_eq!(watches.batch().findings, []);
}

#[test]
fn an_object_that_cannot_be_used_is_not_there_and_a_finding() {
    let mut watches = Watches::new(&Kubernetes::default());
    watches.nothing_but(&[Kind::Plan]);
    watches.report(Kind::Plan, None, Report::Listed(vec![plan("pro", 1, 5)], "9".into()));
    watches.batch();
    let key = ObjectKey::new(Kind::Plan, "", "pro");
    watches.report(Kind::Plan, None, Report::Changed(plan("pro", 0, 10)));
    let batch = watches.batch();
    assert_eq!(batch.events, [Event::Delete(key.clone())]);
    assert_eq!(told(&batch), ["Plan pro: spec.weight: must be at least 1"]);
    // In a list that finds it bad it is gone too, and gone only once.
    watches.report(Kind::Plan, None, Report::Listed(vec![plan("pro", 2, 11)], "11".into()));
    assert_eq!(watches.batch().findings, []);
    watches.report(Kind::Plan, None, Report::Listed(vec![plan("pro", 0, 12)], "12".into()));
    assert_eq!(watches.batch().events, [Event::Delete(key.clone())]);
    watches.report(Kind::Plan, None, Report::Gone(key, "13".into()));
    let last = watches.batch();
    assert_eq!((last.events, last.findings), (Vec::new(), Vec::new()));
}

#[test]
fn a_repetition_says_nothing_and_a_list_is_the_truth() {
    let mut watches = Watches::new(&Kubernetes::default());
    watches.nothing_but(&[Kind::Plan]);
    watches.report(Kind::Plan, None, Report::Listed(vec![plan("pro", 1, 5)], "9".into()));
    watches.batch();
    watches.report(Kind::Plan, None, Report::Changed(plan("free", 1, 7)));
    watches.report(Kind::Plan, None, Report::Gone(ObjectKey::new(Kind::Plan, "", "pro"), "8".into()));
    assert!(watches.gather.batch().is_none(), "both are older than the list");
    // After a restore of its store an API server counts from less.
    watches.report(Kind::Plan, None, Report::Listed(vec![plan("free", 1, 2)], "3".into()));
    assert_eq!(watches.batch().events.len(), 2);
}

#[test]
fn what_an_api_server_adds_to_an_object_makes_no_other() {
    let route = |version: &str, extra: serde_json::Value| {
        let mut object = json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": {"namespace": "shop", "name": "front", "generation": 1, "resourceVersion": version},
            "spec": {"hostnames": ["shop.acme.test"]},
        });
        object.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        items(Kind::HTTPRoute, &[object]).remove(0).object.unwrap()
    };
    let managed = json!({"status": {"parents": [{"parentRef": {"name": "web"}}]}});
    assert_eq!(route("1", json!({})), route("2", managed));
    assert_eq!(route("1", json!({})).metadata().generation, Some(1));
}

#[test]
fn of_a_status_it_is_told_what_it_was() {
    let status = json!({"conditions": [{"type": "Accepted", "status": "True"}]});
    let plan = |version: &str, status: &serde_json::Value| {
        let metadata = json!({"name": "pro", "resourceVersion": version});
        items(Kind::Plan, &[json!({"metadata": metadata, "spec": {}, "status": status})]).remove(0)
    };
    let mut watches = Watches::new(&Kubernetes::default());
    watches.nothing_but(&[Kind::Plan]);
    watches.report(Kind::Plan, None, Report::Listed(vec![plan("5", &serde_json::Value::Null)], "9".into()));
    let key = ObjectKey::new(Kind::Plan, "", "pro");
    assert_eq!(watches.batch().statuses, [(key.clone(), digest_of(Kind::Plan, &serde_json::Value::Null))]);
    watches.report(Kind::Plan, None, Report::Changed(plan("10", &status)));
    assert_eq!(watches.batch().statuses, [(key, digest_of(Kind::Plan, &status))]);
    watches.report(Kind::Plan, None, Report::Changed(plan("7", &serde_json::Value::Null)));
    assert!(watches.gather.batch().is_none(), "a repetition says nothing of a status either");
}
