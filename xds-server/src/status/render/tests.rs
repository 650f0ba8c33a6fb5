use serde_json::json;

use super::*;
use crate::status::{Address, MonthUsage, ParentStatus, PlanStatus, TenantStatus};

const NOW: &str = "2026-11-25T01:02:03Z";
const BEFORE: &str = "2026-11-24T00:00:00Z";

fn gateway() -> ObjectStatus {
    ObjectStatus {
        observed_generation: Some(3),
        conditions: vec![
            Condition::holds("Accepted", "Accepted", "the Gateway is valid"),
            Condition::fails("Programmed", "Pending", "no proxy has it"),
        ],
        addresses: vec![Address { type_: "IPAddress".into(), value: "192.0.2.1".into() }],
        listeners: vec![ListenerStatus {
            name: "web".into(),
            attached_routes: 2,
            supported_kinds: vec!["HTTPRoute".into()],
            conditions: vec![Condition::holds("Accepted", "Accepted", "the listener is valid")],
            served_by: Vec::new(),
        }],
        ..ObjectStatus::default()
    }
}

fn parent(name: &str, claimed: bool) -> ParentStatus {
    ParentStatus {
        parent_ref: ParentReference { name: name.into(), ..ParentReference::default() },
        conditions: vec![Condition::holds("Accepted", "Accepted", "the route is served")],
        claimed,
    }
}

fn route(parents: Vec<ParentStatus>) -> ObjectStatus {
    ObjectStatus { observed_generation: Some(7), parents, ..ObjectStatus::default() }
}

fn foreign() -> Value {
    json!({
        "controllerName": "example.com/other",
        "parentRef": { "name": "theirs" },
        "conditions": [{ "type": "Accepted", "status": "True", "reason": "Accepted", "message": "",
                         "lastTransitionTime": BEFORE }],
    })
}

#[test]
fn a_gateway_is_written_in_full() {
    let written = render(Kind::Gateway, Some(&gateway()), &Value::Null, NOW);
    let expected = json!({
        "conditions": [
            { "type": "Accepted", "status": "True", "reason": "Accepted", "message": "the Gateway is valid",
              "observedGeneration": 3, "lastTransitionTime": NOW },
            { "type": "Programmed", "status": "False", "reason": "Pending", "message": "no proxy has it",
              "observedGeneration": 3, "lastTransitionTime": NOW },
        ],
        "addresses": [{ "type": "IPAddress", "value": "192.0.2.1" }],
        "listeners": [{
            "name": "web",
            "attachedRoutes": 2,
            "supportedKinds": [{ "group": "gateway.networking.k8s.io", "kind": "HTTPRoute" }],
            "conditions": [{ "type": "Accepted", "status": "True", "reason": "Accepted",
                             "message": "the listener is valid", "observedGeneration": 3,
                             "lastTransitionTime": NOW }],
        }],
    });
    assert_eq!(written, expected);
}

#[test]
fn a_condition_keeps_its_time_until_its_status_changes() {
    let there = render(Kind::Gateway, Some(&gateway()), &Value::Null, BEFORE);
    let mut next = gateway();
    next.observed_generation = Some(4);
    next.conditions[0].message = "still valid".into();
    next.conditions[1] = Condition::holds("Programmed", "Programmed", "served");
    let written = render(Kind::Gateway, Some(&next), &there, NOW);
    assert_eq!(written["conditions"][0]["lastTransitionTime"], BEFORE);
    assert_eq!(written["conditions"][1]["lastTransitionTime"], NOW);
    assert_eq!(written["listeners"][0]["conditions"][0]["lastTransitionTime"], BEFORE);
}

#[test]
fn what_was_written_needs_no_write_whoever_wrote_beside_it() {
    let wanted = digest_wanted(Kind::Gateway, Some(&gateway()));
    let mut there = render(Kind::Gateway, Some(&gateway()), &Value::Null, BEFORE);
    assert_eq!(digest_of(Kind::Gateway, &there), wanted);
    // Another controller adds a condition of its own, and the API server fills in and sorts as it likes.
    let conditions = there["conditions"].as_array_mut().unwrap();
    conditions.push(json!({ "type": "example.com/Scanned", "status": "True", "reason": "Ok", "message": "" }));
    conditions.reverse();
    assert_eq!(digest_of(Kind::Gateway, &there), wanted);

    for changed in ["/conditions/1/message", "/listeners/0/attachedRoutes", "/addresses/0/value"] {
        let mut other = there.clone();
        *other.pointer_mut(changed).unwrap() = json!("different");
        assert_ne!(digest_of(Kind::Gateway, &other), wanted, "{changed}");
    }
    assert_ne!(digest_of(Kind::Gateway, &Value::Null), wanted);
}

#[test]
fn a_new_generation_is_written_though_nothing_else_is_new() {
    let mut next = gateway();
    next.observed_generation = Some(4);
    assert_ne!(digest_wanted(Kind::Gateway, Some(&next)), digest_wanted(Kind::Gateway, Some(&gateway())));
}

#[test]
fn entries_of_other_controllers_stay_as_they_are() {
    let there = json!({ "parents": [foreign()] });
    let written = render(Kind::HTTPRoute, Some(&route(vec![parent("ours", true)])), &there, NOW);
    let parents = written["parents"].as_array().unwrap();
    assert_eq!(parents[0], foreign());
    let expected = json!({ "group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "ours" });
    assert_eq!((&parents[1]["controllerName"], &parents[1]["parentRef"]), (&json!(CONTROLLER_NAME), &expected));
    assert_eq!(parents.len(), 2);

    // Neither what the other does with its own entries, nor their order, needs a write of Weir's.
    let wanted = digest_wanted(Kind::HTTPRoute, Some(&route(vec![parent("ours", true)])));
    let moved = json!({ "parents": [parents[1], foreign(), foreign()] });
    assert_eq!(digest_of(Kind::HTTPRoute, &moved), wanted);
    assert_ne!(digest_of(Kind::HTTPRoute, &json!({ "parents": [foreign()] })), wanted);
}

#[test]
fn an_entry_of_weirs_keeps_its_time_among_others() {
    let ours = route(vec![parent("ours", true)]);
    let there = render(Kind::HTTPRoute, Some(&ours), &json!({ "parents": [foreign()] }), BEFORE);
    let written = render(Kind::HTTPRoute, Some(&ours), &there, NOW);
    assert_eq!(written, there);
}

#[test]
fn a_route_that_left_loses_only_what_weir_wrote() {
    let there =
        render(Kind::HTTPRoute, Some(&route(vec![parent("ours", true)])), &json!({ "parents": [foreign()] }), BEFORE);
    assert_eq!(render(Kind::HTTPRoute, None, &there, NOW), json!({ "parents": [foreign()] }));
    let nothing = digest_wanted(Kind::HTTPRoute, None);
    assert_eq!(digest_of(Kind::HTTPRoute, &json!({ "parents": [foreign()] })), nothing);
    assert_eq!(digest_of(Kind::HTTPRoute, &Value::Null), nothing);
    assert_ne!(digest_of(Kind::HTTPRoute, &there), nothing);
}

#[test]
fn nothing_is_written_about_a_gateway_that_may_be_anybodys() {
    let unknown = route(vec![parent("nowhere", false)]);
    assert_eq!(digest_wanted(Kind::HTTPRoute, Some(&unknown)), digest_wanted(Kind::HTTPRoute, None));
}

#[test]
fn a_list_of_parents_is_no_longer_than_the_api_takes() {
    let parents = (0..32).map(|n| parent(&format!("g{n}"), true)).collect();
    let written = render(Kind::HTTPRoute, Some(&route(parents)), &json!({ "parents": [foreign()] }), NOW);
    let parents = written["parents"].as_array().unwrap();
    assert_eq!((parents.len(), &parents[0]), (32, &foreign()));
}

#[test]
fn tenants_and_plans_say_what_they_have() {
    let usage = MonthUsage { month: "2026-11".into(), requests: 1230, bytes: 99_900 };
    let tenant = TenantStatus {
        namespaces: vec!["shop".into()],
        hostnames: vec!["a.example".into()],
        lost_hostnames: vec![super::super::LostHostname { hostname: "b.example".into(), owner: "other".into() }],
        usage: Some(usage),
        limits: None,
        ..TenantStatus::default()
    };
    let status = ObjectStatus { tenant: Some(tenant), ..ObjectStatus::default() };
    let expected = json!({
        "namespaces": ["shop"],
        "hostnames": ["a.example"],
        "lostHostnames": [{ "hostname": "b.example", "owner": "other" }],
        "usage": { "month": "2026-11", "requests": 1230, "bytes": 99_900 },
    });
    assert_eq!(render(Kind::Tenant, Some(&status), &Value::Null, NOW), expected);
    let plan = ObjectStatus { plan: Some(PlanStatus { tenants: 4 }), ..ObjectStatus::default() };
    assert_eq!(render(Kind::Plan, Some(&plan), &Value::Null, NOW), json!({ "tenants": 4 }));
}

#[test]
fn a_message_is_cut_at_a_character() {
    let mut status = gateway();
    status.conditions[0].message = format!("x{}", "é".repeat(MAX_MESSAGE));
    let written = render(Kind::Gateway, Some(&status), &Value::Null, NOW);
    assert_eq!(written["conditions"][0]["message"].as_str().unwrap().len(), MAX_MESSAGE - 1);
}
