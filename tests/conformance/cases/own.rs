//! Tests of the harness's own that are more than rows of requests.

use super::{accepted, http, listener};
use crate::compare::Expected;
use crate::status::{fails, gateway, holds, route};
use crate::suite::{Case, Check};
use crate::world::INFRA;

pub(super) fn run(case: &Case<'_>, name: &str) -> Option<Check> {
    let check = match name {
        "OwnHTTPRouteWeight" => weight,
        "OwnHTTPRouteRequestMultipleMirrors" => http::mirror,
        "OwnHTTPRoutePartiallyInvalid" => partly_invalid,
        "OwnGatewayNameOfMaximumLength" => long_name,
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

/// 63 characters, as long as the name of a Service may be.
fn long_name(case: &Case<'_>) -> Check {
    let place = accepted(case)?;
    case.expect(&place, &Expected::reaches("", "/", "infra-backend-v1", INFRA))
}
