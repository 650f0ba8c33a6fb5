//! BackendTLSPolicy, and client certificates towards backends.

use serde_json::json;

use super::{accepted, listener};
use crate::client::Place;
use crate::compare::{Arrived, Expected, Sent};
use crate::status::{Want, fails, gateway, holds, infra, route};
use crate::suite::{Case, Check};
use crate::verify::pinned;
use crate::world::INFRA;

const PARENT: &str = "same-namespace";
const ACCEPTED: Want = holds("Accepted", "Accepted");
const RESOLVED: Want = holds("ResolvedRefs", "ResolvedRefs");
const NO_CA: Want = fails("Accepted", "NoValidCACertificate");

pub(super) fn run(case: &Case<'_>, name: &str) -> Option<Check> {
    let check = match name {
        "BackendTLSPolicyConflictResolution" => conflicts,
        "BackendTLSPolicyInvalidCACertificateRef" => invalid_authority,
        "BackendTLSPolicyInvalidKind" => invalid_kind,
        "BackendTLSPolicyObservedGenerationBump" => generation,
        "BackendTLSPolicy" => policy,
        "GatewayTLSBackendClientCertificate" => client_certificate,
        "GatewayInvalidTLSBackendConfiguration" => invalid_client_certificate,
        _ => return None,
    };
    Some(check(case))
}

/// A policy says this of itself towards the Gateway.
fn says(case: &Case<'_>, policy: &str, parent: &str, wants: &[Want]) -> Check {
    wants.iter().try_for_each(|want| case.towards(infra("BackendTLSPolicy", policy), gateway(parent), *want))
}

/// A request whose backend must be asked for `sni`.
fn asks_for(path: &str, sni: &str) -> Expected {
    let mut row = Expected::reaches("abc.example.com", path, "", INFRA);
    row.request.sni = sni.into();
    row
}

fn conflicts(case: &Case<'_>) -> Check {
    let place = accepted(case)?;
    for (suffix, sni) in [("without-section-name", "other.example.com"), ("with-section-name", "other.example.com")] {
        says(case, &format!("conflicted-{suffix}-1"), PARENT, &[ACCEPTED])?;
        says(case, &format!("conflicted-{suffix}-2"), PARENT, &[fails("Accepted", "Conflicted")])?;
        case.expect(&place, &asks_for(&format!("/backendtlspolicy-conflicted-{suffix}"), sni))?;
    }
    for (suffix, sni) in [("with-section-name", "other.example.com"), ("without-section-name", "abc.example.com")] {
        says(case, &format!("not-conflicted-{suffix}"), PARENT, &[ACCEPTED])?;
        case.expect(&place, &asks_for(&format!("/backendtlspolicy-not-conflicted-{suffix}"), sni))?;
    }
    Ok(())
}

/// Requests to a backend whose policy is of no use fail.
fn unusable(case: &Case<'_>, object: &str, policy: &str, resolved: Want) -> Check {
    case.towards(route(object), gateway(PARENT), ACCEPTED)?;
    says(case, policy, PARENT, &[NO_CA, resolved])?;
    let path = format!("/backendtlspolicy-{policy}");
    case.expect(&listener(case, INFRA, PARENT, "")?, &Expected::gives("abc.example.com", &path, &[500, 502, 503]))
}

fn invalid_authority(case: &Case<'_>) -> Check {
    ["nonexistent-ca-certificate-ref", "malformed-ca-certificate-ref"].iter().try_for_each(|policy| {
        let resolved = fails("ResolvedRefs", "InvalidCACertificateRef");
        unusable(case, "backendtlspolicy-invalid-ca-certificate-ref", policy, resolved)
    })
}

fn invalid_kind(case: &Case<'_>) -> Check {
    unusable(case, "backendtlspolicy-invalid-kind-test", "invalid-kind", fails("ResolvedRefs", "InvalidKind"))
}

fn generation(case: &Case<'_>) -> Check {
    let object = infra("BackendTLSPolicy", "observed-generation-bump");
    says(case, object.name, PARENT, &[holds("Accepted", "")])?;
    let before = case.generation(object)?;
    case.world.mutate(object.kind, INFRA, object.name, |found| {
        found["spec"]["validation"]["hostname"] = json!("foo.example.com");
    });
    if case.generation(object)? == before {
        return Err(format!("the generation stayed {before}"));
    }
    says(case, object.name, PARENT, &[holds("Accepted", "")])
}

fn policy(case: &Case<'_>) -> Check {
    reencrypts(case)?;
    case.accepted_and_resolved(route("backendtlspolicy"), gateway(PARENT))?;
    let place = listener(case, INFRA, PARENT, "")?;
    says(case, "normative-test", PARENT, &[ACCEPTED, RESOLVED])?;
    case.expect(&place, &asks_for("/backendtlspolicy", "abc.example.com"))?;
    for (policy, host) in [("host-mismatch", "abc.example.org"), ("cert-mismatch", "abc.example.com")] {
        says(case, policy, PARENT, &[ACCEPTED, RESOLVED])?;
        let path = format!("/backendtlspolicy-{policy}");
        case.expect(&place, &Expected::gives(host, &path, &[400, 404, 421, 500, 502, 503]))?;
    }
    authority_changes(case)
}

/// TLS ends at the listener, and begins anew towards the backend.
fn reencrypts(case: &Case<'_>) -> Check {
    let parent = "same-namespace-with-https-listener";
    case.accepted_and_resolved(route("backendtlspolicy-reencrypt"), gateway(parent))?;
    says(case, "normative-test", parent, &[ACCEPTED, RESOLVED])?;
    let host = "https-listener.org";
    let trust = pinned(&case.world.keys.pair(INFRA, "tls-validity-checks-certificate").certificate, None);
    let place = Place { tls: Some((host.into(), trust)), ..listener(case, INFRA, parent, "")? };
    let mut row = Expected::reaches(host, "/backendtlspolicy", "", INFRA);
    let request = Sent { path: "/backendtlspolicy".into(), sni: "abc.example.com".into(), ..Sent::default() };
    row.expected_request = Some(Arrived { request, ..Arrived::default() });
    case.expect(&place, &row)
}

/// The policy follows the ConfigMap of its authority: absent, there, emptied, there again.
fn authority_changes(case: &Case<'_>) -> Check {
    let name = "tls-checks-ca-certificate-reconcile-test";
    let policy = "reconcile-test";
    let map = |pem: &str| {
        vec![json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"namespace": INFRA, "name": name}, "data": {"ca.crt": pem},
        })]
    };
    let well: &[Want] = &[ACCEPTED, RESOLVED];
    let ill: &[Want] = &[NO_CA, fails("ResolvedRefs", "InvalidCACertificateRef")];
    let pem = case.world.keys.ca(INFRA, "tls-checks-ca-certificate").to_owned();
    says(case, policy, PARENT, well)?;
    case.world.mutate("BackendTLSPolicy", INFRA, policy, |found| {
        found["spec"]["validation"]["caCertificateRefs"][0]["name"] = json!(name);
    });
    let checked = (|| {
        says(case, policy, PARENT, ill)?;
        for (text, wants) in [(pem.as_str(), well), ("", ill), (&pem, well)] {
            case.world.apply(map(text));
            says(case, policy, PARENT, wants)?;
        }
        Ok(())
    })();
    case.world.delete(&map(&pem));
    checked
}

fn client_certificate(case: &Case<'_>) -> Check {
    let name = "gateway-tls-backend-client-certificate";
    let place = accepted(case)?;
    says(case, &format!("{name}-test"), name, &[ACCEPTED])?;
    case.has(gateway(name), &[holds("ResolvedRefs", "ResolvedRefs")])?;
    let mut row = asks_for("/", "abc.example.com");
    row.request.client_cert = case.world.keys.pair(INFRA, "tls-checks-client-certificate").certificate.clone();
    case.expect(&place, &row)
}

fn invalid_client_certificate(case: &Case<'_>) -> Check {
    let invalid = "InvalidClientCertificateRef";
    let rows = [
        ("nonexistent-secret", invalid),
        ("unsupported-group", invalid),
        ("unsupported-kind", invalid),
        ("malformed-secret", invalid),
        ("missing-reference-grant", "RefNotPermitted"),
    ];
    rows.iter().try_for_each(|(suffix, reason)| {
        let name = format!("gateway-client-certificate-{suffix}");
        case.has(gateway(&name), &[fails("ResolvedRefs", reason), holds("Accepted", "Accepted")])
    })
}
