//! HTTPRoute: what is more than rows of requests.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{accepted, listener};
use crate::client::Place;
use crate::compare::{Answer, Expected};
use crate::sockets::websocket;
use crate::status::{gateway, route};
use crate::suite::{Case, Check};
use crate::verify::pinned;
use crate::world::INFRA;

pub(super) fn run(case: &Case<'_>, name: &str) -> Option<Check> {
    let check = match name {
        "HTTPRouteReferenceGrant" => reference_grant,
        "HTTPRouteRequestHeaderModifierBackendWeights" => header_by_backend,
        "HTTPRouteRequestMirror" => mirror,
        "HTTPRouteRequestPercentageMirror" => percentage_mirror,
        "HTTPRouteRetry" => retry,
        "HTTPRouteServiceTypes" => service_types,
        "HTTPRouteBackendProtocolWebSocket" => web_socket,
        "HTTPRouteHTTPSListener" => https_listener,
        "HTTPRouteMultipleGateways" => multiple_gateways,
        "GatewayHTTPListenerIsolation" => isolation,
        _ => return None,
    };
    Some(check(case))
}

/// A number that no other request has.
fn unique() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

fn reference_grant(case: &Case<'_>) -> Check {
    let place = accepted(case)?;
    let rows = case.expected();
    case.expect(&place, &rows[0])?;
    let grants: Vec<_> = case.objects.iter().filter(|object| object["kind"] == "ReferenceGrant").cloned().collect();
    case.world.delete(&grants);
    case.expect(&place, &rows[1])
}

/// Each backend of a rule has a filter that names it: what arrives says where it should.
fn header_by_backend(case: &Case<'_>) -> Check {
    let place = accepted(case)?;
    let row = &case.expected()[0];
    case.expect(&place, row)?;
    for _ in 0..100 {
        let (_, response) = case.exchange(&place, row)?;
        let (echo, none) = (response.json(), Vec::new());
        let named = echo["headers"]["backend"].as_array().unwrap_or(&none);
        let pod = echo["pod"].as_str().unwrap_or_default();
        match named.as_slice() {
            [one] if pod.starts_with(one.as_str().unwrap_or("?")) => {}
            other => return Err(format!("{pod} saw header backend {other:?}")),
        }
    }
    Ok(())
}

fn with_id(row: &Expected) -> (Expected, String) {
    let id = format!("gateway-api-conformance-request-id={}", unique());
    let mut row = row.clone();
    row.request.path = format!("{}?{id}", row.request.path);
    if let Some(arrived) = row.expected_request.as_mut().filter(|arrived| !arrived.request.path.is_empty()) {
        arrived.request.path = format!("{}?{id}", arrived.request.path);
    }
    (row, id)
}

pub(super) fn mirror(case: &Case<'_>) -> Check {
    let place = accepted(case)?;
    for row in case.expected() {
        let (row, id) = with_id(&row);
        case.expect(&place, &row)?;
        for target in &row.mirrored_to {
            let seen = || match case.world.backends.log.count(&target.backend_ref.name, &id) {
                0 => Err("the log shows no mirrored request".to_owned()),
                _ => Ok(()),
            };
            case.until(&format!("{} mirrored to {}", row.request.path, target.backend_ref.name), seen)?;
        }
    }
    Ok(())
}

/// 500 requests; the count of mirrored ones is within three standard deviations of the share.
fn percentage_mirror(case: &Case<'_>) -> Check {
    const REQUESTS: f64 = 500.0;
    let place = accepted(case)?;
    for row in case.expected() {
        case.expect(&place, &row)?;
        let target = &row.mirrored_to[0];
        let mut told = Ok(());
        for _ in 0..5 {
            let (marked, id) = with_id(&row);
            case.flood(&place, &marked, REQUESTS as usize)?;
            let share = f64::from(target.share()) / 100.0;
            let margin = 3.0 * (REQUESTS * share * (1.0 - share)).sqrt();
            // Mirrors may still be under way: the count must come to lie within the bounds.
            told = case.until(&format!("{} of {}", target.share(), row.request.path), || {
                let count = case.world.backends.log.count(&target.backend_ref.name, &id) as f64;
                let right = (count - REQUESTS * share).abs() <= margin;
                if right { Ok(()) } else { Err(format!("{count} of {REQUESTS} requests were mirrored")) }
            });
            if told.is_ok() {
                break;
            }
        }
        told?;
    }
    Ok(())
}

fn retry(case: &Case<'_>) -> Check {
    let place = accepted(case)?;
    let (three, two) = ("/retry/code-500-attempts-3", "/retry/code-all-attempts-2");
    let mut rows = vec![(three, 500, 2, 200), (three, 500, 4, 500), (three, 503, 2, 503)];
    for code in [500, 502, 503, 504] {
        rows.extend([(two, code, 1, 200), (two, code, 3, code)]);
    }
    rows.into_iter().try_for_each(|(path, code, after, wanted)| {
        retried(case, &place, &format!("{path}?responseCode={code}&succeedAfter={after}"), &[wanted])
    })
}

/// A request of `/retry/`, by which the backend fails so many times as it says, is answered by one of `wanted`.
pub(super) fn retried(case: &Case<'_>, place: &Place, path: &str, wanted: &[u16]) -> Check {
    case.in_a_row(path, || {
        let path = format!("{path}&uuid={}", unique());
        let row = Expected {
            response: Answer { status_codes: wanted.to_vec(), ..Answer::default() },
            ..Expected::reaches("", &path, if wanted == [200] { "infra-backend-v3" } else { "" }, INFRA)
        };
        let (sent, response) = case.exchange(place, &row)?;
        row.check(&sent, &response)
    })
}

/// EndpointSlices that somebody writes by hand, and headless Services.
fn service_types(case: &Case<'_>) -> Check {
    use crate::world::endpoints;
    for service in ["manual-endpointslices", "headless-manual-endpointslices"] {
        let pods = endpoints(&case.world.pods_of(INFRA, "infra-backend-v1"), INFRA);
        case.world.mutate("EndpointSlice", INFRA, &format!("{service}-ip4"), |slice| slice["endpoints"] = pods);
    }
    let place = accepted(case)?;
    for path in ["/manual-endpointslices", "/headless-manual-endpointslices", "/headless"] {
        case.expect(&place, &Expected::reaches("", path, "infra-backend-v1", INFRA))?;
    }
    Ok(())
}

fn web_socket(case: &Case<'_>) -> Check {
    let place = accepted(case)?;
    case.in_a_row("a WebSocket", || websocket::converse(place.address, &place.authority(), "/ws"))
}

fn https_listener(case: &Case<'_>) -> Check {
    accepted(case)?;
    let place = listener(case, INFRA, "same-namespace-with-https-listener", "")?;
    let trust = pinned(&case.world.keys.pair(INFRA, "tls-validity-checks-certificate").certificate, None);
    for (host, code, backend) in [
        ("example.org", 200, "infra-backend-v1"),
        ("unknown-example.org", 404, ""),
        ("second-example.org", 200, "infra-backend-v2"),
    ] {
        let place = Place { tls: Some((host.to_owned(), trust.clone())), ..place.clone() };
        let mut row = Expected::reaches(host, "/", backend, INFRA);
        row.response.status_codes = vec![code];
        case.expect(&place, &row)?;
    }
    Ok(())
}

fn multiple_gateways(case: &Case<'_>) -> Check {
    accepted(case)?;
    let rows = case.expected();
    for (gateway, rows) in [("same-namespace", &rows[..2]), ("all-namespaces", &rows[2..])] {
        let place = listener(case, INFRA, gateway, "")?;
        rows.iter().try_for_each(|row| case.expect(&place, row))?;
    }
    Ok(())
}

/// The same requests at both Gateways: hostnames by listeners alone, and intersected with those of routes.
fn isolation(case: &Case<'_>) -> Check {
    accepted(case)?;
    for name in ["http-listener-isolation", "http-listener-isolation-with-hostname-intersection"] {
        case.accepted_and_resolved(route(&attached(name)), gateway(name))?;
        case.rows(&listener(case, INFRA, name, "")?)?;
    }
    Ok(())
}

fn attached(gateway: &str) -> String {
    let suffix = gateway.strip_prefix("http-listener-isolation").unwrap_or_default();
    format!("attaches-to-empty-hostname{suffix}")
}

impl Case<'_> {
    /// So many requests, ten at a time, each of which must succeed.
    fn flood(&self, place: &Place, row: &Expected, count: usize) -> Check {
        let next = AtomicU64::new(0);
        let failures = std::sync::Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..10 {
                scope.spawn(|| {
                    while next.fetch_add(1, Ordering::Relaxed) < count as u64 {
                        let came = self.exchange(place, row).and_then(|(sent, answer)| row.check(&sent, &answer));
                        if let Err(told) = came {
                            failures.lock().unwrap().push(told);
                        }
                    }
                });
            }
        });
        failures.into_inner().unwrap().pop().map_or(Ok(()), Err)
    }
}
