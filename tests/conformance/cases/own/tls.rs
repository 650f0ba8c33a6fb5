//! TLS at the border and towards backends, beyond what the suite's selection has.

use super::by_tls;
use crate::cases::{accepted, grpc, listener, of};
use crate::client::Place;
use crate::compare::{Answer, Expected, Sent};
use crate::sockets::{ask_tcp, refused};
use crate::status::{Want, fails, gateway, holds, infra};
use crate::suite::{Case, Check};
use crate::verify::trusting;
use crate::world::INFRA;

const ACCEPTED: Want = holds("Accepted", "Accepted");
const RESOLVED: Want = holds("ResolvedRefs", "ResolvedRefs");

/// What a policy says of itself towards a Gateway.
fn says(case: &Case<'_>, policy: &str, parent: &str, wants: &[Want]) -> Check {
    wants.iter().try_for_each(|want| case.towards(infra("BackendTLSPolicy", policy), gateway(parent), *want))
}

/// gRPC within TLS: the backend's certificate must be of the policy's authority and bear its name.
pub(super) fn grpc_backends(case: &Case<'_>) -> Check {
    let parent = "same-namespace";
    for suffix in ["trusted", "name", "authority", "absent"] {
        let name = format!("own-grpc-tls-{suffix}");
        case.towards(infra("GRPCRoute", &name), gateway(parent), ACCEPTED)?;
    }
    for policy in ["own-grpc-abc", "own-grpc-other", "own-grpc-name", "own-grpc-authority"] {
        says(case, policy, parent, &[ACCEPTED, RESOLVED])?;
    }
    let absent = [fails("Accepted", "NoValidCACertificate"), fails("ResolvedRefs", "InvalidCACertificateRef")];
    says(case, "own-grpc-absent", parent, &absent)?;
    let place = listener(case, INFRA, parent, "")?;
    grpc::each(case, &place)
}

/// TLS ends at the listener and begins anew towards the backend, by another name.
pub(super) fn reencrypted(case: &Case<'_>) -> Check {
    let parent = "own-reencrypting";
    accepted(case)?;
    for policy in ["own-reencrypted", "own-untrusted"] {
        says(case, policy, parent, &[ACCEPTED, RESOLVED])?;
    }
    let trust = trusting(case.world.keys.ca(INFRA, "tls-checks-ca-certificate"));
    let tls = Some(("tls.example.com".to_owned(), trust));
    let place = Place { tls: tls.clone(), ..listener(case, INFRA, parent, "terminated")? };
    case.in_a_row("the backend by TLS of its own", || {
        let seen = ask_tcp(place.address, &place.tls)?;
        let right = seen["isTLS"] == true && seen["tls"]["serverName"] == "abc.example.com";
        if right { Ok(()) } else { Err(format!("the backend saw {seen}")) }
    })?;
    let place = Place { tls, ..listener(case, INFRA, parent, "untrusted")? };
    case.in_a_row("nothing from a backend that is not trusted", || match ask_tcp(place.address, &place.tls) {
        Ok(seen) => Err(format!("the backend saw {seen}")),
        Err(_) => Ok(()),
    })
}

/// A request for a name that, at this port, another listener than that of the handshake serves (RFC 9110 section
/// 15.5.20), over both versions of HTTP.
pub(super) fn misdirected(case: &Case<'_>) -> Check {
    accepted(case)?;
    let place = listener(case, INFRA, "same-namespace-with-https-listener", "")?;
    let (one, two, three) = ("infra-backend-v1", "infra-backend-v2", "infra-backend-v3");
    let rows = [
        ("example.org", "example.org", 200, one),
        ("example.org", "second-example.org", 421, ""),
        ("example.org", "third.wildcard.org", 421, ""),
        ("example.org", "unknown-example.org", 404, ""),
        ("second-example.org", "second-example.org", 200, two),
        ("second-example.org", "example.org", 421, ""),
        ("second-example.org", "unknown-example.org", 421, ""),
        ("third.wildcard.org", "third.wildcard.org", 200, three),
        // Another name of the same listener.
        ("third.wildcard.org", "fifth.wildcard.org", 200, three),
        ("third.wildcard.org", "fourth-example.wildcard.org", 421, ""),
        ("third.wildcard.org", "example.org", 421, ""),
        ("fourth-example.wildcard.org", "fourth-example.wildcard.org", 200, one),
        ("fourth-example.wildcard.org", "fifth.wildcard.org", 421, ""),
        // A handshake for a name of none of the narrower ones is the first listener's.
        ("unknown-example.org", "example.org", 200, one),
        ("unknown-example.org", "second-example.org", 421, ""),
        ("unknown-example.org", "unknown-example.org", 404, ""),
    ];
    for protocol in ["HTTP", "H2"] {
        for (shown, host, code, backend) in rows {
            let row = Expected {
                request: Sent { host: host.into(), protocol: protocol.into(), ..Sent::default() },
                response: Answer { status_codes: vec![code], ..Answer::default() },
                ..Expected::reaches(host, "/", backend, INFRA)
            };
            let place = by_tls(case, place.clone(), shown);
            case.expect(&place, &row).map_err(|told| format!("{protocol}, handshake for {shown}: {told}"))?;
        }
    }
    Ok(())
}

/// A Gateway, the names that it serves with their backends, and names that it does not serve.
type Names<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [&'a str]);

/// Names of listeners and of routes: what both serve, and nothing else.
pub(super) fn intersecting(case: &Case<'_>) -> Check {
    for object in case.objects.iter().filter(|object| object["kind"] == "TLSRoute") {
        let parent = object["spec"]["parentRefs"][0]["name"].as_str().expect("a parent");
        case.accepted_and_resolved(of(object), gateway(parent))?;
    }
    // The last column: names that no route of that Gateway has, or that its listener has not.
    let (one, two) = ("tls-backend", "tls-backend-2");
    let rows: [Names<'_>; 4] = [
        ("own-tls-exact", &[("abc.example.com", one)], &["other.example.com", "abc.example.org"]),
        ("own-tls-narrow", &[("abc.example.com", one), ("other.example.com", two)], &["example.com", "other.org"]),
        ("own-tls-wide", &[("abc.example.com", one), ("other.example.com", two)], &["other.com", "other.org"]),
        ("own-tls-any", &[("abc.example.com", one), ("other.example.com", two)], &["other.org"]),
    ];
    let trust = trusting(case.world.keys.ca(INFRA, "tls-checks-ca-certificate"));
    for (parent, served, others) in rows {
        let place = listener(case, INFRA, parent, "")?;
        for (host, backend) in served {
            let place = Place { tls: Some(((*host).to_owned(), trust.clone())), ..place.clone() };
            let mut row = Expected::reaches(host, "/", &format!("{backend}-7d9c5b8f6d"), INFRA);
            row.request.sni = (*host).to_owned();
            case.expect(&place, &row)?;
        }
        for host in others {
            case.in_a_row(&format!("{host} at {parent} to be refused"), || refused(place.address, host, &trust))?;
        }
    }
    Ok(())
}
