//! Certificates of clients at a Gateway's listeners.

use super::{accepted, listener};
use crate::client::Place;
use crate::compare::Expected;
use crate::status::{SERVES, fails, gateway, holds, route};
use crate::suite::{Case, Check};
use crate::verify::pinned;
use crate::world::INFRA;

/// A client of the authority of all ports, and of the one port that has another.
const DEFAULT: &str = "tls-validity-checks-client-certificate";
const PER_PORT: &str = "tls-validity-checks-per-port-client-certificate";

pub(super) fn run(case: &Case<'_>, name: &str) -> Option<Check> {
    let check = match name {
        "GatewayFrontendClientCertificateValidation" => validated,
        "GatewayFrontendClientCertificateValidationInsecureFallback" => fallback,
        "GatewayInvalidFrontendClientCertificateValidation" => invalid,
        "GatewayFrontendInvalidDefaultClientCertificateValidation" => invalid_default,
        _ => return None,
    };
    Some(check(case))
}

/// A client of a listener that shows the certificate in a Secret, or none.
fn client(case: &Case<'_>, place: &Place, host: &str, shown: Option<&str>) -> Place {
    let keys = &case.world.keys;
    let pair = shown.map(|name| keys.pair(INFRA, name));
    let trust = pinned(&keys.pair(INFRA, "tls-validity-checks-certificate").certificate, pair);
    Place { tls: Some((host.to_owned(), trust)), ..place.clone() }
}

/// The connection or the request fails, without any response.
fn fails_to_connect(case: &Case<'_>, place: &Place, host: &str) -> Check {
    let row = Expected::gives(host, "/", &[200]);
    case.in_a_row("the client to be refused", || match case.exchange(place, &row) {
        Ok((_, response)) => Err(format!("answered with {}", response.status)),
        Err(_) => Ok(()),
    })
}

fn validated(case: &Case<'_>) -> Check {
    let name = "client-validation-default";
    accepted(case)?;
    for (section, host, backend, right, wrong) in [
        ("https", "example.org", "infra-backend-v1", DEFAULT, PER_PORT),
        ("https-with-hostname", "second-example.org", "infra-backend-v2", PER_PORT, DEFAULT),
    ] {
        let place = listener(case, INFRA, name, section)?;
        case.expect(&client(case, &place, host, Some(right)), &Expected::reaches(host, "/", backend, INFRA))?;
        fails_to_connect(case, &client(case, &place, host, Some(wrong)), host)?;
        fails_to_connect(case, &client(case, &place, host, None), host)?;
    }
    Ok(())
}

fn fallback(case: &Case<'_>) -> Check {
    let name = "client-validation-insecure-fallback";
    accepted(case)?;
    case.has(gateway(name), &[holds("InsecureFrontendValidationMode", "ConfigurationChanged")])?;
    for (section, host, backend) in [
        ("https", "example.org", "infra-backend-v1"),
        ("https-with-hostname", "second-example.org", "infra-backend-v2"),
    ] {
        let place = listener(case, INFRA, name, section)?;
        for shown in [Some(DEFAULT), Some(PER_PORT), None] {
            case.expect(&client(case, &place, host, shown), &Expected::reaches(host, "/", backend, INFRA))?;
        }
    }
    Ok(())
}

fn invalid(case: &Case<'_>) -> Check {
    let object = gateway("gateway-with-invalid-client-cert-validation");
    case.listener_has(object, "https", SERVES)?;
    for (name, reason) in [
        ("https-unresolved", "InvalidCACertificateRef"),
        ("https-invalid-kind", "InvalidCACertificateKind"),
        ("https-grant-missing", "RefNotPermitted"),
    ] {
        let wants = [fails("ResolvedRefs", reason), fails("Accepted", "NoValidCACertificate"), fails("Programmed", "")];
        case.listener_has(object, name, &wants)?;
    }
    Ok(())
}

/// What is wrong with the validation of all ports is no affair of plain HTTP.
fn invalid_default(case: &Case<'_>) -> Check {
    let name = "invalid-default-client-validation-config";
    case.listener_has(gateway(name), "http", SERVES)?;
    case.towards(route(name), gateway(name), holds("Accepted", ""))?;
    let row = Expected::reaches("example.org", "/", "infra-backend-v1", INFRA);
    case.expect(&listener(case, INFRA, name, "http")?, &row)?;
    let wants = [
        fails("ResolvedRefs", "InvalidCACertificateRef"),
        fails("Accepted", "NoValidCACertificate"),
        fails("Programmed", ""),
    ];
    case.listener_has(gateway(name), "https", &wants)?;
    let place = listener(case, INFRA, name, "https")?;
    fails_to_connect(case, &client(case, &place, "example.org", None), "example.org")
}
