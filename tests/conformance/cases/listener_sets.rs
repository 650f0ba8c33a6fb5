//! ListenerSet: who may attach one, conflicts, routes by it, status.

use super::listener;
use crate::status::{Listener, Object, SERVES, Want, fails, gateway, holds, infra, route};
use crate::suite::{Case, Check};
use crate::world::INFRA;

const HTTP: &[&str] = &["HTTPRoute"];

pub(super) fn run(case: &Case<'_>, name: &str) -> Option<Check> {
    let check = match name.strip_prefix("ListenerSet")? {
        "AllowedNamespaceNone" => allowed_none,
        "DefaultNotAllowed" => default_not_allowed,
        "AllowedNamespaceSame" => allowed_same,
        "AllowedNamespaceSelector" => allowed_selector,
        "AllowedRoutesNamespaces" => routes_namespaces,
        "AllowedRoutesSupportedKinds" => supported_kinds,
        "DualParentRefIndependence" => dual_parents,
        "GatewayParentSectionNameNotFound" => section_not_found,
        "HTTPRouting" => routing,
        "ProtocolConflict" => protocol_conflict,
        "ReferenceGrant" => grants,
        "RouteStatusScopedToParentRef" => scoped,
        _ => return None,
    };
    Some(check(case))
}

const fn set<'o>(namespace: &'o str, name: &'o str) -> Object<'o> {
    Object { kind: "ListenerSet", namespace, name }
}

/// A ListenerSet that its Gateway does not let in.
fn not_allowed(case: &Case<'_>, object: Object<'_>) -> Check {
    case.has(object, &[fails("Accepted", "NotAllowed"), fails("Programmed", "NotAllowed")])
}

/// A ListenerSet all of whose listeners serve.
fn serves(case: &Case<'_>, object: Object<'_>) -> Check {
    case.has(object, &[holds("Accepted", "Accepted"), holds("Programmed", "Programmed")])?;
    case.listener_has(object, "", SERVES)
}

fn counts(case: &Case<'_>, parent: &str, sets: u64) -> Check {
    case.has(gateway(parent), &[holds("Accepted", "")])?;
    case.attached_sets(parent, sets)
}

fn allowed_none(case: &Case<'_>) -> Check {
    counts(case, "gateway-does-not-allow-listenerset", 0)?;
    not_allowed(case, set(INFRA, "listenerset-not-allowed"))
}

fn default_not_allowed(case: &Case<'_>) -> Check {
    counts(case, "gateway-default-does-not-allow-listenerset", 0)?;
    not_allowed(case, set(INFRA, "listenerset-default-not-allowed"))
}

fn allowed_same(case: &Case<'_>) -> Check {
    counts(case, "gateway-allows-listenerset-in-same-namespace", 1)?;
    serves(case, set(INFRA, "listenerset-in-same-namespace"))?;
    not_allowed(case, set("gateway-api-listenerset-not-allowed-ns", "listenerset-in-different-namespace"))
}

fn allowed_selector(case: &Case<'_>) -> Check {
    counts(case, "gateway-allows-listenerset-in-selected-namespace", 1)?;
    serves(case, set("gateway-api-listenerset-selector-allowed-ns", "listenerset-in-selected-namespace"))?;
    not_allowed(case, set("gateway-api-listenerset-selector-not-allowed-ns", "listenerset-not-in-selected-namespace"))
}

/// Routes of these are accepted by the ListenerSet, whose listeners all serve.
fn attached(case: &Case<'_>, object: Object<'_>, routes: &[(&str, &str)]) -> Check {
    for (namespace, name) in routes {
        let route = Object { kind: "HTTPRoute", namespace, name };
        case.towards(route, object, holds("Accepted", "Accepted"))?;
    }
    case.listener_has(object, "", SERVES)
}

fn shows(case: &Case<'_>, object: Object<'_>, listeners: &[(&str, u64)]) -> Check {
    let listeners: Vec<Listener<'_>> = listeners
        .iter()
        .map(|(name, routes)| Listener { name, kinds: HTTP, routes: *routes, conditions: SERVES })
        .collect();
    case.listeners(object, &listeners)
}

fn routes_namespaces(case: &Case<'_>) -> Check {
    let parent = "gateway-with-listener-sets-test-allowed-routes";
    counts(case, parent, 2)?;
    let same = set(INFRA, "listenerset-test-allowed-routes-namespaces");
    let routes = [
        (INFRA, "route-in-same-namespace"),
        ("gateway-api-routes-allowed-ns", "route-in-selected-namespace"),
        ("gateway-api-routes-not-allowed-ns", "route-not-in-selected-namespace"),
    ];
    attached(case, same, &routes)?;
    let names = ["all", "same", "selector"].map(|name| format!("listener-set-listener-allowed-routes-{name}"));
    shows(case, same, &[(&names[0], 3), (&names[1], 1), (&names[2], 1)])?;
    let cross = set("gateway-api-ls-cross-ns", "listenerset-test-allowed-routes-cross-ns");
    attached(case, cross, &[("gateway-api-ls-cross-ns", "route-in-listenerset-namespace")])?;
    case.towards(route("route-in-gateway-namespace"), cross, fails("Accepted", "NotAllowedByListeners"))?;
    shows(case, cross, &[("listener-set-listener-allowed-routes-cross-ns-same", 1)])?;
    case.rows(&listener(case, INFRA, parent, "")?)
}

fn supported_kinds(case: &Case<'_>) -> Check {
    case.has(gateway("gateway-with-listener-sets-test-supported-route-kinds"), &[holds("Accepted", "")])?;
    let object = set(INFRA, "listenerset-test-allowed-routes-supported-kinds");
    case.listener_has(
        object,
        "listener-set-listener-allowed-routes-tls-only",
        &[fails("ResolvedRefs", "InvalidRouteKinds")],
    )
}

fn dual_parents(case: &Case<'_>) -> Check {
    let (parent, object) = ("gateway-dual-parentref", set(INFRA, "ls-dual-parentref"));
    counts(case, parent, 1)?;
    shows(case, object, &[("ls-dual-parentref-listener", 2)])?;
    let both = route("route-dual-parentref-both");
    case.towards(both, gateway(parent), holds("Accepted", ""))?;
    case.towards(both, object, holds("Accepted", ""))?;
    let one = route("route-dual-parentref-one");
    case.towards(one, gateway(parent), fails("Accepted", "NoMatchingParent"))?;
    case.towards(one, object, holds("Accepted", ""))?;
    case.rows(&listener(case, INFRA, parent, "")?)
}

fn section_not_found(case: &Case<'_>) -> Check {
    let (parent, object) = ("gateway-section-name", set(INFRA, "listenerset-section-name"));
    counts(case, parent, 1)?;
    attached(case, object, &[(INFRA, "route-via-listenerset")])?;
    case.towards(route("route-via-gateway"), gateway(parent), fails("Accepted", "NoMatchingParent"))?;
    case.rows(&listener(case, INFRA, parent, "")?)
}

fn routing(case: &Case<'_>) -> Check {
    let parent = "gateway-with-listener-sets-http-routing";
    for name in ["attaches-to-all-listeners", "gateway-route", "gateway-section-route"] {
        case.towards(route(name), gateway(parent), holds("Accepted", "Accepted"))?;
    }
    counts(case, parent, 2)?;
    let all = (INFRA, "attaches-to-all-listeners");
    let first = set(INFRA, "listener-set-http-routing-1");
    attached(
        case,
        first,
        &[all, (INFRA, "listener-set-http-routing-1-route"), (INFRA, "listener-set-http-routing-1-section-route")],
    )?;
    shows(
        case,
        first,
        &[("listener-set-http-routing-1-listener-1", 3), ("listener-set-http-routing-1-listener-2", 2)],
    )?;
    let second = set(INFRA, "listener-set-http-routing-2");
    attached(case, second, &[all, (INFRA, "listener-set-http-routing-2-route")])?;
    shows(
        case,
        second,
        &[("listener-set-http-routing-2-listener-1", 2), ("listener-set-http-routing-2-listener-2", 2)],
    )?;
    case.rows(&listener(case, INFRA, parent, "")?)
}

/// Who came first keeps the port; what a ListenerSet loses is said of each listener.
fn protocol_conflict(case: &Case<'_>) -> Check {
    const LOST: &[Want] = &[
        fails("Accepted", "ProtocolConflict"),
        fails("Programmed", "ProtocolConflict"),
        holds("Conflicted", "ProtocolConflict"),
    ];
    let (with_gateway, with_set) =
        ("protocol-conflict-with-gateway-listener", "protocol-conflict-with-listener-set-listener");
    let parent = gateway("gateway-with-listenerset-protocol-conflict");
    counts(case, parent.name, 2)?;
    case.listener_has(parent, "gateway-listener", SERVES)?;
    case.listener_has(parent, with_gateway, SERVES)?;
    let named = |suffix: &str| format!("listenerset-with-protocol-conflict-with-{suffix}");
    let partly: &[Want] = &[holds("Accepted", ""), holds("Programmed", "Programmed")];
    let none: &[Want] = &[fails("Accepted", "ListenersNotValid"), fails("Programmed", "ListenersNotValid")];
    type Row<'r> = (&'r str, &'r [Want], &'r [(&'r str, &'r [Want])]);
    let rows: [Row<'_>; 4] = [
        ("gateway-1", partly, &[("listener-set-1-listener", SERVES), (with_gateway, LOST), (with_set, SERVES)]),
        ("gateway-2", none, &[(with_gateway, LOST)]),
        ("listener-set-1", partly, &[("listener-set-2-listener", SERVES), (with_set, LOST)]),
        ("listener-set-2", none, &[(with_set, LOST)]),
    ];
    for (suffix, conditions, listeners) in rows {
        let name = named(suffix);
        case.has(set(INFRA, &name), conditions)?;
        for (listener, wants) in listeners {
            case.listener_has(set(INFRA, &name), listener, wants)?;
        }
    }
    Ok(())
}

fn grants(case: &Case<'_>) -> Check {
    case.has(gateway("gateway-with-listener-sets-test-reference-grant"), &[holds("Accepted", "")])?;
    let with = set(INFRA, "listenerset-with-reference-grant");
    case.has(with, &[holds("Accepted", ""), holds("Programmed", "")])?;
    case.listener_has(with, "listenerset-with-reference-grant-listener", &[holds("ResolvedRefs", "")])?;
    let without = set("gateway-api-listener-sets-test-reference-grant-ns", "listenerset-without-reference-grant");
    case.has(without, &[fails("Accepted", "ListenersNotValid"), fails("Programmed", "ListenersNotValid")])?;
    let name = "listenerset-without-reference-grant-listener";
    case.listener_has(without, name, &[fails("ResolvedRefs", "RefNotPermitted")])
}

/// A status towards the parent that a route names, and towards no other.
fn scoped(case: &Case<'_>) -> Check {
    let (parent, object) = (gateway("gateway-parentref"), set(INFRA, "listenerset-parentref"));
    counts(case, parent.name, 1)?;
    shows(case, object, &[("listenerset-parentref-listener", 1)])?;
    for (name, parent) in [("route-parentref-gwonly", parent), ("route-parentref-lsonly", object)] {
        case.towards(route(name), parent, holds("Accepted", ""))?;
        case.until_object(infra("HTTPRoute", name), |found| {
            match found["status"]["parents"].as_array().map(Vec::len) {
                Some(1) => Ok(()),
                count => Err(format!("{count:?} parents instead of 1")),
            }
        })?;
    }
    Ok(())
}
