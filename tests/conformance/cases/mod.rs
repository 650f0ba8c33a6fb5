//! The tests: most are their manifests and rows of requests; the others, which the suite builds in loops, are written
//! here from the specification and their names.

mod gateways;
mod grpc;
mod http;
mod http_status;
mod layer4;
mod listener_sets;
mod mutual_tls;
mod own;
mod policies;
mod tls;

use serde_json::Value;

use crate::client::Place;
use crate::status::{Object, SERVES, holds};
use crate::suite::{Case, Check};

/// Tests whose Gateways are not meant to be ready, though they bear no mark of it.
const UNREADY: &[&str] = &[
    "GatewayFrontendInvalidDefaultClientCertificateValidation",
    "GatewayInvalidFrontendClientCertificateValidation",
    "GatewaySecretInvalidReferenceGrant",
    "GatewaySecretMissingReferenceGrant",
    "GatewayInvalidTLSBackendConfiguration",
    "TLSRouteListenerMixedTerminationNotSupported",
    "TLSRouteListenerPassthroughSupportedKinds",
    "TLSRouteListenerTerminateNotSupported",
];

/// Runs a test by its name.
pub fn run(case: &Case<'_>) -> Check {
    let name = case.test.short.as_str();
    if !UNREADY.contains(&name) {
        case.ready()?;
    }
    let families: [fn(&Case<'_>, &str) -> Option<Check>; 10] = [
        gateways::run,
        own::run,
        grpc::run,
        http::run,
        http_status::run,
        layer4::run,
        listener_sets::run,
        mutual_tls::run,
        policies::run,
        tls::run,
    ];
    families.iter().find_map(|family| family(case, name)).unwrap_or_else(|| by_rows(case))
}

/// Routes are accepted and resolved by every parent, and the rows hold at their one Gateway.
fn by_rows(case: &Case<'_>) -> Check {
    if case.data.rows(case.test).is_empty() {
        return Err("the harness has no check for this test".into());
    }
    let place = accepted(case)?;
    case.rows(&place)
}

/// Waits until the routes of the test are accepted by all their parents, with references resolved, and the listeners
/// of these serve. Returns the first listener of the first Gateway.
fn accepted(case: &Case<'_>) -> Result<Place, String> {
    let mut first = None;
    for route in
        case.objects.iter().filter(|object| object["kind"].as_str().is_some_and(|kind| kind.ends_with("Route")))
    {
        let object = of(route);
        for parent in route["spec"]["parentRefs"].as_array().into_iter().flatten() {
            let text = |field: &str, default| parent[field].as_str().unwrap_or(default);
            let parent_object = Object {
                kind: text("kind", "Gateway"),
                namespace: text("namespace", object.namespace),
                name: text("name", ""),
            };
            case.accepted_and_resolved(object, parent_object)?;
            case.listener_has(parent_object, text("sectionName", ""), SERVES)?;
            if parent_object.kind == "Gateway" && first.is_none() {
                first = Some(listener(case, parent_object.namespace, parent_object.name, "")?);
            }
        }
    }
    first.ok_or_else(|| "no route has a Gateway".to_owned())
}

/// Where a Gateway's listener is (the first, where `name` is empty), as its status says.
fn listener(case: &Case<'_>, namespace: &str, gateway: &str, name: &str) -> Result<Place, String> {
    let object = Object { kind: "Gateway", namespace, name: gateway };
    case.has(object, &[holds("Accepted", "")])?;
    let found = case.world.get("Gateway", namespace, gateway)?;
    let address = found["status"]["addresses"][0]["value"].as_str().ok_or("the Gateway's status has no address")?;
    let listeners = found["spec"]["listeners"].as_array().into_iter().flatten();
    let listener = listeners.clone().find(|listener| listener["name"] == name).or(listeners.clone().next());
    let port = listener.and_then(|listener| listener["port"].as_u64()).ok_or("the Gateway has no listener")?;
    Ok(Place::plain(address.parse().map_err(|_| format!("address {address}"))?, port as u16))
}

/// The identity of an object.
fn of(object: &Value) -> Object<'_> {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
    Object { kind: object["kind"].as_str().unwrap_or_default(), namespace: text("namespace"), name: text("name") }
}
