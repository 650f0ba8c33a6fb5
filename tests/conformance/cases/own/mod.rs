//! Tests of the harness's own that are more than rows of requests.

mod listeners;
mod retries;
mod tls;

use super::{accepted, http, listener};
use crate::client::Place;
use crate::compare::Expected;
use crate::status::{fails, gateway, holds, route};
use crate::suite::{Case, Check};
use crate::verify::pinned;
use crate::world::INFRA;

pub(super) fn run(case: &Case<'_>, name: &str) -> Option<Check> {
    let check = match name {
        "OwnHTTPRouteWeight" => weight,
        "OwnHTTPRouteRequestMultipleMirrors" => http::mirror,
        "OwnHTTPRoutePartiallyInvalid" => partly_invalid,
        "OwnHTTPRouteParentSectionNotThere" => no_such_section,
        "OwnHTTPRouteListenerPortMatching" => |case: &Case<'_>| at_listeners(case, "own-ports"),
        "OwnHTTPRouteRedirectPortAndScheme" => |case: &Case<'_>| at_listeners(case, "own-redirecting"),
        "OwnHTTPRouteMisdirectedRequests" => tls::misdirected,
        "OwnHTTPRouteRetryConnectionError" => retries::connection_error,
        "OwnHTTPRouteRetryWithTimeouts" => retries::with_timeouts,
        "OwnBackendTLSPolicyGRPCRoute" => tls::grpc_backends,
        "OwnBackendTLSPolicyTLSRouteTerminate" => tls::reencrypted,
        "OwnTLSRouteHostnameIntersection" => tls::intersecting,
        "OwnGatewayNameOfMaximumLength" => long_name,
        "OwnGatewayModifyListeners" => listeners::modified,
        "OwnGatewaySecretReferenceGrantSpecific" => listeners::secret_granted,
        "OwnListenerSetHostnameConflict" => listeners::hostname_conflict,
        _ => return None,
    };
    Some(check(case))
}

fn weight(case: &Case<'_>) -> Check {
    let place = accepted(case)?;
    let row = &case.expected()[0];
    case.expect(&place, row)?;
    case.spread(&[("infra-backend-v1", 0.7), ("infra-backend-v2", 0.3), ("infra-backend-v3", 0.0)], || {
        let (sent, response) = case.exchange(&place, row)?;
        row.check(&sent, &response)?;
        Ok(response.json()["pod"].as_str().unwrap_or_default().to_owned())
    })
}

fn partly_invalid(case: &Case<'_>) -> Check {
    let (object, parent) = (route("own-partly-invalid"), gateway("same-namespace"));
    case.towards(object, parent, holds("Accepted", "Accepted"))?;
    case.towards(object, parent, fails("ResolvedRefs", "RefNotPermitted"))?;
    case.rows(&listener(case, INFRA, "same-namespace", "")?)
}

fn no_such_section(case: &Case<'_>) -> Check {
    let object = route("own-no-such-section");
    case.towards(object, gateway("same-namespace"), fails("Accepted", "NoMatchingParent"))?;
    case.no_accepted_parents(object)?;
    case.zero_routes("same-namespace")
}

/// 63 characters, as long as the name of a Service may be.
fn long_name(case: &Case<'_>) -> Check {
    let place = accepted(case)?;
    case.expect(&place, &Expected::reaches("", "/", "infra-backend-v1", INFRA))
}

/// Each row at the listener that it names; at one called `https`, by TLS.
fn at_listeners(case: &Case<'_>, parent: &str) -> Check {
    accepted(case)?;
    case.expected().iter().try_for_each(|row| {
        let place = listener(case, INFRA, parent, &row.at)?;
        let place = if row.at == "https" { by_tls(case, place, &row.request.host) } else { place };
        case.expect(&place, row)
    })
}

/// A place asked by TLS for `name`, which must show the listeners' own certificate.
fn by_tls(case: &Case<'_>, place: Place, name: &str) -> Place {
    let trust = pinned(&case.world.keys.pair(INFRA, "tls-validity-checks-certificate").certificate, None);
    Place { tls: Some((name.to_owned(), trust)), ..place }
}
