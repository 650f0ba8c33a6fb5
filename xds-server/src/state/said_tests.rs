use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use weir_config::kinds::Object;
use weir_config::kinds::gateway::{Gateway, GatewayClass, ListenerSet};

use super::*;
use crate::status::serving::HOLD;
use crate::translate::Settings;
use crate::usage::metrics::Stats;
use crate::watch::{Batch, Event};

fn object<T: DeserializeOwned>(kind: &str, name: &str, spec: Value) -> T {
    let namespace = (kind != "GatewayClass").then_some("weir-system");
    let metadata = json!({"namespace": namespace, "name": name});
    let api_version = "gateway.networking.k8s.io/v1";
    serde_json::from_value(json!({"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}))
        .unwrap()
}

fn listener(name: &str, port: u16) -> Value {
    json!([{"name": name, "port": port, "protocol": "HTTP"}])
}

/// A Gateway with a listener, and a ListenerSet of it that has another, at a port of its own.
fn state() -> State {
    let state = State::new(Settings::default(), Arc::new(Stats::new(1))).unwrap();
    let class: GatewayClass = object("GatewayClass", "weir", json!({"controllerName": "weir.dev/gateway-controller"}));
    let gateway = json!({
        "gatewayClassName": "weir", "listeners": listener("own", 8080),
        "allowedListeners": {"namespaces": {"from": "All"}},
    });
    let gateway: Gateway = object("Gateway", "public", gateway);
    let set = json!({"parentRef": {"name": "public"}, "listeners": listener("added", 8081)});
    let set: ListenerSet = object("ListenerSet", "more", set);
    let objects = [Object::from(class), gateway.into(), set.into()];
    let events = objects.into_iter().map(|object| Event::Apply(Arc::new(object))).collect();
    state.apply(&Batch { events, ..Batch::default() });
    state
}

fn programmed(state: &State, key: &ObjectKey) -> String {
    let Wanted::Status(status) = state.wanted(key) else { return "early".into() };
    let conditions = &status.listeners[0].conditions;
    conditions.iter().find(|condition| condition.type_ == "Programmed").unwrap().reason.clone()
}

/// A proxy that acknowledges late leaves no object with what was true before it did.
#[test]
fn whoever_has_listeners_hears_that_a_proxy_has_acknowledged_them() {
    let state = state();
    let keys = [(Kind::Gateway, "public"), (Kind::ListenerSet, "more")];
    let keys = keys.map(|(kind, name)| ObjectKey::new(kind, "weir-system", name));
    state.news().hear(true);
    state.lead(true);
    let later = Instant::now() + HOLD;
    let mut heard = Acknowledged { proxies: 1, ..Acknowledged::default() };
    state.judge(&heard, later);
    assert_eq!(keys.each_ref().map(|key| programmed(&state, key)), ["Pending", "Pending"]);
    assert_eq!(state.news().take(), keys.clone().into(), "it was too early to say before");

    let version = |(name, versions): (String, Vec<String>)| (name, BTreeMap::from([(versions[0].clone(), 1)]));
    heard.listeners = state.listeners_now().into_iter().map(version).collect();
    assert_eq!(heard.listeners.len(), 2);
    state.judge(&heard, later);
    assert_eq!(keys.each_ref().map(|key| programmed(&state, key)), ["Programmed", "Programmed"]);
    assert_eq!(state.news().take(), keys.into());
    state.judge(&heard, later);
    assert!(state.news().take().is_empty(), "nothing has moved");
}

/// A new leader takes nothing back that the one before had found out.
#[test]
fn a_class_has_no_status_before_it_is_known_of_which_release_the_crds_are() {
    let state = state();
    let class = ObjectKey::new(Kind::GatewayClass, "", "weir");
    state.news().hear(true);
    state.lead(true);
    assert_eq!(state.wanted(&class), Wanted::Early);
    let unknown = Condition::fails("SupportedVersion", "UnsupportedVersion", "httproutes is of v9.0.0");
    for bundle in [None, Some(unknown)] {
        state.set_bundle(bundle.clone());
        assert_eq!(state.news().take(), [class.clone()].into());
        let Wanted::Status(status) = state.wanted(&class) else { panic!("{:?}", state.wanted(&class)) };
        let types: Vec<&str> = status.conditions.iter().map(|condition| &*condition.type_).collect();
        assert_eq!(types, [["Accepted"].as_slice(), &["Accepted", "SupportedVersion"]][usize::from(bundle.is_some())]);
        state.set_bundle(bundle);
        assert!(state.news().take().is_empty(), "nothing has moved");
    }
}
