//! Gateway and GatewayClass: status of listeners, attached routes, addresses, infrastructure.

use serde_json::{Value, json};

use super::listener;
use crate::status::{Listener, Object, Want, fails, gateway, holds, route};
use crate::suite::{Case, Check};
use crate::world::INFRA;

const HTTP: &[&str] = &["HTTPRoute"];

pub(super) fn run(case: &Case<'_>, name: &str) -> Option<Check> {
    let check = match name {
        "GatewayListenerUnsupportedProtocol" => unsupported_protocol,
        "GatewayInvalidParametersRef" => parameters,
        "GatewayInvalidRouteKind" => route_kind,
        "GatewayInvalidTLSConfiguration" => invalid_tls,
        "GatewaySecretInvalidReferenceGrant" => invalid_grant,
        "GatewaySecretMissingReferenceGrant" => missing_grant,
        "GatewaySecretReferenceGrantAllInNamespace" => grant,
        "GatewayObservedGenerationBump" => generation,
        "GatewayClassObservedGenerationBump" => class_generation,
        "GatewayWithAttachedRoutes" => attached,
        "GatewayWithAttachedRoutesWithPort8080" => attached_at_8080,
        "GatewayStaticAddresses" => static_addresses,
        "GatewayOptionalAddressValue" => optional_address,
        "GatewayInfrastructure" => infrastructure,
        _ => return None,
    };
    Some(check(case))
}

/// One HTTP listener is what a Gateway has.
fn one(case: &Case<'_>, name: &str, listener: &str, kinds: &[&str], routes: u64, conditions: &[Want]) -> Check {
    case.listeners(gateway(name), &[Listener { name: listener, kinds, routes, conditions }])
}

fn unsupported_protocol(case: &Case<'_>) -> Check {
    let only = "gateway-only-unsupported-protocols";
    let invalid =
        Listener { name: "invalid", kinds: &[], routes: 0, conditions: &[fails("Accepted", "UnsupportedProtocol")] };
    case.has(gateway(only), &[fails("Accepted", "ListenersNotValid")])?;
    case.listeners(gateway(only), &[invalid])?;
    let both = "gateway-supported-and-unsupported-protocols";
    let valid = Listener { name: "http", kinds: HTTP, routes: 0, conditions: &[holds("Accepted", "Accepted")] };
    case.has(gateway(both), &[holds("Accepted", "ListenersNotValid")])?;
    case.listeners(gateway(both), &[valid, invalid])
}

fn parameters(case: &Case<'_>) -> Check {
    case.has(gateway("gateway-invalid-parameters-ref"), &[fails("Accepted", "InvalidParameters")])
}

fn route_kind(case: &Case<'_>) -> Check {
    let conditions = &[fails("ResolvedRefs", "InvalidRouteKinds")];
    one(case, "gateway-only-invalid-route-kind", "http", &[], 0, conditions)?;
    one(case, "gateway-supported-and-invalid-route-kind", "http", HTTP, 0, conditions)
}

fn invalid_tls(case: &Case<'_>) -> Check {
    let suffixes = ["nonexistent-secret", "unsupported-group", "unsupported-kind", "malformed-secret"];
    suffixes.iter().try_for_each(|suffix| {
        let name = format!("gateway-certificate-{suffix}");
        one(case, &name, "https", HTTP, 0, &[fails("ResolvedRefs", "InvalidCertificateRef")])
    })
}

fn invalid_grant(case: &Case<'_>) -> Check {
    let conditions = &[fails("ResolvedRefs", "RefNotPermitted")];
    one(case, "gateway-secret-invalid-reference-grant", "https", HTTP, 0, conditions)
}

fn missing_grant(case: &Case<'_>) -> Check {
    let conditions = &[fails("ResolvedRefs", "RefNotPermitted")];
    one(case, "gateway-secret-missing-reference-grant", "https", HTTP, 0, conditions)
}

fn grant(case: &Case<'_>) -> Check {
    let conditions = &[holds("Programmed", "Programmed"), holds("ResolvedRefs", "")];
    one(case, "gateway-secret-reference-grant-all-in-namespace", "https", HTTP, 0, conditions)
}

fn bumped(case: &Case<'_>, object: Object<'_>, wants: &[Want], change: impl FnOnce(&mut Value)) -> Check {
    case.has(object, wants)?;
    let before = case.generation(object)?;
    case.world.mutate(object.kind, object.namespace, object.name, change);
    if case.generation(object)? == before {
        return Err(format!("the generation stayed {before}"));
    }
    case.has(object, wants)
}

fn generation(case: &Case<'_>) -> Check {
    let wants = [holds("Accepted", ""), holds("Programmed", "")];
    bumped(case, gateway("gateway-observed-generation-bump"), &wants, |found| {
        let alternate = json!({
            "name": "alternate", "hostname": "foo.com", "port": 80, "protocol": "HTTP",
            "allowedRoutes": {"namespaces": {"from": "All"}},
        });
        found["spec"]["listeners"].as_array_mut().unwrap().push(alternate);
    })
}

fn class_generation(case: &Case<'_>) -> Check {
    let object = Object { kind: "GatewayClass", namespace: "", name: "gatewayclass-observed-generation-bump" };
    bumped(case, object, &[holds("Accepted", "Accepted")], |found| found["spec"]["description"] = json!("new"))
}

fn attached(case: &Case<'_>) -> Check {
    let well = &[holds("Accepted", ""), holds("ResolvedRefs", "")];
    one(case, "gateway-with-one-attached-route", "http", HTTP, 1, well)?;
    let two = "gateway-with-two-attached-routes";
    one(case, two, "http", HTTP, 2, well)?;
    case.towards(route("http-route-not-accepted"), gateway(two), fails("Accepted", "NoMatchingListenerHostname"))?;
    let unresolved = "unresolved-gateway-with-one-attached-unresolved-route";
    one(case, unresolved, "tls", HTTP, 1, &[fails("Programmed", ""), fails("ResolvedRefs", "")])?;
    case.towards(route("http-route-4"), gateway(unresolved), fails("ResolvedRefs", ""))
}

fn attached_at_8080(case: &Case<'_>) -> Check {
    let conditions = &[holds("Accepted", ""), holds("ResolvedRefs", "")];
    let listener = |name, routes| Listener { name, kinds: HTTP, routes, conditions };
    let object = gateway("gateway-with-two-listeners-and-one-attached-route");
    case.listeners(object, &[listener("http-unattached", 0), listener("http", 1)])
}

/// Addresses of a type that is not supported, that cannot be used, that can: each is taken away in turn.
fn static_addresses(case: &Case<'_>) -> Check {
    let name = "gateway-static-addresses";
    let object = gateway(name);
    let drop_first = || {
        case.world.mutate("Gateway", INFRA, name, |found| {
            found["spec"]["addresses"].as_array_mut().unwrap().remove(0);
        });
    };
    case.has(object, &[fails("Accepted", "UnsupportedAddress")])?;
    drop_first();
    case.has(object, &[holds("Accepted", "Accepted"), fails("Programmed", "AddressNotUsable")])?;
    drop_first();
    case.has(object, &[holds("Accepted", "Accepted"), holds("Programmed", "Programmed")])?;
    one(case, name, "http", HTTP, 0, &[holds("Accepted", ""), holds("ResolvedRefs", "")])?;
    let usable = case.world.address(INFRA, name).to_string();
    case.until_object(object, |found| match found["status"]["addresses"].as_array().map(Vec::as_slice) {
        Some([one]) if one["value"] == usable && one["type"] == "IPAddress" => Ok(()),
        _ => Err(format!("addresses are {} instead of {usable}", found["status"]["addresses"])),
    })
}

/// An address without a value: the implementation gives one.
fn optional_address(case: &Case<'_>) -> Check {
    let name = "gateway-without-address-value";
    case.has(gateway(name), &[holds("Accepted", "")])?;
    listener(case, INFRA, name, "http").map(drop)
}

/// What is made for a Gateway bears its labels and annotations.
fn infrastructure(case: &Case<'_>) -> Check {
    let name = "gateway-with-infrastructure-metadata";
    case.has(gateway(name), &[holds("Accepted", "")])?;
    let find = |resource: &&str| {
        let path = format!(
            "/api/v1/namespaces/{INFRA}/{resource}?labelSelector=gateway.networking.k8s.io%2Fgateway-name%3D{name}"
        );
        let found = case.world.cluster().get(&path).unwrap_or_default();
        found["items"].as_array().cloned().unwrap_or_default()
    };
    let made: Vec<Value> = case.until("what is made for the Gateway", || {
        let made: Vec<Value> = ["serviceaccounts", "pods", "services"].iter().flat_map(find).collect();
        if made.is_empty() { Err("there is nothing".into()) } else { Ok(made) }
    })?;
    let bears = |object: &Value| {
        let metadata = &object["metadata"];
        metadata["labels"]["key2"] == "value2" && metadata["annotations"]["key1"] == "value1"
    };
    match made.iter().find(|object| !bears(object)) {
        Some(object) => Err(format!("without the labels or annotations: {}", object["metadata"])),
        None => Ok(()),
    }
}
