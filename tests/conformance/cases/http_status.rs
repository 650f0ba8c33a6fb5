//! HTTPRoute: what its status says of what cannot be served.

use super::accepted;
use crate::compare::Expected;
use crate::status::{Object, SERVES, fails, gateway, holds, route};
use crate::suite::{Case, Check};
use crate::world::{INFRA, WEB};

use super::listener;

pub(super) fn run(case: &Case<'_>, name: &str) -> Option<Check> {
    let same = "same-namespace";
    Some(match name {
        "HTTPRouteDisallowedKind" => {
            unaccepted(case, route("disallowed-kind"), "tlsroutes-only", "NotAllowedByListeners")
        }
        "HTTPRouteInvalidCrossNamespaceParentRef" => {
            let object = Object { kind: "HTTPRoute", namespace: WEB, name: "invalid-cross-namespace-parent-ref" };
            unaccepted(case, object, same, "NotAllowedByListeners")
        }
        "HTTPRouteInvalidParentRefNotMatchingListenerPort" => {
            unaccepted(case, route("httproute-listener-not-matching-route-port"), same, "NoMatchingParent")
        }
        "HTTPRouteInvalidParentRefSectionNameNotMatchingPort" => unaccepted(
            case,
            route("httproute-listener-section-name-not-matching-port"),
            "gateway-with-one-not-matching-port-and-section-name-route",
            "NoMatchingParent",
        ),
        "HTTPRouteInvalidBackendRefUnknownKind" => unresolved(case, "invalid-backend-ref-unknown-kind", "InvalidKind"),
        "HTTPRouteInvalidCrossNamespaceBackendRef" => {
            unresolved(case, "invalid-cross-namespace-backend-ref", "RefNotPermitted")
        }
        "HTTPRouteInvalidNonExistentBackendRef" => {
            unresolved(case, "invalid-nonexistent-backend-ref", "BackendNotFound")
        }
        "HTTPRouteInvalidReferenceGrant" => unresolved(case, "reference-grant", "RefNotPermitted"),
        "HTTPRouteObservedGenerationBump" => generation(case),
        _ => return None,
    })
}

/// The route is not accepted by its one parent, for this reason, and attached to nothing.
fn unaccepted(case: &Case<'_>, object: Object<'_>, parent: &str, reason: &'static str) -> Check {
    case.towards(object, gateway(parent), fails("Accepted", reason))?;
    case.no_accepted_parents(object)?;
    case.zero_routes(parent)
}

/// The route is accepted, a reference of it is not resolved, and requests are answered 500.
fn unresolved(case: &Case<'_>, name: &str, reason: &'static str) -> Check {
    let parent = gateway("same-namespace");
    case.towards(route(name), parent, holds("Accepted", "Accepted"))?;
    case.listener_has(parent, "", SERVES)?;
    case.towards(route(name), parent, fails("ResolvedRefs", reason))?;
    let place = listener(case, INFRA, "same-namespace", "")?;
    case.expected().iter().try_for_each(|row| case.expect(&place, row))
}

fn generation(case: &Case<'_>) -> Check {
    let object = route("observed-generation-bump");
    accepted(case)?;
    let before = case.generation(object)?;
    case.world.mutate(object.kind, object.namespace, object.name, |found| {
        found["spec"]["rules"][0]["backendRefs"][0]["name"] = "infra-backend-v2".into();
    });
    let place = accepted(case)?;
    let after = case.generation(object)?;
    if before == after {
        return Err(format!("the generation stayed {after}"));
    }
    case.expect(&place, &Expected::reaches("", "/", "infra-backend-v2", INFRA))
}
