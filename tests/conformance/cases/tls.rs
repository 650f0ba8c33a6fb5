//! TLSRoute, and listeners of protocol TLS.

use super::{listener, of};
use crate::client::Place;
use crate::sockets::{ask_tcp, refused};
use crate::status::{Listener, fails, gateway, holds, infra};
use crate::suite::{Case, Check};
use crate::verify::trusting;
use crate::world::INFRA;

const TLS: &[&str] = &["TLSRoute"];

pub(super) fn run(case: &Case<'_>, name: &str) -> Option<Check> {
    Some(match name {
        "TLSRouteInvalidBackendRefNonexistent" => {
            unresolved(case, "invalid-backend-ref-nonexistent", "BackendNotFound", true)
        }
        "TLSRouteInvalidBackendRefUnknownKind" => {
            unresolved(case, "invalid-backend-ref-unknown-kind", "InvalidKind", true)
        }
        "TLSRouteInvalidReferenceGrant" => unresolved(case, "gateway-conformance-infra-test", "RefNotPermitted", false),
        "TLSRouteInvalidNoMatchingListenerHostname" => {
            let reason = "NoMatchingListenerHostname";
            unaccepted(case, "tlsroute-hostname-mismatch-1", "gateway-tls-exact-hostname", reason).and_then(|()| {
                unaccepted(case, "tlsroute-hostname-mismatch-2", "gateway-tls-wildcard-hostname", reason)
            })
        }
        "TLSRouteInvalidNoMatchingListener" => no_listener(case),
        // What is not run where the feature is there; Weir claims it.
        "TLSRouteListenerMixedTerminationNotSupported" | "TLSRouteListenerTerminateNotSupported" => Ok(()),
        "TLSRouteListenerPassthroughSupportedKinds" => {
            let conditions = &[fails("ResolvedRefs", "InvalidRouteKinds")];
            let listener = Listener { name: "tls-passthrough", kinds: TLS, routes: 0, conditions };
            case.listeners(gateway("gateway-tlsroute-passthrough-supported-kind"), &[listener])
        }
        "TLSRouteListenerTerminateSupportedKinds" => {
            let conditions = &[holds("Accepted", "Accepted")];
            let listener = Listener { name: "tls-terminate", kinds: TLS, routes: 0, conditions };
            case.listeners(gateway("gateway-tlsroute-terminate-supported"), &[listener])
        }
        "TLSRouteMixedTerminationSameNamespace" => mixed(case),
        "TLSRouteSimpleSameNamespace" => reached(case, "gateway-tlsroute", "abc.example.com", true),
        "TLSRouteTerminateSimpleSameNamespace" => reached(case, "gateway-tlsroute-terminate", "tls.example.com", false),
        _ => return None,
    })
}

/// The one Gateway of a route of the test.
fn parent_of<'c>(case: &'c Case<'_>, name: &str) -> &'c str {
    let route = case.objects.iter().find(|object| of(object).kind == "TLSRoute" && of(object).name == name);
    route.and_then(|route| route["spec"]["parentRefs"][0]["name"].as_str()).expect("a TLSRoute with a parent")
}

/// Accepted, not resolved, and connections are refused.
fn unresolved(case: &Case<'_>, name: &str, reason: &'static str, connect: bool) -> Check {
    let parent = parent_of(case, name);
    case.towards(infra("TLSRoute", name), gateway(parent), holds("Accepted", "Accepted"))?;
    case.towards(infra("TLSRoute", name), gateway(parent), fails("ResolvedRefs", reason))?;
    if !connect {
        return Ok(());
    }
    let route = case.objects.iter().find(|object| of(object).kind == "TLSRoute").expect("a TLSRoute");
    let hostname = route["spec"]["hostnames"][0].as_str().expect("a hostname");
    let place = listener(case, INFRA, parent, "")?;
    let trust = trusting(case.world.keys.ca(INFRA, "tls-checks-ca-certificate"));
    case.in_a_row("the connection to be refused", || refused(place.address, hostname, &trust))
}

fn unaccepted(case: &Case<'_>, name: &str, parent: &str, reason: &'static str) -> Check {
    case.towards(infra("TLSRoute", name), gateway(parent), fails("Accepted", reason))?;
    case.no_accepted_parents(infra("TLSRoute", name))?;
    case.zero_routes(parent)
}

fn no_listener(case: &Case<'_>) -> Check {
    let not_allowed = "NotAllowedByListeners";
    unaccepted(case, "tlsroute-not-allowed-protocol-http", "gateway-tlsroute-http-only", not_allowed)?;
    unaccepted(case, "tlsroute-not-allowed-protocol-https", "gateway-tlsroute-https-only", not_allowed)?;
    let (name, parent) = ("tlsroute-no-matching-section-name", "gateway-tlsroute-tls-passthrough-only");
    unaccepted(case, name, parent, "NoMatchingParent")
}

/// A connection for the name reaches the backend, by TLS or by what was in it.
fn reached(case: &Case<'_>, parent: &str, name: &str, by_tls: bool) -> Check {
    for route in case.objects.iter().filter(|object| object["kind"] == "TLSRoute") {
        case.accepted_and_resolved(of(route), gateway(parent))?;
    }
    let trust = trusting(case.world.keys.ca(INFRA, "tls-checks-ca-certificate"));
    let place = listener(case, INFRA, parent, "")?;
    let place = Place { tls: Some((name.to_owned(), trust)), ..place };
    case.in_a_row(&format!("{name} by {}", place.address), || {
        let seen = ask_tcp(place.address, &place.tls)?;
        let server = seen["tls"]["serverName"].as_str().unwrap_or_default();
        let pod = seen["pod"].as_str().unwrap_or_default();
        let right = seen["isTLS"] == by_tls && (!by_tls || server == name) && pod.starts_with("tcp-backend-");
        if right { Ok(()) } else { Err(format!("the backend saw {seen}")) }
    })
}

/// Two listeners at one port: one ends TLS, the other passes it through.
fn mixed(case: &Case<'_>) -> Check {
    let parent = "gateway-tlsroute-mixed-termination";
    let conditions = &[holds("Accepted", "Accepted")];
    let listener = |name| Listener { name, kinds: TLS, routes: 1, conditions };
    case.listeners(gateway(parent), &[listener("tls-terminate"), listener("tls-passthrough")])?;
    reached(case, parent, "tls.example.com", false)?;
    reached(case, parent, "abc.example.com", true)
}
